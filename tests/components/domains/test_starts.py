"""How far a guest is started, and what its hypervisor keeps of it."""

from __future__ import annotations

import pytest

from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DomainState
from engine.core.faults import EngineError
from engine.testing.kit import until

ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends KvmDomain {{ diskless true; memory 64; {more} }}
    }}
}}
"""


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get("test:///default")


async def ours(bench):
    return [facts for facts in await (await hypervisor(bench)).facts() if facts.name != "test"]


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        ("defined", DomainState.SHUTOFF),
        ("created", DomainState.PAUSED),
        ("running", DomainState.RUNNING),
    ],
)
async def test_it_is_started_as_far_as_it_says_and_ends_without_a_trace(bench, mode, state):
    await bench.deploy(ONE.format(more=f'startMode "{mode}";'))

    (facts,) = await ours(bench)
    assert facts.state is state
    assert bench.find("vm").ready
    await bench.one.terminate("app")
    assert await ours(bench) == []


async def test_a_guest_that_does_not_boot_in_time_is_not_started(bench):
    with pytest.raises(EngineError, match="no SD-READY on the console within 1 s"):
        await bench.deploy(ONE.format(more='startMode "booted"; bootTimeout 1;'))

    assert await ours(bench) == []


def said(bench):
    return [str(event) for event in bench.holder.process.events._ring]


async def test_nothing_is_left_of_a_transient_machine_that_stops(bench):
    await bench.deploy(ONE.format(more="persistent false;"))
    (facts,) = await ours(bench)
    assert (facts.persistent, facts.state) == (False, DomainState.RUNNING)

    await (await hypervisor(bench)).shutdown(facts.uuid)

    await until(lambda: not bench.one.process.apps)
    assert await ours(bench) == []


async def test_a_transient_machine_is_made_again_where_a_restart_is_wanted(bench):
    await bench.deploy(ONE.format(more='persistent false; onGuestShutdown "restart";'))
    (before,) = await ours(bench)

    await (await hypervisor(bench)).shutdown(before.uuid)

    await until(lambda: any("started again" in text for text in said(bench)))
    await until(lambda: bench.find("vm").ready)
    (after,) = await ours(bench)
    assert (after.uuid, after.persistent) == (before.uuid, False)
    await bench.one.terminate("app")
    assert await ours(bench) == []


async def test_a_transient_machine_that_is_left_is_taken_over(bench):
    text = ONE.format(more='persistent false; stopMode "leave";')
    await bench.deploy(text)
    (before,) = await ours(bench)
    await bench.one.terminate("app")

    await bench.deploy(text.replace("leave", "destroy"))

    (after,) = await ours(bench)
    assert (after.id, after.state) == (before.id, DomainState.RUNNING)
    await bench.one.terminate("app")
    assert await ours(bench) == []


@pytest.mark.parametrize("on", [True, False])
async def test_its_hypervisor_is_told_whether_to_start_it_with_the_host(bench, on):
    await bench.deploy(ONE.format(more=f"autostart {str(on).lower()};"))

    found = await (await hypervisor(bench)).machines.starts_with_host(
        bench.find("vm").value("uuid")
    )

    assert found is on
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    "more",
    ["autostart true;", 'startMode "defined";', 'startMode "created";', 'stopMode "save";',
     'onDaemonStop "save";'],
)  # fmt: skip
async def test_what_needs_a_definition_is_refused_without_one(bench, more):
    with pytest.raises(EngineError, match="needs a machine that stays defined"):
        await bench.deploy(ONE.format(more=f"persistent false; {more}"))

    assert await ours(bench) == []
