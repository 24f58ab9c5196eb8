"""A machine is called otherwise: at once while its guest is off, else as that is started again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import sfdl
from components.domains.effects import DefinedDomain
from components.hypervisor.capabilities import Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.testing.kit import engines
from engine.testing.sabotage import Plan, Saboteur

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default"; ROOT
    loop extends LoopbackStorageBackend {
        baseImage "/usr/share/common-licenses"; volumeSize "8m"; swapSize 0; spaceReserve 0; LOOP
    }
    vm extends KvmDomain { memory 64; storageBackend LAZY ATTRIB loop;
        context extends Context { mode "nocloud"; } VM }
}
"""


class Named:
    """One machine that is renamed."""

    def __init__(self, engine):
        self.engine = engine

    def root(self, vm="", loop="", root=""):
        text = POOL.replace("LOOP }", f"{loop} }}").replace("VM }", f"{vm} }}")
        return sfdl.compile(text.replace("LOOP\n", f"{loop}\n").replace("ROOT", root)).root

    async def start(self, *said):
        await self.engine.deploy("app", self.root(*said))

    async def update(self, *said):
        await self.engine.update("app", self.root(*said))

    async def way(self, *said):
        found = await self.engine.plan("app", self.root(*said))
        (row,) = [row for row in found.rows if row.path == "vm"]
        return dict(zip(row.attributes, row.ways, strict=True))["domainName"]

    @property
    def vm(self):
        return next(each for each in self.engine.process.lives.values() if each.name == "vm")

    async def hypervisor(self):
        return await self.engine.process.services.get(HypervisorPool).get("test:///default")

    async def domains(self):
        found = await (await self.hypervisor()).facts()
        return {one.name: one.uuid for one in found if one.name != "test"}

    async def act(self, *names):
        for name in names:
            await self.engine.call(self.vm.path, name)

    @property
    def defined(self):
        (found,) = [e.effect for e in self.vm.effects if isinstance(e.effect, DefinedDomain)]
        return found

    def files(self):
        work = self.engine.process.work_folder
        return sorted(p.name for p in work.glob("*/*") if p.suffix in {"", ".log", ".iso"})


@pytest.fixture
async def named(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        yield Named(engine)


@pytest.fixture(params=["renamed", "defined anew"])
async def way(request, named, monkeypatch):
    """By its hypervisor's own means, or as where there are none."""
    if request.param == "defined anew":
        (await named.hypervisor()).caps.lower(Capability.RENAME, "as with Xen")
    return request.param


async def test_one_that_runs_is_renamed_as_it_is_started_again(named, way):
    await named.start()
    before, files = await named.domains(), named.files()

    assert await named.way('domainName "web";') == "next power cycle"
    await named.update('domainName "web";')

    assert (await named.domains(), named.vm.value("pendingChanges")) == (before, "domainName")
    await named.act("destroy", "start")
    assert await named.domains() == {"web": before["app-vm"]}
    assert not named.vm.value("pendingChanges")
    assert (named.defined.name, named.defined.was) == ("web", "")
    assert "<name>web</name>" in named.defined.xml
    assert named.files() == files  # they keep the name they were made under
    await named.engine.terminate("app")
    assert await named.domains() == {}
    assert named.files() == []


async def test_or_now_by_a_power_cycle(named):
    await named.start()

    assert await named.way('domainName "web"; updateMode "reboot";') == "now, by a power cycle"
    await named.update('domainName "web"; hostname "other"; memory 96; updateMode "reboot";')

    assert list(await named.domains()) == ["web"]
    assert (named.vm.ready, named.vm.value("pendingChanges")) == (True, "")
    uuid = named.vm.value("uuid")
    assert (await (await named.hypervisor()).fact(uuid)).id == 3  # one power cycle for all of it


async def test_one_that_is_off_is_renamed_at_once(named, way):
    await named.start('startMode "defined";')

    assert await named.way('startMode "defined"; domainName "web";') == "at once"
    await named.update('startMode "defined"; domainName "web";')

    assert list(await named.domains()) == ["web"]
    await named.update('startMode "defined";')
    assert list(await named.domains()) == ["app-vm"]


async def test_its_volumes_grow_under_the_name_they_have(named):
    await named.start('startMode "defined";')
    await named.update('startMode "defined"; domainName "web";')

    await named.update('startMode "defined"; domainName "web"; volumeSize "12m";')

    volume = named.engine.process.work_folder / "volumes" / "app-vm-volume1"
    assert volume.stat().st_size == 12 * 2**20


async def test_a_name_somebody_has_is_refused_before_anything_is_changed(named):
    await named.start()

    with pytest.raises(EngineError) as failure:
        await named.update('domainName "test"; memory 96;')

    assert "a domain called test exists already (not made by smartdomains" in str(
        failure.value.fault.chain()
    )
    assert list(await named.domains()) == ["app-vm"]


async def test_nor_can_two_of_one_description_have_one_name(named):
    await named.start()
    other = 'domainName "web"; sibling extends KvmDomain { diskless true; domainName "web"; }'

    with pytest.raises(EngineError, match="is given to app:vm as well"):
        await named.update(other)


async def test_a_name_that_its_storage_gives_is_not_contradicted(named):
    await named.start("", 'domainName "d";')
    assert list(await named.domains()) == ["d"]

    with pytest.raises(EngineError) as failure:
        await named.update('domainName "e";', 'domainName "d";')

    assert "whose volumes have it" in str(failure.value.fault.chain())


async def test_going_back_before_it_was_renamed_leaves_nothing_to_wait_for(named):
    await named.start()
    await named.update('domainName "web";')

    await named.update()

    assert named.vm.value("pendingChanges") == ""
    await named.act("destroy", "start")
    assert list(await named.domains()) == ["app-vm"]


@pytest.mark.parametrize("when", ["making", "made"])
async def test_one_that_cannot_be_renamed_starts_under_the_name_it_has(named, way, when):
    await named.start()
    await named.update('domainName "web";')
    named.engine.process.keeper.saboteur = Saboteur([Plan("DefinedDomain", when, "raise")])

    await named.act("destroy", "start")

    assert list(await named.domains()) == ["app-vm" if when == "making" else "web"]
    assert named.vm.ready
    await named.act("destroy", "start")
    assert list(await named.domains()) == ["web"]
    await named.engine.terminate("app")
    assert await named.domains() == {}


async def test_one_that_was_forgotten_for_it_and_is_not_accepted_is_defined_as_it_was(
    named, monkeypatch
):
    await named.start('startMode "defined";')
    hypervisor = await named.hypervisor()
    hypervisor.caps.lower(Capability.RENAME, "as with Xen")
    define = hypervisor.define

    async def refuses(xml):
        if "<name>web<" in xml:
            raise HypervisorError("Refused", "not that one", step="define", name="web")
        await define(xml)

    monkeypatch.setattr(hypervisor, "define", refuses)
    before = await named.domains()
    with pytest.raises(HypervisorError, match="not that one"):
        await named.vm.prim.making.naming.take("web")

    assert await named.domains() == before
    assert (named.defined.name, named.vm.prim.called) == ("app-vm", "app-vm")
    assert "<name>app-vm<" in named.vm.prim.making.xml


async def test_what_the_daemon_was_about_when_it_went_down_is_finished(named, way):
    await named.start('startMode "defined";')
    live = named.vm
    keeper, prim = live.process.keeper, live.prim
    xml = named.defined.xml.replace("<name>app-vm<", "<name>web<")
    half = replace(named.defined, name="web", xml=xml, was="app-vm")
    await keeper.restate(live, named.defined, half)
    if way == "defined anew":
        await (await named.hypervisor()).undefine(half.uuid)
    (row,) = [row for row in live.process.ledger.effects() if "DefinedDomain" in row.class_]
    made = keeper.restore(row)
    assert (await made.effect.look(made.site)).value == "ours"

    await prim.making.naming.finish()

    assert list(await named.domains()) == ["web"]
    assert named.defined.was == ""
    await named.engine.terminate("app")
    assert await named.domains() == {}


async def test_where_that_cannot_be_any_more_it_keeps_the_name_it_had(named, way):
    await named.start('startMode "defined";')
    prim, keeper = named.vm.prim, named.engine.process.keeper
    old = named.defined
    new = replace(old, name="test", was=old.name, xml=old.xml.replace("app-vm<", "test<"))
    await keeper.restate(named.vm, old, new)  # and then it went down; somebody has the name now
    prim.called = "test"

    await prim.making.naming.finish()

    assert (prim.called, list(await named.domains())) == ("app-vm", ["app-vm"])
    assert (named.defined.name, named.defined.was) == ("app-vm", "")
    await named.engine.terminate("app")
    assert await named.domains() == {}
