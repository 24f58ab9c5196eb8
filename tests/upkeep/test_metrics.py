"""Metrics: what they say, that their number is bounded, and who may read them."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import ssl
import subprocess
import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.core.faults import Refused
from engine.core.records import Record
from engine.ports import free_port
from engine.runtime import census as counting
from engine.runtime.tally import Tally
from engine.security.community import for_daemon, of_user
from engine.security.contexts import Contexts
from engine.testing.daemons import daemons, own_community, wait_until
from engine.testing.kit import engines, tree
from engine.upkeep.metrics import Endpoint, Sources, families
from engine.upkeep.probe import Probe
from engine.upkeep.snapshot import snapshot
from engine.wire.server import Traffic

GROUP = "engine.compound.Compound"


def sources(now=None, late_s=0.0):
    return Sources(
        snapshot=lambda: now, late_s=lambda: late_s, traffic=lambda: Traffic(2, 1, 7),
        ledger=lambda: ({"effects": 3}, 4096),
    )  # fmt: skip


def scrape(port, context=None, host="127.0.0.1"):
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    more = {"context": context} if context else {}
    connection = kind(host, port, timeout=20, **more)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        return values(answer.read().decode())
    finally:
        connection.close()


def values(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_snapshot_counts_what_the_process_holds(tmp_path):
    async with engines(tmp_path / "state", 2) as (_, (one, _two)):
        far = {"sfClass": GROUP, "sfProcessHost": "host2"}
        await one.deploy("app", {"sfClass": GROUP, "a": {"sfClass": GROUP}, "far": far})
        now = await snapshot(one.process)
        assert now.components == {("rootProcess", "compound", "started"): 2}
        assert (now.applications, now.segments, now.state) == (1, 1, "running")
        assert now.operations["create", "done"] == 1
        endpoint = Endpoint("127.0.0.1", 0, sources(now), None)
        try:
            seen = await asyncio.to_thread(scrape, endpoint.port)
        finally:
            endpoint.close()
    assert (
        seen[
            (
                "smartdomains_components",
                ("process", "rootProcess"),
                ("state", "started"),
                ("type", "compound"),
            )
        ]
        == 2
    )
    key = ("smartdomains_operations_total", ("kind", "create"), ("result", "done"))
    assert seen[key] == 1
    assert seen[("smartdomains_phase_seconds_count", ("phase", "start"))] == 1
    assert seen[("smartdomains_phase_seconds_bucket", ("le", "300"), ("phase", "start"))] == 1
    assert seen[("smartdomains_ledger_rows", ("table", "effects"))] == 3
    assert seen[("smartdomains_refused_total", ("why", "door"))] == 7
    assert seen[("smartdomains_connections", ("kind", "stranger"))] == 1
    assert seen[("smartdomains_loop_answers",)] == 1


async def test_names_that_users_choose_make_no_new_series(tmp_path, monkeypatch):
    def series(now):
        return {
            (sample.name, *sample.labels.items())
            for family in families(now)
            for sample in family.samples
        }

    async with engines(tmp_path / "state", 1) as (_, (one,)):
        await one.deploy("app", {"sfClass": GROUP, "a": {"sfClass": GROUP}})
        before = series(await snapshot(one.process))
        for number in range(5):
            await one.deploy(f"x{number}", {"sfClass": GROUP, f"b{number}": {"sfClass": GROUP}})
        assert series(await snapshot(one.process)) == before

        monkeypatch.setattr(counting, "MOST_TYPES", 1)
        sleeper = {"sfClass": "engine.testing.components.Sleeper"}
        await one.deploy("y", {"sfClass": GROUP, "s": sleeper, "t": sleeper})
        now = await snapshot(one.process)
        assert now.components["rootProcess", "other", "started"] == 2


async def test_components_of_sub_processes_are_counted_with_their_process(tmp_path, monkeypatch):
    async with engines(tmp_path / "state", 1) as (network, (one,)):
        part = {"sfClass": GROUP, "sfProcessName": "p1", "x": {"sfClass": GROUP}}
        other = {"sfClass": GROUP, "sfProcessName": "p2"}
        await one.deploy("app", {"sfClass": GROUP, "part": part, "other": other})
        counts = (await snapshot(one.process)).components
        assert counts == {
            ("rootProcess", "compound", "started"): 1,
            ("p1", "compound", "started"): 2, ("p2", "compound", "started"): 1,
        }  # fmt: skip

        network.sever("host1:3800", "host1:3800/p1")  # it does not answer: left out, nobody waits
        counts = (await snapshot(one.process)).components
        assert {process for process, _, _ in counts} == {"rootProcess", "p2"}
        network.severed.clear()

        monkeypatch.setattr(counting, "MOST_PROCESSES", 2)
        counts = (await snapshot(one.process)).components
        assert {process for process, _, _ in counts} == {"rootProcess", "p1", "other"}
        await one.terminate("app")


def test_a_loop_that_does_not_answer_is_seen_and_the_rest_still_told():
    endpoint = Endpoint("127.0.0.1", 0, sources(None, late_s=12.5), None)
    try:
        seen = scrape(endpoint.port)
    finally:
        endpoint.close()
    assert seen[("smartdomains_loop_answers",)] == 0
    assert seen[("smartdomains_loop_late_seconds",)] == 12.5
    assert seen[("smartdomains_ledger_bytes",)] == 4096
    assert ("smartdomains_applications",) not in seen


def test_an_address_in_use_is_refused_with_words():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(Refused, match="cannot answer metrics") as refused:
            Endpoint("127.0.0.1", taken.getsockname()[1], sources(), None)
        assert "--metrics" in refused.value.fault.hint


def test_away_from_loopback_only_members_of_the_community_may_read():
    with own_community() as folder:
        contexts = Contexts(for_daemon(folder, 3999))
        endpoint = Endpoint("127.0.0.1", 0, sources(), contexts)
        try:
            silent = socket.create_connection(("127.0.0.1", endpoint.port))  # holds up nobody
            member = of_user()
            seen = scrape(endpoint.port, member.client())
            assert seen[("smartdomains_loop_answers",)] == 0
            stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            stranger.load_verify_locations(contexts.files.ca)
            with pytest.raises((OSError, http.client.HTTPException)):
                scrape(endpoint.port, stranger)
            with pytest.raises((OSError, http.client.HTTPException)):
                scrape(endpoint.port)
            silent.close()
        finally:
            endpoint.close()


async def test_a_loop_that_is_held_up_is_counted_and_told():
    told, beat = asyncio.Queue(), asyncio.Event()
    tally = Tally()
    probe = Probe(tally, told.put_nowait, beat.set, 0.05)
    task = asyncio.create_task(probe.run())
    try:
        async with asyncio.timeout(30):
            await beat.wait()
            time.sleep(0.5)  # noqa: ASYNC251 - what nobody may do
            assert probe.late_s > 0.3
            text = await told.get()
    finally:
        task.cancel()
    assert re.fullmatch(r"the loop was late by \d+ ms", text)
    assert tally.lag.total_s > 0.3


def test_the_library_is_loaded_only_when_metrics_are_asked_for():
    code = "import sys, engine.daemon; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.integration
def test_a_daemon_answers_with_its_metrics_and_a_held_up_loop_shows(tmp_path):
    port = free_port()
    with daemons(tmp_path, "one", SMARTDOMAINS_METRICS=f"127.0.0.1:{port}") as (one,):
        seen = scrape(port)
        assert seen[("smartdomains_running",)] == 1
        assert seen[("smartdomains_certificate_expiry_seconds", ("what", "daemon"))] > 86400
        assert seen[("smartdomains_pool_threads", ("pool", "workers"), ("use", "size"))] == 32
        assert seen[("smartdomains_process_open_fds",)] > 3
        assert seen[("smartdomains_loop_lag_seconds_count",)] >= 0
        client = one.client()
        client.hello()
        group = "engine.compound.Compound"
        client.start(
            "app", tree({"sfClass": group, "x": {"sfClass": group, "sfProcessName": "apart"}})
        ).result()
        labels = (("process", "apart"), ("state", "started"), ("type", "compound"))
        assert scrape(port)["smartdomains_components", *labels] == 1
        client.terminate("app", Record.normal()).result()
        members = ("smartdomains_connections", ("kind", "member"))
        wait_until(lambda: scrape(port)[members] == 1, what="the client's connection")
        client.close()
        one.stop()
        with pytest.raises(OSError, match="refused"):
            scrape(port)
