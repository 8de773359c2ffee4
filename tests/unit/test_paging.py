"""Cursors: what we gave out comes back, and nothing else counts."""

import base64

import pytest

from openlinear.services import paging
from openlinear.services.errors import Invalid


def test_a_list_is_walked_page_by_page() -> None:
    items, seen, cursor = list(range(7)), [], None
    while True:
        page = paging.sliced(items, cursor, 3)
        seen.append(list(page.items))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]
    assert paging.sliced(items, None, 7).next_cursor is None


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "é", "////", paging.encode(["-1"]), paging.encode(["1", "2"]), paging.encode(["²"])),
        *(paging.encode(["9" * 20]), paging.encode(["1" * 5000]), paging.encode([str(2**31)])),
        base64.urlsafe_b64encode(b"[" * 2000).decode(),
    ],
)
def test_a_cursor_of_another_making_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        paging.sliced([1], cursor, 3)
    assert set(refused.value.fields) == {"cursor"}


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_its_bounds(limit: int) -> None:
    with pytest.raises(Invalid):
        paging.limited(limit)
