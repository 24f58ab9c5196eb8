"""The emulated Xen host is a host of the lab like any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from components.testbed.lab import LabError
from tests.xen.looking import until

pytestmark = [pytest.mark.xen, pytest.mark.timeout(900)]


def test_xen_and_its_daemon_answer_over_the_network(lab_with_xen):
    said = lab_with_xen.sf("virsh", "-c", "xen+tcp://x1/system", "version")
    assert "Running hypervisor: Xen 4." in said.out, said.err

    assert lab_with_xen.sf("sfping", "x1", limit_s=120).code == 0


def test_a_command_runs_in_dom0_and_gives_its_exit_code(lab_with_xen):
    host = lab_with_xen["x1"]

    done = host.run("sh", "-c", "hostname; cat /proc/xen/capabilities; echo no >&2; exit 7")

    assert (done.code, done.err) == (7, "no\n")
    assert done.out.split() == ["x1", "control_d"]
    with pytest.raises(LabError, match="not done after 3 s"):
        host.run("sleep", "4711", limit_s=3)
    assert host.run("pgrep", "-f", "^sleep 4711").code == 1


def test_it_is_seen_from_outside_as_it_is(lab_with_xen):
    (facts,) = (each for each in lab_with_xen.status() if each.name == "x1")

    assert (facts.power, facts.daemon, facts.libvirtd, facts.guests) == ("on", "up", "up", 0)


def test_a_killed_daemon_is_started_again_in_dom0(lab_with_xen):
    host = lab_with_xen["x1"]
    before = host.run("cat", "daemon.pid", cwd=host.folder).out

    host.kill("daemon")

    until(lambda: host.ready)
    assert host.run("cat", "daemon.pid", cwd=host.folder).out != before


def test_its_code_is_that_of_this_checkout(lab_with_xen):
    import components.testbed.host_init as ours

    script = (
        "import json, components.testbed.host_init as m; print(json.dumps(open(m.__file__).read()))"
    )
    theirs = lab_with_xen["x1"].run("python3", "-c", script).out

    assert json.loads(theirs) == Path(ours.__file__).read_text()
    assert sys.version_info[:2] == (3, 11)
