"""Interfaces beside the first reach the guest in the files of every kind of system, by MAC address."""

from __future__ import annotations

import yaml
from msgspec.structs import replace

from components.context import nocloud
from components.context.systems import PROBED, Seen, files_for
from components.context.told import Beside, Told, Wishes, instance_id

ONE = Told(uuid="6ba7b810-9dad-51d1-80b4-00c04fd430c8", hostname="a", mac="52:54:00:00:00:01")
TOLD = replace(
    ONE, ip="10.1.0.2", gateway="10.1.0.1",
    beside=(Beside("52:54:00:00:00:02"), Beside("52:54:00:00:00:03", "10.9.0.3", "255.255.255.0")),
)  # fmt: skip


def test_cloud_init_is_told_of_all_by_their_mac_addresses():
    found = nocloud.network_config(TOLD)["ethernets"]

    assert found == {
        "eth0": {
            "match": {"macaddress": "52:54:00:00:00:01"}, "addresses": ["10.1.0.2/16"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}],
        },
        "beside1": {"match": {"macaddress": "52:54:00:00:00:02"}, "dhcp4": True},
        "beside2": {"match": {"macaddress": "52:54:00:00:00:03"}, "addresses": ["10.9.0.3/24"]},
    }  # fmt: skip


def test_the_first_asks_for_its_address_where_only_others_are_to_be_told():
    told = replace(ONE, beside=TOLD.beside)

    assert nocloud.network_config(told)["ethernets"]["eth0"]["dhcp4"] is True
    assert list(nocloud.network_config(replace(told, mac=""))["ethernets"]) == [
        "beside1",
        "beside2",
    ]


def test_a_guest_with_one_interface_is_named_as_before():
    assert instance_id(ONE) == "sd-ffc121c8eed25eb126c0e6891cc25627"
    assert instance_id(replace(ONE, beside=TOLD.beside)) != instance_id(ONE)


def written(*there, texts=None):
    kinds = dict.fromkeys(there, "regular")
    return {each.path: each.content for each in files_for(TOLD, Seen(kinds, texts or {}))}


def test_netplan_has_one_file_for_all():
    found = yaml.safe_load(written("/etc/netplan")["/etc/netplan/90-smartdomains.yaml"])

    assert list(found["network"]["ethernets"]) == ["eth0", "beside1", "beside2"]


def test_network_manager_has_a_connection_for_each():
    files = written(PROBED[3])
    folder = "/etc/NetworkManager/system-connections"
    texts = [files[f"{folder}/smartdomains{end}.nmconnection"] for end in ("", "-1", "-2")]

    assert "mac-address=52:54:00:00:00:02" in texts[1]
    assert "method=auto" in texts[1]
    assert "address1=10.9.0.3/24\n" in texts[2]
    uuids = {line for text in texts for line in text.splitlines() if line.startswith("uuid=")}
    assert len(uuids) == 3
    assert "id=smartdomains-2" in texts[2]


def test_networkd_has_a_file_for_each():
    files = written(PROBED[4])

    assert "DHCP=yes" in files["/etc/systemd/network/10-smartdomains-1.network"]
    assert "Address=10.9.0.3/24" in files["/etc/systemd/network/10-smartdomains-2.network"]


def test_network_scripts_and_ifupdown_count_names_on():
    files = written(PROBED[6])
    assert (
        'DEVICE="eth2"\nHWADDR="52:54:00:00:00:03"'
        in files["/etc/sysconfig/network-scripts/ifcfg-eth2"]
    )

    text = written(PROBED[7], texts={PROBED[7]: "auto lo\niface lo inet loopback\n"})[PROBED[7]]
    assert "iface eth0 inet static" in text
    assert "iface eth1 inet dhcp" in text
    assert "iface eth2 inet static\n    address 10.9.0.3\n    netmask 255.255.255.0" in text


def test_a_name_without_a_number_gets_one():
    told = replace(TOLD, wishes=Wishes(interface="lan"))

    assert [told.about(index).wishes.interface for index in range(2)] == ["lan1", "lan2"]
