"""How addresses may be written, and what is said of those that may not."""

from __future__ import annotations

import pytest

from components.networks.addresses import (
    device_kind,
    hostname_kind,
    ip_kind,
    mac_kind,
    netmask_kind,
    subnet_kind,
)
from engine.runtime.kinds import BadValueError

GOOD = [
    (ip_kind, "10.20.1.11", "10.20.1.11"),
    (ip_kind, " 10.20.1.11/24 ", "10.20.1.11"),
    (ip_kind, "", ""),
    (mac_kind, "52-54-00-AB-cd-0F", "52:54:00:ab:cd:0f"),
    (mac_kind, "", ""),
    (netmask_kind, "255.255.0.0", "255.255.0.0"),
    (netmask_kind, 24, "255.255.255.0"),
    (netmask_kind, "/16", "255.255.0.0"),
    (subnet_kind, "10.30.0.1/24", "10.30.0.1/24"),
    (hostname_kind, "a.b-c.example", "a.b-c.example"),
    (device_kind, "br0", "br0"),
]


@pytest.mark.parametrize(("kind", "written", "read"), GOOD)
def test_what_may_be_written_is_read_in_one_form(kind, written, read):
    assert kind.read(written) == read


BAD = [
    (ip_kind, "123.456.78.90", "456"),
    (ip_kind, "10.0.0", "4 octets"),
    (ip_kind, "fe80::1", "no IPv4 address"),
    (ip_kind, "224.0.0.1", "cannot be"),
    (ip_kind, "0.0.0.0", "cannot be"),
    (ip_kind, "255.255.255.255", "cannot be"),
    (ip_kind, "10.0.0.0/24", "network 10.0.0.0/24 itself"),
    (ip_kind, "10.0.0.255/24", "broadcast"),
    (ip_kind, 5, "must be a string"),
    (netmask_kind, "255.0.255.0", "ones come first"),
    (netmask_kind, "0.0.255.255", "ones come first"),
    (netmask_kind, 33, "no netmask"),
    (netmask_kind, True, "must be a string"),
    (mac_kind, "52:54:00:00:00", "six octets"),
    (mac_kind, "zz:54:00:00:00:00", "six octets"),
    (mac_kind, "01:00:5e:00:00:01", "must be even"),
    (mac_kind, "00:00:00:00:00:00", "must be even"),
    (subnet_kind, "10.30.0.1", "prefix length"),
    (subnet_kind, "10.30.0.0/24", "own address"),
    (subnet_kind, "10.30.0.1/31", "no room"),
    (subnet_kind, "x", "no subnet"),
    (hostname_kind, "a_b", "no host name"),
    (hostname_kind, "a..b", "no host name"),
    (hostname_kind, "a" * 64, "no host name"),
    (device_kind, "a/b", "at most 15"),
    (device_kind, "b" * 16, "at most 15"),
]


@pytest.mark.parametrize(("kind", "written", "words"), BAD)
def test_what_may_not_be_written_is_answered_in_words(kind, written, words):
    with pytest.raises(BadValueError) as failure:
        kind.read(written)

    assert words in str(failure.value)
