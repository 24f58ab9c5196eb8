"""The pool of the SmartDomains slides on a real Xen host: files and logical volumes, two PV guests.

Only names of hosts and paths differ from the example, and that the second computer, a host without
Xen, uses libvirt's test driver.
"""

from __future__ import annotations

import tarfile

import pytest

from tests.xen.looking import ROOT, domains, sf, tree

pytestmark = [pytest.mark.xen, pytest.mark.timeout(1200)]

SEED = ROOT / "descriptions" / "examples" / "smartdomainsPool.sf"
MAKE = """
set -e
mkdir -p "$1/data" "$1/images" "$1/tree/etc"; echo slc3 > "$1/tree/etc/who"
/sbin/mke2fs -q -t ext3 -d "$1/tree" "$1/data/slc3-smartfrog.img" 8M
tar -C "$1/tree" -czf "$1/data/slc3-WN.tgz" .
"""
SHOW = 'import sys, tarfile; print(tarfile.open(sys.argv[1]).extractfile("./etc/who").read())'


@pytest.fixture
def folder(xen_lab):
    """A folder that both hosts have at the same path, with images; it is gone afterwards."""
    folder = xen_lab.folder / "seed"
    for host in xen_lab:
        made = host.run("sh", "-c", MAKE, "sh", str(folder), limit_s=120)
        assert made.code == 0, made.err
    yield folder
    for host in xen_lab:
        assert host.run("rm", "-rf", str(folder)).code == 0


def test_it_runs_on_files_and_logical_volumes_and_leaves_images_and_nothing_else(
    xen_lab, folder, tmp_path
):
    text = SEED.read_text()
    for old, new in (
        ("/boot/vmlinuz-2.6-xen", f"{xen_lab.folder}/guest/vmlinuz"),
        ("/boot/initrd-2.6-xen.img", f"{xen_lab.folder}/guest/initrd.gz"),
        ("/data/xen/", f"{folder}/data/"),
        ('saveImagePath "/tmp"', f'saveImagePath "{folder}/images"'),
        ('sfProcessHost "host1"', 'sfProcessHost "x1"'),
        ('sfProcessHost "host2"', 'sfProcessHost "h1"; hypervisorUri "test:///default"'),
    ):
        assert old in text
        text = text.replace(old, new)
    description = tmp_path / "pool.sf"
    description.write_text(text)
    x1 = xen_lab["x1"]

    sf(xen_lab, "sfstart", "h1", "pool", description)

    assert set(tree(xen_lab).values()) == {"started"}
    assert domains(xen_lab, "x1") == ["domainLVM", "domainLoopback"]
    lvs = x1.run("lvs", "--noheadings", "-o", "lv_name,lv_size", "--units", "m", "vg1").out.split()
    assert "domainLVM-volume1" in lvs
    assert "domainLVM-volume1-swap" in lvs
    assert lvs[lvs.index("domainLVM-volume1") + 1] == "1024.00m"
    for name, mac in (("domainLoopback", "52:54:0a:14:01:0b"), ("domainLVM", "52:54:0a:14:01:0c")):
        assert mac in x1.run("virsh", "domiflist", name).out
    sf(xen_lab, "sfping", "h1", "pool:computer1:domain2")

    sf(xen_lab, "sfterminate", "h1", "pool")

    assert domains(xen_lab, "x1") == []
    images = x1.run("sh", "-c", f"ls {folder}/images/*.tar").out.split()
    assert sorted(path.rpartition("/")[2].partition("-")[0] for path in images) == [
        "domainLVM", "domainLoopback",
    ]  # fmt: skip
    for path in images:
        assert x1.run("python3", "-c", SHOW, path).out == "b'slc3\\n'\n"
    (image,) = (folder / "images").glob("*.tar")
    with tarfile.open(image) as archive:
        assert archive.extractfile("./etc/who").read() == b"slc3\n"
