"""Loop devices: volumes that are mounted to be filled or packed take turns, where few are to be had."""

from __future__ import annotations

import asyncio
import os

import pytest

from components.storage.saving import SavedImage
from components.storage.volume_file import VolumeFile
from engine.runtime.commands import Output
from engine.runtime.effects import Owner, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.testing.kit import engines
from tests.components.storage.test_attributes import deploy

OWNER = Owner("c", "pool", "pool:loop", 7)


class Mounting:
    """Runs nothing, and counts how many mount at a time."""

    def __init__(self):
        self.now = self.most = self.all = 0

    async def run(self, argv, *, input_, timeout_s):
        if argv[0] == "unshare":
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.05)
            self.now -= 1
        return Output(0, b"", b"")


def effects(folder, loops):
    (folder / "tree").mkdir()
    for number in range(3):
        yield VolumeFile(
            str(folder / f"v{number}"), 2**20, "root", str(folder / "tree"), "directory", uuid="u" * 8,
            how="mount", mount_parent=str(folder / "mnt"), loops=loops,
        ).fill_device  # fmt: skip
    volume = folder / "packed"
    volume.write_bytes(bytes(2**20))
    image = str(folder / "image.tar")
    yield SavedImage(str(volume), "raw", image, "tar", "image", "d", loops=loops)._pack


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize(("loops", "most"), [(0, 4), (1, 1), (3, 3)])
async def test_no_more_are_mounted_at_a_time_than_there_are_to_be_loop_devices(
    tmp_path, loops, most
):
    executor, services = Mounting(), Services()

    def site():
        return Site(OWNER, services=services, workers=InlineWorkers(), executor=executor)

    await asyncio.gather(*(fill(site()) for fill in effects(tmp_path, loops)))

    assert (executor.most, executor.all) == (most, 4)


async def test_a_backend_says_how_many(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        await deploy(engine, tmp_path / "tree", "maxLoop 2;")

        found = next(live for live in engine.process.lives.values() if live.name == "b")
        made = [made.effect for made in found.effects if isinstance(made.effect, VolumeFile)]
        assert {effect.loops for effect in made} == {2}
