"""A run on real parts, as whoever operates it sees it: its trace, its log lines, its counts."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.line.test_line import FILES, editing
from tests.support.sight import Collector
from tests.support.stack import Person, Stack

STEPS = ["prepare", "converse", "collect", "hand_in", "publish", "propose", "stop", "finish", "clear"]


@pytest.fixture
def watched(stack: Stack, collector: Collector) -> Iterator[Collector]:
    """The stack's worker starts anew with a collector to tell, and without one afterwards."""
    _restart(stack, {**stack.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    yield collector
    stack.environment.pop("OTEL_EXPORTER_OTLP_ENDPOINT")
    _restart(stack, stack.environment)


def _restart(stack: Stack, environment: dict[str, str]) -> None:
    stack.processes["worker"].terminate()
    stack.processes["worker"].wait(15)
    stack.environment.update(environment)
    stack.start_worker()
    stack.wait_ready()


async def test_a_run_is_seen_from_end_to_end(person: Person, watched: Collector) -> None:
    stack = person.stack
    before = await _metrics(stack)
    task = await person.task(
        await person.project(stack.git.create("ada/seen", FILES)),
        "Greet the world",
        description=f"Say hello to all. {editing(person, 'seen')}",
    )
    run_id = await person.execute(task)
    assert (await person.ended(task))["executionStatus"] == "done"

    spans = [one for one in await watched.until("run", "clear") if one["openlinear.run.id"] == run_id]
    assert [one["name"] for one in spans if one["name"] in STEPS] == STEPS
    assert {one["trace"] for one in spans} == {run_id.replace("-", "")}
    [run] = [one for one in spans if one["name"] == "run"]
    assert {one["parent"] for one in spans if one is not run} == {run["id"]}
    assert (run["openlinear.run.status"], run["openlinear.run.outcome"]) == ("done", "pull_request")
    assert run["openlinear.project.id"] == task["projectId"]
    steps = sum(
        one["seconds"] for one in spans if one["name"] in ("prepare", "converse", "collect", "publish")
    )
    assert 0 < steps < run["seconds"]
    assert not any(b"Say hello" in body or b"Greet" in body for body in watched.bodies)

    log = (stack.logs / "worker.log").read_text().splitlines()
    own = [line.rpartition("]: ")[2].partition(" after ")[0] for line in log if f"[run {run_id}]" in line]
    assert [line for line in own if line.endswith(": ok")] == [f"{step}: ok" for step in STEPS]

    # What a worker counted is in the database some seconds later.
    async with asyncio.timeout(20):
        while not (now := await _metrics(stack)).get("clear", 0) > before.get("clear", 0):
            await asyncio.sleep(0.2)
    assert all(now[step] > before.get(step, 0) for step in STEPS)
    assert (now["able"], now["docker"] >= 1) == (1, True)


async def test_the_doctor_finds_nothing_wrong(stack: Stack) -> None:
    await asyncio.to_thread(stack.home.chmod, 0o711)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "openlinear.cli", "doctor", "--json"],
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)
    levels = {check["name"]: check["level"] for check in said["checks"]}
    assert (done.returncode, said["ok"]) == (0, True), said
    for name in ("Database", "Tables", "Workers", "Queue", "Runs", "Sandbox", "Image", "Port", "Pages"):
        assert levels[name] == "ok", said


async def _metrics(stack: Stack) -> dict[str, float]:
    """How often each step went well, how many workers are able, how many containers were started."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{stack.url}/metrics")
    assert answer.status_code == 200, answer.text
    wanted = {
        "openlinear_step_duration_seconds_count": "step",
        "openlinear_workers": "state",
        "openlinear_container_starts_total": "sandbox",
    }
    return {
        sample.labels[wanted[sample.name]]: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name in wanted and sample.labels.get("result", "ok") == "ok"
    }
