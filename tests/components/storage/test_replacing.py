"""Other volumes instead of those there are: only if allowed, beside the old, which stay if it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import sfdl
from components.domains.watching import Watching
from components.hypervisor.errors import HypervisorError
from components.hypervisor.pool import HypervisorPool
from components.storage.backend import StorageBackend
from components.storage.replacing import ReplacedVolumes
from engine.core.faults import EngineError, Refused, TimedOut
from engine.core.updates import AS_BEFORE
from engine.testing.kit import engines, until
from engine.testing.sabotage import Plan, Saboteur

MIB = 2**20
ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default"; POOL
    store extends BACKEND { spaceReserve 0; swapSize "1m"; STORE }
    vm extends KvmDomain { memory 64; storageBackend LAZY ATTRIB store; VM }
}
"""
ALLOWED = "allowReplace true;"
KINDS = {
    "files": "LoopbackStorageBackend", "layers": "OverlayStorageBackend",
    "logical volumes": "LVMStorageBackend", "pool": "PoolStorageBackend",
}  # fmt: skip


class Machine:
    """One machine whose volumes are replaced."""

    def __init__(self, engine, folder, kind="files"):
        self.engine, self.folder, self.kind = engine, folder, kind

    def image(self, word):
        return f'baseImage "{self.folder / word}.img"; volumeSize "8m";'

    def root(self, store, vm):
        pool = store_more = ""
        if self.kind == "pool":
            pool = f'data extends StoragePool {{ poolName "sdpool"; poolType "dir"; target "{self.folder}/pool"; }}'
            store_more = "pool LAZY ATTRIB data; "
        text = ONE.replace("STORE }", f"{store_more}{store} }}").replace("VM }", f"{vm} }}")
        return sfdl.compile(text.replace("BACKEND", KINDS[self.kind]).replace("POOL", pool)).root

    async def start(self, store, vm=""):
        await self.engine.deploy("app", self.root(store, vm))

    async def update(self, store, vm=""):
        await self.engine.update("app", self.root(store, vm))

    async def plan(self, store, vm=""):
        return await self.engine.plan("app", self.root(store, vm))

    def live(self, name="vm"):
        return next(each for each in self.engine.process.lives.values() if each.name == name)

    @property
    def store(self):
        return self.live("store").prim

    @property
    def volumes(self):
        """Return the names of the volumes the machine has, root first."""
        return [Path(offer.path).name for offer in self.store.offers]

    async def hypervisor(self):
        return await self.engine.process.services.get(HypervisorPool).get("test:///default")

    async def facts(self):
        return await (await self.hypervisor()).fact(self.live().value("uuid"))

    async def there(self):
        """Return all volumes there are, as they are found where they are."""
        work = self.engine.process.work_folder
        if self.kind == "pool":
            storage = (await self.hypervisor()).storage
            pool = await storage.pool_by_name("sdpool")
            known = [*names(), *names("+2"), *names("+3")]
            return sorted([name for name in known if await storage.volume(pool.uuid, name)])
        folder = work / ("lvm/vg1" if self.kind == "logical volumes" else "volumes")
        plain = [path.name for path in folder.iterdir() if path.name != "commands.log"]
        return sorted(name for name in plain if not name.endswith((".json", ".lock")))


@pytest.fixture
def folder(tmp_path):
    for word in ("a", "b"):
        (tmp_path / f"{word}.img").write_bytes(word.encode() * 2 * MIB)
    return tmp_path


@pytest.fixture(params=list(KINDS))
async def machine(request, tmp_path, folder):
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (_, (engine,)):
        yield Machine(engine, folder, request.param)


@pytest.fixture
async def files(tmp_path, folder):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        yield Machine(engine, folder)


def names(mark="", base="app-vm-volume1"):
    return [f"{base}{mark}", f"{base}-swap{mark}"]


def of(path):
    """Return what a volume was filled from."""
    with Path(path).open("rb") as file:
        return file.read(1).decode()


async def test_another_image_makes_other_volumes_and_the_old_go_once_it_runs_on_them(machine):
    await machine.start(machine.image("a"))
    before = await machine.facts()
    wanted = machine.image("b"), ALLOWED

    found = await machine.plan(*wanted)
    assert found.problems == ()
    (row,) = [row for row in found.rows if row.path == "store"]
    (way,) = row.ways
    assert way == f"replacement: what is on {', '.join(names())} is lost"
    assert await machine.there() == sorted(names())
    await machine.update(*wanted)

    assert (machine.volumes, await machine.there()) == (names("+2"), sorted(names("+2")))
    after = await machine.facts()
    assert after.id != before.id
    assert all("+2" in path for path in after.disks)
    assert not any(
        isinstance(made.effect, ReplacedVolumes) for made in machine.live("store").effects
    )
    await machine.update(machine.image("a"), ALLOWED)
    assert (machine.volumes, await machine.there()) == (names(), sorted(names()))
    await machine.engine.terminate("app")


async def test_without_leave_nothing_is_replaced_whoever_says_it(machine):
    await machine.start(machine.image("a"), ALLOWED)
    before = await machine.facts()

    for store, vm in (
        (machine.image("b"), ""),
        (machine.image("b"), "allowReplace false;"),
        (machine.image("a"), machine.image("b")),
        (machine.image("a") + 'makeFs "mkfs.ext4";', ""),
        (machine.image("a") + 'dataVolumes [|[|"db", "1m"|]|];', ""),
        (machine.image("a"), 'volumeSize "4m";'),
        (machine.image("a"), 'arch "i686";'),
    ):
        with pytest.raises(EngineError, match="refuses the update"):
            await machine.update(store, vm)
        assert (await machine.plan(store, vm)).problems
    assert (await machine.facts(), machine.volumes) == (before, names())


@pytest.mark.parametrize(
    ("store", "vm"),
    [
        ('volumeSize "4m";', ""),
        ('dataVolumes [|[|"db", "1m"|]|];', ""),
        ("", 'volumeSize "4m";'),
        ("", 'swapSize "2m";'),
        ("", 'baseImage "B";'),
        ("", 'arch "i686";'),
    ],
)
async def test_so_do_other_sizes_and_what_the_machine_says(files, folder, store, vm):
    image = f'baseImage "{folder}/a.img"; volumeSize "8m";'
    await files.start(image)

    store = f"{image.replace('8m', '4m')}" if "4m" in store else f"{image} {store}"
    await files.update(store, ALLOWED + vm.replace("B", f"{folder}/b.img"))

    assert files.volumes[:2] == names("+2")
    sizes = [Path(offer.path).stat().st_size // MIB for offer in files.store.offers]
    assert sizes[0] == (4 if "4m" in store + vm else 8)
    assert sizes[1] == (2 if "swapSize" in vm else 1)
    assert len(sizes) == (3 if "db" in store else 2)
    assert of(files.store.offers[0].path) == ("b" if "baseImage" in vm else "a")
    await files.update(store, ALLOWED + vm.replace("B", f"{folder}/b.img") + "priority 7;")
    assert files.volumes[:2] == names("+2")  # as described: nothing is done again


async def test_kept_volumes_stay_beside_the_new_ones(files):
    await files.start(files.image("a"))
    keep = files.image("b") + "keepVolumes true;"

    assert any(
        "stay beside" in way for row in (await files.plan(keep, ALLOWED)).rows for way in row.ways
    )
    await files.update(keep, ALLOWED)
    await files.update(files.image("a") + "keepVolumes true;", ALLOWED)

    assert files.volumes == names("+3")
    assert await files.there() == sorted([*names(), *names("+2"), *names("+3")])
    folder = files.engine.process.work_folder / "volumes"
    assert [of(folder / names(mark)[0]) for mark in ("", "+2", "+3")] == ["a", "b", "a"]
    assert not list(folder.glob("*[!3].lock"))


async def test_volumes_that_were_there_are_never_replaced(files, folder):
    there = folder / "there"
    there.mkdir()
    (there / "v").write_bytes(b"kept")
    text = f'directory "{there}"; usingExistingVolumes true; volumeNames [|"v"|]; swapSize 0;'
    await files.start(text)

    for more in ("usingExistingVolumes false; " + files.image("b"), 'volumeNames [|"w"|];'):
        with pytest.raises(EngineError) as failure:
            await files.update(text.replace('[|"v"|]', '[|"w"|]') + more, ALLOWED)
        assert "volumes" in str(failure.value.fault.chain())
    assert (there / "v").read_bytes() == b"kept"


async def test_one_that_is_off_has_them_at_once(machine):
    await machine.start(machine.image("a"), 'startMode "defined";')

    await machine.update(machine.image("b"), f'startMode "defined"; {ALLOWED}')

    assert not (await machine.facts()).active
    assert await machine.there() == sorted(names("+2"))
    assert all("+2" in path for path in (await machine.facts()).disks)


async def fails_at(machine, effect, when):
    """Have one step of making the new volumes fail, and the machine go on, and do better next time."""
    await machine.start(machine.image("a"))
    before = await machine.facts()
    machine.engine.process.keeper.saboteur = Saboteur([Plan(effect, when, "raise")])

    with pytest.raises(EngineError, match="could not be replaced, and it is on those it had"):
        await machine.update(machine.image("b"), ALLOWED)

    assert (await machine.facts(), machine.volumes) == (before, names())
    assert await machine.there() == sorted(names())
    live = machine.live()
    assert (live.ready, live.value("allowReplace")) == (True, False)
    assert "could not be replaced" in live.value("lastError")
    await machine.update(machine.image("b"), ALLOWED)
    assert await machine.there() == sorted(names("+2"))
    await machine.engine.terminate("app")
    if machine.kind != "pool":  # the whole of which has gone
        assert await machine.there() == []


@pytest.mark.parametrize(
    "effect", ["volume1+2", "volume1-swap+2", "ReplacedVolumes", "VolumesInUse"]
)
@pytest.mark.parametrize("when", ["making", "made"])
async def test_volumes_that_cannot_be_made_leave_the_guest_running_on_its_own(files, effect, when):
    await fails_at(files, effect, when)


async def test_so_they_do_whatever_kind_they_are(machine):
    await fails_at(machine, "volume1-swap+2", "made")


@pytest.mark.parametrize("times", [1, 2])
async def test_a_guest_that_does_not_come_up_on_them_is_on_its_old_ones_again(
    machine, monkeypatch, times
):
    await machine.start(machine.image("a"))
    hypervisor = await machine.hypervisor()
    start, left = hypervisor.start, [times]

    async def fails(uuid, *, paused=False):
        left[0] -= 1
        if left[0] >= 0:
            raise HypervisorError("Refused", "no such disk", step="start", name="app-vm")
        await start(uuid, paused=paused)

    monkeypatch.setattr(hypervisor, "start", fails)
    with pytest.raises(EngineError) as failure:
        await machine.update(machine.image("b"), ALLOWED)

    assert "no such disk" in str(failure.value.fault.chain())
    if times == 2:  # nor on its old ones: then it has ended, as with any update that fails
        assert "the application was ended" in str(failure.value)
        return
    facts = await machine.facts()
    assert facts.active
    assert not any("+2" in path for path in facts.disks)
    assert (machine.volumes, await machine.there()) == (names(), sorted(names()))
    assert machine.live().ready
    await machine.update(machine.image("b"), ALLOWED)
    assert machine.volumes == names("+2")


def shows(console):
    with console.open("ab") as file:
        file.write(b"SD-READY\n")


async def test_nor_is_one_that_ends_before_it_has_booted(files, monkeypatch):
    await files.start(files.image("a"))
    hypervisor, console = await files.hypervisor(), Path(files.live().value("consolePath"))
    start, starts = hypervisor.start, []

    async def dies(uuid, *, paused=False):
        await start(uuid, paused=paused)
        starts.append(uuid)
        if len(starts) == 1:
            await hypervisor.destroy(uuid, gentle=False)
        else:
            shows(console)

    monkeypatch.setattr(hypervisor, "start", dies)
    with pytest.raises(EngineError) as failure:
        await files.update(files.image("b"), f'{ALLOWED} startMode "booted"; bootTimeout 30;')

    assert "its guest has ended" in str(failure.value.fault.chain())
    assert (files.volumes, await files.there()) == (names(), sorted(names()))
    assert (files.live().ready, len(starts)) == (True, 2)


async def test_a_guest_that_boots_late_on_its_old_ones_is_ready_then(files, monkeypatch):
    booted = 'startMode "booted"; bootTimeout 1;'
    shown = asyncio.Event()
    booted_as_ever = Watching.booted

    async def boots_at_first(watching, *, past=0):
        if not shown.is_set():
            shown.set()
            shows(Path(files.live().value("consolePath")))
        await booted_as_ever(watching, past=past)

    monkeypatch.setattr(Watching, "booted", boots_at_first)
    await files.start(files.image("a"), booted)
    with pytest.raises(EngineError) as failure:
        await files.update(files.image("b"), f'{ALLOWED} startMode "booted"; bootTimeout 2;')

    assert "no SD-READY on the console" in str(failure.value.fault.chain())
    assert (await files.facts()).active
    assert (files.volumes, await files.there()) == (names(), sorted(names()))
    assert not files.live().ready
    shows(Path(files.live().value("consolePath")))
    await until(lambda: files.live().ready)


async def test_a_guest_that_ends_again_on_its_old_ones_ends_the_machine_and_all_volumes_stay(
    files, monkeypatch
):
    await files.start(files.image("a"))
    hypervisor = await files.hypervisor()
    start = hypervisor.start

    async def dies(uuid, *, paused=False):
        await start(uuid, paused=paused)
        await hypervisor.destroy(uuid, gentle=False)

    monkeypatch.setattr(hypervisor, "start", dies)
    with pytest.raises(EngineError) as failure:
        await files.update(files.image("b"), f'{ALLOWED} startMode "booted"; bootTimeout 30;')

    assert "the application was ended" in str(failure.value)
    assert await files.there() == sorted([*names(), *names("+2")])


@pytest.mark.parametrize("switched", [False, True])
async def test_a_daemon_that_went_down_meanwhile_goes_on_with_those_that_counted(files, switched):
    await files.start(files.image("a"))
    store = files.store
    store.live.changes["baseImage"] = str(files.folder / "b.img")
    await store.replacing.begin()
    if switched:
        await store.replacing.use(new=True)
    effects = tuple(made.effect for made in store.live.effects)

    store.offers, store.mark = [], ""
    await StorageBackend.on_adopt(store, effects)

    mark = "+2" if switched else ""
    assert (files.volumes, store.mark) == (names(mark), mark)
    # What it had before is left where it was: only what is new, and not used, goes.
    kept = [*names(), *names("+2")] if switched else names()
    assert await files.there() == sorted(kept)
    assert not any(isinstance(made.effect, ReplacedVolumes) for made in store.live.effects)


async def test_they_are_found_again_by_a_guest_that_was_set_aside(files):
    leave = f'{ALLOWED} stopMode "leave";'
    await files.start(files.image("a"), leave)
    await files.update(files.image("b"), leave)
    before = await files.facts()
    await files.engine.terminate("app")

    await files.start(files.image("b"), leave)

    assert (await files.facts()).id == before.id
    assert files.volumes == names("+2")
    await files.update(files.image("b"), ALLOWED)
    await files.engine.terminate("app")
    assert await files.there() == []


async def test_what_no_component_has_foreseen_leaves_it_on_its_old_ones_as_well(files, monkeypatch):
    await files.start(files.image("a"))
    before = await files.facts()
    store, making = files.store, files.live().prim.making
    rewrite, left = making.rewrite, [1]

    async def no_space(*_args):
        raise OSError(28, "No space left on device")

    async def no_space_once():
        left[0] -= 1
        return await (no_space() if left[0] >= 0 else rewrite())

    with monkeypatch.context() as patch:
        patch.setattr(store, "check_host", no_space)
        with pytest.raises(EngineError, match="everything is as before"):
            await files.update(files.image("b"), ALLOWED)
    assert (await files.facts(), files.volumes) == (before, names())

    monkeypatch.setattr(making, "rewrite", no_space_once)
    with pytest.raises(EngineError, match="everything is as before"):
        await files.update(files.image("b"), ALLOWED)

    assert (await files.facts()).active
    assert (files.volumes, await files.there()) == (names(), sorted(names()))


async def test_a_guest_that_takes_long_to_boot_on_its_old_ones_goes_on(files, monkeypatch):
    await files.start(files.image("a"))

    async def late(_watching, *, past=0):
        del past
        raise TimedOut("it has not booted in time")

    monkeypatch.setattr(Watching, "tried", late)
    with pytest.raises(EngineError, match="everything is as before"):
        await files.update(files.image("b"), ALLOWED)

    assert (await files.facts()).active
    assert (files.volumes, await files.there()) == (names(), sorted(names()))


@pytest.mark.parametrize("more", ["", 'arch "i686";'])
async def test_what_was_replaced_is_not_replaced_again_on_the_way_back(files, monkeypatch, more):
    await files.start(files.image("a"))
    updates = files.live().prim.updates
    settle = updates.settle

    async def another_fails():
        await settle()
        monkeypatch.undo()
        raise Refused("another one failed", code=AS_BEFORE)

    monkeypatch.setattr(updates, "settle", another_fails)
    image = files.image("a" if more else "b")
    with pytest.raises(EngineError, match="another one failed"):
        await files.update(image, ALLOWED + more)

    assert files.engine.process.apps
    assert (files.volumes, await files.there()) == (names("+2"), sorted(names("+2")))
    assert of(files.store.offers[0].path) == ("a" if more else "b")
    await files.update(files.image("a"), "priority 7;")
    assert files.volumes == names("+2")


async def test_those_that_a_saved_guest_goes_on_with_are_not_replaced(files):
    await files.start(files.image("a"))
    await files.engine.call("app:vm", "save")

    with pytest.raises(EngineError, match="its guest is saved"):
        await files.update(files.image("b"), ALLOWED)

    assert (files.volumes, await files.there()) == (names(), sorted(names()))
    await files.engine.call("app:vm", "start")
    assert (await files.facts()).active


async def test_a_replacement_that_came_to_no_end_is_done_with_by_the_next(files, monkeypatch):
    await files.start(files.image("a"))
    store = files.store
    store.live.changes["baseImage"] = str(files.folder / "b.img")
    await store.replacing.begin()
    await store.replacing.begin()

    assert sum(isinstance(made.effect, ReplacedVolumes) for made in store.live.effects) == 1
    await store.replacing.end(new=False)
    assert (files.volumes, await files.there()) == (names(), sorted(names()))

    made = asyncio.Event()

    async def hangs():
        await StorageBackend.make_volumes(store)
        made.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "make_volumes", hangs)
    work = asyncio.ensure_future(store.replacing.begin())
    await made.wait()
    assert await files.there() == sorted([*names(), *names("+2")])
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert (files.volumes, await files.there()) == (names(), sorted(names()))
    assert not any(isinstance(made.effect, ReplacedVolumes) for made in store.live.effects)
