"""What a batch does next."""

from dataclasses import replace
from uuid import UUID, uuid5

import pytest

from engine.batches.plan import (
    AskApproval,
    Begin,
    Finish,
    LeaveOut,
    Merge,
    Place,
    Ready,
    Rules,
    Stage,
    next_act,
)

SPACE = UUID(int=0)
PARALLEL = Rules(queue=False, auto_approve=False, stop_on_failure=False)
QUEUE = replace(PARALLEL, queue=True)


def task(name: str) -> UUID:
    return uuid5(SPACE, f"task {name}")


def run(name: str) -> UUID:
    return uuid5(SPACE, f"run {name}")


def at(name: str, stage: Stage, *, approved: bool = False, waits_for: str = "", again: bool = False) -> Place:
    needed = frozenset(task(one) for one in waits_for.split())
    return Place(run(name), task(name), name, stage, approved, needed, again)


def test_parallel_fills_every_free_slot_in_order() -> None:
    places = [at("a", "running"), at("b", "waiting"), at("c", "waiting")]
    assert next_act(PARALLEL, places, 1) == Begin(run("b"))
    assert next_act(PARALLEL, places, 0) == Ready(run("b"))
    readied = [places[0], replace(places[1], readied=True), places[2]]
    assert next_act(PARALLEL, readied, 0) == Ready(run("c"))
    assert next_act(PARALLEL, readied, 0, ahead=1) is None
    assert next_act(PARALLEL, [*readied[:2], replace(places[2], readied=True)], 1) == Begin(run("b"))


def test_nothing_is_readied_while_one_is_on_its_way_to_its_prompt() -> None:
    starting = replace(at("a", "running"), starting=True)
    assert next_act(PARALLEL, [starting, at("b", "waiting")], 0) is None
    assert next_act(PARALLEL, [starting, at("b", "waiting")], 1) == Begin(run("b"))
    assert next_act(PARALLEL, [replace(starting, starting=False), at("b", "waiting")], 0) == Ready(run("b"))


def test_a_queue_goes_one_by_one_and_asks_between_two() -> None:
    places = [at("a", "running"), at("b", "waiting")]
    assert next_act(QUEUE, places, 3) is None
    handed = [at("a", "handed_in"), at("b", "waiting")]
    assert next_act(QUEUE, handed, 3) == AskApproval()
    assert next_act(replace(QUEUE, auto_approve=True), handed, 3) == Begin(run("b"))
    assert next_act(QUEUE, [at("a", "handed_in", approved=True), at("b", "waiting")], 3) == Begin(run("b"))
    assert next_act(QUEUE, [at("a", "failed"), at("b", "waiting")], 3) == Begin(run("b"))
    assert next_act(QUEUE, [at("a", "handed_in", approved=True), at("b", "handed_in")], 3) == Merge()


def test_what_is_waited_for_comes_first() -> None:
    places = [at("a", "waiting", waits_for="b"), at("b", "running"), at("c", "waiting")]
    assert next_act(PARALLEL, places, 3) == Begin(run("c"))
    assert next_act(PARALLEL, [places[0], at("b", "handed_in")], 3) == Begin(run("a"))


@pytest.mark.parametrize(("stage", "words"), [("failed", "has no result"), ("cancelled", "was cancelled")])
def test_what_waits_in_vain_is_left_out(stage: Stage, words: str) -> None:
    places = [at("a", "waiting", waits_for="b"), at("b", stage)]
    assert next_act(PARALLEL, places, 3) == LeaveOut(run("a"), f"It waits for b, which {words}.")


def test_the_first_failure_stops_what_is_not_begun_and_nothing_else() -> None:
    stops = replace(PARALLEL, stop_on_failure=True)
    act = next_act(stops, [at("a", "failed"), at("b", "running"), at("c", "waiting")], 3)
    assert isinstance(act, LeaveOut)
    assert act.run_id == run("c")
    assert next_act(stops, [at("a", "failed"), at("b", "running")], 3) is None
    assert next_act(stops, [at("a", "failed"), at("b", "handed_in")], 3) == Merge()


def test_a_conflict_that_goes_back_asks_nobody_and_waits_for_a_slot() -> None:
    places = [at("a", "handed_in"), at("b", "waiting", again=True), at("c", "handed_in")]
    assert next_act(QUEUE, places, 1) == Begin(run("b"))
    assert next_act(replace(QUEUE, stop_on_failure=True), [*places, at("d", "failed")], 1) == Begin(run("b"))
    assert next_act(QUEUE, places, 0) is None


def test_what_needs_no_merge_is_over() -> None:
    assert next_act(PARALLEL, [at("a", "done"), at("b", "failed")], 3) == Finish("completed")
    assert next_act(PARALLEL, [at("a", "cancelled")], 3) == Finish("cancelled")
    failed = next_act(PARALLEL, [at("a", "failed"), at("b", "cancelled")], 3)
    assert isinstance(failed, Finish)
    assert failed.status == "failed"


def test_cancelling_begins_nothing_and_merges_nothing() -> None:
    cancelling = replace(PARALLEL, cancelling=True)
    assert next_act(cancelling, [at("a", "handed_in"), at("b", "waiting")], 3) is None
    assert next_act(cancelling, [at("a", "cancelled"), at("b", "cancelled")], 3) == Finish("cancelled")
