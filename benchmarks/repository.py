"""The repository that the figures are taken on: 5,000 files, 48 MiB, the same at every run."""

import random
import re
from collections.abc import Iterator

from tests.support.gitserver import GitServer, Repo

FILES = 5000
BYTES = 48 << 20
SEED = 7
_WORDS = re.findall(
    r"\w+",
    """
    account amount argument basket build cache call card charge check client close code commit count create
    customer date default delete entry error event fetch field file first format from handle header index
    input invoice item key label last length limit line list load lock log map match merge message method
    move name node number offset option order output page parse path price print process product query queue
    record render reply report request result return row save search send session set shop size sort state
    status store stream string table task tax text time token total trace type update user value view width
""",
)


def make_repository(server: GitServer, name: str = "bench/large") -> Repo:
    """Put it on `server`, as one commit on `main`."""
    return server.create(name, dict(_files()))


def _files() -> Iterator[tuple[str, str]]:
    """Path and content of each file: 2 to 18 kB each, text that compresses as source does."""
    chance = random.Random(SEED)
    lines = [_line(chance) for _ in range(20_000)]
    mean = sum(map(len, lines)) / len(lines)
    for number in range(FILES):
        size = BYTES / FILES * chance.uniform(0.2, 1.8)
        content = "".join(chance.choices(lines, k=round(size / mean)))
        yield f"src/part_{number % 25:02}/unit_{number // 25 % 10}/file_{number:04}.py", content


def _line(chance: random.Random) -> str:
    words = chance.choices(_WORDS, k=chance.randint(2, 9))
    indent = "    " * chance.randint(0, 3)
    return f"{indent}{'_'.join(words[:2])} = {' '.join(words[2:])} {chance.random():.6f}\n"
