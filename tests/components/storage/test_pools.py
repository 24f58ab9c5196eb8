"""Pools of a hypervisor and volumes in them, on libvirt's test driver: whose they are, what stays."""

from __future__ import annotations

import asyncio

import pytest

from components.hypervisor.faulty import FaultyHypervisor, Lose, Raise
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.storage_operations import create
from engine.core.faults import EngineError
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.testing.kit import until
from sfdl.errors import SmartDomainsError

URI = "test:///default"
HEAD = '#include "components/vm.sf"\n'
POOL = (
    HEAD
    + """
sfConfig extends Compound {{
    sfSyncTerminate true; hypervisorUri "test:///default";
    store extends StoragePool {{ poolName "sdpool"; {pool} }}
    {beside}
}}
"""
)
VOLUME = 'v extends Volume { pool LAZY ATTRIB store; volumeName "v1"; capacity "8m"; MORE }'


def text(pool="", beside="", volume=None):
    if volume is not None:
        beside = f"{beside} {VOLUME.replace('MORE', volume)}"
    return POOL.format(pool=pool, beside=beside)


async def storage(bench):
    return (await bench.holder.process.services.get(HypervisorPool).get(URI)).storage


async def pools(bench):
    found = await (await storage(bench)).pools()
    return {one.name: one for one in found if one.name != "default-pool"}


async def volumes(bench, pool="sdpool"):
    names = ("v1", "d-volume1", "d-volume1-swap", "d-volume1-db", *(f"v{n}" for n in range(20)))
    there = await storage(bench)
    facts = await there.pool_by_name(pool)
    if facts is None:
        return []
    return [name for name in sorted(set(names)) if await there.volume(facts.uuid, name) is not None]


async def by_hand(bench, xml, pool="default-pool"):
    there = await storage(bench)
    facts = await there.pool_by_name(pool)
    return await there.create(facts.uuid, xml)


async def plant(bench):
    hypervisors = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await hypervisors.get(URI))
    hypervisors._open[URI] = faulty
    return faulty


async def test_a_pool_is_active_and_leaves_nothing(bench):
    await bench.deploy(text())

    facts = (await pools(bench))["sdpool"]
    assert facts.active
    assert facts.autostart
    assert facts.type == "dir"
    store = bench.find("store")
    assert store.value("uuid") == facts.uuid
    assert store.value("active") is True
    assert store.value("availableBytes") > 2**30
    await bench.one.terminate("app")
    assert await pools(bench) == {}
    assert list((bench.work / "pools").glob("**/*.json")) == []


async def test_a_pool_of_another_is_named_and_not_touched(bench):
    with pytest.raises(
        EngineError, match="NameTaken: a storage pool called default-pool"
    ) as failure:
        await bench.deploy(text('poolName "default-pool";'))

    assert "not made by smartdomains" in failure.value.fault.message
    assert (await (await storage(bench)).pool_by_name("default-pool")).active


async def test_a_pool_of_another_application_is_refused_with_its_owner(bench):
    await bench.deploy(text(), "one")

    with pytest.raises(EngineError, match=r"one:store"):
        await bench.deploy(text(), "two")

    assert (await pools(bench))["sdpool"].active
    await bench.one.terminate("one")
    assert await pools(bench) == {}


@pytest.mark.parametrize("keep", ["true", "false", '"statuquo"'])
async def test_a_pool_stays_as_keep_pool_says_and_is_taken_up_by_the_next_deployment(bench, keep):
    await bench.deploy(text(f"keepPool {keep};"))
    first = (await pools(bench))["sdpool"].uuid
    await bench.one.terminate("app")
    assert set(await pools(bench)) == ({"sdpool"} if keep == "true" else set())

    await bench.deploy(text())
    assert (await pools(bench))["sdpool"].uuid == first
    await bench.one.terminate("app")
    assert await pools(bench) == {}


async def test_a_pool_that_is_not_to_be_started_is_defined_only(bench):
    await bench.deploy(text("create false;"))

    assert not (await pools(bench))["sdpool"].active
    await bench.one.terminate("app")
    assert await pools(bench) == {}


async def test_a_pool_stopped_from_outside_is_unwell_and_ends_the_application(bench):
    await bench.deploy(text())
    there = await storage(bench)

    await there.stop((await pools(bench))["sdpool"].uuid)

    await until(lambda: not bench.one.process.apps, timeout_s=30)
    assert "storage pool sdpool is not active" in (
        bench.one.process.ended_application("app").description
    )
    assert await pools(bench) == {}


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ('poolType "nfs";', "must be one of dir, fs, netfs"),
        ('poolType "netfs";', "poolType netfs needs target and sourceHost and sourcePath"),
        ('poolType "logical";', "poolType logical needs sourceName"),
        ('target "relative";', "absolute path"),
        ('poolName "a/b";', "'/' is not allowed"),
        ('mode "rwx";', "octal mode"),
        ("owner -1;", "at least 0"),
        ('keepPool "maybe";', "must be true, false or"),
    ],
)
async def test_a_wrong_pool_is_refused_before_anything_is_made(bench, pool, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(pool))

    assert words in str(failure.value)
    assert await pools(bench) == {}


async def test_a_volume_is_made_with_its_size_and_leaves_nothing(bench):
    await bench.deploy(text(volume='format "qcow2";'))

    there = await storage(bench)
    facts = await there.volume((await pools(bench))["sdpool"].uuid, "v1")
    assert (facts.capacity_bytes, facts.format) == (8 * 2**20, "qcow2")
    volume = bench.find("v")
    assert volume.value("volumePath") == facts.path
    assert volume.value("capacityBytes") == 8 * 2**20
    await bench.one.terminate("app")
    assert await pools(bench) == {}


@pytest.mark.parametrize("ending", ["normal", "abnormal", "rollback"])
@pytest.mark.parametrize("keep", ["true", "false", '"statuquo"'])
async def test_a_volume_stays_as_keep_volume_says(bench, keep, ending):
    volume = f"keepVolume {keep};"
    if ending == "rollback":
        failing = 'x extends Volume { pool LAZY ATTRIB store; capacity "900t"; sparse false; }'
        with pytest.raises(EngineError):
            await bench.deploy(text("keepPool true;", VOLUME.replace("MORE", volume) + failing))
        assert await volumes(bench) == []
        assert await pools(bench) == {}
        return
    await bench.deploy(text("keepPool true;", volume=volume))
    await bench.one.terminate("app", Record(ending, "test over"))

    stays = keep == "true" or ending == "abnormal"
    assert await volumes(bench) == (["v1"] if stays else [])
    later = ending == "abnormal" and keep != "true"
    assert len(bench.holder.process.reaper.lines()) == int(later)


async def test_a_kept_volume_is_taken_up_as_it_is(bench):
    await bench.deploy(text("keepPool true;", volume="keepVolume true;"))
    await bench.one.terminate("app")
    faulty = await plant(bench)

    await bench.deploy(text("keepPool true;", volume="keepVolume true;"))

    assert not [name for name, _ in faulty.calls if name in {"storage create", "storage remove"}]
    await bench.one.terminate("app")
    with pytest.raises(EngineError, match="volumes grow, they are never cut"):
        await bench.deploy(text("keepPool true;", volume='capacity "4m";'))


async def test_a_volume_of_another_is_never_touched(bench):
    await by_hand(bench, "<volume><name>v1</name><capacity>512</capacity></volume>")

    with pytest.raises(EngineError, match=r"NameTaken: .*not made by smartdomains"):
        await bench.deploy(text(volume="").replace("LAZY ATTRIB store", '"default-pool"'))

    assert await volumes(bench, "default-pool") == ["v1"]


async def test_two_volumes_of_one_name_in_a_pool_are_refused(bench):
    twin = VOLUME.replace("MORE", "").replace("v extends", "w extends")

    with pytest.raises(EngineError, match="volumeName v1 is held by"):
        await bench.deploy(text(volume="", beside=twin))

    assert await pools(bench) == {}


async def test_a_volume_is_cloned_from_another(bench):
    clone = 'c extends Volume { pool LAZY ATTRIB store; volumeName "v2"; capacity "8m"; from LAZY ATTRIB v; }'
    faulty = await plant(bench)

    await bench.deploy(text(beside=VOLUME.replace("MORE", "") + clone))

    assert await volumes(bench) == ["v1", "v2"]
    assert not [name for name, _ in faulty.calls if name == "storage upload"]
    await bench.one.terminate("app")
    assert await pools(bench) == {}


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        ("capacity 0;", "at least 1 MiB"),
        ('backing "/x";', 'backing needs format "qcow2"'),
        ('backing "/x"; format "qcow2"; from "/y";', "backing or from, not both"),
        ('from "/nowhere/image";', "there is no image"),
        ('from "/usr/share/common-licenses";', "is a directory, the volume is raw"),
        ('volumeName "a b";', "' ' is not allowed"),
    ],
)
async def test_a_wrong_volume_is_refused_before_anything_is_made(bench, volume, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(volume=volume))

    assert words in str(failure.value)
    assert await pools(bench) == {}


async def test_a_pool_that_is_not_there_is_refused_with_those_there_are(bench):
    with pytest.raises(EngineError, match="pools there: default-pool"):
        await bench.deploy(text(volume="").replace("LAZY ATTRIB store", '"nopool"'))


@pytest.mark.parametrize("step", ["define", "start", "create"])
@pytest.mark.parametrize("fault", [Raise(), Lose()], ids=["refused", "answer lost"])
async def test_a_step_that_fails_or_loses_its_answer_leaves_nothing(bench, step, fault):
    (await plant(bench)).fail(f"storage {step}", fault)

    with pytest.raises(EngineError, match="planted fault"):
        await bench.deploy(text(volume=""))

    assert await pools(bench) == {}
    await bench.deploy(text(volume=""))
    await bench.one.terminate("app")
    assert await pools(bench) == {}


MANY = "\n".join(
    f'v{n} extends Volume {{ pool LAZY ATTRIB store; volumeName "v{n}"; capacity "4m"; }}'
    for n in range(20)
)


async def test_twenty_volumes_made_together_in_one_pool_need_no_second_try(bench):
    together = text(beside=f"all extends Parallel {{ asynchCreateChild true; {MANY} }}")
    faulty = await plant(bench)

    await bench.deploy(together)

    made = [f"v{n}" for n in range(20)]
    lives = bench.holder.process.lives
    await until(
        lambda: {one.name for one in lives.values() if one.state is State.STARTED} >= set(made)
    )
    assert len(await volumes(bench)) == 20
    assert [name for name, _ in faulty.calls].count("storage create") == 20
    await bench.one.terminate("app")
    assert await pools(bench) == {}


async def test_what_changes_one_pool_is_done_one_after_the_other(bench, monkeypatch):
    await bench.deploy(text())
    there = await storage(bench)
    uuid = (await pools(bench))["sdpool"].uuid
    at_once, most = 0, 0

    def slow(connection, pool, xml, like):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return create(connection, pool, xml, like)
        finally:
            at_once -= 1

    monkeypatch.setattr("components.hypervisor.storage_operations.create", slow)
    xml = "<volume><name>v{}</name><capacity>512</capacity></volume>"

    makes = (there.create(uuid, xml.format(n)) for n in range(20))
    await asyncio.gather(*makes, *(there.refresh(uuid) for _ in range(5)))

    assert most == 1
    assert len(await volumes(bench)) == 20
    for n in range(20):
        await there.remove(uuid, f"v{n}")
    await bench.one.terminate("app")


async def test_a_pool_that_somebody_else_works_on_is_asked_again(bench, monkeypatch):
    import libvirt

    await bench.deploy(text())
    there = await storage(bench)
    uuid = (await pools(bench))["sdpool"].uuid
    tries = 0

    def busy(connection, pool):
        nonlocal tries
        tries += 1
        if tries < 3:
            error = libvirt.libvirtError("busy")
            words = f"pool '{pool}' has asynchronous jobs running."
            error.err = (libvirt.VIR_ERR_INTERNAL_ERROR, 18, words, 2, None, None, None, -1, -1)
            raise error

    monkeypatch.setattr("components.hypervisor.storage_operations.refresh", busy)

    await there.refresh(uuid)

    assert tries == 3
    await bench.one.terminate("app")


BACKEND = """
    b extends PoolStorageBackend {{
        pool LAZY ATTRIB store; domainName "d"; baseImage "/usr/share/common-licenses";
        volumeSize "8m"; swapSize "1m"; {more}
    }}
"""


def backend(more=""):
    return BACKEND.format(more=more)


async def test_a_backend_makes_root_swap_and_data_in_the_pool(bench):
    await bench.deploy(text(beside=backend('dataVolumes [|[|"db", "2m", "ext4"|]|];')))

    assert await volumes(bench) == ["d-volume1", "d-volume1-db", "d-volume1-swap"]
    await bench.one.terminate("app")
    assert await pools(bench) == {}


async def test_a_backend_without_room_is_refused_with_numbers(bench):
    wide = text("keepPool true;")
    await bench.deploy(wide)
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match=r"NoSpace: storage pool sdpool has [0-9]+ bytes free"):
        await bench.deploy(text(beside=backend('spaceReserve "900t";')))
