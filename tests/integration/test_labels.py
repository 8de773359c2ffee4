"""Labels and their names, which are taken once."""

import pytest

from openlinear import db
from openlinear.services import labels
from openlinear.services.errors import Conflict
from openlinear.services.views import Actor


async def test_a_name_that_is_taken_is_refused_in_making_and_in_renaming(ada: Actor) -> None:
    async with db.transaction() as session:
        await labels.create_label(session, ada, "Bug", "red")
        other = await labels.create_label(session, ada, "Chore")
    async with db.transaction() as session:
        with pytest.raises(Conflict, match='"BUG" already'):
            await labels.create_label(session, ada, "BUG")
        with pytest.raises(Conflict, match='"bug" already'):
            await labels.update_label(session, ada, other.id, name="bug")
        assert [one.name for one in await labels.list_labels(session, ada)] == ["Bug", "Chore"]
