"""The published table says of Xen what libvirt's driver for it really does."""

from __future__ import annotations

import re

import pytest

from components.hypervisor.capabilities import Capabilities
from tests.xen.looking import ROOT

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1500)]

PROBE = ROOT / "tests" / "outside" / "xen_probe.py"
TABLE = (ROOT / "docs" / "hypervisors.md").read_text().partition("What the table does not say")[0]
ROWS = {"agent": "agent-ping"}
"""Calls by which a capability is asked for, where they are called otherwise."""
NOT_ASKED = {"shutdown-acpi", "grow"}
"""The button can be pressed, and nothing happens; a guest without disks has none to grow."""
GUEST = """\
<domain type='xen'><name>probe</name><memory unit='MiB'>96</memory><vcpu current='1'>2</vcpu>
 <os><type arch='x86_64' machine='xenpvh'>xenpvh</type><kernel>{guest}/vmlinuz</kernel>
  <initrd>{guest}/initrd.gz</initrd><cmdline>console=hvc0 quiet panic=1</cmdline></os>
 <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
 <devices><console type='pty'><target type='xen' port='0'/></console></devices></domain>
"""


def published():
    """What the page says of each call under Xen: yes or no."""
    rows = re.findall(r"^\| `([a-z-]+)` \|[^|]*\| (yes|no)\b", TABLE, re.MULTILINE)
    assert len(rows) == len(dict(rows)) > 20
    return dict(rows)


def test_each_call_of_the_table_is_answered_as_it_says(xen_lab, tmp_path):
    host, folder = xen_lab["x1"], "/tmp/probe"
    xml = GUEST.format(guest=f"{xen_lab.folder}/guest")
    script = 'mkdir -p "$1" && printf %s "$2" > "$1/guest.xml" && python3 -c "$3" "$4" "$1/guest.xml" "$1"'
    words = [folder, xml, PROBE.read_text(), "xen:///system"]

    done = host.run("sh", "-c", script, "sh", *words, limit_s=900)

    console = "/var/log/xen/console/guest-probe.log"
    assert host.run("rm", "-r", folder, console).code == 0
    (tmp_path / "said.txt").write_text(f"{done.out}\n{done.err}")
    assert done.code == 0, f"{done.out}\n{done.err}"
    found = {line.split()[0]: line.split()[1] for line in done.out.splitlines()}
    assert found == published(), f"{done.out}\n{done.err}"
    absent = {capability.value for capability in Capabilities("Xen").absent}
    rows = {ROWS.get(name, name) for name in absent - NOT_ASKED}
    assert {name: found[name] for name in rows} == dict.fromkeys(rows, "no")
