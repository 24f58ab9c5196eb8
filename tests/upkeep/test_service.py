"""What the service manager is told, over a real socket that stands for it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.testing.daemons import daemons
from engine.upkeep.service import Notifier

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "systemd" / "sfdaemon.service"


class Manager:
    """A datagram socket that keeps what it is told."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.told = []

    def hear(self, timeout_s=30.0):
        self.socket.settimeout(timeout_s)
        self.told.append(self.socket.recv(4096).decode())
        return self.told[-1]

    def hear_until(self, word, timeout_s=30.0):
        end = time.monotonic() + timeout_s
        while word not in self.hear(max(0.1, end - time.monotonic())):
            assert time.monotonic() < end, (word, self.told)
        return self.told[-1]


@pytest.fixture
def manager(tmp_path):
    one = Manager(str(tmp_path / "notify"))
    yield one
    one.socket.close()


def test_without_a_manager_nothing_is_sent_and_nothing_fails():
    notifier = Notifier({})
    notifier.ready("here")
    notifier.beat()
    notifier.stopping()


def test_a_manager_that_is_gone_does_not_hold_up_the_daemon(tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("here")


def test_what_the_manager_said_is_not_handed_to_children(manager):
    environment = {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Notifier(environment)
    assert environment == {"PATH": "/bin"}


def test_an_abstract_socket_is_understood():
    name = f"smartdomains-test-{os.getpid()}"
    one = Manager(f"\0{name}")
    try:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready("here")
        assert one.hear() == "READY=1\nSTATUS=here"
    finally:
        one.socket.close()


def test_the_watchdog_is_fed_only_if_it_watches_this_very_process(manager, tmp_path):
    for pid, fed in ((os.getpid(), True), (1, False)):
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000",
                             "WATCHDOG_PID": str(pid)})  # fmt: skip
        notifier.ready("here")
        assert manager.hear().startswith("READY=1")
        notifier.beat()
        if fed:
            assert manager.hear() == "WATCHDOG=1"
            assert notifier.period_s == 1.0
        with pytest.raises(TimeoutError):
            manager.hear(0.05)


def test_more_time_is_asked_for_while_starting_and_stopping(manager, tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.beat()
    assert manager.hear() == "EXTEND_TIMEOUT_USEC=30000000"
    notifier.ready("here")
    assert manager.hear().startswith("READY=1")
    notifier.beat()
    notifier.stopping()
    assert manager.hear().startswith("STOPPING=1")
    notifier.beat()
    assert manager.hear() == "EXTEND_TIMEOUT_USEC=30000000"


@pytest.mark.integration
def test_a_daemon_says_it_is_ready_feeds_the_watchdog_and_says_that_it_stops(manager, tmp_path):
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with daemons(tmp_path / "state", "one", **told) as (one,):
        assert f"one at {one.address}" in manager.hear_until("READY=1")
        manager.hear_until("WATCHDOG=1")
        manager.hear_until("WATCHDOG=1")
        os.kill(one.pid, 19)  # a process that hangs feeds no watchdog
        manager.socket.setblocking(False)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                manager.socket.recv(4096)
            except BlockingIOError:
                break
        with pytest.raises(TimeoutError):
            manager.hear(1.5)
        os.kill(one.pid, 18)
        manager.hear_until("WATCHDOG=1")
        one.stop()
        manager.hear_until("STOPPING=1")


def directives():
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", UNIT.read_text(), re.MULTILINE))


def test_the_unit_leaves_machines_alone_and_watches_the_loop():
    said = directives()
    assert said["Type"] == "notify"
    assert said["KillMode"] == "process"
    assert said["Restart"] == "on-failure"
    assert float(said["WatchdogSec"]) >= 10
    breaks = {"PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectKernelTunables",
              "ProtectControlGroups", "RestrictNamespaces", "NoNewPrivileges", "PrivateNetwork",
              "MemoryDenyWriteExecute", "UMask"}  # fmt: skip
    assert not breaks & set(said)
    assert said["ProtectSystem"] != "strict"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    command = Path(sys.executable).with_name("sfdaemon")
    text = UNIT.read_text().replace("/opt/smartdomains/bin/sfdaemon", str(command))
    text = text.replace("Documentation=man:sfdaemon(1)", "")
    file = tmp_path / "sfdaemon.service"
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], check=False,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sfdaemon.service" not in done.stderr
