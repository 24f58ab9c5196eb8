"""One lab for the whole run: a host with a libvirtd for QEMU guests, and an emulated Xen host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.testbed.lab import Lab, LabError
from components.testbed.lab.lab import check_machine
from tests.xen.looking import THIN, holds_as, xen_holds

NETWORK = """\
<network><name>default</name><forward mode='bridge'/><bridge name='br0'/></network>
"""


@pytest.fixture(scope="session")
def xen_machine() -> None:
    """Skip where no Xen host can be emulated; in CI that is a failure."""
    try:
        check_machine(libvirt=True, xen=True)
    except (LabError, PermissionError) as error:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(str(error))


@pytest.fixture(scope="session")
def lab_with_xen(xen_machine: None) -> Iterator[Lab]:
    """Two hosts, h1 and x1; x1 has a thin pool that has been used, and a network `default` that is its bridge."""
    with (
        tempfile.TemporaryDirectory(prefix="sdx", dir="/var/tmp") as folder,
        Lab(1, libvirt=True, xen=1, xen_memory_mib=2048, base=Path(folder)) as lab,
    ):
        script = f"""
            lvcreate -q -y -L 256M -T vg1/{THIN} &&
            lvcreate -q -y -V 4M -T vg1/{THIN} -n first && lvremove -q -y vg1/first && echo "{NETWORK}" > /tmp/default.xml &&
            virsh -c xen:///system net-define /tmp/default.xml &&
            virsh -c xen:///system net-start default && rm /tmp/default.xml
        """
        done = lab["x1"].run("sh", "-c", script, limit_s=120)
        assert done.code == 0, done.err
        yield lab


@pytest.fixture
def xen_lab(lab_with_xen: Lab) -> Iterator[Lab]:
    """The lab; after the test its applications have ended, and the Xen host holds what it did before."""
    before = xen_holds(lab_with_xen)
    try:
        yield lab_with_xen
        holds_as(lab_with_xen, before, within_s=30)
    finally:
        lab_with_xen.reset()
