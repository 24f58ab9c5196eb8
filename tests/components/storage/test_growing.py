"""Larger volumes: grown where they are, with what is on them; never cut, and never undone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import sfdl
from components.storage.declared import DataVolume
from components.storage.growing import only_sizes
from engine.core.faults import EngineError
from engine.testing.kit import engines

MIB = 2**20
ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default";
    store extends BACKEND { spaceReserve 0; swapSize 0; STORE }
    vm extends KvmDomain { memory 64; storageBackend LAZY ATTRIB store; VM }
}
"""
TREE = 'baseImage "/usr/share/common-licenses";'


class Machine:
    """One machine whose storage is updated."""

    def __init__(self, engine, image):
        self.engine = engine
        self.image = image
        self.backend = "LoopbackStorageBackend"

    def root(self, store, vm):
        text = (
            ONE.replace("STORE", store)
            .replace("VM }", f"{vm} }}")
            .replace("IMAGE", str(self.image))
        )
        return sfdl.compile(text.replace("BACKEND", self.backend)).root

    async def start(self, store, vm=""):
        await self.engine.deploy("app", self.root(store, vm))

    async def update(self, store, vm=""):
        await self.engine.update("app", self.root(store, vm))

    async def plan(self, store, vm=""):
        found = await self.engine.plan("app", self.root(store, vm))
        return {
            (row.path, name): way
            for row in found.rows
            for name, way in zip(row.attributes, row.ways, strict=False)
        }

    def live(self, name="vm"):
        return next(each for each in self.engine.process.lives.values() if each.name == name)

    @property
    def volumes(self):
        return {
            made.effect.path.rpartition("-")[2]: made.effect
            for made in self.live("store").effects
            if hasattr(made.effect, "size_bytes")
        }


@pytest.fixture
async def machine(tmp_path):
    image = tmp_path / "base.img"
    image.write_bytes(bytes(2 * MIB))
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (_, (engine,)):
        yield Machine(engine, image)


def written(path):
    with Path(path).open("r+b") as file:
        file.seek(MIB)
        file.write(b"of the guest")


def holds(path):
    with Path(path).open("rb") as file:
        file.seek(MIB)
        return file.read(12) == b"of the guest"


async def test_a_file_grows_with_what_is_on_it_and_its_record(machine):
    await machine.start(f'{TREE} volumeSize "8m"; dataVolumes [|[|"db", "4m"|]|];')
    before = machine.volumes["db"]
    written(before.path)

    assert await machine.plan(f'{TREE} volumeSize "12m"; dataVolumes [|[|"db", "6m"|]|];') == {
        ("store", "volumeSize"): "next power cycle",
        ("store", "dataVolumes"): "next power cycle",
    }  # fmt: skip
    await machine.update(f'{TREE} volumeSize "12m"; dataVolumes [|[|"db", "6m"|]|];')

    sizes = {name: effect.size_bytes for name, effect in machine.volumes.items()}
    assert sizes == {"volume1": 12 * MIB, "db": 6 * MIB}
    assert subprocess.check_output(["stat", "-c", "%s", before.path]) == b"6291456\n"
    assert holds(before.path)
    assert machine.live().value("pendingChanges") == "volumeSize"


async def test_what_is_off_has_nothing_to_hear(machine):
    await machine.start(f'{TREE} volumeSize "8m";', 'startMode "defined";')

    assert set(
        (await machine.plan(f'{TREE} volumeSize "9m";', 'startMode "defined";')).values()
    ) == {"at once"}
    await machine.update(f'{TREE} volumeSize "9m";', 'startMode "defined";')

    assert machine.volumes["volume1"].size_bytes == 9 * MIB
    assert not machine.live().value("pendingChanges")


async def test_the_machine_may_say_it_and_its_word_stays(machine):
    await machine.start(TREE, 'volumeSize "8m";')

    await machine.update(TREE, 'volumeSize "10m";')
    assert machine.volumes["volume1"].size_bytes == 10 * MIB
    await machine.update(f"{TREE} keepVolumes false;", 'volumeSize "10m";')
    await machine.update(f'{TREE} volumeSize "20m";', 'volumeSize "10m";')
    assert machine.volumes["volume1"].size_bytes == 10 * MIB
    await machine.update(f'{TREE} volumeSize "20m";')

    assert machine.volumes["volume1"].size_bytes == 20 * MIB


async def test_a_layer_grows_while_its_guest_is_off(machine):
    machine.backend = "OverlayStorageBackend"
    await machine.start('baseImage "IMAGE"; volumeSize "8m";', 'startMode "defined";')

    await machine.update('baseImage "IMAGE"; volumeSize "16m";', 'startMode "defined";')

    path = machine.volumes["volume1"].path
    found = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", path]))
    assert found["virtual-size"] == 16 * MIB
    assert machine.volumes["volume1"].size_bytes == 16 * MIB


async def test_a_layer_that_a_guest_has_open_is_not_touched_behind_its_back(machine):
    machine.backend = "OverlayStorageBackend"
    await machine.start('baseImage "IMAGE"; volumeSize "8m";')

    with pytest.raises(EngineError) as failure:
        await machine.update('baseImage "IMAGE"; volumeSize "16m";')

    assert "cannot be told that it grows" in " ".join(map(str, failure.value.fault.chain()))
    assert machine.volumes["volume1"].size_bytes == 8 * MIB


async def test_a_logical_volume_is_extended(machine):
    machine.backend = "LVMStorageBackend"
    await machine.start(f'{TREE} volumeSize "8m"; volumeGroup "vg1";')

    await machine.update(f'{TREE} volumeSize "12m"; volumeGroup "vg1";')

    log = machine.engine.process.work_folder / "lvm/vg1/commands.log"
    assert f"lvextend -y -L {12 * MIB}b vg1/app-vm-volume1" in log.read_text()


async def test_going_back_leaves_a_volume_as_large_as_it_is(machine):
    await machine.start(f'{TREE} volumeSize "8m";')
    await machine.update(f'{TREE} volumeSize "12m";')

    await machine.update(f'{TREE} volumeSize "8m";')

    assert machine.volumes["volume1"].size_bytes == 12 * MIB
    with pytest.raises(EngineError, match="refuses the update"):
        await machine.update(f'{TREE} volumeSize "7m";')


async def test_volumes_that_were_there_stay_as_they_are(machine, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "v").write_bytes(bytes(2 * MIB))
    text = f'directory "{folder}"; usingExistingVolumes true; volumeNames [|"v"|]; volumeSize SIZE;'
    await machine.start(text.replace("SIZE", '"2m"'))

    with pytest.raises(EngineError, match="refuses the update"):
        await machine.update(text.replace("SIZE", '"4m"'))

    assert (folder / "v").stat().st_size == 2 * MIB


def test_only_sizes_may_differ():
    one, other = DataVolume("a", 1, ("mkfs.ext4",)), DataVolume("a", 2, ("mkfs.xfs",))

    assert not only_sizes([one], [other])
    assert not only_sizes([one], [])


async def test_what_has_grown_is_known_after_a_restart(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        machine = Machine(engine, "")
        await machine.start(f'{TREE} volumeSize "8m";')
        await machine.update(f'{TREE} volumeSize "12m";')
        rows = [row for row in engine.process.ledger.effects() if "VolumeFile" in row.class_]
        (made,) = [engine.process.keeper.restore(row).effect for row in rows]
        assert made.size_bytes == 12 * MIB


async def test_what_the_machine_says_of_its_volumes_goes_on_to_win_after_an_update(machine):
    await machine.start(f"{TREE} keepVolumes false;", "keepVolumes true;")
    path = Path(machine.volumes["volume1"].path)

    await machine.update(f"{TREE} keepVolumes false;", "keepVolumes true; priority 7;")
    await machine.engine.terminate("app")

    assert path.exists()
