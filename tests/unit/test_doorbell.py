"""The bell that tells DBOS's queue threads of work: it ends their waiting, and none is missed."""

import threading
import time

from engine.doorbell import Doorbell, Listening

LONG = 60.0


def waited(listening: Listening) -> threading.Thread:
    """A thread that waits as DBOS's do."""
    thread = threading.Thread(target=listening.wait, args=(LONG,), daemon=True)
    thread.start()
    return thread


def test_a_ring_ends_the_waiting_of_all() -> None:
    bell = Doorbell()
    threads = [waited(Listening(threading.Event(), bell)) for _ in range(3)]
    time.sleep(0.05)
    assert all(thread.is_alive() for thread in threads)
    bell.ring()
    for thread in threads:
        thread.join(LONG / 2)
    assert not any(thread.is_alive() for thread in threads)


def test_a_ring_while_nobody_waits_is_heard_at_once_and_looked_after_again() -> None:
    bell = Doorbell()
    listening = Listening(threading.Event(), bell)
    bell.ring()
    assert listening.wait(LONG) is False  # at once
    assert listening.wait(LONG) is False  # soon: there may be room only now
    thread = waited(listening)
    thread.join(0.3)
    assert thread.is_alive()  # and then as seldom as was asked for
    bell.ring()
    thread.join(LONG / 2)


def test_what_is_to_end_is_told_so() -> None:
    stop, bell = threading.Event(), Doorbell()
    stop.set()
    bell.ring()
    assert Listening(stop, bell).wait(LONG) is True
    assert Listening(stop, bell).is_set()
