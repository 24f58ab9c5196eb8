"""The daemon goes down while volumes are replaced: the machine goes on with those it was on."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from engine.testing.kit import begin, engines, until

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default";
    loop extends LoopbackStorageBackend {{
        baseImage "{image}"; volumeSize "4m"; swapSize "1m"; spaceReserve 0;
    }}
    vm extends KvmDomain {{
        storageBackend LAZY ATTRIB loop; memory 64; domainLivenessDelay 50; allowReplace true;
    }}
}}
"""
OLD, NEW = {"app-vm-volume1", "app-vm-volume1-swap"}, {"app-vm-volume1+2", "app-vm-volume1-swap+2"}


class Stop:
    """Stops the daemon's work for good at one point, where it is then taken for dead."""

    def __init__(self, effect, when, nth):
        self.wanted, self.left, self.there = (effect, when), nth, asyncio.Event()

    async def strike(self, when, effect, site):
        named = self.wanted[0] in {type(effect).__name__, effect.label().rpartition("/")[2]}
        if named and when == self.wanted[1]:
            self.left -= 1
            if not self.left:
                self.there.set()
                await asyncio.Future()


@contextlib.asynccontextmanager
async def stopped(tmp_path, point):
    """A daemon that went down at a point of the replacement, and the next one on its ledger."""
    for word in ("a", "b"):
        (tmp_path / f"{word}.img").write_bytes(word.encode() * 2**20)
    roots = [sfdl.compile(POOL.format(image=tmp_path / f"{word}.img")).root for word in "ab"]
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy("app", roots[0])
        one.process.keeper.saboteur = stop = Stop(*point)
        work = asyncio.ensure_future(one.update("app", roots[1]))
        begun = []
        try:
            await asyncio.wait_for(stop.there.wait(), 60)
            network.kill(one.process)
            work.cancel()
            peers = {"host1": "host1:3800"}
            args = (network, tmp_path / "host1", "host1", "host1:3800", peers)
            begun.append(await begin(*args, threads=True))
            yield begun[0]
        finally:
            work.cancel()
            network.verbs.pop("host1:3800", None)
            for each in begun:
                await each.process.stop()
            await one.process.services.close()


def there(engine):
    folder = engine.process.work_folder / "volumes"
    return {p.name for p in folder.iterdir() if not p.name.endswith((".json", ".lock"))}


def find(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


async def disks(engine):
    """Return the disks of the guest, as its hypervisor says."""
    hypervisor = await engine.process.services.get(HypervisorPool).get("test:///default")
    facts = await hypervisor.fact(find(engine, "vm").value("uuid"))
    return {path.rpartition("/")[2] for path in facts.disks}


@pytest.mark.parametrize(
    "point",
    [
        ("ReplacedVolumes", "making", 1), ("ReplacedVolumes", "made", 1),
        ("VolumesInUse", "making", 1), ("VolumesInUse", "made", 1),
        ("app-vm-volume1+2", "making", 1), ("app-vm-volume1+2", "made", 1),
        ("app-vm-volume1-swap+2", "making", 1), ("app-vm-volume1-swap+2", "made", 1),
    ],
)  # fmt: skip
async def test_before_it_is_on_the_new_ones_these_go_and_it_runs_on_its_own(tmp_path, point):
    async with stopped(tmp_path, point) as again:
        await until(lambda: find(again, "vm").ready)

        assert there(again) == OLD
        assert await disks(again) == OLD
        ended = await again.terminate("app")
        assert ended.leftovers == ()
        assert there(again) == set()


@pytest.mark.parametrize(
    "point",
    [("app-vm-volume1-swap", "undoing", 1), ("app-vm-volume1", "undoing", 1)],
)
async def test_once_it_runs_on_the_new_ones_it_goes_on_with_them(tmp_path, point):
    async with stopped(tmp_path, point) as again:
        await until(lambda: find(again, "vm").ready)

        assert there(again) >= NEW
        assert await disks(again) == NEW
        await again.terminate("app")
        assert there(again) <= OLD  # which were left, to be looked at


@pytest.mark.parametrize(
    "point", [("ReplacedVolumes", "making", 2), ("ReplacedVolumes", "made", 2)]
)
async def test_between_the_two_its_guest_is_off_and_what_it_had_is_kept(tmp_path, point):
    async with stopped(tmp_path, point) as again:
        await until(lambda: not again.process.apps)

        assert there(again) >= OLD
        folder = again.process.work_folder / "volumes"
        with (folder / "app-vm-volume1").open("rb") as file:
            assert file.read(1) == b"a"
