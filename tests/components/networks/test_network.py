"""The life of a network on libvirt's test driver: name, subnet, who is on it, what is kept."""

from __future__ import annotations

import pytest

from components.hypervisor.faulty import FaultyHypervisor, Lose, Raise
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.kit import until
from sfdl.errors import SmartDomainsError

URI = "test:///default"
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate {sync};
    sfLivenessDelay 1;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        sfSyncTerminate {sync};
        lan extends Network {{ networkName "sdlan"; subnet "10.30.0.1/24"; {network} }}
        {beside}
    }}
}}
"""
GUEST = (
    'vm extends KvmDomain { diskless true; memory 64; network LAZY ATTRIB lan; ip "10.30.0.5"; }'
)


def text(network="", beside="", sync="true"):
    return POOL.format(network=network, beside=beside, sync=sync)


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get(URI)


async def networks(bench):
    found = await (await hypervisor(bench)).networks.facts()
    return {one.name: one for one in found if one.name != "default"}


async def plant(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get(URI))
    pool._open[URI] = faulty
    return faulty


async def test_a_network_is_active_with_its_owner_recorded_and_leaves_nothing(bench):
    await bench.deploy(text())

    facts = (await networks(bench))["sdlan"]
    assert facts.active
    assert facts.owner.path == "app:host:lan"
    assert (facts.forward, facts.subnet, facts.dhcp) == ("nat", "10.30.0.1/24", True)
    lan = bench.find("lan")
    assert lan.value("uuid") == facts.uuid
    assert lan.value("device") == facts.bridge
    assert lan.value("active") is True
    await bench.one.terminate("app")
    assert await networks(bench) == {}


async def test_a_redeployment_finds_the_same_uuid(bench):
    await bench.deploy(text())
    first = (await networks(bench))["sdlan"].uuid
    await bench.one.terminate("app")

    await bench.deploy(text())

    assert (await networks(bench))["sdlan"].uuid == first
    await bench.one.terminate("app")


async def test_without_a_name_the_path_gives_one_and_autostart_is_set(bench):
    await bench.deploy(text('networkName ""; autostart true;'))

    assert (await networks(bench))["app-host-lan"].autostart
    await bench.one.terminate("app")


async def test_a_foreign_network_of_that_name_is_named_and_not_touched(bench):
    with pytest.raises(EngineError, match="network called default exists already") as failure:
        await bench.deploy(text('networkName "default";'))

    assert "not made by smartdomains" in failure.value.fault.message
    assert (await (await hypervisor(bench)).networks.by_name("default")).active


async def test_a_subnet_that_leads_elsewhere_is_refused(bench):
    with pytest.raises(EngineError, match=r"overlaps 192.168.122.0/24 on network default"):
        await bench.deploy(text('subnet "192.168.0.1/16";'))

    assert await networks(bench) == {}


async def test_a_network_kept_stays_and_is_taken_up_by_the_next_deployment(bench):
    await bench.deploy(text("keepNetwork true;"))
    await bench.one.terminate("app")
    assert (await networks(bench))["sdlan"].active

    await bench.deploy(text())
    await bench.one.terminate("app")

    assert await networks(bench) == {}


async def test_a_machine_has_its_address_kept_and_gives_it_back(bench):
    await bench.deploy(text(beside=GUEST))

    (kept,) = (await networks(bench))["sdlan"].hosts
    assert (kept.mac, kept.ip, kept.name) == ("52:54:0a:1e:00:05", "10.30.0.5", "app-host-vm")
    vm = bench.find("vm")
    assert (vm.value("address"), vm.value("macAddress")) == (kept.ip, kept.mac)
    (facts,) = [one for one in await (await hypervisor(bench)).facts() if one.name != "test"]
    assert (facts.networks, facts.macs) == (("sdlan",), (kept.mac,))
    bench.holder.process.finish(vm, Record.normal("vm first"))
    await until(lambda: not bench.one.process.apps)
    assert await networks(bench) == {}


async def test_a_machine_may_name_a_network_made_beside_it(bench):
    await bench.deploy(text(beside=GUEST.replace("LAZY ATTRIB lan", '"sdlan"')))

    assert len((await networks(bench))["sdlan"].hosts) == 1
    await bench.one.terminate("app")
    assert await networks(bench) == {}


async def test_a_network_that_ends_first_has_its_machines_let_go(bench):
    await bench.deploy(text(beside=GUEST, sync="false"))

    bench.holder.process.finish(bench.find("lan"), Record.normal("network first"))

    await until(lambda: not bench.one.process.apps)
    assert await networks(bench) == {}
    assert not bench.holder.process.reaper.lines()


async def test_a_network_with_somebody_elses_machine_on_it_is_not_destroyed(bench):
    await bench.deploy(text())
    there = await hypervisor(bench)
    other = await there.define(
        "<domain type='test'><name>other</name><memory>65536</memory><os><type>hvm</type></os>"
        "<devices><interface type='network'><source network='sdlan'/></interface></devices></domain>"
    )
    await there.start(other)

    gone = await bench.one.terminate("app")

    assert any("has machines on it: other" in line for line in gone.leftovers)
    assert (await networks(bench))["sdlan"].active
    await there.destroy(other, gentle=False)
    await there.undefine(other)
    await until(lambda: not bench.holder.process.reaper.lines(), timeout_s=30)
    assert await networks(bench) == {}


async def test_a_network_stopped_from_outside_is_unwell_and_ends_the_application(bench):
    await bench.deploy(text())
    facts = (await networks(bench))["sdlan"]

    await (await hypervisor(bench)).networks.stop(facts.uuid)

    await until(lambda: not bench.one.process.apps, timeout_s=30)
    record = bench.one.process.ended_application("app")
    assert "network sdlan is not active" in record.description
    assert await networks(bench) == {}


@pytest.mark.parametrize("step", ["network define", "network start", "network reserve"])
@pytest.mark.parametrize("fault", [Raise(), Lose()], ids=["refused", "answer lost"])
async def test_a_step_that_fails_or_loses_its_answer_leaves_nothing(bench, step, fault):
    (await plant(bench)).fail(step, fault)

    with pytest.raises(EngineError, match="planted fault"):
        await bench.deploy(text(beside=GUEST))

    assert await networks(bench) == {}
    await bench.deploy(text(beside=GUEST))
    await bench.one.terminate("app")
    assert await networks(bench) == {}


async def test_a_network_of_another_host_is_refused_with_both_hosts(bench):
    if bench.holder is bench.one:
        pytest.skip("one host only")
    body = """
    #include "components/vm.sf"
    sfConfig extends Compound {
        lan extends Network { hypervisorUri "test:///default"; subnet "10.30.0.1/24"; }
        vm extends KvmDomain {
            sfProcessHost "host2"; hypervisorUri "test:///default"; diskless true;
            network LAZY ATTRIB lan;
        }
    }
    """
    import sfdl

    with pytest.raises(EngineError, match="app:lan is on") as failure:
        await bench.one.deploy("app", sfdl.compile(body).root)

    assert failure.value.fault.where == "app:vm"
    assert await networks(bench) == {}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('forward "bridge";', "forward bridge needs a bridge"),
        ('forward "bridge"; bridge "br0";', "takes no subnet"),
        ('subnet "";', "forward nat needs a subnet"),
        ('forward "nut";', 'did you mean "nat"'),
        ('range [|"10.31.0.1", "10.31.0.9"|];', "is not within 10.30.0.0/24"),
        ('range [|"10.30.0.9", "10.30.0.1"|];', "is not within"),
        ('range [|"10.30.0.9"|];', "two addresses"),
        ('range [|"10.30.0.9", "10.30.0.19"|]; dhcp false;', "need dhcp true"),
        ('networkName "a/b";', "'/' is not allowed"),
        ('subnet "10.30.0.0/24";', "own address"),
        ("vlan 5000;", "at most 4094"),
        ('dhcpHosts [|"x"|];', "list of [mac, ip]"),
    ],
)
async def test_a_wrong_attribute_is_refused_before_anything_is_made(bench, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(more))

    assert words in str(failure.value)
    assert await networks(bench) == {}
    assert bench.one.process.lives == bench.two.process.lives == {}


async def test_a_mac_of_a_domain_made_by_somebody_else_is_refused_with_its_name(bench):
    there = await hypervisor(bench)
    other = await there.define(
        "<domain type='test'><name>other</name><memory>65536</memory><os><type>hvm</type></os>"
        "<devices><interface type='network'><mac address='52:54:0A:1E:00:05'/>"
        "<source network='default'/></interface></devices></domain>"
    )

    with pytest.raises(EngineError, match="mac 52:54:0a:1e:00:05 is that of domain other already"):
        await bench.deploy(text(beside=GUEST))

    assert await networks(bench) == {}
    await there.undefine(other)


async def test_a_network_that_is_not_active_is_refused_with_the_command_that_starts_it(bench):
    there = await hypervisor(bench)
    default = await there.networks.by_name("default")
    await there.networks.stop(default.uuid)

    with pytest.raises(EngineError, match="network default is not active") as failure:
        await bench.deploy(text(beside=GUEST.replace("LAZY ATTRIB lan", '"default"')))

    hints = [fault.hint for fault in failure.value.fault.chain()]
    assert "start it: virsh -c test:///default net-start default" in hints
    await there.networks.start(default.uuid, autostart=True)
