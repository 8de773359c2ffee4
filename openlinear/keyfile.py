"""The key of an installation as a file that may leave it: sealed under a passphrase.

scrypt makes each guess cost 128 MB and about half a second; AES-256-GCM tells a wrong passphrase from
the right one. The version fixes all parameters, so a file cannot ask for weaker or costlier ones.
"""

import base64
import getpass
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from openlinear.errors import StartError

KIND = "openlinear key 1"
PASSPHRASE_CHARS = 12
FILE_LIMIT = 1 << 16
_SALT, _NONCE = 16, 12


def seal_key(key: str, passphrase: str) -> bytes:
    """The file's content: JSON with everything but the passphrase."""
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    box = AESGCM(_derive(passphrase, salt)).encrypt(nonce, key.encode(), KIND.encode())
    content = {"kind": KIND, "salt": _text(salt), "nonce": _text(nonce), "sealed": _text(box)}
    return json.dumps(content, indent=1).encode() + b"\n"


def open_key(path: Path, passphrase: str) -> str:
    """The key in the file. StartError when it is no key file, or the passphrase is another."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(FILE_LIMIT))
        if content["kind"] != KIND:
            raise ValueError
        salt, nonce, box = (
            base64.b64decode(content[name], validate=True) for name in ("salt", "nonce", "sealed")
        )
        if (len(salt), len(nonce)) != (_SALT, _NONCE):
            raise ValueError
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StartError(f"{path} is not a key that `openlinear key export` wrote.") from None
    try:
        return AESGCM(_derive(passphrase, salt)).decrypt(nonce, box, KIND.encode()).decode()
    except InvalidTag:
        raise StartError("The passphrase is not the one of this key, or the file was changed.") from None


def ask_passphrase(file: Path | None, *, twice: bool) -> str:
    """From `file`'s first line (/dev/stdin and /dev/fd/N are files too), else from the terminal."""
    if file is not None:
        try:
            with file.open() as lines:
                passphrase = lines.readline(4096).rstrip("\r\n")
        except (OSError, UnicodeError):
            raise StartError(f"The passphrase file {file} cannot be read.") from None
    else:
        passphrase = getpass.getpass("Passphrase: ")
        if twice and getpass.getpass("Once more: ") != passphrase:
            raise StartError("The two passphrases differ.")
    if twice and len(passphrase) < PASSPHRASE_CHARS:
        raise StartError(f"The passphrase is short: give it {PASSPHRASE_CHARS} characters or more.")
    return passphrase


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << 17, r=8, p=1).derive(passphrase.encode())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
