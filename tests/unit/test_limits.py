"""What a run may cost: the strictest bound counts, and what is tried again is one table."""

import pytest

from engine.errors import Class
from engine.limits import Limits, out_of_time, spent, strictest
from engine.retries import LONGEST_ASKED, TABLE, attempts, wait_before
from engine.settings import EngineSettings


def test_the_strictest_bound_of_each_kind_counts() -> None:
    task, user = Limits(dollars=2.0, tokens=500), Limits(dollars=1.5, attempts=2)
    assert strictest([task, user]) == Limits(dollars=1.5, tokens=500, attempts=2)
    assert strictest([]) == Limits()


def test_no_run_goes_beyond_the_installation() -> None:
    settings = EngineSettings(run_total_seconds=100, run_idle_seconds=10, run_attempts=3)
    wild = Limits.of({"wall_seconds": 1e9, "idle_seconds": 5, "attempts": 99, "unknown": 1}, settings)
    assert wild == Limits(wall_seconds=100, idle_seconds=5, attempts=3)


def test_an_installation_may_bound_money_too() -> None:
    settings = EngineSettings(run_max_tokens=1000, run_max_dollars=2.0)
    within = Limits.of({"tokens": 10, "dollars": 99.0}, settings)
    assert (within.tokens, within.dollars) == (10, 2.0)


def test_what_is_set_is_kept_and_read_back() -> None:
    limits = Limits(tokens=1000, dollars=0.5)
    assert limits.stored() == {"tokens": 1000, "dollars": 0.5}
    assert Limits(**limits.stored()) == limits


@pytest.mark.parametrize(
    ("limits", "tokens", "dollars", "says"),
    [
        (Limits(tokens=1000), 999, 99.0, None),
        (Limits(tokens=1000), 1000, 0.0, "1,000 tokens"),
        (Limits(dollars=0.5), 10**9, 0.49, None),
        (Limits(dollars=0.5), 0, 0.5, "$0.50"),
        (Limits(), 10**9, 1e9, None),
    ],
)
def test_money_and_tokens(limits: Limits, tokens: int, dollars: float, says: str | None) -> None:
    over = spent(limits, tokens=tokens, dollars=dollars)
    assert (over is None) == (says is None)
    if over is not None and says is not None:
        assert says in over.reason
        assert over.kind == "budget"


def test_time() -> None:
    assert out_of_time(Limits(wall_seconds=60), 60) is None
    over = out_of_time(Limits(wall_seconds=600), 601)
    assert over is not None and "10 minutes" in over.reason
    assert out_of_time(Limits(), 1e9) is None


@pytest.mark.parametrize(
    "kind", ["authentication", "invalid_request", "budget", "disk", "limit", "internal", "remote"]
)
def test_what_would_fail_again_is_not_tried_again(kind: Class) -> None:
    assert wait_before(kind, 1) is None


@pytest.mark.parametrize("kind", list(TABLE))
def test_what_may_pass_is_tried_so_often_and_waits_longer_each_time(kind: Class) -> None:
    policy = TABLE[kind]
    waits = [wait_before(kind, nth) for nth in range(1, policy.retries + 1)]
    assert waits == sorted(wait for wait in waits if wait is not None)
    assert wait_before(kind, policy.retries + 1) is None
    assert attempts(kind, 1, 2, 99) == policy.retries + 1
    assert attempts(kind, 1, 4, 99) == policy.retries + 3, "after two failures of other kinds"
    assert attempts(kind, 1, 2, 2) == 2, "the run's own limit counts first"


def test_the_other_sides_own_wait_counts_where_it_is_longer() -> None:
    table = TABLE["rate_limit"].wait
    assert wait_before("rate_limit", 1, asked=table + 60) == table + 60
    assert wait_before("rate_limit", 1, asked=1.0) == table
    assert wait_before("rate_limit", 1, asked=LONGEST_ASKED + 1) is None
    assert wait_before("authentication", 1, asked=1.0) is None
