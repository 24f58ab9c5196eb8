"""What a machine needs of its host is looked for before anything is made, and named when it is missing."""

from __future__ import annotations

import json

import pytest

from components.domains.backing import check_lock, check_pages
from components.domains.firmware import check_firmware, described
from components.kvm.domain import KvmDomain
from engine.core.faults import Refused

MIB = 2**20
PLAIN = {
    "interface-types": ["uefi"],
    "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
    "features": ["acpi-s3"],
    "mapping": {"device": "flash"},
}
SECURE = PLAIN | {
    "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
    "features": ["secure-boot", "enrolled-keys"],
}


def host(tmp_path, *, size=2048, free=0, promised=0, nodes=None, mounted=True):
    """Make a kernel's folders that show so many huge pages, of so many KiB."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    proc.mkdir()
    line = f"Hugepagesize:       {size} kB\n" if size else ""
    (proc / "meminfo").write_text(f"MemTotal: 100 kB\n{line}")
    (proc / "mounts").write_text(
        "none /dev/hugepages hugetlbfs rw 0 0\n" if mounted else "a / ext4 rw 0 0\n"
    )
    folders = {"kernel/mm": free} | {
        f"devices/system/node/node{n}": k for n, k in (nodes or {}).items()
    }
    for place, count in folders.items():
        folder = sys / place / f"hugepages/hugepages-{size}kB"
        folder.mkdir(parents=True)
        (folder / "free_hugepages").write_text(f"{count}\n")
    (sys / f"kernel/mm/hugepages/hugepages-{size}kB/resv_hugepages").write_text(f"{promised}\n")
    return {"proc": proc, "sys": sys}


@pytest.mark.parametrize(
    ("there", "node", "why"),
    [
        ({"free": 31}, None, "this host has 31 free pages of 2 MiB, and 64 MiB of memory take 32"),
        ({"free": 40, "promised": 9}, None, "this host has 31 free pages"),
        ({"free": 64, "nodes": {0: 60, 1: 4}}, 1, "node 1 of this host has 4 free pages"),
        ({"free": 64, "nodes": {0: 64}}, 7, "node 7 of this host has 0 free pages"),
        ({"size": 0}, None, "the kernel of this host has no huge pages"),
        ({"free": 32, "mounted": False}, None, "no hugetlbfs is mounted"),
    ],
)  # fmt: skip
def test_huge_pages_that_the_host_has_not_are_refused(tmp_path, there, node, why):
    with pytest.raises(Refused, match=why) as refused:
        check_pages(64 * MIB, node, "app:vm", **host(tmp_path, **there))

    assert refused.value.fault.hint


def test_huge_pages_that_are_free_are_taken(tmp_path):
    there = host(tmp_path, free=32, nodes={0: 0, 1: 32})

    check_pages(64 * MIB, None, "app:vm", **there)
    check_pages(64 * MIB, 1, "app:vm", **there)


def test_memory_is_not_locked_by_a_users_own_hypervisor():
    with pytest.raises(Refused, match="needs a hypervisor run by root"):
        check_lock("qemu+unix:///session?socket=/run/x", root=False, where="app:vm")

    check_lock("qemu:///session", root=True, where="app:vm")


def folders(tmp_path, **files):
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".json").write_text(
            content if isinstance(content, str) else json.dumps(content)
        )
    return tmp_path / "etc", tmp_path / "usr"


@pytest.mark.parametrize(
    ("machine", "secure", "arch", "fits"),
    [
        ("", False, "x86_64", True),
        ("pc", False, "x86_64", True),
        ("q35", True, "x86_64", True),
        ("pc-q35-7.2", True, "x86_64", True),
        ("pc", True, "x86_64", False),
        ("microvm", False, "x86_64", False),
        ("", False, "i686", False),
    ],
)
def test_firmware_is_looked_for_as_packages_describe_it(tmp_path, machine, secure, arch, fits):
    there = described(folders(tmp_path, usr__60=PLAIN, usr__40=SECURE, usr__99="not json"))
    assert len(there) == 2

    if fits:
        check_firmware(there, arch, machine, secure=secure, where="app:vm")
    else:
        with pytest.raises(Refused, match="this host has none with"):
            check_firmware(there, arch, machine, secure=secure, where="app:vm")


def test_what_the_host_says_itself_hides_what_its_package_says(tmp_path):
    there = described(folders(tmp_path, etc__60=SECURE, usr__60=PLAIN))

    with pytest.raises(Refused, match="without secure boot for a machine of any type"):
        check_firmware(there, "x86_64", "", secure=False, where="app:vm")


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        ({}, {"programs": (), "firmware": "", "huge_pages": False, "locked": False}),
        ({"tpm": True}, {"programs": ("swtpm",)}),
        ({"firmware": "efi", "machine": "pc"}, {"firmware": "efi", "machine": "pc"}),
        ({"firmware": "efi", "secureBoot": True}, {"firmware": "secure", "machine": "q35"}),
        ({"hugePages": True}, {"huge_pages": True}),
        ({"memoryBacking": ("shared", "locked")}, {"locked": True}),
    ],
)
def test_what_is_needed_follows_from_what_is_described(given, needs):
    values = {}
    KvmDomain.declarations.bind({"diskless": True}, values, where="app:vm")

    found = KvmDomain.profile_of(values | given).needs

    assert {name: getattr(found, name) for name in needs} == needs
