"""Where passwords are hashed."""

import asyncio
import threading
from typing import Any

import pytest

from openlinear import passwords


async def test_many_who_log_in_leave_the_other_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slowly(*_: Any) -> bool:
        return go_on.wait(20)

    monkeypatch.setattr(passwords.bcrypt, "checkpw", slowly)
    logging_in = [asyncio.create_task(passwords.matches("password", "digest")) for _ in range(50)]
    await asyncio.sleep(0)  # all are in the queue
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
            assert not any(one.done() for one in logging_in)
    finally:
        go_on.set()
    assert all(await asyncio.gather(*logging_in))
