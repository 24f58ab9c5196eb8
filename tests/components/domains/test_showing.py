"""What a domain shows of itself and its guest: status, times, numbers, addresses."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.testing.kit import until
from sfdl.values import Description, Vector

ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        told extends Context {{ userData "#cloud-config\\nchpasswd: SECRET-WORD\\n"; }}
        vm extends KvmDomain {{
            diskless true; memory 64; domainLivenessDelay 50; context LAZY ATTRIB told; {more}
        }}
    }}
}}
"""


def text(more=""):
    return ONE.format(more=more)


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get("test:///default")


async def test_a_machine_says_what_it_does_and_what_its_guest_is(bench):
    began = datetime.now(UTC).replace(microsecond=0)
    await bench.deploy(text('graphics "vnc"; startMode "created";'))
    vm = bench.find("vm")

    (facts,) = [each for each in await (await hypervisor(bench)).facts() if each.name != "test"]
    assert vm.value("id") == facts.id
    assert vm.value("status") == "its guest is paused"
    assert vm.value("stateReason") == facts.reason
    assert vm.value("host") == bench.holder.process.node_name
    assert began <= datetime.fromisoformat(vm.value("bootTime")) <= datetime.now(UTC)
    assert f"<uuid>{facts.uuid}</uuid>" in vm.value("xml")
    assert vm.value("addresses") == Vector(())
    timings = vm.value("timings")
    assert {"deploy", "start", "definedDomain", "runningDomain"} <= set(timings.names())
    assert all(0 <= timings.get(name) < 60 for name in timings.names())


async def test_its_status_follows_its_guest(bench):
    await bench.deploy(text())
    vm = bench.find("vm")
    assert vm.value("status") == "its guest runs"

    await (await hypervisor(bench)).suspend(vm.value("uuid"))

    await until(lambda: vm.value("status") == "its guest is paused")
    assert (vm.value("state"), vm.value("stateReason")) == ("paused", "user")


async def test_others_read_its_status_by_reference(bench):
    await bench.deploy(text())
    root = bench.one.process.application("app")

    found = await root.prim.get("LAZY HERE host:vm:status")

    assert found == "its guest runs"
    took = await root.prim.get("LAZY HERE host:vm:timings:deploy")
    assert isinstance(took, float)


@pytest.mark.parametrize("name", ["told", "vm", "host"])
async def test_the_tree_shows_what_is_not_as_always(bench, name):
    await bench.deploy(text('startMode "created";'))

    rows = {row.name: row for row in await bench.one.rows("app")}

    assert rows[name].status == ("its guest is paused" if name == "vm" else "")
    assert bench.find(name).value("status")


async def test_what_a_failed_start_was_for_is_told(bench):
    said = []
    events = bench.holder.process.events
    events.attribute, tell = (
        lambda live, name, value: (said.append((live.name, name, value)), tell(live, name, value)),
        events.attribute,
    )
    start = asyncio.ensure_future(
        bench.deploy(text('startMode "booted"; bootTimeout 1; domainLivenessCheck false;'))
    )

    def waits():
        with contextlib.suppress(StopIteration):
            return bench.find("vm").value("status") == "waits until its guest has booted"

    await until(waits)
    with pytest.raises(EngineError):
        await start

    (error,) = {value for who, name, value in said if (who, name) == ("vm", "lastError")}
    assert "no SD-READY on the console" in error


async def test_no_secret_is_in_what_it_shows(bench):
    await bench.deploy(text())

    shown = bench.find("vm").context()

    assert "SECRET-WORD" not in str(shown)
    assert isinstance(shown["timings"], Description)
