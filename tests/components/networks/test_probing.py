"""An address that somebody answers for on the bridge is not given to a machine."""

from __future__ import annotations

import subprocess

import pytest

from components.networks.probing import ask, holder_in, probe, refuse_taken
from engine.core.faults import Refused

MAC = "52:54:00:00:00:01"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def lan(own_net):
    """A bridge with somebody on it who has 10.9.0.5; returns the MAC address of that."""
    ip("link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
    ip("link", "add", "va", "type", "veth", "peer", "name", "vb", "address", "52:54:0a:09:00:05")
    ip("link", "set", "va", "master", "br0", "up")
    ip("link", "set", "br0", "up")
    ip("link", "set", "vb", "up")
    ip("address", "add", "10.9.0.5/24", "dev", "vb")
    return "52:54:0a:09:00:05"


def test_who_has_an_address_answers_and_nobody_answers_for_a_free_one(lan):
    assert ask("br0", "10.9.0.5") == lan
    assert ask("br0", "10.9.0.6") == ""


class Prim:
    path = "app:vm"

    async def run_blocking(self, function, *data):
        return function(*data)


class Networks:
    async def by_name(self, name):
        return type("Facts", (), {"bridge": "br0"}) if name == "lan" else None


class Here:
    uri = "qemu:///system"
    networks = Networks()


async def test_an_address_in_use_is_refused_with_who_has_it_unless_that_is_the_machine_itself(lan):
    for kind, source in (("bridge", "br0"), ("network", "lan")):
        with pytest.raises(Refused, match=f"10.9.0.5 is in use on br0 by {lan}") as why:
            await refuse_taken(Prim(), Here(), kind, source, "10.9.0.5", MAC)
        assert why.value.fault.code == "SF-NET-011"
        await refuse_taken(Prim(), Here(), kind, source, "10.9.0.5", lan.upper())
        await refuse_taken(Prim(), Here(), kind, source, "10.9.0.6", MAC)


async def test_what_cannot_be_asked_is_refused_in_words(lan):
    with pytest.raises(Refused, match=r"br9 cannot be asked for 10.9.0.5: No such device"):
        await refuse_taken(Prim(), Here(), "bridge", "br9", "10.9.0.5", MAC)

    class Far(Here):
        uri = "qemu+tcp://elsewhere/system"

    with pytest.raises(Refused, match="is another host, whose bridges cannot be asked here"):
        await refuse_taken(Prim(), Far(), "bridge", "br0", "10.9.0.5", MAC)


def test_only_a_frame_that_says_who_has_that_address_is_an_answer():
    answer = bytearray(probe(MAC, "10.9.0.1"))
    answer[20:22], answer[28:32] = b"\x00\x02", bytes([10, 9, 0, 5])

    assert holder_in(bytes(answer), "10.9.0.5") == MAC
    assert holder_in(bytes(answer), "10.9.0.6") == ""
    assert holder_in(bytes(answer[:30]), "10.9.0.5") == ""
    assert holder_in(b"\x00" * 60, "0.0.0.0") == ""
