"""A machine is taken up again by a restarted daemon, whatever else has changed on its host meanwhile."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from components.storage.using import lock_of, read
from engine.testing.kit import begin, engines, until

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    hypervisorUri "test:///default"; sfSyncTerminate true;
    loop extends LoopbackStorageBackend {{
        baseImage "{image}"; volumeSize "8m"; swapSize "1m"; spaceReserve 0; makeFs "mkfs.ext4";
    }}
    vm extends KvmDomain {{
        storageBackend LAZY ATTRIB loop; memory 64; graphics "vnc"; domainLivenessDelay 50;
    }}
}}
"""


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "file").write_text("x")
    return folder


@contextlib.asynccontextmanager
async def one_then_another(tmp_path, image, pool=POOL):
    """A daemon with a machine, and what kills it and begins the next one on the same ledger."""
    root = sfdl.compile(pool.format(image=image)).root
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy("app", root)
        begun = []

        async def restart():
            network.kill(one.process)
            peers = {"host1": "host1:3800"}
            state = tmp_path / "host1"
            begun.append(await begin(network, state, "host1", "host1:3800", peers, threads=True))
            return begun[0]

        try:
            yield one, restart
        finally:
            network.verbs.pop("host1:3800", None)
            for each in begun:
                await each.process.stop()
            await one.process.services.close()


def find(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


def volumes(engine):
    return [Path(offer.path) for offer in find(engine, "loop").prim.offers]


async def test_without_the_image_its_volumes_were_filled_from(tmp_path, image):
    async with one_then_another(tmp_path, image) as (one, restart):
        before = volumes(one)
        shutil.rmtree(image)

        again = await restart()

        await until(lambda: find(again, "vm").ready)
        assert volumes(again) == before
        assert find(again, "vm").value("state") == "running"
        ended = await again.terminate("app")
        assert ended.leftovers == ()
        assert not any(path.exists() for path in before)


async def test_without_the_notes_of_who_uses_its_volumes_which_are_written_again(tmp_path, image):
    async with one_then_another(tmp_path, image) as (one, restart):
        locks = [lock_of(str(path)) for path in volumes(one)]
        for lock in locks:
            lock.unlink()

        again = await restart()

        await until(lambda: find(again, "vm").ready)
        assert {read(lock).owner.path for lock in locks} == {"app:loop"}
        await again.terminate("app")
        assert not any(lock.exists() for lock in locks)


async def test_without_the_picture_of_its_screen(tmp_path, image):
    async with one_then_another(tmp_path, image) as (one, restart):
        picture = await one.call("app:vm", "screenshot")
        Path(picture).unlink()

        again = await restart()

        await until(lambda: find(again, "vm").ready)
        await again.terminate("app")


async def test_suspended_it_stays_suspended_until_it_is_resumed(tmp_path, image):
    async with one_then_another(tmp_path, image) as (one, restart):
        await one.call("app:vm", "suspend")

        again = await restart()

        vm = find(again, "vm")
        assert (vm.value("state"), vm.ready) == ("paused", False)
        await again.call("app:vm", "resume")
        assert (vm.value("state"), vm.ready) == ("running", True)
        hypervisor = await again.process.services.get(HypervisorPool).get("test:///default")
        assert (await hypervisor.status(vm.value("uuid"))).state.value == "running"
        await again.terminate("app")


async def test_it_can_be_changed_and_how_it_is_told_is_known_again(tmp_path, image):
    async with one_then_another(tmp_path, image) as (one, restart):
        before = find(one, "vm").value("contextMode")
        xml = find(one, "vm").prim.making.xml

        again = await restart()
        await until(lambda: find(again, "vm").ready)
        assert find(again, "vm").value("contextMode") == before
        await again.call("app:vm", "resize_memory", 48)

        now = find(again, "vm").prim.making.xml
        assert now.count("<disk ") == xml.count("<disk ")
        assert now != xml


async def test_in_the_folder_that_its_host_says(tmp_path, image):
    work = tmp_path / "work"
    said = POOL.replace("sfSyncTerminate true;", f'sfSyncTerminate true; workDir "{work}";')
    async with one_then_another(tmp_path, image, said) as (one, restart):
        (volume, _) = volumes(one)
        assert volume.parent == work / "volumes"

        again = await restart()

        assert {find(again, name).prim.work_folder for name in ("vm", "loop")} == {work}
        await again.terminate("app")
        assert [path for path in work.rglob("*") if path.is_file()] == []
