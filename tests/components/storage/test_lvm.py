"""Logical volumes: the commands meant, recorded where there is no device-mapper."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from components.storage.logical_volumes import LogicalVolume, tag_of
from components.storage.volume_file import VolumeFile
from engine.core.faults import EngineError, Refused
from engine.runtime.commands import Output
from engine.runtime.effects import Owner, Presence, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.testing.kit import engines, virtual_time

OWNER = Owner("c", "pool", "pool:host1:lvm", 7)
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    lvm extends LVMStorageBackend {
        domainName "d"; volumeGroup "vg1"; baseImage "/usr/share/common-licenses";
        volumeSize "8m"; swapSize "1m";
    }
}
"""


class Recorder:
    """Answers commands from a table and writes down what it was asked."""

    def __init__(self, volumes=()):
        self.asked = []
        self.volumes = list(volumes)

    async def run(self, argv, *, input_, timeout_s):
        self.asked.append(" ".join(argv))
        if argv[0] == "lvs":
            return Output(0, msgspec.json.encode({"report": [{"lv": self.volumes}]}), b"")
        return Output(0, b"", b"")


def site(recorder):
    return Site(OWNER, services=Services(), workers=InlineWorkers(), executor=recorder)


def volume(**more):
    fill = VolumeFile("/dev/vg1/d", 8 * 2**20, "swap", uuid="u")
    return LogicalVolume("vg1", "d", fill, **more)


async def test_a_volume_is_made_with_its_size_and_tag():
    recorder = Recorder()

    await volume().make(site(recorder))

    assert recorder.asked[1:] == [
        f"lvcreate -y -L 8388608b --addtag {tag_of(OWNER)} -n d vg1",
        "mkswap --uuid u /dev/vg1/d",
    ]


async def test_a_thin_volume_names_its_pool():
    recorder = Recorder()

    await volume(thin_pool="pool0").make(site(recorder))

    assert "-V 8388608b --thinpool pool0" in recorder.asked[1]


async def test_a_volume_without_our_tag_is_foreign_and_never_removed():
    recorder = Recorder([{"lv_name": "d", "lv_tags": "theirs", "lv_device_open": ""}])

    assert await volume().look(site(recorder)) is Presence.FOREIGN
    await volume().undo(site(recorder))

    assert not any(line.startswith("lvremove") for line in recorder.asked)


async def test_an_open_volume_is_not_removed():
    recorder = Recorder([{"lv_name": "d", "lv_tags": tag_of(OWNER), "lv_device_open": "open"}])

    with pytest.raises(Refused, match="in use"):
        await volume().undo(site(recorder))


async def test_our_own_volume_is_removed():
    recorder = Recorder([{"lv_name": "d", "lv_tags": tag_of(OWNER), "lv_device_open": ""}])

    await volume().undo(site(recorder))

    assert recorder.asked[-1] == "lvremove -y vg1/d"


async def test_without_device_mapper_the_backend_is_refused_unless_told_to_record(tmp_path):
    import sfdl

    root = sfdl.compile(POOL).root
    async with engines(tmp_path / "real") as (_, (one,)):
        with pytest.raises(EngineError, match="NoDeviceMapper"):
            await one.deploy("app", root)
    async with engines(tmp_path / "recorded", lvm="recorded") as (_, (one,)):
        await one.deploy("app", root)
        folder = one.process.work_folder / "lvm" / "vg1"
        assert (folder / "d-volume1").stat().st_size == 8 * 2**20
        await one.terminate("app")
        assert sorted(path.name for path in folder.iterdir()) == ["commands.log"]
        assert (folder / "commands.log").read_text().splitlines() == [
            "lvcreate -y -L 8388608b -n d-volume1 vg1",
            "mkfs.ext3 /dev/vg1/d-volume1",
            "lvcreate -y -L 1048576b -n d-volume1-swap vg1",
            "mkswap /dev/vg1/d-volume1-swap",
            "lvremove -y vg1/d-volume1-swap",
            "lvremove -y vg1/d-volume1",
        ]


THIN = """
#include "components/vm.sf"
sfConfig extends Compound {
    lvm extends LVMStorageBackend {
        domainName "d"; volumeGroup "vg1"; thinPool "thin"; usingExistingVolumes true;
    }
}
"""


class Lvm:
    """Answers for a group with a thin pool that gets fuller with each look."""

    def __init__(self, *percents):
        self.percents = list(percents)

    async def run(self, argv, *, input_, timeout_s):
        assert argv[0] == "lvs"
        percent = self.percents.pop(0) if len(self.percents) > 1 else self.percents[0]
        rows = [{"data_percent": f"{percent:.2f}", "metadata_percent": "1.00"}]
        return Output(0, msgspec.json.encode({"report": [{"lv": rows}]}), b"")


def test_a_thin_pool_that_is_nearly_full_is_told_of_every_minute(tmp_path, monkeypatch, caplog):
    import sfdl

    async def none(self, wanted):
        return []

    async def story():
        async with engines(tmp_path / "real") as (_, (one,)):
            await one.deploy("app", sfdl.compile(THIN).root)
            await asyncio.sleep(5.5 * 60)
            await one.terminate("app")

    lvm = Lvm(80, 95, 96, 97, 94)
    monkeypatch.setattr("components.storage.lvm.CONTROL", tmp_path)
    monkeypatch.setattr("components.storage.lvm.OwnExecutor", lambda: lvm)
    monkeypatch.setattr("components.storage.lvm.LVMStorageBackend.find_volumes", none)
    virtual_time(story())

    told = [each.message for each in caplog.records if "thin pool" in each.message]
    assert [line.partition("vg1/thin is ")[2].partition(":")[0] for line in told] == [
        "96 % full", "97 % full",
    ]  # fmt: skip


def test_a_thin_pool_that_is_nearly_full_takes_no_volume(tmp_path, monkeypatch):
    import sfdl

    class Full(Lvm):
        async def run(self, argv, *, input_, timeout_s):
            if argv[0] == "vgs":
                return Output(0, b'{"report": [{"vg": [{"vg_free": "99999999999"}]}]}', b"")
            return await super().run(argv, input_=input_, timeout_s=timeout_s)

    async def story():
        text = THIN.replace("usingExistingVolumes true", 'baseImage "/usr/share/common-licenses"')
        async with engines(tmp_path / "real") as (_, (one,)):
            with pytest.raises(EngineError, match=r"thin pool vg1/thin is 90.01 % full") as why:
                await one.deploy("app", sfdl.compile(text).root)
            assert why.value.fault.chain()[-1].code == "SF-STORE-017"

    monkeypatch.setattr("components.storage.lvm.CONTROL", tmp_path)
    monkeypatch.setattr("components.storage.lvm.OwnExecutor", lambda: Full(90.01))
    virtual_time(story())
