"""Real ZooKeeper servers as components."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import descriptions
import sfdl
from components.services.server import LOCK_TAKEN
from components.system.program import started_ticks
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.ports import free_port
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import engines, until

pytestmark = [pytest.mark.integration, pytest.mark.zookeeper, pytest.mark.usefixtures("zookeeper_here")]  # fmt: skip
EXAMPLE = Path(descriptions.__file__).parent / "examples" / "zookeeper.sf"
HEAD = '#include "components/services.sf"\n'


def one_server(port, more=""):
    return sfdl.compile(
        f"{HEAD}sfConfig extends Compound {{ zk extends ZooKeeperServer {{ port {port}; {more} }} }}"
    ).root


def ensemble(folder, ports):
    members = ",".join(f'"127.0.0.1:{free_port()}:{free_port()}"' for _ in range(3))
    overrides = [
        ("sfConfig:folder", str(folder)),
        ("sfConfig:ensemble", f"[|{members}|]"),
        *((f"sfConfig:{name}:port", str(port)) for name, port in ports.items()),
    ]
    return sfdl.compile(EXAMPLE, overrides=overrides).root


def find(engine, path):
    return next((live for live in engine.process.lives.values() if live.path == path), None)


class Writer:
    """A client that keeps writing, and remembers what was acknowledged."""

    def __init__(self, hosts):
        from kazoo.client import KazooClient

        self.client = KazooClient(hosts, timeout=4.0)
        self.acknowledged = []
        self.failed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")

    def __enter__(self):
        self.client.start(timeout=30)
        self.client.create("/load")
        self._thread.start()
        return self

    def _run(self):
        from kazoo.exceptions import KazooException
        from kazoo.handlers.threading import KazooTimeoutError

        number = 0
        while not self._stop.is_set():
            number += 1
            path = f"/load/{number:06}"
            try:
                self.client.create_async(path, str(number).encode()).get(timeout=10)
            except (KazooException, KazooTimeoutError):
                self.failed += 1
                time.sleep(0.05)
            else:
                self.acknowledged.append(path)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        self.client.stop()
        self.client.close()


@pytest.mark.timeout(180)
async def test_an_ensemble_that_loses_its_leader_loses_nothing_it_acknowledged(tmp_path):
    ports = {name: free_port() for name in ("one", "two", "three")}
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("zk", ensemble(tmp_path / "data", ports))
        await until(lambda: engine.process.application("zk").ready, timeout_s=60)
        assert sorted(find(engine, f"zk:{name}").value("mode") for name in ports) == [
            "follower", "follower", "leader",
        ]  # fmt: skip
        leader = next(n for n in ports if find(engine, f"zk:{n}").value("mode") == "leader")
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports.values())
        with Writer(hosts) as writer:
            await until(lambda: len(writer.acknowledged) > 50, timeout_s=30)
            victim = find(engine, f"zk:{leader}:server").value("pid")
            os.kill(victim, signal.SIGKILL)
            before = len(writer.acknowledged)

            def healed():
                new = find(engine, f"zk:{leader}:server")
                return (
                    new is not None
                    and new.value("pid") not in {None, victim}
                    and engine.process.application("zk").ready
                )

            await until(healed, timeout_s=60)
            await until(lambda: len(writer.acknowledged) > before + 50, timeout_s=30)
        stored = set()
        await engine.process.workers.run(
            lambda: stored.update(children(f"127.0.0.1:{ports[leader]}")), pending=set()
        )
        assert set(writer.acknowledged) <= {f"/load/{name}" for name in stored}
        assert find(engine, "zk").value("sfRestartCount") in {None, 0}
        await engine.terminate("zk")
        assert (tmp_path / "data" / "1" / "version-2").is_dir(), "data that was named stays"


def children(host):
    """What a client of that one server finds, once it has caught up."""
    from kazoo.client import KazooClient

    client = KazooClient(host, timeout=4.0)
    client.start(timeout=30)
    try:
        client.sync("/load")
        return client.get_children("/load")
    finally:
        client.stop()
        client.close()


async def test_one_server_is_ready_when_it_serves_and_leaves_nothing(tmp_path):
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        port = free_port()
        await engine.deploy("app", one_server(port))
        await until(lambda: find(engine, "app").ready, timeout_s=50)
        live = find(engine, "app:zk")
        folder = live.prim.folder
        pid = find(engine, "app:zk:server").value("pid")
        assert live.value("mode") == "standalone"
        assert folder.is_dir()

        await engine.terminate("app")

        assert not folder.exists()
        assert started_ticks(pid) is None


async def test_one_that_hangs_is_unwell_and_takes_its_application_along(tmp_path):
    async with engines(tmp_path, threads=True, liveness_delay_s=0.5) as (_, (engine,)):
        await engine.deploy("app", one_server(free_port()))
        await until(lambda: find(engine, "app").ready, timeout_s=50)
        pid = find(engine, "app:zk:server").value("pid")
        os.killpg(pid, signal.SIGSTOP)

        record = await until(lambda: engine.process.ended_application("app"), timeout_s=50)

        assert record.type == "livenessFailure"
        await until(lambda: started_ticks(pid) is None)


async def test_a_port_that_is_taken_is_said_before_anything_is_made(tmp_path):
    import socket

    async with engines(tmp_path, threads=True) as (_, (engine,)):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(EngineError, match="cannot listen at"):
                await engine.deploy("app", one_server(other.getsockname()[1]))
        assert not engine.process.lives
        assert not list(engine.process.work_folder.glob("server-*"))


async def test_two_servers_never_share_a_folder(tmp_path):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        more = f'dataDir "{tmp_path}/data";'
        await engine.deploy("first", one_server(free_port(), more))
        await engine.deploy("second", one_server(free_port(), more))

        record = await until(lambda: engine.process.ended_application("second"), timeout_s=50)

        assert f"status {LOCK_TAKEN}" in record.description
        assert "in use by another server" in record.description
        await engine.terminate("first")


async def test_one_of_others_is_only_looked_at(tmp_path):
    async with engines(tmp_path, threads=True, liveness_delay_s=0.5) as (_, (engine,)):
        port = free_port()
        await engine.deploy("ours", one_server(port))
        await engine.deploy("theirs", one_server(port, "external true;"))
        await until(lambda: find(engine, "theirs").ready, timeout_s=50)
        assert list(find(engine, "theirs:zk").children) == []

        await engine.terminate("ours")

        record = await until(lambda: engine.process.ended_application("theirs"), timeout_s=50)
        assert record.type == "livenessFailure"


def test_a_server_runs_on_while_its_daemon_is_killed_and_is_taken_up_again(tmp_path):
    port = free_port()
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", one_server(port)).result()
        wait_until(lambda: all(row.ready for row in client.whole_tree("app")), timeout_s=50)
        pid = pid_of(client, "app:zk:server")
        one.kill()
        assert started_ticks(pid) is not None
        one.start()
        wait_until(lambda: all(row.ready for row in client.whole_tree("app")), timeout_s=50)
        assert pid_of(client, "app:zk:server") == pid

        assert client.terminate("app", Record.normal()).result().leftovers == ()

        assert started_ticks(pid) is None
        client.close()
    assert not list(tmp_path.rglob("server-*"))


def pid_of(client, path):
    return int(next(row.value for row in client.attributes(path) if row.name == "pid"))
