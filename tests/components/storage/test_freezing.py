"""Frozen volumes: what was on them stays as it is, the machine goes on above, and nothing is left over."""

from __future__ import annotations

import json
import stat
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import sfdl
from components.storage.layers import Layer, layers_above
from components.storage.logical_volumes import FrozenVolume, LogicalVolume, tag_of
from components.storage.offers import FROZEN
from components.storage.volume_file import VolumeFile
from engine.core.faults import BadDescription, EngineError, Refused, WrongState
from engine.runtime.effects import Presence
from engine.testing.kit import begin, engines, until
from tests.components.storage.test_lvm import OWNER, THIN, Recorder, site

MIB = 2**20
ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri "test:///default";
    store extends BACKEND { baseImage "IMAGE"; volumeSize "8m"; spaceReserve 0; swapSize 0; STORE }
    vm extends KvmDomain { memory 64; storageBackend LAZY ATTRIB store; VM }
}
"""
ALONE = """
#include "components/vm.sf"
sfConfig extends Compound {
    store extends BACKEND {
        domainName "d"; baseImage "IMAGE"; volumeSize "8m"; spaceReserve 0; swapSize 0; STORE
    }
}
"""


class Stored:
    """An application with storage, alone or of one machine."""

    def __init__(self, network, engine, folder):
        self.network, self.engine, self.folder = network, engine, folder
        self.image = folder / "base.img"
        self.image.write_bytes(b"image" + bytes(MIB - 5))

    async def start(self, store="", vm=None, backend="OverlayStorageBackend"):
        text = ALONE if vm is None else ONE.replace("VM }", f"{vm} }}")
        text = text.replace("STORE", f"{store}").replace("BACKEND", backend)
        await self.engine.deploy("app", sfdl.compile(text.replace("IMAGE", str(self.image))).root)

    def live(self, name="store"):
        return next(each for each in self.engine.process.lives.values() if each.name == name)

    async def act(self, action, *words):
        return await self.engine.call("app:vm", action, *words)

    async def freeze(self, generation=1):
        return await self.engine.call("app:store", "freeze", generation)

    @property
    def tops(self):
        return [Path(offer.path) for offer in self.live().prim.offers]

    @property
    def volumes(self):
        return self.engine.process.work_folder / "volumes"

    def left(self):
        return sorted(path.name for path in self.volumes.glob("*"))

    def machines_disk(self):
        return Path(
            ET.fromstring(self.live("vm").prim.making.xml).find("devices/disk/source").get("file")
        )

    async def restart(self):
        self.network.kill(self.engine.process)
        state, peers = self.folder / "state" / "host1", {"host1": "host1:3800"}
        self.engine = await begin(self.network, state, "host1", "host1:3800", peers, threads=True)
        await until(lambda: self.live().state.value == "started")


@pytest.fixture
async def stored(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (network, (engine,)):
        one = Stored(network, engine, tmp_path)
        try:
            yield one
        finally:
            if one.engine is not engine:
                network.verbs.pop("host1:3800", None)
                await one.engine.process.stop()
                await engine.process.services.close()


def chain(path):
    words = ["qemu-img", "info", "-U", "--backing-chain", "--output=json", str(path)]
    return [Path(each["filename"]).name for each in json.loads(subprocess.check_output(words))]


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def put(path, at, text):
    """Write into a qcow2 or raw disk as a guest would."""
    words = ["qemu-io", "-f", "qcow2", "-c", f"write -P {ord(text)} {at} 4096", str(path)]
    subprocess.run(words, check=True, capture_output=True)


def holds(path, at, text, kind="qcow2"):
    words = ["qemu-io", "-r", "-f", kind, "-c", f"read -P {ord(text)} {at} 4096", str(path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.returncode == 0 and "verification failed" not in done.stdout


async def test_each_freeze_makes_the_top_read_only_and_puts_a_layer_above(stored):
    await stored.start('dataVolumes [|[|"db", "4m", "none"|]|]; swapSize "1m";')
    root, swap, db = stored.tops
    put(root, MIB, "a")

    first = await stored.freeze(3)
    put(stored.tops[0], MIB, "b")
    second = await stored.freeze(3)

    assert [one["volume"] for one in first] == ["d-volume1", "d-volume1-db"]
    assert (first[0]["content"], first[1]["content"]) == (str(root), str(db))
    assert [Path(one["top"]).name for one in first] == [
        "d-volume1-g3-1.qcow2", "d-volume1-db-g3-1.qcow2",
    ]  # fmt: skip
    assert second[0]["content"] == first[0]["top"]
    assert [path.name for path in stored.tops] == [
        "d-volume1-g3-2.qcow2", "d-volume1-swap", "d-volume1-db-g3-2.qcow2",
    ]  # fmt: skip
    assert stored.tops[1] == swap
    assert chain(stored.tops[0]) == [
        "d-volume1-g3-2.qcow2", "d-volume1-g3-1.qcow2", "d-volume1", "base.img",
    ]  # fmt: skip
    assert chain(stored.tops[2])[-1] == "d-volume1-db"
    frozen = [one["content"] for one in (*first, *second)]
    assert {mode(path) for path in frozen} == {0o400}
    assert all(mode(path) & stat.S_IWUSR for path in stored.tops)
    assert holds(root, MIB, "a")
    assert holds(stored.tops[0], MIB, "b")
    usage = await stored.engine.call("app:store", "usage")
    assert [row["role"] for row in usage].count(FROZEN) == 4
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_a_machine_that_is_off_goes_on_above_and_ends_without_a_trace(stored):
    await stored.start(vm="")
    with pytest.raises(WrongState, match="is running, and its volumes are to be frozen"):
        await stored.act("freeze", 1)
    with pytest.raises(Refused, match="its volumes are those of app:vm"):
        await stored.freeze(1)
    await stored.act("suspend")
    with pytest.raises(WrongState, match="is paused"):
        await stored.act("freeze", 1)
    await stored.act("save")
    with pytest.raises(WrongState, match="is saved"):
        await stored.act("freeze", 1)
    await stored.act("start")
    await stored.act("destroy")
    before = stored.machines_disk()

    (done,) = await stored.act("freeze", 1)

    assert done["content"] == str(before)
    assert stored.machines_disk() == Path(done["top"]) == stored.tops[0]
    assert await stored.act("resize_disk", "root", "12m") == "at once"
    await stored.act("start")
    seen = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", done["top"]]))
    assert seen["virtual-size"] == 12 * MIB
    assert before.stat().st_size < MIB  # what is frozen was left alone
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_a_saved_image_is_flat_and_has_all_of_it(stored):
    save = f'saveImage true; saveImagePath "{stored.folder}"; saveImageName "all"; '
    await stored.start(f'{save} saveImageExtension "qcow2";')
    put(stored.tops[0], MIB, "a")
    await stored.freeze(1)
    put(stored.tops[0], 2 * MIB, "b")

    await stored.engine.terminate("app")

    image = stored.folder / "all.qcow2"
    assert chain(image) == ["all.qcow2"]
    assert holds(image, MIB, "a")
    assert holds(image, 2 * MIB, "b")
    assert stored.left() == []


async def test_a_restarted_daemon_goes_on_above(stored):
    await stored.start()
    await stored.freeze(1)
    (top,) = stored.tops

    await stored.restart()

    assert stored.tops == [top]
    await stored.freeze(1)
    assert stored.tops[0].name == "d-volume1-g1-2.qcow2"
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_a_freeze_that_a_daemon_has_not_finished_is_taken_back(stored):
    await stored.start()
    await stored.freeze(1)
    (top,) = stored.tops
    base = stored.volumes / "d-volume1"
    top.unlink()
    base.chmod(0o600)  # as before its last step

    await stored.restart()

    assert stored.tops == [base]
    await stored.freeze(1)
    assert stored.tops == [top]
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_what_fails_on_the_way_leaves_all_as_it_was(stored, monkeypatch):
    await stored.start('dataVolumes [|[|"db", "4m", "none"|]|];')
    before, names = stored.tops, stored.left()
    make = Layer.make

    async def fail(self, at):
        if "db" in self.path:
            raise Refused("no")
        return await make(self, at)

    monkeypatch.setattr(Layer, "make", fail)
    with pytest.raises(Refused, match="no"):
        await stored.freeze(1)

    assert (stored.tops, stored.left()) == (before, names)
    assert all(mode(path) & stat.S_IWUSR for path in before)
    assert not any(isinstance(made.effect, Layer) for made in stored.live().effects)


async def test_a_machine_that_cannot_go_on_above_is_as_before(stored, monkeypatch):
    await stored.start(vm='startMode "defined";')
    before, names = stored.tops, stored.left()

    async def fail():
        raise Refused("not so")

    monkeypatch.setattr(stored.live("vm").prim.making, "rewrite", fail)
    with pytest.raises(Refused, match="not so"):
        await stored.act("freeze", 1)

    assert (stored.tops, stored.left()) == (before, names)
    assert mode(before[0]) & stat.S_IWUSR


async def test_a_chain_has_an_end(stored):
    await stored.start("maxChain 3;")
    await stored.freeze(1)

    with pytest.raises(Refused, match="maxChain is 3"):
        await stored.freeze(1)
    with pytest.raises(BadDescription, match="generation must be a number from 0"):
        await stored.freeze(-1)


async def test_volumes_that_were_kept_are_used_and_removed_with_what_is_above(stored):
    await stored.start("keepVolumes true;")
    put(stored.tops[0], MIB, "a")
    await stored.freeze(1)
    await stored.freeze(2)
    put(stored.tops[0], 2 * MIB, "b")
    kept = stored.tops
    await stored.engine.terminate("app")
    assert len(layers_above(stored.volumes / "d-volume1")) == 2

    await stored.start("usingExistingVolumes true; keepVolumes false;")
    assert stored.tops == kept
    with pytest.raises(Refused, match="were there before are not frozen"):
        await stored.freeze(3)
    await stored.engine.terminate("app")

    assert stored.left() == []


async def test_volumes_that_are_made_anew_have_nothing_above(stored):
    await stored.start("keepVolumes true;")
    await stored.freeze(1)
    await stored.engine.terminate("app")

    await stored.start()

    assert stored.tops == [stored.volumes / "d-volume1"]
    assert not layers_above(stored.tops[0])
    assert mode(stored.tops[0]) & stat.S_IWUSR
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_a_guest_that_goes_on_has_what_is_above_when_it_is_back(stored):
    await stored.start(vm='stopMode "leave";')
    await stored.act("destroy")
    await stored.act("freeze", 1)
    await stored.act("start")
    (top,) = stored.tops
    await stored.engine.terminate("app")
    assert top.exists()

    await stored.start(vm="")

    assert stored.tops == [top] == [stored.machines_disk()]
    await stored.engine.terminate("app")
    assert stored.left() == []


@pytest.mark.parametrize("backend", ["LoopbackStorageBackend", "PoolStorageBackend"])
async def test_volumes_that_cannot_be_frozen_say_so_by_name(stored, backend):
    more = 'pool "default-pool"; hypervisorUri "test:///default";'
    await stored.start(more if backend.startswith("Pool") else "", backend=backend)

    with pytest.raises(
        Refused, match=f"{backend}: volumes of this kind cannot be frozen"
    ) as failure:
        await stored.freeze(1)

    assert "OverlayStorageBackend" in failure.value.fault.hint


# -- logical volumes


async def test_thin_volumes_have_read_only_snapshots_and_go_on(stored):
    await stored.start('thinPool "thin"; dataVolumes [|[|"db", "4m", "none"|]|];',
                       backend="LVMStorageBackend")  # fmt: skip
    before = stored.tops

    done = await stored.freeze(1)
    await stored.freeze(1)

    assert stored.tops == before
    assert [one["top"] for one in done] == [str(path) for path in before]
    assert Path(done[0]["content"]).name == "d-volume1-g1-1"
    await stored.restart()
    await stored.engine.terminate("app")
    log = (stored.engine.process.work_folder / "lvm" / "vg1" / "commands.log").read_text()
    assert [line for line in log.splitlines() if "-g1-" in line] == [
        "lvcreate -y -pr -s -n d-volume1-g1-1 vg1/d-volume1",
        "lvcreate -y -pr -s -n d-volume1-db-g1-1 vg1/d-volume1-db",
        "lvcreate -y -pr -s -n d-volume1-g1-2 vg1/d-volume1",
        "lvcreate -y -pr -s -n d-volume1-db-g1-2 vg1/d-volume1-db",
        "lvremove -y vg1/d-volume1-db-g1-2", "lvremove -y vg1/d-volume1-g1-2",
        "lvremove -y vg1/d-volume1-db-g1-1", "lvremove -y vg1/d-volume1-g1-1",
    ]  # fmt: skip


async def test_a_thin_volume_is_frozen_while_its_guest_is_held(stored):
    await stored.start('thinPool "thin";', vm="", backend="LVMStorageBackend")
    with pytest.raises(WrongState, match="is running"):
        await stored.act("freeze", 1)
    await stored.act("suspend")

    (done,) = await stored.act("freeze", 1)

    assert Path(done["content"]).name == "app-vm-volume1-g1-1"
    await stored.act("resume")


async def test_snapshots_of_a_guest_that_goes_on_are_found_again(tmp_path, monkeypatch):
    async def none(self, wanted):
        return []

    names = ("d-volume1", "d-volume1-g1-2", "d-volume1-g1-1", "d-volume1-go", "other-g1-1")
    lvm = Recorder([{"lv_name": name} for name in names])
    monkeypatch.setattr("components.storage.lvm.CONTROL", tmp_path)
    monkeypatch.setattr("components.storage.lvm.OwnExecutor", lambda: lvm)
    monkeypatch.setattr("components.storage.lvm.LVMStorageBackend.find_volumes", none)
    async with engines(tmp_path / "real") as (_, (one,)):
        await one.deploy("app", sfdl.compile(THIN).root)
        backend = next(live.prim for live in one.process.lives.values() if live.name == "lvm")
        fill = VolumeFile("/dev/vg1/d-volume1", 8 * MIB, "root")

        found = await backend.frozen_before([LogicalVolume("vg1", "d-volume1", fill, "thin")])

        assert [(one.name, one.snapshot_of, one.fill.role) for one in found] == [
            ("d-volume1-g1-1", "d-volume1", FROZEN), ("d-volume1-g1-2", "d-volume1", FROZEN),
        ]  # fmt: skip
        assert backend.offers_of(found) == []
        await one.terminate("app")


async def test_a_thick_volume_is_not_frozen(stored):
    await stored.start(backend="LVMStorageBackend")

    with pytest.raises(EngineError, match="the volumes of vg1 are thick"):
        await stored.freeze(1)


async def test_a_snapshot_has_its_owner_and_goes_only_if_it_is_ours():
    fill = VolumeFile("/dev/vg1/d-g1-1", 8 * MIB, FROZEN)
    snapshot = FrozenVolume("vg1", "d-g1-1", fill, "thin", "d")
    recorder = Recorder()

    await snapshot.make(site(recorder))

    assert recorder.asked[-1] == f"lvcreate -y -pr -s --addtag {tag_of(OWNER)} -n d-g1-1 vg1/d"
    theirs = Recorder([{"lv_name": "d-g1-1", "lv_tags": "theirs", "lv_device_open": ""}])
    assert await snapshot.look(site(theirs)) is Presence.FOREIGN
    with pytest.raises(EngineError, match="belongs to somebody else"):
        await snapshot.make(site(theirs))
    await snapshot.undo(site(theirs))
    assert not any(line.startswith(("lvremove", "lvcreate")) for line in theirs.asked)


async def test_a_second_freeze_that_fails_keeps_what_was_written_since_the_first(
    stored, monkeypatch
):
    await stored.start('swapSize "1m";', vm='startMode "defined";')
    await stored.act("freeze", 1)
    before = stored.tops
    put(before[0], MIB, "c")
    making = stored.live("vm").prim.making

    async def fails():
        raise Refused("not that one")

    with monkeypatch.context() as patch:
        patch.setattr(making, "rewrite", fails)
        with pytest.raises(EngineError, match="not that one"):
            await stored.act("freeze", 2)

    assert stored.tops == before
    assert holds(before[0], MIB, "c")
    await stored.act("freeze", 2)
    assert chain(stored.tops[0])[1] == before[0].name
    await stored.engine.terminate("app")
    assert stored.left() == []


async def test_nobody_else_takes_a_freeze_back(stored):
    await stored.start(vm='startMode "defined";')
    await stored.act("freeze", 1)

    with pytest.raises(EngineError, match="its volumes are those of"):
        await stored.engine.call("app:store", "thaw", [str(stored.tops[0])])

    assert stored.tops[0].exists()
