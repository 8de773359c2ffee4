"""A new key in the place of the old one, with everything that is sealed sealed anew.

A secret may name several keys, of which the first seals and all open. So a rotation is three states, and a
kill between any two leaves one in which everything can be read:

    old            the file names the old key
    new,old        it names both; everything or nothing is sealed by the new one, in one transaction
    new            it names the new one; the old one is in no file of ours any more
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from openlinear import vault
from openlinear.errors import StartError
from openlinear.sealed import Resealed, reseal
from openlinear.secrets import find_secret, new_secret, replace_secret

KEY = "OPENLINEAR_SECRET_KEY"
_MADE = "SELECT to_regclass('provider_keys') IS NOT NULL"
_SERVING = """
SELECT EXISTS (SELECT FROM workers WHERE seen_at > clock_timestamp() - make_interval(secs => %(lease)s))
    OR EXISTS (SELECT FROM web_processes WHERE seen_at > clock_timestamp() - make_interval(secs => %(lease)s))
"""


def rotate_file(home: Path, connection: "psycopg.Connection[Any]", lease: float) -> Resealed:
    """For a key in its file. One that was cut short before is finished, with the key that it had made.

    StartError while OpenLinear serves on the database: a process with the old key alone could neither read
    what is sealed anew, nor seal anything that is read tomorrow. `lease` is how long, in seconds, a process
    may be silent before it counts as gone.
    """
    secret = find_secret(home, {}, KEY)
    if not secret:
        raise StartError("There is no key here yet: `openlinear up` makes it at the first start.")
    made = _value(connection, _MADE)
    if made and _value(connection, _SERVING, {"lease": lease}):
        raise StartError(
            "OpenLinear runs on this database: stop all of it first. What was killed counts as running for "
            f"{lease:.0f} s more."
        )
    if len(vault.parts(secret)) == 1:
        secret = f"{new_secret()},{secret}"
        replace_secret(home, KEY, secret)
    resealed = reseal(connection, secret) if made else Resealed(0, {})
    connection.commit()
    replace_secret(home, KEY, vault.parts(secret)[0])
    return resealed


def rotate_given(environ: Mapping[str, str], connection: "psycopg.Connection[Any]") -> Resealed:
    """For a key in the environment, which must name both by now: `new,old`. The processes may run on."""
    secret = environ[KEY]
    if len(vault.parts(secret)) == 1:
        raise StartError(
            f"{KEY} comes from the environment, so it is changed there. Make a key (`openssl rand -hex 32`), "
            f"set {KEY} to NEW,OLD for every web and engine process and restart them; then run this command "
            "with the same setting."
        )
    resealed = reseal(connection, secret)
    connection.commit()
    return resealed


def _value(
    connection: "psycopg.Connection[Any]", query: Any, values: Mapping[str, float] | None = None
) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
