"""What becomes of volumes, cell by cell: every backend, keepVolumes, made or found, every ending."""

from __future__ import annotations

import libvirt
import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.kit import engines

APP = """
#include "components/vm.sf"
FileMaker extends Prim {{ sfClass "engine.testing.components.FileMaker"; }}
sfConfig extends Compound {{
    sfSyncTerminate true; hypervisorUri "test:///default";
    b extends {kind} {{
        domainName "d"; baseImage "{image}"; volumeSize "4m"; swapSize "1m"; spaceReserve 0;
        keepVolumes {keep}; usingExistingVolumes {found}; {more}
    }}
    {beside}
}}
"""
BOTH = ["d-volume1", "d-volume1-swap"]
KINDS = {
    "loop": ("LoopbackStorageBackend", ""),
    "overlay": ("OverlayStorageBackend", ""),
    "lvm": ("LVMStorageBackend", ""),
    "pool": ("PoolStorageBackend", 'pool "default-pool";'),
}
STAYS = {"always": True, "for a while": True, "never": False}
#         ending              made: true, false, statuquo           found: true, false, statuquo
TABLE = {
    "normal": (("always", "never", "never"), ("always", "never", "always")),
    "abnormal": (("always", "for a while", "for a while"), ("always", "for a while", "always")),
    "livenessFailure": (("always", "for a while", "for a while"), ("always", "for a while", "always")),
    "deploymentFailure": (("never", "never", "never"), ("always", "always", "always")),
    "daemon lets go": (("always", "always", "always"), ("always", "always", "always")),
    "host lost": (("always", "always", "always"), ("always", "always", "always")),
}  # fmt: skip
KEEPS = ("true", "false", '"statuquo"')


@pytest.fixture
def world():
    """Keeps what the test driver has until the test is over."""
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "image.raw"
    file.write_bytes(bytes(2**20))
    return file


class Bed:
    """One engine and one kind of backend."""

    def __init__(self, network, engine, world, kind, image):
        self.network, self.engine, self._world = network, engine, world
        self._kind, self._image = kind, image

    def text(self, keep, *, found=False, beside=""):
        kind, more = KINDS[self._kind]
        body = APP.format(
            kind=kind, image=self._image, keep=keep, found=str(found).lower(), more=more,
            beside=beside,
        )  # fmt: skip
        return sfdl.compile(body).root

    def volumes(self):
        if self._kind == "pool":
            there = self._world.storagePoolLookupByName("default-pool").listVolumes()
            return sorted(name for name in there if name.startswith("d-"))
        folder = self.engine.process.work_folder
        folder = folder / "lvm" / "vg1" if self._kind == "lvm" else folder / "volumes"
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        return sorted(names & set(BOTH))

    async def end(self, how, keep, found):
        if how == "deploymentFailure":
            failing = 'x extends FileMaker { file "/nowhere/x"; }'
            with pytest.raises(EngineError):
                await self.engine.deploy("app", self.text(keep, found=found, beside=failing))
            return
        await self.engine.deploy("app", self.text(keep, found=found))
        if how == "daemon lets go":
            await self.engine.process.stop()
            self.network.verbs.pop(self.engine.process.address)
        elif how == "host lost":
            self.network.kill(self.engine.process)
        else:
            await self.engine.terminate("app", Record(how, "test over"))


@pytest.mark.parametrize("ending", list(TABLE))
@pytest.mark.parametrize("found", [False, True], ids=["made", "found"])
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("kind", list(KINDS))
async def test_each_cell_of_the_table(tmp_path, world, image, kind, keep, found, ending):
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (network, (one,)):
        bed = Bed(network, one, world, kind, image)
        if found:
            await one.deploy("app", bed.text("true"))
            await one.terminate("app")
            assert bed.volumes() == BOTH

        await bed.end(ending, keep, found)

        what = TABLE[ending][int(found)][KEEPS.index(keep)]
        assert bed.volumes() == (BOTH if STAYS[what] else [])
        if ending not in {"daemon lets go", "host lost"}:
            assert len(one.process.reaper.lines()) == (2 if what == "for a while" else 0)


@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_failed_save_never_removes(tmp_path, world, image, kind):
    (tmp_path / "images").write_text("a file where a folder should be")
    saving = f'saveImage true; saveImagePath "{tmp_path}/images"; saveImageExtension "raw";'
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (network, (one,)):
        bed = Bed(network, one, world, kind, image)
        root = bed.text("false")
        backend = dict(root.attributes)["b"]
        said = dict(sfdl.compile(f"sfConfig extends DATA {{ {saving} }}").root.attributes)
        changed = backend.overlaid(tuple(said.items()))
        await one.deploy("app", root.replaced("b", changed))

        gone = await one.terminate("app")

        assert bed.volumes() == BOTH
        assert any("could not be saved" in error for error in gone.errors)
        await _remove_from_pool(one, kind)


async def _remove_from_pool(engine, kind):
    if kind == "pool":
        storage = (await engine.process.services.get(HypervisorPool).get("test:///default")).storage
        uuid = (await storage.pool_by_name("default-pool")).uuid
        for name in BOTH:
            await storage.remove(uuid, name)


@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_found_volume_of_another_owner_stays_and_is_told_of(tmp_path, world, image, kind):
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (network, (one,)):
        bed = Bed(network, one, world, kind, image)
        await one.deploy("other", bed.text("true"))
        await one.terminate("other")
        await one.deploy("app", bed.text("false", found=True))

        gone = await one.terminate("app")

        assert bed.volumes() == BOTH
        assert sum("belongs to another owner: it stays" in text for text in gone.errors) == 2
        await _remove_from_pool(one, kind)
