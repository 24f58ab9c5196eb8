"""What users have a machine do, on libvirt's test driver: on, off, sizes, screen, one at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import components.domains.acts
import components.domains.domain
from components.domains.keys import CODES
from components.hypervisor.faulty import FaultyHypervisor, Hang, Raise
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DomainState
from engine.core.faults import Busy, Ended, EngineError, Refused, TimedOut, WrongState
from engine.testing.kit import until
from engine.wire.codec import encode
from engine.wire.messages import Call, Cancel

URI = "test:///default"
ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends KvmDomain {{
            diskless true; memory 64; maxMemory 256; maxVcpus 4; domainLivenessDelay 50; {more}
        }}
    }}
}}
"""
PATH = "app:host:vm"
MIB = 2**20


class Started:
    """One machine that runs, and what can be seen of it."""

    def __init__(self, bench):
        self.bench = bench
        self.holder = bench.holder

    @property
    def vm(self):
        return self.bench.find("vm")

    async def hypervisor(self):
        return await self.holder.process.services.get(HypervisorPool).get(URI)

    async def faulty(self):
        faulty = FaultyHypervisor(await self.hypervisor())
        self.holder.process.services.get(HypervisorPool)._open[URI] = faulty
        return faulty

    async def state(self):
        return (await (await self.hypervisor()).status(self.vm.value("uuid"))).state

    async def act(self, action, *words, **named):
        return await self.holder.call(PATH, action, *words, **named)

    async def busy(self):
        """Begin an act that lasts until it is released; return both."""
        faulty = await self.faulty()
        faulty.fail("reset", Hang())
        first = asyncio.ensure_future(self.act("reset"))
        await until(lambda: ("reset", self.vm.value("uuid")) in faulty.calls)
        return faulty, first

    def effects(self):
        return {type(made.effect).__name__ for made in self.vm.effects}


@pytest.fixture
async def deployed(bench):
    async def make(more=""):
        await bench.deploy(ONE.format(more=more))
        return Started(bench)

    return make


async def test_a_suspended_guest_stays_so_until_it_is_resumed(deployed):
    one = await deployed(
        'driftPolicy "repair"; driftPeriod 0.05; domainLivenessMethods [|"ping"|];'
    )

    await one.act("suspend")
    await one.act("suspend")

    assert await one.state() is DomainState.PAUSED
    assert (one.vm.ready, one.vm.value("status")) == (False, "its guest is paused")
    await asyncio.sleep(0.5)  # time in which a repair or a look would have come
    assert await one.state() is DomainState.PAUSED
    assert not one.vm.has("drift")
    await one.act("resume")
    await one.act("resume")
    assert await one.state() is DomainState.RUNNING
    assert (one.vm.ready, one.vm.value("status")) == (True, "its guest runs")


@pytest.mark.parametrize("action", ["shutdown", "destroy"])
async def test_a_machine_whose_guest_is_switched_off_stays_and_can_be_started(deployed, action):
    one = await deployed()
    first = one.vm.value("id")

    await one.act(action)
    await one.act(action)

    assert await one.state() is DomainState.SHUTOFF
    assert (one.vm.ready, one.vm.value("status"), one.vm.value("id")) == (
        False, "its guest is off", None,
    )  # fmt: skip
    assert "RunningDomain" not in one.effects()
    await asyncio.sleep(0.5)  # ten looks, which miss nobody
    await one.vm.prim.check()
    await one.act("start")
    await one.act("start")
    assert await one.state() is DomainState.RUNNING
    assert one.vm.ready
    assert one.vm.value("id") != first
    assert "RunningDomain" in one.effects()
    await (await one.hypervisor()).destroy(one.vm.value("uuid"), gentle=False)
    await until(lambda: not one.bench.one.process.apps)  # it is watched again


@pytest.mark.parametrize("boots", [True, False])
async def test_only_what_a_console_shows_after_the_start_says_that_a_guest_has_booted(
    deployed, monkeypatch, boots
):
    """However quick the guest is, and whatever an earlier guest has shown."""
    shows = True

    def boot(path):
        with Path(path).open("a") as console:
            console.write("SD-READY\n")

    async def show(domain, *, began=False):
        if began and shows:
            boot(domain.consolePath)

    for module in (components.domains.acts, components.domains.domain):
        monkeypatch.setattr(module, "show", show)
    one = await deployed('startMode "booted"; bootTimeout 2;')
    await one.act("destroy")

    shows = boots
    if boots:
        await one.act("start")
    else:
        with pytest.raises(TimedOut, match="no SD-READY on the console within 2 s"):
            await one.act("start")

    assert one.vm.ready is boots
    boot(one.vm.value("consolePath"))  # later than it was waited for
    await until(lambda: one.vm.ready)
    await one.vm.prim.check()


async def test_a_machine_that_is_off_ends_without_a_trace(deployed):
    one = await deployed()
    await one.act("destroy")
    hypervisor = await one.hypervisor()

    await one.bench.one.terminate("app")

    assert [facts.name for facts in await hypervisor.facts()] == ["test"]


async def test_a_guest_that_does_not_shut_down_goes_on(deployed):
    one = await deployed("stopTimeout 1;")
    faulty = await one.faulty()
    faulty.shutdown = lambda uuid: asyncio.sleep(0)

    with pytest.raises(TimedOut, match="it goes on"):
        await one.act("shutdown")

    assert await one.state() is DomainState.RUNNING
    assert one.vm.ready
    assert one.vm.value("status") == "its guest runs"
    assert "did not shut down" in one.vm.value("lastError")


async def test_a_saved_guest_goes_on_and_one_never_saved_is_not_restored(deployed):
    one = await deployed()
    with pytest.raises(Refused, match="nothing of its guest is saved"):
        await one.act("restore")

    await one.act("save")

    assert await one.state() is DomainState.SHUTOFF
    assert one.vm.value("status") == "its guest is saved"
    assert await (await one.hypervisor()).machines.is_saved(one.vm.value("uuid"))
    await one.act("restore")
    assert await one.state() is DomainState.RUNNING
    assert not await (await one.hypervisor()).machines.is_saved(one.vm.value("uuid"))


@pytest.mark.parametrize("action", ["reboot", "reset"])
async def test_rebooting_needs_a_guest_that_is_on(deployed, action):
    one = await deployed()
    faulty = await one.faulty()
    await one.act(action)
    assert (action, one.vm.value("uuid")) in faulty.calls
    await one.act("destroy")

    with pytest.raises(WrongState, match=f"its guest is off, so it cannot {action}"):
        await one.act(action)


@pytest.mark.parametrize("action", ["shutdown", "destroy", "save"])
async def test_a_machine_that_leaves_nothing_is_not_switched_off(deployed, action):
    one = await deployed("persistent false;")

    with pytest.raises(Refused, match="would leave nothing of it"):
        await one.act(action)

    assert await one.state() is DomainState.RUNNING
    assert one.vm.ready


async def test_its_memory_and_processors_are_changed_within_its_limits(deployed):
    one = await deployed("driftPeriod 0.05;")

    await one.act("resize_memory", "128m")
    await one.act("resize_vcpus", 3)

    assert (one.vm.bound["memory"], one.vm.bound["vcpus"]) == (128 * MIB, 3)
    assert '<currentMemory unit="b">134217728</currentMemory>' in one.vm.prim.making.xml
    with pytest.raises(
        Refused, match=f"{512 * MIB} bytes are more than its maxMemory, {256 * MIB}"
    ):
        await one.act("resize_memory", 512)
    with pytest.raises(Refused, match="5 processors are more than its maxVcpus, 4"):
        await one.act("resize_vcpus", 5)
    with pytest.raises(EngineError, match="memory: must be at least"):
        await one.act("resize_memory", 1)
    assert one.vm.bound["memory"] == 128 * MIB
    await asyncio.sleep(0.3)  # several comparisons
    assert not one.vm.has("drift")


async def test_a_size_the_hypervisor_refuses_is_not_described(deployed):
    one = await deployed()
    (await one.faulty()).fail("memory", Raise("Refused", message="no"))

    with pytest.raises(Refused, match="no"):
        await one.act("resize_memory", 128)

    assert one.vm.bound["memory"] == 64 * MIB


async def test_labels_come_and_go(deployed):
    one = await deployed('labels [|"a"|];')

    await one.act("set_label", "b")
    await one.act("set_label", "b")
    await one.act("set_label", "a", False)
    await one.act("set_label", "c", False)

    assert one.vm.bound["labels"] == ("b",)
    with pytest.raises(EngineError, match="a label must be a word"):
        await one.act("set_label", " ")


async def test_a_picture_of_its_screen_goes_with_it(deployed):
    one = await deployed()

    path = Path(await one.act("screenshot"))
    again = await one.act("screenshot")

    assert path.read_bytes()[1:4] == b"PNG"
    assert again == str(path)
    await one.bench.one.terminate("app")
    assert not path.exists()


async def test_keys_are_pressed_by_name(deployed):
    one = await deployed()
    faulty = await one.faulty()

    await one.act("send_keys", "ctrl-alt-delete x")

    assert faulty.calls.count(("keys", one.vm.value("uuid"))) == 2
    with pytest.raises(EngineError, match="there is no key 'any'"):
        await one.act("send_keys", "any")
    assert (CODES["a"], CODES["z"], CODES["0"], CODES["f10"], CODES["f12"]) == (30, 44, 11, 68, 88)


async def test_without_an_agent_nothing_is_run_in_the_guest(deployed):
    one = await deployed()
    with pytest.raises(Refused):
        await one.act("exec", "true")


async def test_without_a_channel_its_agent_is_not_asked(deployed):
    one = await deployed("agentChannel false;")
    with pytest.raises(Refused, match="no channel for an agent"):
        await one.act("exec", "true")


async def test_a_second_act_is_refused_with_the_name_and_age_of_the_first(deployed):
    one = await deployed()
    faulty, first = await one.busy()

    with pytest.raises(Busy, match="reset has been under way for 0 s"):
        await one.act("suspend")

    assert one.vm.value("status") == "resets its guest"
    faulty.release()
    await first
    await one.act("suspend")


async def test_acts_that_wait_are_told_what_for_and_done_in_order(deployed):
    one = await deployed()
    faulty, first = await one.busy()
    call = Call(one.vm.ident, "suspend", encode([]), encode({"wait": 60.0}))
    second = asyncio.ensure_future(one.holder.submit(call, request_id="r2"))
    operations = one.holder.process.operations

    def told():
        return {op.id: op.stands().progress.text for op in operations.under_way_now}.get("r2")

    await until(lambda: told() == "waits for its turn after reset")
    third = asyncio.ensure_future(one.act("resume", wait=60))
    assert one.vm.value("status") == "resets its guest"

    faulty.release()
    await asyncio.gather(first, second, third)

    order = [name for name, *_ in faulty.calls if name in {"reset", "suspend", "resume"}]
    assert order == ["reset", "suspend", "resume"]


async def test_an_act_that_waits_is_cancelled_or_ends_with_its_machine(deployed):
    one = await deployed()
    faulty, first = await one.busy()
    call = Call(one.vm.ident, "suspend", encode([]), encode({"wait": 60.0}))
    second = asyncio.ensure_future(one.holder.submit(call, request_id="r2"))
    third = asyncio.ensure_future(one.act("resume", wait=60))
    await until(lambda: len(one.vm.prim.acts._turns._line) == 2)

    await one.holder.submit(Cancel("r2"))
    with pytest.raises(Refused, match="suspend was cancelled by request"):
        await second
    ending = asyncio.ensure_future(one.bench.one.terminate("app"))

    with pytest.raises(Ended, match="in the middle of reset"):
        await first
    with pytest.raises(Ended, match="before its turn came"):
        await third
    faulty.release()
    await ending
    assert not [call for call in faulty.calls if call[0] == "suspend"]


async def test_an_act_ends_with_its_machine(deployed):
    one = await deployed()
    faulty = await one.faulty()
    faulty.fail("reset", Hang())
    first = asyncio.ensure_future(one.act("reset"))
    await until(lambda: ("reset", one.vm.value("uuid")) in faulty.calls)
    ending = asyncio.ensure_future(one.bench.one.terminate("app"))

    with pytest.raises(Ended, match="in the middle of reset"):
        await first

    faulty.release()
    await ending


async def test_an_act_is_cancelled_by_its_request_id(deployed):
    one = await deployed()
    faulty = await one.faulty()
    faulty.fail("reset", Hang())
    call = Call(one.vm.ident, "reset", encode([]))
    first = asyncio.ensure_future(one.holder.submit(call, request_id="r1"))
    await until(lambda: ("reset", one.vm.value("uuid")) in faulty.calls)
    (operation,) = [op for op in one.holder.process.operations.under_way_now if op.id == "r1"]
    assert operation.stands().progress.text == "resets its guest"

    await one.holder.submit(Cancel("r1"))

    with pytest.raises(Refused, match="reset was cancelled by request"):
        await first
    faulty.release()
    await one.act("suspend")


async def test_arguments_that_do_not_fit_are_refused_with_what_it_takes(deployed):
    one = await deployed()
    for words in (["a"], [1, 2]):
        with pytest.raises(Refused) as refused:
            await one.act("suspend", *words)
        assert refused.value.fault.hint == "it takes none"
    with pytest.raises(Refused) as refused:
        await one.act("resize_memory")
    assert refused.value.fault.hint == "it takes: size"
