"""OPENLINEAR_HOME: who may enter it, what room it has, and the keys that lie there."""

import os
import shutil
import stat

from openlinear.doctor.finding import Check, Finding, Ground, fine, secret, warn, wrong
from openlinear.secrets import NAMES
from openlinear.settings import weak

GIB = 1 << 30
TIGHT, LITTLE = 1 * GIB, 5 * GIB


async def home(ground: Ground) -> Finding:
    place = ground.home
    try:
        found = place.stat()
    except FileNotFoundError:
        return warn("Home", f"{place} is not there yet.", "`openlinear up` makes it at its first start.")
    except OSError as error:
        return wrong(
            "Home", f"{place} cannot be reached ({error.strerror}).", "Run this as OpenLinear's user."
        )
    if found.st_uid != os.geteuid():
        return wrong(
            "Home",
            f"{place} belongs to another user (uid {found.st_uid}).",
            "Run this as that user, or name another folder in OPENLINEAR_HOME.",
        )
    # Root's embedded database runs as another user, who passes through.
    allowed = 0o711 if os.geteuid() == 0 else 0o700
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~allowed:
        # Where no key lies there, others still read the repositories.
        say = wrong if (place / "secrets").exists() else warn
        return say(
            "Home", f"{place} is open to others (mode {mode:04o}).", f"Run `chmod {allowed:o} {place}`."
        )
    return fine("Home", f"{place}, mode {mode:04o}.")


async def space(ground: Ground) -> Finding | None:
    place = next((one for one in (ground.home, *ground.home.parents) if one.exists()), None)
    if place is None:
        return None
    free = shutil.disk_usage(place).free
    text = f"{free / GIB:.1f} GiB are free where {place} is."
    if free >= LITTLE:
        return fine("Disk", text)
    return Finding(
        "error" if free < TIGHT else "warning",
        "Disk",
        text,
        "Free some: runs end with an error, and the database stops, where the disk is full.",
    )


async def keys(ground: Ground) -> Finding:
    """Present, readable by their owner alone, strong. What they are is never said."""
    folder = ground.home / "secrets"
    where = []
    for name in NAMES:
        path, value = folder / name.lower(), secret(name)
        if value:
            where.append("environment")
        elif not path.exists():
            return _no_key(ground, name)
        else:
            if path.stat().st_mode & 0o077:
                return wrong("Keys", f"{path} may be read by others.", f"Run `chmod 600 {path}`.")
            value = path.read_text().strip()
            where.append(str(folder))
        if any(weak(part.strip()) for part in value.split(",")):
            return wrong(
                "Keys",
                f"{name} is too weak or empty.",
                "Give it 32 random bytes or more (`openssl rand -hex 32`). What was sealed with the old key "
                "stays readable while OPENLINEAR_SECRET_KEY names both, the new one first: NEW,OLD.",
            )
    return fine("Keys", f"There and strong, from: {', '.join(dict.fromkeys(where))}.")


def _no_key(ground: Ground, name: str) -> Finding:
    used = bool(ground.settings.database_url) or (
        ground.embedded is not None and ground.embedded.data.exists()
    )
    if used:
        return wrong(
            "Keys",
            f"{name} is not set, and there is no {ground.home / 'secrets' / name.lower()}.",
            "Set it to the key that this database was used with, or put its file back from a backup. "
            "A new installation gets its keys from `openlinear up`.",
        )
    return warn("Keys", f"{name} is not there yet.", "`openlinear up` makes it at its first start.")


CHECKS: tuple[Check, ...] = (home, space, keys)
