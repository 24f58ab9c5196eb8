"""User networks: nothing is made at the hypervisor; ports of the host lead to one machine each."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from components.hypervisor.errors import HypervisorError
from components.hypervisor.machine_calls import LibvirtMachines
from components.hypervisor.pool import HypervisorPool
from components.networks.forwards import forwards_kind
from engine.core.faults import EngineError
from engine.runtime.kinds import BadValueError
from sfdl.errors import SmartDomainsError
from sfdl.values import Vector

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    hypervisorUri "{uri}"; sfSyncTerminate true;
    lan extends Network {{ userNetwork true; {network} }}
    vm extends {kind} {{ diskless true; memory 64; network LAZY ATTRIB lan; {vm} }}
    {beside}
}}
"""


def text(network="", vm="", beside="", uri="test:///default", kind="KvmDomain"):
    return POOL.format(network=network, vm=vm, beside=beside, uri=uri, kind=kind)


async def interface(bench):
    found = await bench.holder.process.services.get(HypervisorPool).get("test:///default")
    document = ET.fromstring(await found.xml(bench.find("vm").value("uuid")))
    return document.find("devices/interface")


async def test_a_machine_has_an_interface_that_its_emulator_serves(bench):
    await bench.deploy(text())

    one = await interface(bench)
    assert one.get("type") == "user"
    assert one.find("source") is None
    assert one.find("mac").get("address") == bench.find("vm").value("macAddress")
    assert bench.find("lan").value("active") is True
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get("test:///default")
    assert [each.name for each in await hypervisor.networks.facts()] == ["default"]
    await bench.one.terminate("app")


async def test_its_ports_are_forwarded_at_each_start(bench, monkeypatch):
    asked = []

    async def forward(machines, uuid, rules):
        asked.append(list(rules))

    monkeypatch.setattr(LibvirtMachines, "forward", forward)
    await bench.deploy(text('forwards [|"2222:22", "0.0.0.0:5353:53/udp"|];'))
    await bench.holder.call(bench.find("vm").path, "destroy")
    await bench.holder.call(bench.find("vm").path, "start")

    assert asked == [["tcp:127.0.0.1:2222-:22", "udp:0.0.0.0:5353-:53"]] * 2
    await bench.one.terminate("app")


async def test_where_that_cannot_be_it_goes_without_or_is_refused(bench):
    """libvirt's test driver has no emulator that could."""
    ports = 'forwards [|"2222:22"|];'
    await bench.deploy(text(ports))
    assert "forwards" in str(bench.find("vm").value("degraded"))
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match="forwards cannot be had"):
        await bench.deploy(text(ports, 'capabilityPolicy "strict";'))


async def test_a_port_that_is_in_use_fails_the_start(bench, monkeypatch):
    async def forward(machines, uuid, rules):
        raise HypervisorError(
            "Refused", "could not set up host forwarding rule", step="forward", name="vm"
        )

    monkeypatch.setattr(LibvirtMachines, "forward", forward)
    with pytest.raises(EngineError, match="could not set up host forwarding"):
        await bench.deploy(text('forwards [|"2222:22"|];'))
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get("test:///default")
    assert [facts.name for facts in await hypervisor.facts()] == ["test"]


async def test_forwards_lead_to_one_machine(bench):
    two = "other extends KvmDomain { diskless true; memory 64; network LAZY ATTRIB lan; }"
    await bench.deploy(text(beside=two))
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match="lead to app:vm already"):
        await bench.deploy(text('forwards [|"2222:22"|];', beside=two))


async def test_a_port_leads_to_one_place_however_many_networks_there_are(bench):
    two = 'more extends Network { userNetwork true; forwards [|"2222:80"|]; }'
    with pytest.raises(EngineError, match=r"forward 127.0.0.1:2222/tcp is held by app:"):
        await bench.deploy(text('forwards [|"2222:22"|];', beside=two))


@pytest.mark.parametrize(
    ("network", "vm", "words"),
    [
        ('subnet "10.30.0.1/24";', "", "has no subnet"),
        ('networkName "lan"; vlan 3;', "", "has no networkName, vlan"),
        ('forward "route";', "", "has no forward"),
        ('forwards [|"22"|];', "", r"not \[ADDRESS:\]PORT:GUESTPORT"),
        ('forwards [|"2222:22", "2222:23"|];', "", "leads to two ports"),
        ('userNetwork false; subnet "10.30.0.1/24"; forwards [|"2222:22"|];', "", "user network"),
        ("", 'ip "10.0.2.15";', "its emulator says what address"),
        ("", 'network "default"; interfaces [(extends { network LAZY ATTRIB lan; })];', "only the first"),
    ],
)  # fmt: skip
async def test_what_it_cannot_have_is_refused_in_words(bench, network, vm, words):
    with pytest.raises((EngineError, SmartDomainsError), match=words):
        await bench.deploy(text(network, vm))


async def test_xen_has_none(bench):
    with pytest.raises(EngineError, match="there are no user networks at xen:///system"):
        await bench.deploy(text('hypervisorUri "xen:///system";'))


async def test_a_restarted_daemon_takes_it_up_again(bench, monkeypatch):
    await bench.deploy(text('forwards [|"2222:22"|];'))
    lan = bench.find("lan")

    await lan.prim.on_adopt(())
    await lan.prim.check()

    assert lan.prim.place().kind == "user"
    await bench.one.terminate("app")


@pytest.mark.parametrize("wrong", ["0:22", "2222:65536", "1.2.3:2222:22", "2222:22/sctp", "a:22"])
def test_a_wrong_forward_is_told(wrong):
    with pytest.raises(BadValueError):
        forwards_kind.read(Vector((wrong,)))
