"""Ports for programs that must be told one: nobody has them, and no connection takes them by chance."""

from __future__ import annotations

import socket

import pytest

from engine.runtime import ports
from engine.runtime.ports import LOWEST, free_port, free_ports


def test_they_differ_are_free_and_below_those_of_connections():
    first = ports._first_of_connections()

    found = free_ports(50)

    assert len(set(found)) == 50
    assert all(LOWEST <= port < first for port in found)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", found[0]))


def test_one_in_use_is_not_given(monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        port = taken.getsockname()[1]
        limits = tmp_path / "range"
        limits.write_text(f"{port + 1} 60999\n")
        monkeypatch.setattr(ports, "_RANGE", limits)
        monkeypatch.setattr(ports, "LOWEST", port)

        assert free_port() > port  # there was that one only, so the system gave another


@pytest.mark.parametrize("said", ["1024 65535\n", "", None])
def test_there_are_some_where_connections_have_nearly_all_or_nobody_says(
    monkeypatch, tmp_path, said
):
    limits = tmp_path / "range"
    if said is not None:
        limits.write_text(said)
    monkeypatch.setattr(ports, "_RANGE", limits)

    assert len(set(free_ports(3))) == 3
