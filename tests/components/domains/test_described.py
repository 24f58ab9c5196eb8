"""Attributes of a machine: what each does, and what it refuses."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from components.hypervisor.faulty import FaultyHypervisor, Raise
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DomainState
from engine.core.faults import EngineError
from engine.testing.kit import until
from sfdl.errors import SmartDomainsError

URI = "test:///default"
ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        vm extends {kind} {{ diskless true; memory 64; {more} }}
    }}
}}
"""
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


def text(more="", kind="KvmDomain"):
    return ONE.format(more=more, kind=kind)


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get(URI)


async def xml(bench):
    (facts,) = [each for each in await (await hypervisor(bench)).facts() if each.name != "test"]
    return ET.fromstring(await (await hypervisor(bench)).xml(facts.uuid))


async def mac(bench):
    return (await xml(bench)).find("devices/interface/mac").get("address")


async def test_a_given_uuid_is_the_machines(bench):
    await bench.deploy(text(f'uuid "{UUID.upper()}";'))

    assert (await xml(bench)).findtext("uuid") == UUID
    assert bench.find("vm").value("uuid") == UUID


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('uuid "not one";', "must be a UUID"),
        ('arch "z80";', "must be one of"),
        ("minMemory 128;", "minMemory 134217728 is more than memory, 67108864"),
        ("maxMemory 48;", "maxMemory 50331648 is less than memory"),
        ("vcpus 4; maxVcpus 2;", "maxVcpus 2 is less than vcpus, 4"),
        ('macMode "dream";', "must be one of"),
        ('macPrefix "00:16";', "must be three octets"),
        ('macPrefix "01:16:3e";', "the first of them even"),
        ('xmlOverride [|[|"a", "b"|]|];', "set and add take a value"),
        ('capabilityPolicy "pray";', "must be one of"),
    ],
)
async def test_a_bad_value_is_refused_before_anything_is_made(bench, more, why):
    with pytest.raises(SmartDomainsError, match=why):
        await bench.deploy(text(more))

    assert [each.name for each in await (await hypervisor(bench)).facts()] == ["test"]


async def test_its_architecture_is_that_of_its_host_or_the_one_given(bench):
    await bench.deploy(text('arch "i686";'))

    assert (await xml(bench)).find("os/type").get("arch") == "i686"


@pytest.mark.parametrize(
    ("kind", "more", "begins"),
    [
        ("KvmDomain", 'ip "10.1.2.3";', "52:54:0a:01:02:03"),
        ("KvmDomain", 'ip "10.1.2.3"; macMode "uuid";', "52:54:00:"),
        ("KvmDomain", 'macPrefix "02:AA:BB";', "02:aa:bb:"),
        ("XenDomain", 'macMode "uuid";', "00:16:3e:"),
        ("XenDomain", "", "52:54:00:"),
    ],
)
async def test_its_mac_address_begins_as_is_said(bench, kind, more, begins):
    await bench.deploy(text(f'network "default"; {more}', kind))

    assert (await mac(bench)).startswith(begins)


async def test_the_last_word_on_its_xml_is_the_descriptions(bench):
    await bench.deploy(
        text(
            'xmlOverride [|[|"clock/@offset", "set", "localtime"|], [|"devices", "add", '
            "\"<disk type='file'><driver name='qemu' type='raw'/><source file='/srv/other.img'/>"
            "<target dev='vdz' bus='virtio'/></disk>\"|]|];"
        )
    )

    assert (await xml(bench)).find("clock").get("offset") == "localtime"
    vm = bench.find("vm")
    assert vm.value("escapes").items == ("/srv/other.img",)
    rows = {row.name: row.status for row in await bench.one.rows("app")}
    assert rows["vm"] == "gets at /srv/other.img by xmlOverride"


async def test_an_override_that_leads_nowhere_leaves_nothing(bench):
    with pytest.raises(EngineError, match="devices/unicorn leads to nothing"):
        await bench.deploy(text('xmlOverride [|[|"devices/unicorn", "remove"|]|];'))

    assert [each.name for each in await (await hypervisor(bench)).facts()] == ["test"]


async def test_an_override_that_libvirt_does_not_know_leaves_nothing(bench):
    with pytest.raises(EngineError, match="start failed"):
        await bench.deploy(text('xmlOverride [|[|"devices", "add", "<unicorn/>"|]|];'))

    assert [each.name for each in await (await hypervisor(bench)).facts()] == ["test"]


async def test_what_cannot_be_had_is_done_another_way_and_told(bench):
    await bench.deploy(text('startMode "created";'))

    assert bench.find("vm").value("degraded").items == ("start-paused",)


async def test_under_a_strict_policy_what_cannot_be_had_is_refused_before_anything_is_made(bench):
    with pytest.raises(EngineError, match="cannot start a guest with its processors held"):
        await bench.deploy(text('startMode "created"; capabilityPolicy "strict";'))

    assert [each.name for each in await (await hypervisor(bench)).facts()] == ["test"]


@pytest.mark.parametrize("policy", ["degrade", "strict"])
async def test_what_turns_out_not_to_be_had_is_told_or_ends_the_start(bench, policy):
    faulty = FaultyHypervisor(await hypervisor(bench))
    bench.holder.process.services.get(HypervisorPool)._open[URI] = faulty
    faulty.fail("share", Raise("Unsupported", message="no such scheduler"))
    more = f'cpuShares 100; capabilityPolicy "{policy}";'
    if policy == "strict":
        with pytest.raises(EngineError, match="cpuShares cannot be had: no such scheduler"):
            await bench.deploy(text(more))
        assert [each.name for each in await faulty.facts()] == ["test"]
    else:
        await bench.deploy(text(more))
        assert bench.find("vm").value("degraded").items == ("cpuShares",)


async def test_memory_is_not_taken_below_its_floor(bench):
    await bench.deploy(text("minMemory 48;"))
    with pytest.raises(EngineError, match="less than its minMemory, 50331648"):
        await bench.holder.call("app:host:vm", "resize_memory", 40)
    await bench.holder.call("app:host:vm", "resize_memory", 48)
    await bench.one.terminate("app")

    await bench.deploy(text().replace("memory 64", "memory 100"))
    await bench.holder.call("app:host:vm", "resize_memory", 60)
    with pytest.raises(EngineError, match="less than its minMemory, 52428800"):
        await bench.holder.call("app:host:vm", "resize_memory", 49)


async def test_the_memory_of_a_crashed_guest_is_kept_in_a_file(bench):
    faulty = FaultyHypervisor(await hypervisor(bench))
    bench.holder.process.services.get(HypervisorPool)._open[URI] = faulty
    await bench.deploy(text('onGuestCrash "dump"; domainLivenessDelay 50;'))
    assert (await xml(bench)).findtext("on_crash") == "preserve"
    look = faulty.status

    async def crashed(uuid):
        status = await look(uuid)
        return type(status)(state=DomainState.CRASHED, reason="panicked", active=True)

    faulty.status = crashed

    await until(lambda: not bench.one.process.apps)
    (dump,) = (bench.work / "dumps").iterdir()
    assert dump.stat().st_size
    record = bench.one.process.ended_application("app")
    assert f"its memory is in {dump}" in record.description
    assert Path(dump).name.startswith("app-host-vm-")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('shares [|[|"srv", "data"|]|];', "must be an absolute path"),
        ('shares [|[|"/srv", ""|]|];', "a tag must have 1 to 31 bytes"),
        ('shares [|[|"/srv", "a"|], [|"/etc", "a"|]|];', "two folders cannot both be called 'a'"),
        ('shares [|"/srv"|];', "must be a list of"),
        ('shares [|[|"/no/such", "a"|]|];', "there is no folder /no/such on this host"),
        ('shares [|[|"/etc", "a"|]|]; stopMode "save";', "shares and stopMode"),
        ('shares [|[|"/etc", "a"|]|]; onDaemonStop "save";', "shares and onDaemonStop"),
        ("secureBoot true;", "secureBoot needs firmware"),
        (
            'memoryBacking [|"swapped"|];',
            "must be a list of shared, locked, nosharepages, immediate",
        ),
        ('memoryBacking [|"locked", "locked"|];', "each once"),
        ('memoryBacking "locked";', "has to be Vector or Null"),
        ('secureBoot true; firmware "efi"; machine "pc-i440fx-7.2";', "of kind q35"),
    ],
)
async def test_what_cannot_work_together_is_refused_before_anything_is_made(bench, more, why):
    with pytest.raises(SmartDomainsError, match=why):
        await bench.deploy(text(more))

    assert [each.name for each in await (await hypervisor(bench)).facts()] == ["test"]


async def test_a_folder_that_cannot_be_written_is_shared_by_9p(bench):
    await bench.deploy(text('shares [|[|"/etc", "conf", true|]|];'))

    found = (await xml(bench)).find("devices/filesystem")
    assert found.find("readonly") is not None
    assert (found.find("source").get("dir"), found.find("target").get("dir")) == ("/etc", "conf")


async def test_without_its_emulator_there_is_no_tpm(bench, monkeypatch):
    monkeypatch.setattr("components.domains.needs.scheme_of", lambda uri: "qemu")
    monkeypatch.setattr("components.domains.needs.shutil.which", lambda *_, **__: None)
    with pytest.raises(EngineError, match="there is no program swtpm on this host"):
        await bench.deploy(text("tpm true;"))


async def test_where_no_guest_comes_up_accelerated_it_is_emulated_and_that_is_told(bench):
    await bench.deploy(text('accelerator "auto";'))

    assert (await xml(bench)).get("type") == "qemu"
    assert bench.find("vm").value("degraded").items == ("kvm",)
    assert "probe" in bench.find("vm").value("timings").names()
