"""Models that refuse, break off, or say nothing; and agents that ask."""

import asyncio

from tests.support.aftermath import assert_done, assert_failed
from tests.support.modelserver import Ask, Call, Fail, Hang, Item, Raw, Turn, Write
from tests.support.stack import IDLE_SECONDS, RETRY_LIMIT, Json, Person, free_port


class Cards:
    """Tasks of one project, each with a script of its own, started as they are made."""

    def __init__(self, person: Person, project: Json) -> None:
        self.person = person
        self.project = project

    async def start(self, name: str, *items: Item, model: str = "") -> Json:
        script = self.person.stack.model.script(name, *items)
        task = await self.person.task(self.project, f"With {name}", description=script, model=model)
        await self.person.execute(task)
        return task

    async def asked(self, task: Json) -> Json:
        """What the waiting run asks."""
        await self.person.until(task, lambda now: now["executionStatus"] == "waiting")
        [ask] = (await self.person.ask("GET", f"/tasks/{task['id']}/asks"))["items"]
        found: Json = ask
        return found

    async def answer(self, task: Json, ask: Json, expect: int = 202, **answer: object) -> None:
        await self.person.ask("POST", f"/tasks/{task['id']}/asks/{ask['id']}", expect=expect, body=answer)

    def said(self, name: str) -> str:
        """All that the agent sent to the model in the course of this script."""
        return str([one for one in self.person.stack.model.requests if f"[[{name}]]" in str(one)])


async def cards(person: Person, name: str) -> Cards:
    repo = person.stack.git.create(f"model/{name}", {"app.py": "print('hello')\n"})
    return Cards(person, await person.project(repo))


async def connect(person: Person, provider: str, port: int, key: str) -> str:
    """A provider of that name, and its model."""
    url = f"http://host.docker.internal:{port}/v1"
    body = {"providerId": provider, "apiKey": key, "baseUrl": url, "models": [person.stack.model.model]}
    await person.ask("POST", "/opencode/auth", body=body)
    return f"{provider}/{person.stack.model.model}"


Case = tuple[Json, tuple[str, ...], str]
"""A task, words of the reason its run fails for, and the kind of it."""


async def assert_each_fails(person: Person, cases: list[Case]) -> None:
    ended = await asyncio.gather(
        *(assert_failed(person, task, *words, kind=kind) for task, words, kind in cases)
    )
    assert {one["status"] for one in ended} == {"in_progress"}, "a failed card stays, to be retried"


async def test_a_model_that_refuses_or_is_mute_ends_the_run_with_its_reason(crowd: Person) -> None:
    made = await cards(crowd, "refuses")
    locked = await connect(crowd, "locked", crowd.stack.model.port, "a-wrong-key")
    away = await connect(crowd, "away", free_port(), "any-key")
    wrong = await made.start("wrong", Turn(), model=locked)
    nobody = await made.start("nobody-there", Turn(), model=away)
    refused = await made.start("refuses", Fail(400, message="No such thing"))
    mute = await made.start("mute", Hang())
    cases: list[Case] = [
        (wrong, ("refused the key", "under Settings"), "authentication"),
        (nobody, (f"after {RETRY_LIMIT} retries",), "network"),
        (refused, ("No such thing",), "invalid_request"),
        (mute, (f"no sign of life for {IDLE_SECONDS} seconds",), "timeout"),
    ]
    await assert_each_fails(crowd, cases)
    assert "a-wrong-key" not in str(await crowd.log(wrong))
    for provider in ("locked", "away"):
        await crowd.ask("DELETE", f"/opencode/auth?providerId={provider}", expect=204)


async def test_a_model_that_fails_again_and_again_is_given_up_and_one_that_recovers_is_not(
    crowd: Person,
) -> None:
    made = await cards(crowd, "retries")
    retries = f"after {RETRY_LIMIT} retries"
    flaky = await made.start("flaky", Fail(529, times=1), Turn("", [Write("a.txt", "x\n")]), Turn("Done."))
    limited = await made.start("limit", Fail(429, message="Rate limit reached"))
    troubled = await made.start("trouble", Fail(500))
    patient = await made.start("long-wait", Fail(429, retry_after=60, message="Too many requests"))
    dropping = await made.start("drops", Turn("Half a sen", dropped=True))
    cases: list[Case] = [
        (limited, (retries, "Rate limit"), "rate_limit"),
        (troubled, (retries, "another model"), "overload"),
        (patient, ("asks to wait longer",), "rate_limit"),
        (dropping, (retries, "broke off"), "network"),
    ]
    await assert_each_fails(crowd, cases)
    await assert_done(crowd, flaky)
    assert "retry" in [entry["kind"] for entry in await crowd.log(flaky)]


def outside(path: str) -> Call:
    return Raw("read", {"filePath": path})


async def test_a_run_that_asks_waits_for_its_answer_and_goes_on(crowd: Person) -> None:
    made = await cards(crowd, "asks")
    end = (Turn("", [Write("colour.txt", "x\n")]), Turn("Done."))
    chosen, turned_down, denied, allowed, mute = [
        await made.start("choose", Turn("", [Ask("Which colour?", ("Red", "Blue"))]), *end),
        await made.start("turn-down", Turn("", [Ask("Really?", ("Yes", "No"))]), *end),
        await made.start("deny", Turn("", [outside("/etc/hostname")]), *end),
        await made.start("allow", Turn("", [outside("/etc/debian_version")]), *end),
        await made.start("silent-beside", Hang()),
    ]
    asks = {task["id"]: await made.asked(task) for task in (chosen, turned_down, denied, allowed)}
    question, permission = asks[chosen["id"]], asks[denied["id"]]
    assert (question["kind"], question["text"]) == ("question", "Which colour?")
    assert [option["label"] for option in question["options"]] == ["Red", "Blue"]
    assert permission["kind"] == "permission"
    assert permission["text"] == "The agent wants to work outside its workspace: /etc/*"

    await assert_failed(crowd, mute, "no sign of life", kind="timeout")  # who waits is not idle meanwhile
    await made.answer(chosen, question, answers=[["Blue"]])
    await made.answer(chosen, question, expect=409, answers=[["Red"]])
    await made.answer(turned_down, asks[turned_down["id"]], reject=True)
    await made.answer(denied, permission, reply="reject", message="Stay in the folder")
    await made.answer(allowed, asks[allowed["id"]], reply="once")

    await asyncio.gather(*(assert_done(crowd, task) for task in (chosen, denied, allowed, turned_down)))
    assert "Blue" in made.said("choose")
    assert "Stay in the folder" in made.said("deny")
    assert (await crowd.ask("GET", f"/tasks/{chosen['id']}/asks"))["items"] == []
