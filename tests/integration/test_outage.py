"""The database is away for a while: what was under way waits, and nothing is taken for an error."""

from pathlib import Path

import pytest
from dbos._utils import retriable_postgres_exception
from sqlalchemy.exc import OperationalError

from engine.db import durable_pool


@pytest.mark.parametrize("where", ["?host={folder}", "?host=127.0.0.1&port=1"])
def test_a_server_that_is_down_is_waited_for_wherever_it_listens(tmp_path: Path, where: str) -> None:
    pool = durable_pool(f"postgresql+psycopg://nobody@/nothing{where.format(folder=tmp_path)}")
    with pytest.raises(OperationalError) as refused:
        pool.connect()
    assert retriable_postgres_exception(refused.value)
