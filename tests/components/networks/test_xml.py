"""A network's document: golden, and valid by libvirt's own schema."""

from __future__ import annotations

from pathlib import Path

import lxml.etree  # type: ignore[import-untyped]  # has no types of its own
import pytest

from components.hypervisor.owner import OwnerRecord, owner_of
from components.hypervisor.protocol import DhcpHost
from components.hypervisor.xmltree import BadSpecError
from components.networks.xml import NetworkSpec, dhcp_range, network_xml

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path("/usr/share/libvirt/schemas/network.rng")
OWNER = OwnerRecord(community="lab", application="pool", path="pool:lan", incarnation=3)
UUID = "6ba7b810-9dad-51d1-80b4-00c04fd430c8"


def spec(**more):
    return NetworkSpec(name="sdlan", uuid=UUID, owner=OWNER, **more)


CASES = {
    "nat": spec(subnet="10.30.0.1/24"),
    "nat_static": spec(subnet="10.30.0.1/24", dhcp=False, dns=False),
    "isolated": spec(forward="isolated", bridge="virbr7", mtu=1400),
    "route_with_hosts": spec(
        forward="route", subnet="10.30.0.1/16", first="10.30.1.0", last="10.30.1.99",
        domain="lab.example", hosts=(DhcpHost(mac="52:54:0a:1e:00:05", ip="10.30.0.5", name="a"),),
    ),
    "open": spec(forward="open", subnet="10.30.0.1/24"),
    "bridged": spec(forward="bridge", bridge="br0", vlan=42),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_the_golden_one(case):
    assert network_xml(CASES[case]) == (GOLDEN / f"{case}.xml").read_text()


def test_every_golden_file_has_its_case():
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_valid_by_libvirts_schema_and_keeps_its_owner(case):
    if not SCHEMA.exists():
        pytest.skip("libvirt's XML schemas are not installed")
    document = network_xml(CASES[case])

    lxml.etree.RelaxNG(lxml.etree.parse(SCHEMA)).assertValid(lxml.etree.fromstring(document))
    assert owner_of(document) == OWNER


def test_the_hosts_own_address_is_not_handed_out():
    assert dhcp_range("10.30.0.1/24") == ("10.30.0.2", "10.30.0.254")
    assert dhcp_range("10.30.0.254/24") == ("10.30.0.1", "10.30.0.253")
    assert dhcp_range("10.30.0.7/24") == ("10.30.0.1", "10.30.0.254")


def test_a_control_character_is_refused():
    with pytest.raises(BadSpecError, match="position 2"):
        network_xml(spec(forward="isolated", bridge="b\n"))
