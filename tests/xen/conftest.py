"""One lab for the whole run: a host with a libvirtd for QEMU guests, and an emulated Xen host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.testbed.lab import Lab, LabError
from components.testbed.lab.lab import check_machine


@pytest.fixture(scope="session")
def xen_machine() -> None:
    """Skip where no Xen host can be emulated; in CI that is a failure."""
    try:
        check_machine(libvirt=True, xen=True)
    except (LabError, PermissionError) as error:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(str(error))


@pytest.fixture(scope="session")
def xen_lab(xen_machine: None) -> Iterator[Lab]:
    with (
        tempfile.TemporaryDirectory(prefix="sdx", dir="/var/tmp") as folder,
        Lab(1, libvirt=True, xen=1, xen_memory_mib=2048, base=Path(folder)) as lab,
    ):
        yield lab
