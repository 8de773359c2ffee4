"""The engine: its workers, its queue, its runs, and where agents run."""

from engine import doctor
from engine.doctor import DockerSeen, Standing
from engine.errors import RunError
from openlinear.doctor.finding import Check, Finding, Ground, fine, warn, wrong
from openlinear.settings import loopback

QUEUE_SECONDS = 60.0


async def workers(ground: Ground) -> Finding:
    now = await ground.once(_standing)
    alive = [worker for worker in now.workers if worker.alive]
    gone = [worker for worker in now.workers if not worker.alive]
    if not alive:
        needed = now.queued or now.under_way or await ground.serving()
        last = f" The last one, {gone[0].name}, was heard of {_ago(gone[0].silent)} ago." if gone else ""
        return Finding(
            "error" if needed else "warning",
            "Workers",
            f"No engine worker is alive.{last}",
            "Start one with `openlinear up`, or `openlinear worker` for a team's instance; "
            f"its log is {ground.home / 'logs' / 'engine.log'}.",
        )
    for worker in alive:
        if worker.trouble:
            return wrong("Workers", f"{worker.name} cannot run agents.", worker.trouble)
    if gone:
        names = ", ".join(f"{worker.name} ({_ago(worker.silent)})" for worker in gone[:5])
        return warn(
            "Workers",
            f"{len(alive)} alive; gone without a farewell: {names}.",
            "Start them again under their names, or look into their logs for why they ended.",
        )
    return fine("Workers", f"{len(alive)} alive: {', '.join(worker.name for worker in alive)}.")


async def queue(ground: Ground) -> Finding:
    now = await ground.once(_standing)
    alive = sum(worker.alive for worker in now.workers)
    room = alive * ground.settings.worker_concurrency - now.under_way
    text = f"{now.queued} runs wait, the first for {_ago(now.oldest_queued)}." if now.queued else "Empty."
    if now.oldest_queued < QUEUE_SECONDS or not alive:
        return fine("Queue", text)
    if room <= 0:
        return warn(
            "Queue",
            f"{text} Every worker is full.",
            "Start more workers, or raise WORKER_CONCURRENCY where the machine has room.",
        )
    return wrong(
        "Queue",
        f"{text} Workers are alive and have room.",
        "Restart the engine: runs under way carry on. Its log says why it takes no work.",
    )


async def runs(ground: Ground) -> Finding:
    now = await ground.once(_standing)
    if not now.still:
        return fine("Runs", f"{now.under_way} under way, each moving or waiting for a person.")
    names = ", ".join(str(run) for run in now.still)
    return warn(
        "Runs",
        f"Nothing was heard for long of: {names}.",
        "Cancel them on their cards, or restart the engine, which carries them on from their last step.",
    )


async def sandbox(ground: Ground) -> Finding:
    kind = doctor.chosen(ground.settings)
    if kind is None:
        return warn(
            "Sandbox",
            "Where agents run has not been decided yet.",
            "The first start decides: Docker where it answers, else processes of this machine.",
        )
    if kind == "process":
        return await _processes(ground)
    try:
        return _docker(await ground.once(_docker_seen))
    except RunError as error:
        return wrong("Sandbox", "Agents run in Docker, which cannot be used.", error.reason)


def _docker(seen: DockerSeen) -> Finding:
    text = f"Docker {seen.version}, storage {seen.storage}, cgroup {seen.cgroup}."
    if not seen.limits:
        return wrong(
            "Sandbox",
            f"{text} Memory and processes cannot be limited.",
            "Start Docker where it may use the memory and pids controllers of its cgroup.",
        )
    return fine("Sandbox", text)


async def network(ground: Ground) -> Finding | None:
    """What agents in containers reach. As processes they share the machine's network, which is said there."""
    seen = await _seen(ground)
    if seen is None:
        return None
    if ground.settings.egress == "off":
        return warn(
            "Network",
            "EGRESS=off: agents reach every host that this machine does.",
            "Start without it, so that agents reach what their users choose.",
        )
    match seen.walled:
        case True:
            return fine("Network", "Agents reach what their users choose, and nothing of this machine.")
        case False:
            return fine(
                "Network", "Agents reach what their users choose. The next closes this machine to them."
            )
        case None:
            return warn(
                "Network",
                "Agents reach what their users choose; perhaps also what this machine serves on 0.0.0.0.",
                "An engine that runs as root closes that (iptables), and the doctor, as root, sees it. Else "
                "let services listen on 127.0.0.1.",
            )


async def _processes(ground: Ground) -> Finding:
    seen = await doctor.process_seen(ground.settings)
    if seen.missing:
        return warn("Sandbox", "Agents run as processes of this machine.", seen.missing)
    if not seen.bubblewrap:
        return warn(
            "Sandbox",
            "Agents run as processes of this machine, without any isolation.",
            "Install bubblewrap (on Debian `apt-get install bubblewrap`), or Docker and SANDBOX=docker.",
        )
    if ground.settings.sandbox == "process" and not loopback(ground.settings.api_host):
        return warn(
            "Sandbox",
            "Agents run as processes of this machine, which everybody with an account shares.",
            "Install Docker and start with SANDBOX=docker, unless all of them may share it.",
        )
    return fine("Sandbox", "Agents run as processes of this machine, behind bubblewrap.")


async def image(ground: Ground) -> Finding | None:
    seen = await _seen(ground)
    tag = ground.settings.opencode_image
    match seen and seen.image:
        case None:
            return None
        case "absent":
            return wrong(
                "Image", f"The worker image {tag} is not there.", "`openlinear up` builds or pulls it."
            )
        case "old":
            return warn(
                "Image", f"The worker image {tag} is of another version.", "`openlinear up` builds it anew."
            )
        case "own":
            return fine("Image", f"{tag}, an image of your own: keep it current yourself.")
        case _:
            return fine("Image", f"{tag} is of this version.")


async def containers(ground: Ground) -> Finding | None:
    seen = await _seen(ground)
    if seen is None:
        return None
    if seen.dead:
        return warn(
            "Containers",
            f"{len(seen.dead)} ended and are still there: {', '.join(seen.dead[:5])}.",
            "Their next run starts them again, and idle ones are removed in time. `docker logs` says why.",
        )
    return fine("Containers", "None has ended unasked.")


async def _seen(ground: Ground) -> DockerSeen | None:
    """None where agents do not run in Docker, or it is away: `sandbox` says so."""
    if doctor.chosen(ground.settings) != "docker":
        return None
    try:
        return await ground.once(_docker_seen)
    except RunError:
        return None


async def _docker_seen(ground: Ground) -> DockerSeen:
    return await doctor.docker_seen(ground.settings)


async def _standing(ground: Ground) -> Standing:
    async with ground.session() as session:
        return await doctor.standing(session, ground.settings)


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


CHECKS: tuple[Check, ...] = (workers, queue, runs, sandbox, network, image, containers)
