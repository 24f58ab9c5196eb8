"""A running Xen guest is changed: its volumes grow or are replaced, devices come and go, it is renamed."""

from __future__ import annotations

import json

import pytest

from tests.xen.looking import THIN, domains, sf

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1200)]

MAC = "00:16:3e:00:00:77"
GUEST = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfLivenessDelay 10; sfSyncTerminate true; sfUpdatable true;
    guest TBD; pool TBD;
    xen extends PhysicalHost {
        sfProcessHost "x1"; sfSyncTerminate true; sfUpdatable true;
        lvm extends LVMStorageBackend {
            baseImage (guest ++ "/base.ext4"); swapSize "SWAP"; thinPool pool; keepOnFailure 0;
            volumeSize "SIZE";
        }
        vm extends XenDomain {
            memory 96; kernel (guest ++ "/vmlinuz"); ramdisk (guest ++ "/initrd.gz");
            guestMode "pvh"; stopMode "destroy"; storageBackend LAZY ATTRIB lvm;
            bridge "br0"; updateMode "MODE"; MORE
        }
    }
}
"""
BOTH = f'disks ["/dev/vg1/further"]; interfaces [(extends {{ bridge "br0"; mac "{MAC}"; }})];'


@pytest.fixture
def further(xen_lab):
    """A logical volume of somebody else's."""
    host = xen_lab["x1"]
    assert host.run("lvcreate", "-q", "-y", "-L", "4M", "-n", "further", "vg1").code == 0
    yield xen_lab
    assert host.run("lvremove", "-q", "-y", "vg1/further").code == 0


def has(lab):
    """Return the sizes of the guest's disks by their paths, in MiB, and the MAC addresses it has."""
    x1 = lab["x1"]
    (name,) = domains(lab, "x1")
    rows = [line.split() for line in x1.run("virsh", "domblklist", name).out.splitlines()[2:]]
    nics = [line.split() for line in x1.run("virsh", "domiflist", name).out.splitlines()[2:]]
    sizes = x1.run("lvs", "--reportformat", "json", "-o", "lv_path,lv_size", "--units", "m")
    (report,) = json.loads(sizes.out)["report"]
    by_path = {row["lv_path"]: float(row["lv_size"].rstrip("m")) for row in report["lv"]}
    disks = {row[1]: by_path[row[1]] for row in rows if row}
    return disks, {row[4] for row in nics if row}


def test_a_running_guest_is_changed_and_ends_without_a_trace(further, tmp_path):
    lab, text = further, tmp_path / "pool.sf"
    values = ("--set", f"guest={lab.folder}/guest", "--set", f"pool={THIN}")

    def described(size, more, mode="defer", swap="4m"):
        told = GUEST.replace("SIZE", size).replace("SWAP", swap)
        text.write_text(told.replace("MORE", more).replace("MODE", mode))
        return text, *values

    root, swap = (f"/dev/vg1/pool-xen-vm-volume1{word}" for word in ("", "-swap"))
    sf(lab, "sfstart", "h1", "pool", *described("32m", ""))
    number = lab["x1"].run("virsh", "domid", "pool-xen-vm").out
    disks, nics = has(lab)
    assert disks == {root: 32.0, swap: 4.0}

    sf(lab, "sfupdate", "h1", "pool", *described("48m", ""))
    assert has(lab) == ({root: 48.0, swap: 4.0}, nics)
    dumped = sf(lab, "sfdump", "h1", "pool:xen:vm")
    assert 'pendingChanges "volumeSize"' in dumped  # the guest sees it at its next power cycle

    sf(lab, "sfupdate", "h1", "pool", *described("48m", BOTH))
    assert has(lab) == ({root: 48.0, swap: 4.0, "/dev/vg1/further": 4.0}, nics | {MAC})

    sf(lab, "sfupdate", "h1", "pool", *described("48m", ""))
    assert has(lab) == ({root: 48.0, swap: 4.0}, nics)
    assert lab["x1"].run("virsh", "domid", "pool-xen-vm").out == number

    # Xen's driver does not rename: it is forgotten and defined anew, with what was pending.
    renamed = 'domainName "other"; memory 112;'
    sf(lab, "sfupdate", "h1", "pool", *described("48m", renamed, "reboot"))
    assert domains(lab, "x1") == ["other"]
    assert has(lab) == ({root: 48.0, swap: 4.0}, nics)
    assert lab["x1"].run("virsh", "domid", "other").out != number

    replaced = f"{renamed} allowReplace true;"
    sf(lab, "sfupdate", "h1", "pool", *described("48m", replaced, "reboot", swap="8m"))
    assert has(lab) == ({f"{root}+2": 48.0, f"{swap}+2": 8.0}, nics)
    names = lab["x1"].run("lvs", "--noheadings", "-o", "lv_name", "vg1").out.split()
    assert not {"pool-xen-vm-volume1", "pool-xen-vm-volume1-swap"} & set(names)

    sf(lab, "sfterminate", "h1", "pool")
