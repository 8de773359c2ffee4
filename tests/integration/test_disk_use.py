"""What takes space, counted on a real repository, kept work and database."""

from engine.disk import measure
from engine.folders import bytes_in
from engine.kept import clear, folder
from engine.models import StorageReport
from tests.support.keptwork import House


async def test_everything_is_counted_once_and_by_whose_it_is(house: House) -> None:
    run_id, work = await house.begin()
    (work / "large.bin").write_bytes(bytes(range(256)) * 8192)
    run = await house.run(run_id)
    assert await clear(house.here, run, await house.box(), house.recorder(run_id), done=False)
    logs = house.settings.openlinear_home / "logs"
    logs.mkdir()
    (logs / "web.log").write_bytes(bytes(1 << 20))

    parts = await measure(house.here)
    found = {(part.kind, part.subject): part.bytes for part in parts}
    mirrors = house.settings.repos / "mirrors"
    # What is lent to a sandbox are second names of the mirror's packs: only its folders come on top.
    alone = sum(bytes_in(path) for path in mirrors.iterdir())
    assert alone <= found["repository", str(house.line.project_id)] < alone + (1 << 16)
    assert found["kept", str(run_id)] == bytes_in(folder(house.settings, run_id))
    assert found["sandbox", str(house.sandbox.user_id)] == 1000
    assert found["logs", ""] >= 1 << 20
    assert found["database", ""] > 1 << 20
    assert {part.user_id for part in parts if part.kind == "kept"} == {str(house.sandbox.user_id)}
    async with house.here.database.transaction() as session:
        stored = await session.get_one(StorageReport, "disk")
    assert sum(part["bytes"] for part in stored.value["parts"]) == sum(part.bytes for part in parts)
    assert 0 < stored.value["free"] < stored.value["total"]
