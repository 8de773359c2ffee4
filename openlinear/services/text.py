"""What people type, made fit to keep: no control characters, no more than a field holds."""

import re
import unicodedata
from collections.abc import Collection

from openlinear.services.errors import Invalid

KEY_LENGTH = 6


def line(value: str, field: str, *, limit: int, required: bool = True) -> str:
    """One line: white space collapsed, control characters gone. HTML stays what it is, text."""
    _checked(value, field)
    kept = " ".join("".join(" " if _control(c) else c for c in value).split())
    if required and not kept:
        raise Invalid(f"A {field} is needed.", **{field: "may not be empty"})
    return _within(kept, field, limit)


def block(value: str, field: str, *, limit: int) -> str:
    """Any number of lines; only tabs and line ends remain of the control characters."""
    _checked(value, field)
    kept = "".join(c for c in value.replace("\r\n", "\n") if c in "\n\t" or not _control(c))
    return _within(kept.rstrip(), field, limit)


def stem(name: str, otherwise: str) -> str:
    """The first word of a name, as the upper-case head of task numbers."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    words = re.findall(r"[A-Z0-9]+", ascii_only)
    return (words[0] if words else otherwise)[:KEY_LENGTH]


def free_key(head: str, taken: Collection[str]) -> str:
    """This head, numbered where it is taken."""
    return next(
        key for n in range(1, len(taken) + 2) if (key := head if n == 1 else f"{head}{n}") not in taken
    )


def _control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def storable(value: str) -> bool:
    """PostgreSQL takes neither the null character nor half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _checked(value: str, field: str) -> None:
    if not storable(value):
        raise Invalid(
            f"The {field} holds a character that cannot be kept.",
            **{field: "holds a null character or a broken surrogate pair"},
        )


def _within(value: str, field: str, limit: int) -> str:
    if len(value) > limit:
        raise Invalid(
            f"The {field} has {len(value):,} characters; {limit:,} is the most.",
            **{field: f"may have at most {limit:,} characters"},
        )
    return value
