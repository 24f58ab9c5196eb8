"""What a domain does when its guest stops, crashes, reboots or does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket

import pytest

from components.domains.liveness import GuestWatch, Looks
from components.domains.methods import Method, method
from components.domains.prober import Prober
from components.domains.reactions import Reactions
from components.hypervisor.capabilities import Capabilities
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import DomainEvent, DomainState, EventKind, Status
from engine.core.faults import EngineError, Refused
from engine.runtime.kinds import BadValueError
from engine.testing.kit import until, virtual_time
from tests.components.domains.test_domain import hypervisor, ours, text


async def is_running(bench):
    found = await ours(bench)
    return any(facts.active for facts in found)


async def comes(condition):
    """Wait, within a bound, until a coroutine function gives something true."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - the hypervisor has to be asked
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("said", "stop"), [("onGuestShutdown", "shutdown"), ("onGuestShutdown", "destroy")]
)
async def test_a_guest_that_stops_is_started_again_where_that_is_wanted(bench, said, stop):
    await bench.deploy(text(f'{said} "restart";'))
    (before,) = await ours(bench)
    machine = await hypervisor(bench)

    if stop == "shutdown":
        await machine.shutdown(before.uuid)
    else:
        await machine.destroy(before.uuid, gentle=False)

    async def again():
        return [facts.id for facts in await ours(bench) if facts.id not in {None, before.id}]

    await comes(again)
    await until(lambda: bench.find("vm").ready)
    assert bench.one.process.apps
    await bench.one.terminate("app")
    assert await ours(bench) == []


async def test_one_restart_too_many_ends_it_abnormally(bench):
    await bench.deploy(text('onGuestShutdown "restart"; restartLimit 1;'))
    (facts,) = await ours(bench)
    machine = await hypervisor(bench)
    await machine.shutdown(facts.uuid)
    await until(lambda: bench.find("vm").ready)
    await comes(lambda: is_running(bench))

    await machine.shutdown(facts.uuid)

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "abnormal"
    assert "restarted 1 times" in record.description
    assert await ours(bench) == []


async def test_a_guest_may_rest_and_be_started_by_somebody_else(bench):
    await bench.deploy(text('onGuestShutdown "ignore"; domainLivenessDelay 50;'))
    (facts,) = await ours(bench)
    machine = await hypervisor(bench)

    await machine.shutdown(facts.uuid)

    await until(lambda: bench.find("vm").value("state") == "shutoff")
    await machine.start(facts.uuid)
    await until(lambda: bench.find("vm").value("state") == "running")
    assert bench.one.process.apps
    await bench.one.terminate("app")
    assert await ours(bench) == []


async def test_an_agent_nobody_can_ask_is_refused_before_anything_is_made(bench):
    with pytest.raises(EngineError, match="no channel to one"):
        await bench.deploy(text('domainLivenessMethods [|"agent"|];'))
    assert await ours(bench) == []


async def test_an_agent_without_a_channel_is_refused(bench):
    with pytest.raises(EngineError, match="no channel for one"):
        await bench.deploy(text('agentChannel false; readyChecks [|"agent"|];'))


@pytest.mark.parametrize("said", ["tcp", "tcp:0", "tcp:65536", "http", "task", ""])
def test_a_way_to_look_that_there_is_not_is_refused_with_those_there_are(said):
    with pytest.raises(BadValueError, match="state, agent, ping, console, tcp:PORT"):
        method(said)


# -- the watch by itself


class Machine:
    """A hypervisor with one guest, in the shape the watch needs."""

    uri = "test:///none"

    def __init__(self):
        self.caps = Capabilities("QEMU")
        self.events = asyncio.Queue()
        self.state, self.reason = DomainState.RUNNING, "booted"
        self.agent_answers = True
        self.resumed = 0
        self.answers, self.changes = True, False

    def changed_s(self, uuid):
        return asyncio.get_running_loop().time() if self.changes else -math.inf

    async def status(self, uuid):
        if not self.answers:
            await asyncio.sleep(10)
            raise HypervisorError("Timeout", "it does not answer", step="status")
        active = self.state in {DomainState.RUNNING, DomainState.PAUSED}
        return Status(state=self.state, reason=self.reason, active=active)

    async def agent(self, uuid, command, *, limit_s):
        if not self.agent_answers:
            raise HypervisorError("Refused", "the agent does not answer", step="agent")
        return "{}"

    async def resume(self, uuid):
        self.resumed += 1
        self.state, self.reason = DomainState.RUNNING, "unpaused"

    def happenings(self, uuid):
        return self

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self.events.get()

    async def aclose(self):
        pass

    def tell(self, kind, detail):
        self.events.put_nowait(DomainEvent(uuid="u", name="vm", kind=kind, detail=detail, at_s=0.0))


class Guest:
    """Whose guest is watched."""

    def __init__(self, machine, fails=False):
        self.machine, self.fails = machine, fails
        self.said, self.restarts, self.dumps, self.reboots = [], 0, 0, 0

    def seen(self, state, reason):
        pass

    def say(self, text):
        self.said.append(text)

    def rebooted(self):
        self.reboots += 1

    async def dump(self):
        self.dumps += 1
        if self.fails:
            raise Refused("no space")
        return "/srv/dump"

    async def restart(self):
        self.restarts += 1
        if self.fails:
            raise HypervisorError("Refused", "no memory", step="start")
        self.machine.state, self.machine.reason = DomainState.RUNNING, "booted"


def watched(machine, guest, tmp_path, *, methods=(), boot_s=60.0, grace_s=60.0, **wanted):
    prober = Prober(
        uuid="u", ip="127.0.0.1", console=tmp_path / "console", quiet_s=10, limit_s=1,
        boot_s=boot_s,
    )  # fmt: skip
    looks = Looks(tuple(methods), 2.0, 3, grace_s, True)
    return GuestWatch(
        name="vm", uuid="u", looks=looks, reactions=Reactions(**wanted), prober=prober, guest=guest
    )


async def within(seconds, work):
    async with asyncio.timeout(seconds):
        return await work


def in_virtual_time(test):
    def run(tmp_path):
        virtual_time(test(tmp_path))

    run.__name__ = test.__name__
    return run


@pytest.mark.parametrize(
    ("fails", "said"),
    [(False, "its memory is in /srv/dump"), (True, "its memory could not be kept: no space")],
)
def test_the_memory_of_a_crashed_guest_is_kept_before_it_ends(tmp_path, fails, said):
    async def story():
        machine = Machine()
        guest = Guest(machine, fails)
        watch = watched(machine, guest, tmp_path, on_crash="dump")
        work = asyncio.ensure_future(watch.run(machine))
        machine.state, machine.reason = DomainState.CRASHED, "panicked"
        machine.tell(EventKind.CRASHED, "panicked")
        record = await within(30, work)
        assert (record.type, guest.dumps) == ("abnormal", 1)
        assert record.description.endswith(said)

    virtual_time(story())


@in_virtual_time
async def test_a_watch_that_has_not_begun_knows_of_no_trouble(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine), tmp_path)
    await asyncio.sleep(1000)
    assert watch.trouble(asyncio.get_running_loop().time()) == ""


@in_virtual_time
async def test_nothing_is_known_of_a_guest_that_is_being_changed_and_that_is_no_trouble(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine), tmp_path, grace_s=0.0)
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(1)
    clock = asyncio.get_running_loop()
    machine.answers, machine.changes = False, True
    for _ in range(120):
        await asyncio.sleep(0.5)
        assert watch.trouble(clock.time()) == ""
    assert not work.done()

    machine.changes = False
    await asyncio.sleep(8)
    assert "last seen well" in watch.trouble(clock.time())
    record = await within(60, work)
    assert "does not answer" in record.description


@in_virtual_time
async def test_a_question_that_is_not_answered_is_the_hypervisors_silence_at_first(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine), tmp_path, grace_s=60.0)
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(1)
    clock = asyncio.get_running_loop()
    machine.answers = False
    await asyncio.sleep(50)
    assert watch.trouble(clock.time()) == ""
    await asyncio.sleep(20)
    assert "last seen well" in watch.trouble(clock.time())
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@in_virtual_time
async def test_a_crash_and_a_shutdown_are_told_apart(tmp_path):
    machine = Machine()
    guest = Guest(machine)
    watch = watched(machine, guest, tmp_path, on_shutdown="ignore")
    work = asyncio.ensure_future(watch.run(machine))
    machine.state, machine.reason = DomainState.SHUTOFF, "shutdown"
    machine.tell(EventKind.STOPPED, "shutdown")
    await asyncio.sleep(60)
    assert not work.done()
    assert watch.trouble(asyncio.get_running_loop().time()) == ""
    machine.state, machine.reason = DomainState.RUNNING, "booted"
    await asyncio.sleep(5)
    machine.state, machine.reason = DomainState.SHUTOFF, "crashed"
    machine.tell(EventKind.STOPPED, "crashed")
    record = await within(5, work)
    assert (record.type, guest.restarts) == ("abnormal", 0)
    assert "crashed" in record.description


@in_virtual_time
async def test_news_of_before_a_restart_do_not_count_after_it(tmp_path):
    machine = Machine()
    guest = Guest(machine)
    watch = watched(machine, guest, tmp_path, on_crash="restart", limit=2)
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(1)
    machine.state, machine.reason = DomainState.SHUTOFF, "crashed"
    for _ in range(5):
        machine.tell(EventKind.STOPPED, "crashed")
    await asyncio.sleep(20)
    assert (guest.restarts, work.done()) == (1, False)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@in_virtual_time
async def test_a_restart_that_fails_ends_it_with_the_reason(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine, fails=True), tmp_path, on_crash="restart")
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(1)
    machine.state, machine.reason = DomainState.SHUTOFF, "crashed"
    machine.tell(EventKind.STOPPED, "crashed")
    record = await within(10, work)
    assert record.type == "abnormal"
    assert "no memory" in record.description


@in_virtual_time
async def test_a_reboot_is_nothing_to_end_for_and_recreate_starts_anew(tmp_path):
    for on_reboot, restarts in (("continue", 0), ("recreate", 1)):
        machine = Machine()
        guest = Guest(machine)
        watch = watched(machine, guest, tmp_path, on_reboot=on_reboot)
        work = asyncio.ensure_future(watch.run(machine))
        await asyncio.sleep(1)
        machine.tell(EventKind.REBOOTED, "")
        await asyncio.sleep(10)
        assert (guest.restarts, guest.reboots, work.done()) == (restarts, 1 - restarts, False)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@in_virtual_time
async def test_a_guest_paused_by_a_full_disk_is_told_of_and_let_go_on(tmp_path):
    machine = Machine()
    guest = Guest(machine)
    watch = watched(machine, guest, tmp_path)
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(1)
    machine.state, machine.reason = DomainState.PAUSED, "io-error"
    await asyncio.sleep(5)
    assert machine.resumed == 1
    assert any("full" in text for text in guest.said)
    assert not work.done()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@in_virtual_time
async def test_an_agent_counts_once_it_has_answered(tmp_path):
    machine = Machine()
    machine.agent_answers = False
    watch = watched(machine, Guest(machine), tmp_path, methods=[Method("agent")], boot_s=5)
    work = asyncio.ensure_future(watch.run(machine))
    await asyncio.sleep(100)
    assert not work.done()
    machine.agent_answers = True
    await asyncio.sleep(5)
    machine.agent_answers = False
    record = await within(10, work)
    assert record.type == "abnormal"
    assert "agent" in record.description


@in_virtual_time
async def test_a_console_that_falls_silent_counts(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine), tmp_path, methods=[Method("console")])
    (tmp_path / "console").write_text("booting")
    work = asyncio.ensure_future(watch.run(machine))
    for line in range(10):
        await asyncio.sleep(8)
        (tmp_path / "console").write_text("alive" * line)
    assert not work.done()
    record = await within(30, work)
    assert "silent" in record.description


@in_virtual_time
async def test_no_way_counts_against_a_guest_that_is_still_booting(tmp_path):
    machine = Machine()
    watch = watched(machine, Guest(machine), tmp_path, methods=[Method("console")], boot_s=50)
    work = asyncio.ensure_future(watch.run(machine))
    began_s = asyncio.get_running_loop().time()
    record = await within(100, work)
    assert "there is none" in record.description
    assert asyncio.get_running_loop().time() - began_s > 50


async def test_a_port_that_listens_is_well_and_one_that_does_not_is_not(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        prober = Prober(
            uuid="u", ip="127.0.0.1", console=tmp_path / "c", quiet_s=1, limit_s=1, boot_s=0
        )
        assert await prober.look(Machine(), Method("tcp", port)) == ""
    trouble = await prober.look(Machine(), Method("tcp", port))
    assert trouble.startswith(f"tcp:{port}: 127.0.0.1")


@pytest.mark.skipif(os.geteuid() != 0, reason="ping needs its right to raw sockets")
async def test_an_address_that_answers_is_well(tmp_path):
    prober = Prober(
        uuid="u", ip="127.0.0.1", console=tmp_path / "c", quiet_s=1, limit_s=1, boot_s=0
    )
    assert await prober.look(Machine(), Method("ping")) == ""
