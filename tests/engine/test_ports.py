"""Ports for programs that must be told one: nobody has them, and no connection takes them by chance."""

from __future__ import annotations

import socket

import pytest

from engine import ports
from engine.ports import LOWEST, free_port, free_ports, trouble_at


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """Stand for what the system says of ports for connections."""
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "range")
    return tmp_path / "range"


def test_they_differ_are_free_and_below_those_of_connections(limits):
    limits.write_text("30000\t60999\n")

    found = free_ports(50)

    assert len(set(found)) == 50
    assert all(LOWEST <= port < 30000 for port in found)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", found[0]))


def test_one_in_use_is_not_given(monkeypatch, limits):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        port = taken.getsockname()[1]
        limits.write_text(f"{port + 1} 60999\n")
        monkeypatch.setattr(ports, "LOWEST", port)

        assert free_port() != port  # there was that one only, so the system gave another


@pytest.mark.parametrize("said", ["1024 65535\n", "", None])
def test_there_are_some_where_connections_have_nearly_all_or_nobody_says(limits, said):
    if said is not None:
        limits.write_text(said)

    assert len(set(free_ports(3))) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_why_a_program_cannot_listen_is_told(host):
    port = free_port()
    assert trouble_at(host, port) == ""
    with socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    ):
        assert trouble_at(host, port) == "in use"
    assert trouble_at("192.0.2.1", port) == "Cannot assign requested address"
