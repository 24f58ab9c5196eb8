"""Volumes are not promised more space than there is, also those that take it only later."""

from __future__ import annotations

import asyncio
import shutil
from typing import NamedTuple

import pytest

import sfdl
from components.storage.space import Promise, Promises, outstanding
from components.storage.volume_file import VolumeFile
from engine.core.faults import EngineError
from engine.testing.kit import begin, engines

MIB = 2**20
TWO = """
#include "components/vm.sf"
sfConfig extends Compound {
    hypervisorUri "test:///default"; %s
    a extends LoopbackStorageBackend {
        domainName "a"; baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4";
        volumeSize "60m"; swapSize "1m"; spaceReserve "10m";
    }
    b extends LoopbackStorageBackend {
        domainName "b"; baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4";
        volumeSize "60m"; swapSize "1m"; spaceReserve "10m";
    }
    vma extends KvmDomain { storageBackend LAZY ATTRIB a; memory 64; startMode "defined"; }
    vmb extends KvmDomain { storageBackend LAZY ATTRIB b; memory 64; startMode "defined"; }
}
"""


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def small(monkeypatch):
    """A disk with 100 MiB free, whatever is written to it."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(200 * MIB, 100 * MIB, 100 * MIB))


async def test_two_that_fit_alone_and_not_together_are_refused_before_anything_is_made(
    bench, small
):
    with pytest.raises(EngineError, match=r"NoSpace: .* are promised to others") as why:
        await bench.deploy(TWO % "")

    assert why.value.fault.where == "app:vmb"
    assert not (bench.work / "volumes").exists()
    assert bench.one.process.lives == bench.two.process.lives == {}


async def test_sparse_volumes_may_be_promised_more_where_that_is_said(bench, small):
    await bench.deploy(TWO % "diskOvercommit 2;")
    promised = bench.holder.process.services.get(Promises)
    assert len(promised._held) == 2
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match="diskOvercommit above it must be a number"):
        await bench.deploy(TWO % 'diskOvercommit "much";')


def test_what_a_volume_has_taken_is_not_counted_twice(tmp_path):
    half = tmp_path / "half"
    half.write_bytes(b"x" * 5 * MIB)

    assert outstanding([Promise("/", 8 * MIB, (str(half),))]) == 3 * MIB


async def test_after_a_restart_what_was_promised_is_known_again(tmp_path, small):
    root = sfdl.compile(TWO % "diskOvercommit 2;").root
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy("app", root)
        old = one.process
        network.kill(old)
        peers = {"host1": "host1:3800"}
        again = await begin(network, tmp_path / "host1", "host1", "host1:3800", peers, threads=True)
        try:
            with pytest.raises(EngineError, match="are promised to others"):
                await again.deploy(
                    "more", sfdl.compile((TWO % "").replace("domainName", "x 1; domainName")).root
                )
            await again.terminate("app")
        finally:
            network.verbs.pop("host1:3800", None)
            await again.process.stop()
            await old.services.close()


@pytest.mark.parametrize(("preallocate", "promised"), [("full", 0), ("sparse", 4 * MIB)])
async def test_space_that_was_taken_as_volumes_were_made_is_promised_no_longer(
    bench, preallocate, promised
):
    """Else it would count twice: a group or pool has that much less free already."""
    text = """
    #include "components/vm.sf"
    sfConfig extends Compound {
        pool extends PoolStorageBackend {
            hypervisorUri "test:///default"; pool "default-pool"; domainName "p"; volumeSize "4m";
            baseImage "/usr/share/common-licenses"; swapSize 0; spaceReserve 0; preallocate "%s";
        }
        other extends Compound {}
    }
    """
    await bench.deploy(text % preallocate)

    place = await bench.find("pool").prim._where()
    held = bench.holder.process.services.get(Promises)
    others = held.to_others(f"pool {place.uri} {place.uuid}", bench.find("other").prim)
    assert outstanding(others) == promised


MANY = """
#include "components/vm.sf"
Filled extends LoopbackStorageBackend {
    baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4"; volumeSize "8m"; swapSize 0;
    spaceReserve 0;
}
sfConfig extends Compound {
    sfConcurrency 0; maxParallelImageWrites %d;
    a extends Filled { domainName "a"; } b extends Filled { domainName "b"; }
    c extends Filled { domainName "c"; } d extends Filled { domainName "d"; }
    e extends Filled { domainName "e"; }
}
"""


@pytest.mark.parametrize("most", [1, 3])
async def test_images_are_written_as_many_at_a_time_as_is_said(bench, monkeypatch, most):
    inside, seen = 0, 0
    write = VolumeFile.write

    async def slow(self, at):
        nonlocal inside, seen
        inside += 1
        seen = max(seen, inside)
        await asyncio.sleep(0.05)
        await write(self, at)
        inside -= 1

    monkeypatch.setattr(VolumeFile, "write", slow)
    await bench.deploy(MANY % most)

    assert seen == most
    await bench.one.terminate("app")


KINDS = """
#include "components/vm.sf"
sfConfig extends Compound {
    hypervisorUri "test:///default";
    store extends StoragePool { poolName "sdusage"; }
    loop extends LoopbackStorageBackend {
        domainName "l"; baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4"; volumeSize "8m";
        swapSize "1m"; spaceReserve 0; preallocate "full";
    }
    layer extends OverlayStorageBackend {
        domainName "o"; baseImage "%s"; volumeSize "64m"; swapSize 0; spaceReserve 0;
    }
    pool extends PoolStorageBackend {
        domainName "p"; pool LAZY ATTRIB store; baseImage "%s"; volumeSize "4m"; swapSize 0;
        spaceReserve 0;
    }
}
"""


async def test_how_large_volumes_are_and_what_they_take_is_told_of_each_kind(bench, tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(2**20))
    await bench.deploy(KINDS % (disk, disk))

    root, swap = await bench.holder.call("app:loop", "usage")
    assert (root["role"], root["capacity_bytes"], swap["role"]) == ("root", 8 * MIB, "swap")
    assert 8 * MIB <= root["allocated_bytes"] < 9 * MIB
    assert MIB <= swap["allocated_bytes"] < 2 * MIB
    (layer,) = await bench.holder.call("app:layer", "usage")
    assert layer["capacity_bytes"] == 64 * MIB
    assert layer["allocated_bytes"] < MIB
    (pooled,) = await bench.holder.call("app:pool", "usage")
    assert pooled["capacity_bytes"] == 4 * MIB

    (bench.work / "volumes" / "o-volume1").unlink()
    with pytest.raises(EngineError, match="a volume cannot be looked at") as why:
        await bench.holder.call("app:layer", "usage")
    assert why.value.fault.code == "SF-STORE-026"
    await bench.one.terminate("app")
