"""What others change of a machine is noticed, told once, and set back only where that is wanted."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from components.domains.drift import Shape, drifted
from components.hypervisor.pool import HypervisorPool
from engine.testing.kit import until

MIB = 2**20
BASE = Shape(64 * MIB, 2, frozenset({"vda"}), frozenset({"52:54:00:00:00:01"}), False, False)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(BASE, memory_bytes=32 * MIB), {"memory": "32 MiB, not 64"}),
        (replace(BASE, memory_bytes=64 * MIB - 1000), {}),
        (replace(BASE, vcpus=1), {"vcpus": "1, not 2"}),
        (replace(BASE, disks=frozenset()), {"disks": "vda missing"}),
        (replace(BASE, disks=frozenset({"vda", "vdb"})), {"disks": "vdb too many"}),
        (replace(BASE, interfaces=frozenset()), {"interfaces": "52:54:00:00:00:01 missing"}),
        (replace(BASE, paused=True), {"state": "paused"}),
        (replace(BASE, autostart=True), {"autostart": "true, not false"}),
    ],
)
def test_each_difference_is_named(found, words):
    assert drifted(BASE, found) == words


def test_what_waits_for_a_power_cycle_is_no_drift():
    assert drifted(BASE, replace(BASE, vcpus=1), ["vcpus"]) == {}


ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends KvmDomain {{
            diskless true; memory 64; vcpus 2; driftPeriod "50ms"; driftPolicy "{policy}";
        }}
    }}
}}
"""


async def begun(bench, policy):
    await bench.deploy(ONE.format(policy=policy))
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get("test:///default")
    return hypervisor, bench.find("vm")


async def test_a_machine_resized_and_paused_by_hand_is_told_of(bench):
    hypervisor, vm = await begun(bench, "report")
    uuid = vm.value("uuid")

    await hypervisor.machines.memory(uuid, 32 * MIB)
    await hypervisor.suspend(uuid)

    await until(lambda: vm.value("drift") == "memory: 32 MiB, not 64; state: paused")
    assert (await hypervisor.fact(uuid)).state.value == "paused"
    await bench.one.terminate("app")


async def test_or_set_back_where_that_is_wanted(bench):
    hypervisor, vm = await begun(bench, "repair")
    uuid = vm.value("uuid")

    await hypervisor.machines.memory(uuid, 32 * MIB)
    await hypervisor.machines.vcpus(uuid, 1)
    await hypervisor.machines.autostart(uuid, on=True)
    await hypervisor.suspend(uuid)

    await until(lambda: vm.value("drift"))
    await until(lambda: vm.value("drift") == "")
    assert (await hypervisor.fact(uuid)).state.value == "running"
    assert not await hypervisor.machines.starts_with_host(uuid)
    await bench.one.terminate("app")


async def test_a_machine_that_is_no_longer_ours_is_never_touched(bench):
    hypervisor, vm = await begun(bench, "repair")
    uuid = vm.value("uuid")
    facts = await hypervisor.fact(uuid)
    await hypervisor.machines.claim(uuid, replace(facts.owner, path="somebody:else"))

    await hypervisor.machines.memory(uuid, 32 * MIB)

    with pytest.raises(AssertionError):
        await until(lambda: vm.value("drift"), timeout_s=1.0)
    assert "<currentMemory unit='KiB'>32768<" in await hypervisor.xml(uuid)
    await hypervisor.machines.claim(uuid, facts.owner)
    await bench.one.terminate("app")
