"""What has to be true of every batch in the end."""

from tests.chaos.batches import Batch
from tests.chaos.crowd import Task
from tests.chaos.faults import SESSION
from tests.chaos.instance import Instance
from tests.chaos.rightend import history
from tests.support.gitserver import run_git


async def wrong_batch(instance: Instance, batch: Batch) -> tuple[list[str], int]:
    """What is not right about this batch's end, in words (none when all is well), and its runs' most
    attempts."""
    [(status, error, branch, number, round_)] = await instance.books.rows(
        "SELECT status, error, branch, pr_number, round FROM batches WHERE id = %s", batch.run
    )
    if status != "completed":
        return [f"{status}: {error}"], 0
    rounds = sum(task.times for task in batch.tasks) - len(batch.tasks) + 1
    found = [] if round_ == rounds else [f"it merged {round_} times for {rounds}"]
    found += _outcome(instance, batch, branch, number)
    attempts = []
    for task in batch.tasks:
        complaints, attempt = await _wrong_task(instance, task, branch, number)
        found += [f"{task.name} (run {task.run}, hurt by {task.hits}): {one}" for one in complaints]
        attempts.append(attempt)
    return found, max(attempts)


def _outcome(instance: Instance, batch: Batch, branch: str, number: int) -> list[str]:
    """One branch with all eight files, each task merged once, and one pull request."""
    repo = batch.member.repo
    branches = repo.branches()
    own = [name for name in branches if any(one in name for one in (batch.run, *(t.id for t in batch.tasks)))]
    if own != [f"openlinear/batch-{batch.run}"] or own != [branch]:
        return [f"branches: {own}, the batch says {branch}"]
    found, tip, base = [], branches[branch], branches["main"]
    files = {f"work/{task.name}.txt" for task in batch.tasks}
    if set(repo.files(tip)) - set(repo.files(base)) != files:
        found.append(f"files: {repo.files(tip)}")
    elif any(repo.read(tip, f"work/{task.name}.txt") != f"{task.name}\n".encode() for task in batch.tasks):
        found.append("a file is not as its agent wrote it")
    log = run_git("log", "--first-parent", "--format=%s", f"{base}..{tip}", cwd=repo.path).decode()
    if sorted(line.rpartition(": ")[2] for line in log.splitlines()) != sorted(t.name for t in batch.tasks):
        found.append(f"merges: {log.splitlines()}")
    commits = len(run_git("rev-list", f"{base}..{tip}", cwd=repo.path).split())
    if commits != sum(1 + task.times for task in batch.tasks):
        found.append(f"{commits} commits: not one for each time that an agent had a task, and its merge")
    pulls = [pull["full"]["number"] for pull in instance.stack.github.pulls if pull["head"] in own]
    if pulls != [number]:
        found.append(f"pull requests: {pulls}, the batch says {number}")
    return found


async def _wrong_task(instance: Instance, task: Task, branch: str, number: int) -> tuple[list[str], int]:
    """It is done, once, in its batch's branch and pull request."""
    runs = await instance.books.rows(
        "SELECT status, error, pr_number, branch, attempt, last_seq FROM runs WHERE task_id = %s", task.id
    )
    if len(runs) != 1:
        return [f"{len(runs)} runs of one press"], 0
    [(status, error, pull, where, attempt, last)] = runs
    if status != "done":
        return [f"{status}: {error}"], attempt
    found = [] if (pull, where) == (number, branch) else [f"it says #{pull} and {where}"]
    [(card,)] = await instance.books.rows("SELECT status FROM tasks WHERE id = %s", task.id)
    if card != "done":
        found.append(f"the card says {card}")
    # Where its session was hurt, the agent may have had the task twice.
    once = attempt == 1 or not set(task.hits) & set(SESSION)
    return found + await history(instance, task, last, once), attempt
