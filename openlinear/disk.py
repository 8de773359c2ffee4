"""What takes space, for the command line: measured by a worker where one runs, else as last measured."""

from itertools import groupby

from rich.table import Table
from sqlalchemy.exc import OperationalError, ProgrammingError

from openlinear import db, engine_client
from openlinear.errors import StartError
from openlinear.say import Say
from openlinear.services import storage
from openlinear.services.errors import Unavailable
from openlinear.services.storage import Disk, size


async def show(say: Say, *, clean: bool) -> None:
    """Print it. StartError where nothing is known, or nobody is there to clean up."""
    try:
        stale = await _ask(clean=clean)
        async with db.transaction() as session:
            disk = await storage.report(session)
    except ProgrammingError:
        raise StartError("The database has no such tables yet. Run `openlinear migrate` first.") from None
    except OperationalError:
        raise StartError("The database that DATABASE_URL names does not answer.") from None
    finally:
        await engine_client.close()
        await db.close()
    if disk.made_at is None:
        raise StartError("Nothing was measured yet, since no engine worker runs. Start one, then try again.")
    say.console.print(_table(disk))
    say.line(f"{size(disk.free)} of {size(disk.total)} are free, on the disk of OPENLINEAR_HOME.")
    if stale:
        say.line(f"No engine worker runs: measured at {disk.made_at:%Y-%m-%d %H:%M} UTC.")
    rule = storage.retention()
    say.line(
        f"Unpushed work is kept for {rule.days:g} days (KEPT_DAYS) and up to {rule.max_gb:g} GB "
        f"(KEPT_MAX_GB), though never less than {rule.min_days:g} days (KEPT_MIN_DAYS)."
    )
    for one in disk.findings:
        say.line(f"{'mended' if one.mended else 'look at it'}: {one.kind} {one.subject}: {one.detail}")


async def _ask(*, clean: bool) -> bool:
    """Have a worker measure, and clean up if that is wanted. True where there is none to do it."""
    try:
        await (storage.clean_now() if clean else storage.measure_now())
    except Unavailable as error:
        if clean:
            raise StartError(str(error)) from None
        return True
    return False


def _table(disk: Disk) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("What")
    table.add_column("Whose")
    table.add_column("Size", justify="right")
    uses = sorted(disk.uses, key=lambda use: use.kind)
    for kind, some in groupby(uses, key=lambda use: use.kind):
        for number, use in enumerate(sorted(some, key=lambda use: -use.bytes)):
            table.add_row("" if number else kind, use.name, size(use.bytes))
    table.add_row("in all", "", size(sum(use.bytes for use in disk.uses)))
    return table
