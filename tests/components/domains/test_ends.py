"""How a guest ends and what stays of it: every mode, every record, and the start that goes on with it."""

from __future__ import annotations

import pytest

from components.domains.ends import End, all_stays, end_of
from components.hypervisor.faulty import FaultyHypervisor, Raise
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DomainState
from engine.core.faults import EngineError
from engine.core.records import DEPLOYMENT_FAILURE, SHUTDOWN, Record
from engine.testing.kit import until

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate {sync};
    host extends PhysicalHost {{
        sfSyncTerminate {sync};
        hypervisorUri "test:///default";
        {before}{first}
        vm extends KvmDomain {{ storageBackend LAZY ATTRIB loop; memory 64; {more} }}
        {then}
        {beside}
    }}
}}
"""
LOOP = """loop extends LoopbackStorageBackend {
    baseImage "/usr/share/common-licenses"; volumeSize "8m"; swapSize "1m"; spaceReserve 0;
}"""


def text(more="", *, sync="true", storage_last=False, beside="", before=""):
    first, then = ("", LOOP) if storage_last else (LOOP, "")
    return POOL.format(more=more, sync=sync, first=first, then=then, beside=beside, before=before)


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get("test:///default")


async def ours(bench):
    return [facts for facts in await (await hypervisor(bench)).facts() if facts.name != "test"]


def volume(bench):
    return bench.work / "volumes" / "app-host-vm-volume1"


def write(bench):
    with volume(bench).open("r+b") as file:
        file.write(b"written by the guest")


async def end_by_daemon(bench):
    root = bench.one.process.application("app")
    bench.one.process.finish(root, Record(SHUTDOWN, "its daemon is stopping"))
    await until(lambda: not bench.one.process.apps)
    await until(lambda: not bench.holder.process.lives)


@pytest.mark.parametrize(
    ("record", "stop_mode", "on_daemon_stop", "was", "end", "stays"),
    [
        ("normal", "graceful", "leave", None, End.GRACEFUL, False),
        ("normal", "destroy", "leave", None, End.DESTROY, False),
        ("normal", "save", "leave", None, End.SAVE, True),
        ("normal", "suspend", "leave", None, End.SUSPEND, True),
        ("normal", "leave", "graceful", None, End.LEAVE, True),
        ("shutdown", "destroy", "leave", None, End.LEAVE, True),
        ("shutdown", "destroy", "save", None, End.SAVE, True),
        ("shutdown", "destroy", "graceful", None, End.GRACEFUL, True),
        ("abnormal", "save", "leave", None, End.DESTROY, False),
        ("livenessFailure", "leave", "leave", None, End.DESTROY, False),
        ("externalReferenceDead", "suspend", "leave", None, End.DESTROY, False),
        (DEPLOYMENT_FAILURE, "leave", "leave", None, End.DESTROY, False),
        (DEPLOYMENT_FAILURE, "graceful", "leave", End.SAVE, End.SAVE, True),
        ("abnormal", "graceful", "leave", End.LEAVE, End.DESTROY, False),
    ],
)
def test_every_record_has_its_end(record, stop_mode, on_daemon_stop, was, end, stays):
    found = end_of(Record(record), stop_mode=stop_mode, on_daemon_stop=on_daemon_stop, was=was)

    assert (found, all_stays(Record(record), found)) == (end, stays)


MODES = {
    "save": (DomainState.SHUTOFF, True),
    "suspend": (DomainState.PAUSED, False),
    "leave": (DomainState.RUNNING, False),
}


@pytest.mark.parametrize(
    ("mode", "order"),
    [("save", "storage first"), ("suspend", "storage last"), ("leave", "together")],
)
async def test_a_guest_set_aside_keeps_everything_and_the_next_start_goes_on(bench, mode, order):
    pool = text(
        f'stopMode "{mode}";', sync="false" if order == "together" else "true",
        storage_last=order == "storage last",
    )  # fmt: skip
    await bench.deploy(pool)
    (before,) = await ours(bench)
    write(bench)

    gone = await bench.one.terminate("app")

    assert gone.leftovers == ()
    (kept,) = await ours(bench)
    saved = await (await hypervisor(bench)).machines.is_saved(kept.uuid)
    assert (kept.state, saved) == MODES[mode]
    assert volume(bench).exists()

    await bench.deploy(pool.replace(f'stopMode "{mode}"', 'stopMode "destroy"'))

    (after,) = await ours(bench)
    assert (after.uuid, after.state) == (before.uuid, DomainState.RUNNING)
    assert after.owner.incarnation > before.owner.incarnation
    assert volume(bench).read_bytes().startswith(b"written by the guest")
    if mode != "save":
        assert after.id == before.id  # the very same instance
    await bench.one.terminate("app")
    assert await ours(bench) == []
    assert list((bench.work / "volumes").iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "state", "order"),
    [
        ("leave", DomainState.RUNNING, "storage last"),
        ("save", DomainState.SHUTOFF, "together"),
        ("graceful", DomainState.SHUTOFF, "storage first"),
    ],
)
async def test_the_end_of_its_daemon_never_loses_a_volume(bench, mode, state, order):
    pool = text(
        f'onDaemonStop "{mode}"; stopMode "destroy"; keepVolumes false;',
        sync="false" if order == "together" else "true", storage_last=order == "storage last",
    )  # fmt: skip
    await bench.deploy(pool)
    write(bench)

    await end_by_daemon(bench)

    (kept,) = await ours(bench)
    assert kept.state is state
    assert volume(bench).exists()
    await bench.deploy(pool)
    assert volume(bench).read_bytes().startswith(b"written by the guest")
    await bench.one.terminate("app")
    assert await ours(bench) == []
    assert list((bench.work / "volumes").iterdir()) == []


async def test_a_guest_that_cannot_be_saved_is_shut_down_and_loses_nothing(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get("test:///default"))
    faulty.fail("save", Raise("Refused", message="no space left"))
    pool._open["test:///default"] = faulty
    await bench.deploy(text('stopMode "save";'))

    await bench.one.terminate("app")

    (kept,) = await ours(bench)
    assert kept.state is DomainState.SHUTOFF
    assert ("shutdown", kept.uuid) in faulty.calls
    assert volume(bench).exists()


@pytest.mark.parametrize("mode", MODES)
async def test_a_start_that_fails_leaves_a_resumed_guest_as_it_found_it(bench, mode):
    await bench.deploy(text(f'stopMode "{mode}";'))
    write(bench)
    await bench.one.terminate("app")
    broken = 'bad extends KvmDomain { diskless true; kernel "/nowhere"; startMode "running"; }'
    late = """wrong extends KvmDomain {
        diskless true; startMode "booted"; bootTimeout 1; readyMarker "never";
    }"""

    for trouble in (broken, late):
        with pytest.raises(EngineError):
            await bench.deploy(text(f'stopMode "{mode}";', beside=trouble))

        (kept,) = await ours(bench)
        saved = await (await hypervisor(bench)).machines.is_saved(kept.uuid)
        assert (kept.state, saved) == MODES[mode]
        assert volume(bench).read_bytes().startswith(b"written by the guest")


async def test_an_abnormal_end_destroys_whatever_is_wished_of_a_normal_one(bench):
    await bench.deploy(text('stopMode "leave";'))

    bench.holder.process.finish(bench.find("vm"), Record.abnormal("lost"))

    await until(lambda: not bench.one.process.apps)
    assert await ours(bench) == []


async def test_a_network_a_left_guest_is_on_stays(bench):
    net = 'net extends Network { networkName "lan"; subnet "10.99.0.1/24"; }'
    pool = text('network LAZY ATTRIB net; stopMode "leave";', before=net)
    await bench.deploy(pool)

    await bench.one.terminate("app")

    networks = (await hypervisor(bench)).networks
    assert (await networks.by_name("lan")).active
    (kept,) = await ours(bench)
    assert kept.active
