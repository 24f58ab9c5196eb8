"""`VM` takes the kind of domain its hypervisor has."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from components.domains.vm import domain_of
from components.hypervisor.pool import HypervisorPool
from components.kvm import KvmDomain
from components.xen import XenDomain
from engine.core.faults import EngineError
from sfdl.errors import SmartDomainsError

TEST = "test:///default"
VM_TEXT = """
#include "components/vm.sf"
sfConfig extends Compound {{
    vm extends VM {{ hypervisorUri "{uri}"; diskless true; memory 64; kernel "/etc/hostname"; {more} }}
}}
"""


def stand_in(bench, hypervisor, uri):
    """Let a hypervisor of libvirt's test driver, which takes every type, answer at another URI."""
    bench.holder.process.services.get(HypervisorPool)._open[uri] = hypervisor


async def defined(bench, uri, more=""):
    """Deploy, and give the document of the machine that was made."""
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(TEST)
    if uri != TEST:
        stand_in(bench, hypervisor, uri)
    await bench.deploy(VM_TEXT.format(uri=uri, more=more))
    document = ET.fromstring(await hypervisor.xml(bench.find("vm").value("uuid")))
    await bench.one.terminate("app")
    return document


def test_the_registry_knows_who_runs_where():
    assert domain_of("qemu") is domain_of("test") is KvmDomain
    assert domain_of("xen") is XenDomain
    with pytest.raises(KeyError):
        domain_of("vbox")


async def test_on_qemu_it_is_a_qemu_guest_with_that_kinds_attributes(bench):
    document = await defined(bench, "qemu:///system", 'cpuModel "qemu32"; guestMode "pvh";')

    assert document.get("type") == "qemu"
    assert document.findtext("cpu/model") == "qemu32"
    assert document.findtext("os/cmdline") == "console=ttyS0"


async def test_on_xen_it_is_a_xen_guest_with_that_kinds_attributes(bench):
    document = await defined(bench, "xen:///system", 'cpuModel "qemu32"; guestMode "pvh";')

    assert document.get("type") == "xen"
    assert document.findtext("os/type") == "xenpvh"
    assert document.findtext("os/cmdline") == "root=/dev/xvda1 ro console=hvc0"


async def test_on_an_unknown_hypervisor_it_says_which_are_known(bench):
    with pytest.raises(
        EngineError, match="no kind of domain is known for vbox:///session"
    ) as failure:
        await bench.deploy(VM_TEXT.format(uri="vbox:///session", more=""))

    faults = list(failure.value.fault.chain())
    assert any("qemu, test, xen" in each.hint for each in faults)
    assert any(each.where == "app:vm" for each in faults)
    assert bench.one.process.lives == {}


async def test_an_attribute_of_the_chosen_kind_is_checked(bench):
    with pytest.raises(SmartDomainsError, match=r"app:vm.accelerator: must be one of kvm, tcg"):
        await bench.deploy(VM_TEXT.format(uri=TEST, more='accelerator "hvf";'))


@pytest.mark.parametrize(
    ("kind", "uri", "words"),
    [
        ("KvmDomain", "xen:///system", "only on qemu, test"),
        ("XenDomain", "qemu:///system", "only on test, xen"),
    ],
)
async def test_a_fixed_kind_refuses_the_wrong_hypervisor_before_asking_it(bench, kind, uri, words):
    text = VM_TEXT.format(uri=uri, more="").replace("extends VM", f"extends {kind}")

    with pytest.raises(EngineError, match="WrongHypervisor") as failure:
        await bench.deploy(text)

    assert words in failure.value.fault.message
    assert uri not in bench.holder.process.services.get(HypervisorPool).hypervisors


ASKED = 'tpm true; memoryBacking [|"locked"|]; firmware "bios"; watchdog "none";'


async def test_on_xen_it_goes_without_what_only_qemu_has_and_says_so(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(TEST)
    stand_in(bench, hypervisor, "xen:///system")
    await bench.deploy(VM_TEXT.format(uri="xen:///system", more=ASKED))

    assert bench.find("vm").value("degraded").items == ("memoryBacking", "tpm")


async def test_on_xen_it_is_refused_under_a_strict_policy(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(TEST)
    stand_in(bench, hypervisor, "xen:///system")
    with pytest.raises(
        EngineError, match="memoryBacking, tpm: guests at xen:///system have no such"
    ):
        await bench.deploy(
            VM_TEXT.format(uri="xen:///system", more=f'{ASKED} capabilityPolicy "strict";')
        )


async def test_an_update_on_xen_is_heeded_as_the_description_was(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(TEST)
    stand_in(bench, hypervisor, "xen:///system")
    words = VM_TEXT.replace(
        "sfConfig extends Compound {{", "sfConfig extends Compound {{ sfUpdatable true;"
    )
    assert words != VM_TEXT
    await bench.deploy(words.format(uri="xen:///system", more='capabilityPolicy "strict";'))

    more = 'tpm true; capabilityPolicy "strict";'
    with pytest.raises(EngineError) as failure:
        await bench.one.update("app", bench.compiled(words.format(uri="xen:///system", more=more)))
    assert "tpm: guests at xen:///system have no such thing" in str(failure.value.fault.chain())
    assert not bench.find("vm").value("degraded")

    await bench.one.update(
        "app", bench.compiled(words.format(uri="xen:///system", more="tpm true;"))
    )
    assert bench.find("vm").value("degraded").items == ("tpm",)


@pytest.mark.parametrize(
    "more",
    ['firmware "efi"', "hugePages true", 'memoryBacking [|"shared"|]', "tpm true",
     'shares [|[|"/etc", "a"|]|]', 'watchdog "reset"', "secureBoot true"],
)  # fmt: skip
async def test_a_xen_machine_is_refused_what_only_qemu_has(bench, more):
    words = VM_TEXT.replace("extends VM", "extends XenDomain")
    with pytest.raises(EngineError, match="have no such thing") as failure:
        await bench.deploy(words.format(uri=TEST, more=f"{more};"))

    assert failure.value.fault.where == "app:vm"
