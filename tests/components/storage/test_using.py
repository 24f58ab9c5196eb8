"""No two machines write to one volume, whoever's they are, until it is sure that the first is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import sfdl
from components.hypervisor.faulty import FaultyHypervisor, Raise
from components.hypervisor.pool import HypervisorPool
from components.storage import using
from components.storage.pool_backend import PoolStorageBackend
from components.storage.using import Use, clear, lock_of, read, write
from engine.core.events import Ident
from engine.core.faults import EngineError
from engine.core.records import SHUTDOWN, Record
from engine.runtime.effects import Owner
from engine.testing.kit import engines
from engine.wire.messages import Handle

URI = "test:///default"
ON_VOLUME = """
#include "components/vm.sf"
sfConfig extends Compound {{
    hypervisorUri "test:///default"; sfSyncTerminate true;
    loop extends LoopbackStorageBackend {{
        directory "{folder}"; volumeNames [|"shared"|]; usingExistingVolumes true; swapSize 0;
    }}
    vm extends KvmDomain {{ storageBackend LAZY ATTRIB loop; memory 64; stopTimeout 0; {more} }}
}}
"""


def text(folder, more=""):
    return ON_VOLUME.format(folder=folder, more=more)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "volumes"
    place.mkdir()
    (place / "shared").write_bytes(b"x" * 4096)
    return place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def test_a_second_machine_on_a_volume_is_refused_until_the_first_has_ended(bench, folder):
    await bench.deploy(text(folder))
    with pytest.raises(
        EngineError, match=r"VolumeInUse: .*shared is in use by app:vm at host"
    ) as why:
        await bench.deploy(text(folder), "other")
    assert why.value.fault.chain()[-1].code == "SF-STORE-024"
    assert (folder / "shared").read_bytes() == b"x" * 4096

    await bench.one.terminate("app")
    assert names(folder) == ["shared"]
    await bench.deploy(text(folder), "other")
    await bench.one.terminate("other")
    assert names(folder) == ["shared"]


async def test_two_daemons_do_not_use_one_volume_and_one_that_is_silent_has_it_still(
    tmp_path, folder
):
    async with engines(tmp_path / "state", 2, threads=True) as (network, (one, two)):
        await one.deploy("app", sfdl.compile(text(folder)).root)
        for silent in (False, True):
            if silent:
                network.sever("host2:3800", "host1:3800")
            with pytest.raises(EngineError, match="VolumeInUse"):
                await two.deploy("other", sfdl.compile(text(folder)).root)
        network.severed.clear()

        await one.terminate("app")
        await two.deploy("other", sfdl.compile(text(folder)).root)
        await two.terminate("other")


async def test_a_volume_of_a_guest_that_cannot_be_ended_stays_its_own(bench, folder):
    pool = bench.holder.process.services.get(HypervisorPool)
    inner = await pool.get(URI)
    faulty = FaultyHypervisor(inner)
    faulty.fail("destroy", Raise(), times=10_000)
    faulty.fail("shutdown", Raise(), times=10_000)
    pool._open[URI] = faulty
    await bench.deploy(text(folder))
    gone = await bench.one.terminate("app")
    assert any("volumes in use by app:vm" in line for line in gone.leftovers)

    with pytest.raises(EngineError, match="VolumeInUse"):
        await bench.deploy(text(folder), "other")

    pool._open[URI] = inner
    reaper = bench.holder.process.reaper
    for _ in range(3):
        for item in list(reaper.items):
            await reaper.retry(item)
    await bench.deploy(text(folder), "other")
    await bench.one.terminate("other")
    assert names(folder) == ["shared"]


async def test_a_guest_that_goes_on_has_its_volume_and_its_component_may_come_back(bench, folder):
    leave = text(folder, 'stopMode "leave";')
    await bench.deploy(leave)
    await bench.one.terminate("app")
    assert names(folder) == ["shared", "shared.lock"]
    with pytest.raises(EngineError, match="VolumeInUse"):
        await bench.deploy(text(folder), "other")

    await bench.deploy(text(folder))
    await bench.one.terminate("app")
    assert names(folder) == ["shared"]


async def test_a_volume_stays_in_use_when_its_daemon_is_stopped_by_force(bench, folder):
    await bench.deploy(text(folder, 'onDaemonStop "leave";'))

    await bench.one.terminate("app", Record(SHUTDOWN, "stopped"))

    assert read(lock_of(str(folder / "shared"))).kept
    with pytest.raises(EngineError, match="VolumeInUse"):
        await bench.deploy(text(folder), "other")
    await bench.deploy(text(folder))
    await bench.one.terminate("app")


def use(path="app:vm", incarnation=1):
    owner = Owner("c", path.partition(":")[0], path, incarnation)
    return Use(owner, Handle(Ident("0" * 16, "1" * 16), "host1:3800", path))


async def test_of_many_who_want_a_volume_at_once_one_gets_it(tmp_path):
    lock = tmp_path / "v.lock"
    wants = [use(f"app{n}:vm") for n in range(20)]

    quicker = await asyncio.gather(*(asyncio.to_thread(write, lock, one, None) for one in wants))

    (winner,) = [one for one, other in zip(wants, quicker, strict=True) if other is None]
    assert {other for other in quicker if other is not None} == {winner}
    assert read(lock) == winner


def test_only_what_this_creation_wrote_is_removed_and_what_is_half_written_is_nobodys(tmp_path):
    lock = tmp_path / "v.lock"
    assert write(lock, use(incarnation=1), None) is None
    assert write(lock, use(incarnation=2), None) is None
    clear(lock, use(incarnation=1).owner)
    assert read(lock) == use(incarnation=2)
    clear(lock, use(incarnation=2).owner)
    assert not lock.exists()

    lock.write_bytes(b'{"owner":')
    assert write(lock, use("other:vm"), None) is None


async def test_what_is_kept_for_a_while_is_not_removed_under_who_took_it(tmp_path):
    place = tmp_path / "volumes"
    text_ = """
    #include "components/vm.sf"
    sfConfig extends Compound {
        loop extends LoopbackStorageBackend {
            directory "%s"; domainName "d"; baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4";
            volumeSize "8m"; swapSize 0; spaceReserve 0; keepOnFailure "1h";
        }
    }
    """
    async with engines(tmp_path / "state", 1, threads=True) as (_, (one,)):
        await one.deploy("app", sfdl.compile(text_ % place).root)
        await one.terminate("app", Record.abnormal("broken"))
        taken = text(place).replace('"shared"', '"d-volume1"')
        await one.deploy("other", sfdl.compile(taken).root)

        (item,) = one.process.reaper.items
        assert not await one.process.reaper.retry(item)
        assert "is in use by other:vm" in item.error
        await one.terminate("other")

        assert await one.process.reaper.retry(item)
        assert names(place) == []


async def test_a_guest_that_goes_on_without_its_volume_is_not_taken_up(bench, folder):
    await bench.deploy(text(folder, 'stopMode "leave";'))
    await bench.one.terminate("app")
    (folder / "shared").rename(folder / "elsewhere")

    made = 'baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4"; volumeSize "8m"; spaceReserve 0'
    with pytest.raises(EngineError, match="of an earlier start is still there") as why:
        await bench.deploy(text(folder).replace("usingExistingVolumes true", made))

    assert "SF-DOM-011" in {fault.code for fault in why.value.fault.chain()}
    (folder / "elsewhere").rename(folder / "shared")
    await bench.deploy(text(folder))
    await bench.one.terminate("app")


ON_POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    hypervisorUri "test:///default"; sfSyncTerminate true;
    volumes extends PoolStorageBackend {{
        pool "default-pool"; baseImage "/usr/share/common-licenses"; volumeSize "4m"; swapSize 0;
        spaceReserve 0; domainName "p"; {more}
    }}
    vm extends KvmDomain {{ storageBackend LAZY ATTRIB volumes; memory 64; stopTimeout 0; }}
}}
"""
FOUND = "usingExistingVolumes true; keepVolumes false;"


@pytest.fixture
def pool_here(monkeypatch, tmp_path):
    """The test driver's pool has no files; here its volumes count as files, locked in a folder of ours."""

    def lock(volume):
        return tmp_path / f"{Path(volume).name}.lock"

    monkeypatch.setattr(using, "lock_of", lock)
    monkeypatch.setattr(PoolStorageBackend, "is_local", lambda _, offer: offer.path != "")
    return lock


async def volume_of(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(URI)
    (pool,) = [pool for pool in await hypervisor.storage.pools() if pool.name == "default-pool"]
    return await hypervisor.storage.volume(pool.uuid, "p-volume1")


async def test_volumes_of_a_pool_are_in_use_as_soon_as_their_place_is_known(bench, pool_here):
    await bench.deploy(ON_POOL.format(more=""))

    use = read(pool_here("p-volume1"))
    assert (use.owner.path, use.user.name) == ("app:volumes", "app:vm")
    await bench.one.terminate("app")
    assert not pool_here("p-volume1").exists()
    assert await volume_of(bench) is None


@pytest.mark.parametrize("found", [False, True])
async def test_a_volume_of_a_pool_is_not_removed_under_who_took_it(bench, pool_here, found):
    if found:
        await bench.deploy(ON_POOL.format(more="keepVolumes true;"))
        await bench.one.terminate("app")
    await bench.deploy(ON_POOL.format(more=FOUND if found else ""))
    mine = read(pool_here("p-volume1"))
    theirs = Use(Owner("c", "other", "other:volumes", 1), mine.user)
    pool_here("p-volume1").unlink()
    assert write(pool_here("p-volume1"), theirs, None) is None

    gone = await bench.one.terminate("app")

    assert any("p-volume1" in line and "is in use by" in line for line in gone.leftovers)
    assert await volume_of(bench) is not None
    pool_here("p-volume1").unlink()
    reaper = bench.holder.process.reaper
    for _ in range(3):
        for item in list(reaper.items):
            await reaper.retry(item)
    assert await volume_of(bench) is None
