"""DNS service records: asked of a real server, and read as they are meant."""

from __future__ import annotations

import asyncio
import socket

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from engine.core.faults import Refused
from engine.discovery.records import ServiceRecords, places
from tests.discovery.nameserver import DOMAIN, dns_server


def record(text):
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SRV, text)


def test_a_host_has_one_place_the_one_of_best_priority():
    found = places(
        record(text)
        for text in ("20 0 3900 node1.lab.example.", "10 1 3801 node1.lab.example.",
                     "10 0 3800 node2.lab.example.", "10 5 3802 node1.lab.example.")
    )  # fmt: skip
    assert {(each.name, each.address) for each in found} == {
        ("node1", "node1.lab.example:3802"), ("node2", "node2.lab.example:3800"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["0 0 3800 .", "0 0 0 node1.lab.example.", r"0 0 1 a\032b.example."]
)
def test_a_record_that_names_no_place_is_left_out(text):
    assert places([record(text)]) == []


def test_a_server_is_given_by_its_address():
    with pytest.raises(Refused, match="not the address of a DNS server"):
        ServiceRecords([DOMAIN], "dns.lab.example")


@pytest.mark.integration
async def test_hosts_are_found_by_full_and_by_first_name():
    with dns_server(f"node7.{DOMAIN},3901", f"node8.{DOMAIN},3902") as server:
        records = ServiceRecords([DOMAIN], server)
        found = await records.find("node7")
        assert (found.address, found.how) == (f"node7.{DOMAIN}:3901", "dns")
        assert await records.find(f"node8.{DOMAIN}") is not None
        assert await records.find("node9") is None
        assert len(await records.everybody()) == 2
        await records.close()


@pytest.mark.integration
async def test_a_name_server_that_is_silent_costs_two_seconds_once_and_finds_nobody():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        records = ServiceRecords([DOMAIN], f"127.0.0.1:{silent.getsockname()[1]}")
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(*(records.find(f"node{n}") for n in range(20))) == [None] * 20
        assert await records.everybody() == ()
        assert loop.time() - began < 10
        await records.close()
