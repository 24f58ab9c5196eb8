"""Servers for real: what is missing on the machine fails in CI and skips on a laptop."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def need(*files):
    missing = [file for file in files if not (Path(file).exists() or shutil.which(file))]
    if missing:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"not on this machine: {', '.join(missing)} (scripts/setup --services)")


@pytest.fixture(scope="session")
def zookeeper_here():
    need("/usr/share/java/zookeeper.jar", "java")


@pytest.fixture(scope="session")
def rabbitmq_here():
    need("/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd")


@pytest.fixture(scope="session")
def message_bus_here():
    need("dbus-daemon")
