"""The real agent in its real container, told by a scripted model to break out. Each attempt is judged by what
it reached; each has a control that shows it would have, were it let.
"""

import asyncio
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from engine.client import Engine
from engine.sandbox import egress_rules
from engine.settings import EngineSettings
from tests.support.gitserver import TOKEN, run_git
from tests.support.hostile import MOST_FILE_MB, MOST_GB, OWN, Attempts, Canary, Den
from tests.support.modelserver import Bash, Turn, Write
from tests.support.stack import Json

SECRET = "alice-secret-7f3a91"


@pytest.fixture(scope="session")
async def alice_at_work(den: Den) -> Json:
    """A run of Alice's that is under way, with a secret in its repository and another in its workspace."""
    repo = den.stack.git.create("alice/private", {"secret.txt": f"{SECRET}-mirror\n"})
    script = den.stack.model.script(
        "alice",
        Turn("", [Write("notes.txt", f"{SECRET}-workspace\n")]),
        Turn("", [Bash(f"echo {SECRET}-home > ~/.cache/secret; sleep 5")]),
        Turn("Done."),
    )
    task = await den.alice.task(await den.alice.project(repo), "Keep a secret", description=script)
    await den.alice.execute(task)
    await den.alice.ended(task)
    return task


def address(den: Den) -> str:
    (network,) = den.container(den.alice).attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


async def test_the_network_leads_where_the_policy_says_and_nowhere_else(
    den: Den, alice_at_work: Json
) -> None:
    alice, engine = address(den), urlsplit(den.stack.url).port
    listed: Attempts = {
        "listed, asked": ["proxied", "host.docker.internal", den.listed.port, "listed-asked"],
        "listed, tunnelled": ["tunnelled", "host.docker.internal", den.listed.port, "listed-tunnel"],
    }
    direct = {
        f"{name} at {host}": ["tcp", host, canary.port, f"direct-{name}"]
        for name, canary in (("listed", den.listed), ("unlisted", den.unlisted))
        for host in (den.inner, den.outer)
    }
    names: Attempts = {"names": ["udp", den.outer, den.names.port, "direct"]}
    closed: Attempts = {
        **direct,
        **names,
        "names, inside": ["udp", den.inner, den.names.port, "direct"],
        "names, by Docker": ["udp", "127.0.0.11", 53, "docker"],
        "a public name": ["resolve", "leak.canary.test"],
        "the engine": ["tcp", den.inner, engine, "engine"],
        "loopback": ["tcp", "127.0.0.1", den.inward.port, "loopback"],
        "the database": ["tcp", den.inner, 5432, "database"],
        "another container": ["tcp", alice, 4096, "global/health"],
        "metadata": ["tcp", "169.254.169.254", 80, "latest/meta-data"],
    }
    refused = [
        ("host.docker.internal", den.unlisted.port),
        (den.inner, den.listed.port),
        (den.outer, den.unlisted.port),
    ]
    refused += [("127.0.0.1", den.inward.port), ("localhost", engine), ("169.254.169.254", 80), (alice, 4096)]
    refused += [("example.com", 443), ("host.docker.internal", 22), ("[::1]", den.inward.port)]
    for host, port in refused:
        closed[f"{host}:{port} asked"] = ["proxied", host, port, "by-proxy"]
        closed[f"{host}:{port} tunnelled"] = ["tunnelled", host, port, "by-proxy"]

    found = await den.tried(den.mallory, "network", {**listed, **closed})
    control = den.control({**{name: one for name, one in direct.items() if den.outer in name}, **names})
    assert {name: found[name] for name in listed if not found[name].startswith("reached")} == {}
    assert {name: said for name, said in control.items() if not said.startswith("reached")} == {}
    assert {name: found[name] for name in closed if found[name].startswith("reached")} == {}
    assert sorted(den.listed.hits) == ["direct-listed", "listed-asked", "listed-tunnel"], (
        "one is the control's"
    )
    assert den.unlisted.hits == ["direct-unlisted"], "the control's"
    assert (den.inward.hits, den.names.hits) == ([], ["direct"])
    told = "Network: example.com was refused to your agents. Add it under Settings, Network."
    assert told in den.said["network"]
    engine = Engine(EngineSettings(database_url=den.stack.environment["DATABASE_URL"]))
    assert "example.com" in await engine.refused_hosts(UUID(den.mallory.id))
    assert "example.com" not in await engine.refused_hosts(UUID(den.alice.id))
    await engine.close()
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(alice, 4096)
        writer.write(b"GET /global/health HTTP/1.0\r\n\r\n")
        assert b"401" in await reader.readline(), "the engine reaches what others do not"
        writer.close()


async def test_a_change_of_policy_holds_at_once_and_opens_no_private_network(
    den: Den, alice_at_work: Json
) -> None:
    def reached(canary: Canary) -> bool:
        asked: Attempts = {"it": ["proxied", "host.docker.internal", canary.port, "changed"]}
        return den.inside(den.mallory, asked)["it"].startswith("reached")

    async def until(wanted: bool) -> None:
        async with asyncio.timeout(10):
            while await asyncio.to_thread(reached, den.listed) != wanted:
                await asyncio.sleep(0.1)

    await den.tried(den.mallory, "wakes", {})
    started = den.container(den.mallory).attrs["State"]["StartedAt"]
    await until(True)
    await den.mallory.ask("PATCH", "/settings", body={"network": "none"})
    await until(False)
    assert (await den.tried(den.mallory, "model", {"it works": ["passing", ["true"]]}))[
        "it works"
    ] == "reached: "
    own = f"host.docker.internal:{den.unlisted.port}"
    await den.mallory.ask("PATCH", "/settings", body={"network": "listed", "networkHosts": [own]})
    await until(True)
    assert not reached(den.unlisted), "the user's own list is for the open internet alone"
    assert den.container(den.mallory).attrs["State"]["StartedAt"] == started, "it was not restarted"
    await den.mallory.ask("PATCH", "/settings", body={"networkHosts": []})


async def test_every_tool_that_agents_use_asks_the_proxy(den: Den, alice_at_work: Json) -> None:
    """Each for a host of its own, which is not listed: so that it was asked for shows in what was refused."""
    script = "fetch('https://%s.example.com/').catch(error => console.log(String(error)))"
    tools = {
        "curl": ["curl", "-sS", "https://curl.example.com/"],
        "git": ["git", "ls-remote", "https://git.example.com/x.git"],
        "pip": ["pip", "download", "--retries", "0", "--index-url", "https://pip.example.com/simple", "x"],
        "npm": ["npm", "view", "--fetch-retries=0", "--registry=https://npm.example.com/", "x"],
        "python": ["python3", "-c", "import urllib.request as u; u.urlopen('https://python.example.com/')"],
        "node": ["node", "-e", script % "node"],
        "agent": ["env", "BUN_BE_BUN=1", "opencode", "-e", script % "agent"],
    }
    await den.tried(den.mallory, "tools", {name: ["passing", argv] for name, argv in tools.items()})
    noted = den.stack.home / "egress" / "sockets" / den.mallory.id / "refused.json"
    wanted = {f"{name}.example.com" for name in tools}
    async with asyncio.timeout(10):
        while not wanted <= egress_rules.refused(noted).keys():
            await asyncio.sleep(0.1)


async def test_what_is_anothers_is_not_there(den: Den, alice_at_work: Json) -> None:
    socket_folder = den.stack.environment["DATABASE_URL"].rpartition("host=")[2].replace("%2F", "/")
    secrets = [den.stack.environment[name] for name in ("OPENLINEAR_SECRET_KEY", "JWT_SECRET")]
    found = await den.tried(
        den.mallory,
        "files",
        {
            "files": ["search", [SECRET, OWN, *secrets]],
            "processes": ["environments", [*secrets, "NODE_USE_ENV_PROXY"]],
            "sockets": ["sockets"],
            "docker": ["connect_unix", "/var/run/docker.sock"],
            "database": ["connect_unix", f"{socket_folder}/.s.PGSQL.5432"],
            "proxy": ["connect_unix", "/run/egress/proxy.sock"],
            "own file": ["write", "/home/opencode/.cache/mine"],
            "the proxy's folder": ["write", "/run/egress/planted"],
            "the system": ["write", "/usr/local/bin/planted"],
            "borrowed objects": ["write", "/home/opencode/objects/planted"],
            "device": ["device", "/home/opencode/.cache/zero"],
            "mount": ["mount", "none", "/tmp"],
            "user namespace": ["unshare"],
        },
    )
    assert found["sockets"] == "reached: /run/egress/proxy.sock"
    assert found["files"] == f"reached: {OWN}", "its own is found, Alice's is not"
    assert found["processes"] == "reached: NODE_USE_ENV_PROXY", "of its own, and of no secret"
    reached = {name for name, said in found.items() if said.startswith("reached")}
    assert reached == {"files", "processes", "sockets", "proxy", "own file"}
    alices = den.container(den.alice).exec_run(["grep", "-rlF", SECRET, "/home/opencode"])
    assert alices.exit_code == 0, "hers are where they should be"


async def test_nothing_it_says_is_in_anothers_run(den: Den, alice_at_work: Json) -> None:
    """Events are written by the engine alone, of the session it opened in that user's own container."""
    before = await den.alice.log(alice_at_work)
    ((run_id,),) = den.stack.rows("SELECT id FROM runs WHERE task_id = %s", alice_at_work["id"])
    folder = f"/home/opencode/repos/{run_id}"
    session = (
        'curl -sS --fail -u opencode:$(cat ~/.local/share/opencode/.server-password) -d \'{"title":"%s"}\' '
        "-H content-type:application/json http://127.0.0.1:4096/session?directory=%s"
    )
    board = f"{den.stack.url.replace('localhost', den.inner)}/api/tasks/{alice_at_work['id']}"
    found = await den.tried(
        den.mallory,
        "events",
        {
            "a session of hers": [
                "passing",
                ["sh", "-c", f"mkdir -p {folder} && {session % (run_id, folder)}"],
            ],
            "her workspace": ["write", f"{folder}/planted"],
            "her task": ["passing", ["curl", "-sS", "--fail", "-m", "5", "--noproxy", "*", board]],
            "her task, by the proxy": ["passing", ["curl", "-sS", "--fail", "-m", "5", board]],
        },
    )
    reached = {name for name, said in found.items() if said.startswith("reached")}
    assert reached <= {"a session of hers", "her workspace"}, (
        "in its own container it may write what it likes"
    )
    assert "a session of hers" in reached, "its own server takes it"
    assert await den.alice.log(alice_at_work) == before
    assert den.container(den.alice).exec_run(["ls", f"{folder}/planted"]).exit_code != 0


async def test_it_cannot_push_by_itself(den: Den, alice_at_work: Json) -> None:
    repo = den.stack.git.create("hostile/push-target", {"a.txt": "one\n"})
    url = urlsplit(repo.url)._replace(netloc=f"x-access-token:{TOKEN}@{urlsplit(repo.url).netloc}").geturl()
    found = await den.tried(
        den.mallory,
        "push",
        {
            "origin": ["passing", ["git", "push", "origin", "HEAD:refs/heads/planted"]],
            "known address": ["passing", ["git", "push", url, "HEAD:refs/heads/planted"]],
            "by the engine's address": [
                "passing",
                [
                    "git",
                    "push",
                    url.replace("127.0.0.1", den.inner).replace("localhost", den.inner),
                    "HEAD:planted",
                ],
            ],
            "git works": ["passing", ["git", "log", "--oneline"]],
        },
    )
    assert {name for name, said in found.items() if said.startswith("reached")} == {"git works"}
    assert set(repo.branches()) == {"main"}
    run_git("push", url, "HEAD:refs/heads/control", cwd=repo.path)
    assert "control" in repo.branches(), "with the token and a way there, it goes"


async def test_what_it_takes_is_bounded_and_nobody_else_notices(den: Den, alice_at_work: Json) -> None:
    script = den.stack.model.script("beside", Turn("", [Write("b.txt", "beside\n")]), Turn("Done."))
    repo = den.stack.git.create("alice/beside", {"a.txt": "one\n"})
    task = await den.alice.task(await den.alice.project(repo), "Work beside it", description=script)
    ten_gigabytes = 10 << 30
    trying = asyncio.create_task(
        den.tried(
            den.mallory,
            "bounds",
            {
                "forks": ["forks", 10_000],
                "large": ["large", "/home/opencode/.cache/large", ten_gigabytes],
                "large, elsewhere": ["large", "/tmp/large", ten_gigabytes],
                "not so large": ["large", "/home/opencode/.cache/small", MOST_FILE_MB << 20],
            },
        )
    )
    await den.alice.execute(task)
    assert (await den.alice.ended(task))["executionStatus"] == "done"
    found = await trying
    assert found["forks"].startswith("no: BlockingIOError")
    assert found["large"].startswith("no: OSError: [Errno 27]")
    assert found["large, elsewhere"].startswith("no: OSError: [Errno 27]")
    assert found["not so large"].startswith("reached")
    again = await den.tried(den.mallory, "afterwards", {"it works": ["passing", ["true"]]})
    assert again == {"it works": "reached: "}


async def test_who_fills_the_disk_is_stopped_and_it_is_given_back(den: Den, alice_at_work: Json) -> None:
    # Its own user cannot read that folder: a count of theirs would find nothing in there.
    hide = "mkdir full-0 && chmod 300 full-0"
    fill = f"{hide}; for i in $(seq 1000); do head -c {MOST_FILE_MB}M /dev/zero > full-0/$i; done"
    script = den.stack.model.script("fill", Turn("", [Bash(fill)]), Turn("Done."))
    task = await den.mallory.task(
        await den.mallory.project(den.stack.git.create("hostile/fill", {".gitignore": "full-*\n"})),
        "Fill it",
        description=script,
    )
    run_id = await den.mallory.execute(task)
    ended = await den.mallory.ended(task)
    assert ended["executionStatus"] == "failed"
    assert f"each user may have {MOST_GB} GB (USER_DISK_GB)" in ended["executionError"]
    query = "SELECT cleared_at FROM runs WHERE id = %s AND cleared_at IS NOT NULL"
    async with asyncio.timeout(60):
        while not den.stack.rows(query, run_id):
            await asyncio.sleep(0.2)
    again = await den.tried(
        den.mallory, "emptied", {"left": ["passing", ["sh", "-c", "ls -d ../*/full-0 || echo none"]]}
    )
    assert again == {"left": "reached: none"}
