"""Daemons that nobody has named to each other find each other, and believe certificates only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from engine.core.faults import EngineError
from engine.core.records import Record
from engine.discovery.announcing import TYPE
from engine.ports import free_port
from engine.security.authority import Authority
from engine.security.community import for_daemon
from engine.security.identity import Role
from engine.testing.daemons import Daemon, own_community, wait_until
from engine.testing.kit import tree
from tests.discovery.nameserver import DOMAIN, dns_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def over(host):
    part = {"sfClass": "engine.compound.Compound", "sfProcessHost": host}
    return tree({"sfClass": "engine.compound.Compound", "part": part})


@contextlib.contextmanager
def strangers(tmp_path, *names, **settings):
    """Daemons of one local community that were not told of each other."""
    with own_community() as folder, contextlib.ExitStack() as stack:
        made = []
        for name in names:
            daemon = Daemon(tmp_path, name, free_port(), {}, **settings)
            for_daemon(folder, daemon.port)
            stack.callback(daemon.stop)
            made.append(daemon.start())
        yield made


def test_on_one_link_daemons_hear_of_each_other_if_they_are_told_to(tmp_path):
    with strangers(tmp_path, "one", "two", SMARTDOMAINS_MULTICAST="true") as (one, two):
        client = one.client()
        (row,) = wait_until(client.peers, what="two was heard of")
        assert (row.name, row.address, row.how) == ("two", two.address, "multicast")
        assert row.certificate == f"local-{two.port}"
        assert row.state == "running"
        grown = client.start("app", over("two")).result()
        assert set(grown.hosts) == {one.address, two.address}
        client.terminate("app", Record.normal()).result()

        two.stop()
        wait_until(lambda: [row.how for row in client.peers()] == ["met"], what="its goodbye")
        client.close()


def test_they_are_silent_and_deaf_if_nobody_says_so(tmp_path):
    with strangers(tmp_path, "one", "two") as (one, _):
        client = one.client()
        assert client.peers() == ()
        with pytest.raises(EngineError, match="host two"):
            client.start("app", over("two")).result()
        client.close()


async def announce(*told):
    """Announce places on loopback as anybody can."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    for name, address in told:
        info = AsyncServiceInfo(
            TYPE, f"{name}.{TYPE}", port=1, properties={"node": name, "address": address},
            server=f"{name}.local.", parsed_addresses=["127.0.0.1"],
        )  # fmt: skip
        await (await zeroconf.async_register_service(info))
    return zeroconf


def test_an_announcement_alone_is_believed_by_nobody(tmp_path):
    """Forged: the name of another host for a member, and a place where strangers answer."""
    foreign = Authority.create(tmp_path / "foreign")
    issued = foreign.issue("daemon", "evil", hosts=["127.0.0.1"])
    evil = Daemon(
        tmp_path, "evil", free_port(), {}, SMARTDOMAINS_BIND="127.0.0.1",
        SMARTDOMAINS_CERT=str(issued.file), SMARTDOMAINS_KEY=str(issued.file.with_suffix(".key")),
        SMARTDOMAINS_CA=str(tmp_path / "foreign" / "ca.pem"), SMARTDOMAINS_DOMAIN="none",
    )  # fmt: skip

    def asked(one):
        client = one.client()
        wait_until(lambda: len(client.peers()) == 3, what="all were heard of")
        rows = {(row.name, row.address): row for row in client.peers()}
        faults = {}
        for name in ("three", "evil"):
            with pytest.raises(EngineError) as refused:
                client.start(name, over(name)).result()
            faults[name] = refused.value.fault
        client.close()
        return rows, faults

    async def forged(one, two):
        zeroconf = await announce(("three", two.address), ("evil", evil.address))
        try:
            return await asyncio.to_thread(asked, one)
        finally:
            await zeroconf.async_close()

    with strangers(tmp_path, "one", "two", SMARTDOMAINS_MULTICAST="true") as (one, two):
        evil.start()
        try:
            rows, faults = asyncio.run(forged(one, two))
        finally:
            evil.stop()
        assert "not believed" in rows["evil", evil.address].problem
        assert rows["evil", evil.address].certificate == ""
        assert rows["three", two.address].problem == "announced so, but calls itself two"
        assert rows["two", two.address].problem == ""
        assert all("does not answer" in fault.message for fault in faults.values()), faults
        client = two.client()
        assert list(client.whole_tree()) == []
        client.close()


def test_multicast_without_tls_is_refused(tmp_path):
    done = subprocess.run(
        [f"{sys.prefix}/bin/sfdaemon", "--insecure", "--multicast", "--state-dir", tmp_path, "-p",
         str(free_port())],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "multicast needs TLS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="names of its own need root")
def test_hosts_are_found_by_service_records_under_the_names_of_their_certificates(tmp_path):
    authority = Authority.create(tmp_path / "authority")
    ports = {"one": free_port(), "two": free_port()}
    authority.issue("client", "ann", roles=[Role.ADMIN])
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}.{DOMAIN}\n" for name in ports))
    named = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {hosts} /etc/hosts && exec "$@"',
        "sh",
    )

    def files(kind, name):
        folder = tmp_path / "authority"
        return {
            "SMARTDOMAINS_CERT": str(folder / f"{kind}-{name}.pem"),
            "SMARTDOMAINS_KEY": str(folder / f"{kind}-{name}.key"),
            "SMARTDOMAINS_CA": str(folder / "ca.pem"),
        }

    with (
        dns_server(*(f"{name}.{DOMAIN},{port}" for name, port in ports.items())) as server,
        contextlib.ExitStack() as stack,
    ):
        for name, port in ports.items():
            authority.issue("daemon", name, hosts=[f"{name}.{DOMAIN}", "127.0.0.1"])
            daemon = Daemon(
                tmp_path, name, port, {}, prefix=named, SMARTDOMAINS_BIND="127.0.0.1",
                SMARTDOMAINS_DOMAIN=DOMAIN, SMARTDOMAINS_DNS_SERVER=server,
                **files("daemon", name),
            )  # fmt: skip
            stack.callback(daemon.stop)
            daemon.start()

        def sf(*words):
            return subprocess.run(
                [*words, "-p", str(ports["one"])], capture_output=True, text=True, timeout=60,
                check=False, env={**os.environ, **files("client", "ann")},
            )  # fmt: skip

        commands = Path(sys.prefix) / "bin"
        done = sf(commands / "sfping", "127.0.0.1", "--all", "--json")
        (row,) = [r for r in json.loads(done.stdout)["result"] if r["name"] == "two"]
        assert (row["address"], row["how"]) == (f"two.{DOMAIN}:{ports['two']}", "dns")
        assert row["certificate"] == "two"
        assert row["round_trip_ms"] > 0
        assert "certificate two" in sf(commands / "sfping", "127.0.0.1", "--all").stdout
        file = tmp_path / "app.sf"
        file.write_text(
            '#include "org/smartfrog/components.sf"\n'
            'sfConfig extends Compound { part extends Compound { sfProcessHost "two"; } }\n'
        )
        done = sf(commands / "sfstart", "127.0.0.1", "app", file)
        assert done.returncode == 0, done.stderr
        assert "2 components on 2 hosts" in done.stdout
