"""One description, a QEMU guest and a Xen guest: deployed, adopted, killed, ended; nothing is left."""

from __future__ import annotations

import pytest

from tests.xen.looking import ROOT, domains, events, sf, tree, until

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1200)]

POOL = ROOT / "descriptions" / "examples" / "kvmAndXen.sf"


def test_one_description_makes_a_qemu_guest_and_a_xen_guest_and_ends_both(xen_lab):
    host = xen_lab["x1"]
    said = sf(xen_lab, "sfstart", "h1", "pool", POOL, "--set", f"guest={xen_lab.folder}/guest")
    assert "7 components on 2 hosts" in said
    assert domains(xen_lab, "h1") == ["pool-computer1-vm"]
    assert domains(xen_lab, "x1") == ["pool-computer2-vm"]
    for address in ("10.77.0.101", "10.77.0.102"):
        status = xen_lab.sf("curl", "-sS", "-m", "30", f"http://{address}/cgi-bin/status")
        assert "name=guest" in status.out, status.err
    sf(xen_lab, "sfping", "h1", "pool:computer2:vm")

    # The daemon in dom0 dies and comes back: the guest goes on, and is the same component.
    number = host.run("virsh", "domid", "pool-computer2-vm").out
    host.kill("daemon")
    until(lambda: host.ready)
    until(lambda: set(tree(xen_lab).values()) == {"started"})
    assert host.run("virsh", "domid", "pool-computer2-vm").out == number
    until(lambda: xen_lab.sf("sfping", "h1", "pool:computer2:vm").code == 0)

    sf(xen_lab, "sfterminate", "h1", "pool")

    assert domains(xen_lab, "h1") == domains(xen_lab, "x1") == []
    left = [path for path in (xen_lab["h1"].folder / "state").rglob("work/**/*") if path.is_file()]
    assert left == []
    assert "shut down within" not in events(xen_lab, "x1")


def test_a_xen_guest_killed_by_hand_is_noticed_and_its_application_ends(xen_lab, tmp_path):
    alone = tmp_path / "alone.sf"
    alone.write_text(ALONE)
    sf(xen_lab, "sfstart", "h1", "pool", alone, "--set", f"guest={xen_lab.folder}/guest")
    assert domains(xen_lab, "x1") == ["pool-xen-vm"]

    killed = xen_lab.sf("virsh", "-c", "xen+tcp://x1/system", "destroy", "pool-xen-vm")
    assert killed.code == 0, killed.err

    until(lambda: not tree(xen_lab), within_s=120)
    assert domains(xen_lab, "x1") == []
    assert "pool-xen-vm" in events(xen_lab, "h1")


ALONE = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfLivenessDelay 10;
    guest TBD;
    xen extends PhysicalHost {
        sfProcessHost "x1";
        vm extends XenDomain {
            memory 96; diskless true; kernel (guest ++ "/vmlinuz"); ramdisk (guest ++ "/initrd.gz");
            guestMode "pvh"; stopMode "destroy";
        }
    }
}
"""
