"""One real ZooKeeper server for the run, on a port of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from engine.ports import free_port
from engine.testing.daemons import wait_until

JAR = "/usr/share/java/zookeeper.jar"


class Server:
    """A server that can be frozen and thawed."""

    def __init__(self, folder):
        self.port = free_port()
        self.hosts = (f"127.0.0.1:{self.port}",)
        lines = {
            "tickTime": 200, "dataDir": folder / "data", "clientPort": self.port,
            "clientPortAddress": "127.0.0.1", "admin.enableServer": "false",
            "minSessionTimeout": 1000, "maxSessionTimeout": 12_000,
        }  # fmt: skip
        config = folder / "zoo.cfg"
        config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", JAR, main, str(config)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(self._listens, timeout_s=40)

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session", autouse=True)
def server_of_the_run(request, tmp_path_factory):
    """Started before the first test that is looked at for what it leaves; only if one will ask."""
    asked = any(item.get_closest_marker("zookeeper") for item in request.session.items)
    if not asked or not (Path(JAR).exists() and shutil.which("java")):
        yield None
        return
    server = Server(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.stop()


@pytest.fixture
def zookeeper(server_of_the_run):
    if server_of_the_run is None:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("no ZooKeeper on this machine (scripts/setup --services)")
    return server_of_the_run
