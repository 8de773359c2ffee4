"""Which of several media types a client would have: RFC 9110's `Accept`, as far as it is needed here."""

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The first of those it takes best: by its `q`, then by name before `*`, then in its own order.

    The first that is offered where it says nothing, or takes none.
    """
    ranges = [_range(text) for text in accept.split(",") if text.strip()]
    best, chosen = (0.0, 0, 0), offered[0]
    for media_type in offered:
        rank = _rank(media_type, ranges)
        if rank > best:
            best, chosen = rank, media_type
    return chosen


def _range(text: str) -> tuple[str, float]:
    name, *parameters = [part.strip() for part in text.lower().split(";")]
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return name, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return name, 0.0


def _rank(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int, int]:
    """How well it is taken, for comparing; zeros where it is not."""
    spellings = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    for exactness, spelling in zip((3, 2, 1), spellings, strict=True):
        for position, (name, quality) in enumerate(ranges):
            if name == spelling:
                return (quality, exactness, -position) if quality else (0.0, 0, 0)
    return 0.0, 0, 0
