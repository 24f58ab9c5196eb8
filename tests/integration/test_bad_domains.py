"""Wrong virtual machines, storage, images and networks: one table, each row through the commands.

A row says what is described, the exit code, and words that must be in the answer: what is wrong, where,
and what to do. Afterwards nothing is left: no application, domain, network, volume, process or mount.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
OUTSIDE = Path(__file__).parents[1] / "outside" / "leftovers.py"
MIB = 2**20
LONGEST = 8000
"""Characters of an answer at most: nobody reads a mebibyte of his own back."""

HOST = '#include "components/vm.sf"\nsfConfig extends PhysicalHost {{ hypervisorUri "test:///default"; {} }}'
VM = "vm extends KvmDomain {{ diskless true; memory 64; {} }}"
TWO = "a extends KvmDomain {{ diskless true; {} }} b extends XenDomain {{ diskless true; {} }}"
XEN = "vm extends XenDomain {{ diskless true; memory 64; {} }}"
LOOP = (
    'loop extends LoopbackStorageBackend {{ domainName "d"; volumeSize "8m"; swapSize 0; '
    'spaceReserve 0; directory "{files}/volumes"; baseImage "{image}"; {more} }}'
)
NET = 'lan extends Network {{ subnet "10.30.0.1/24"; {} }}'


def vm(more):
    return VM.format(more)


def two(one, other):
    return TWO.format(one, other)


def loop(image="/usr/share/common-licenses", more=""):
    return lambda files: LOOP.format(
        files=files, image=image if image.startswith("/") else files / image, more=more
    )


ROWS = {
    # sizes and numbers
    "memory in no unit": (vm('memory "lots";'), 3, ["app:vm.memory", "must be a size", '"lots"']),
    "memory in a wrong unit": (vm('memory "5 parsecs";'), 3, ["app:vm.memory", "512m"]),
    "memory zero": (vm("memory 0;"), 3, ["app:vm.memory", "at least 32 MiB", "got 0"]),
    "memory negative": (vm("memory -1;"), 3, ["app:vm.memory", "size", "-1"]),
    "memory a float": (vm("memory 1.5e30D;"), 3, ["app:vm.memory", "must be a size"]),
    "memory of 2^63 MiB": (vm('memory "9223372036854775808";'), 3, ["app:vm.memory", "2^62 bytes"]),
    "memory of more than any machine": (vm('memory "17t";'), 3, ["app:vm.memory", "at most 16 TiB"]),
    "no processors": (vm("vcpus 0;"), 3, ["app:vm.vcpus", "at least 1"]),
    "half a processor": (vm("vcpus 1.5;"), 3, ["vcpus"]),
    "10,000 processors": (vm("vcpus 10000;"), 3, ["app:vm.vcpus", "at most 1024"]),
    "name of a mebibyte": (vm(f'domainName "{"a" * MIB}";'), 3, ["app:vm.domainName", "63"]),
    "a word of a mebibyte": (vm(f'startMode "{"a" * MIB}";'), 3, ["app:vm.startMode", "running"]),
    "an address of a mebibyte": (vm(f'ip "{"1" * MIB}";'), 3, ["app:vm.ip"]),
    "a size of a mebibyte": (vm(f'memory "{"9" * MIB}";'), 3, ["app:vm.memory"]),
    "a duration of a mebibyte": (vm(f'bootTimeout "{"9" * MIB}s";'), 3, ["app:vm.bootTimeout", "ends"]),
    "an image path of a mebibyte": (
        LOOP.replace("{files}", "/tmp").replace("{image}", "/" + "a" * MIB).replace("{more}", "").format(),
        1, ["app:loop"]),
    "volume of no size": (loop(more='volumeSize "0";'), 3, ["app:loop.volumeSize", "at least 1 MiB"]),
    "volume of 2^63 bytes": (loop(more='volumeSize "8589934592g";'), 3, ["app:loop.volumeSize", "2^62"]),
    "negative swap": (loop(more="swapSize -1;"), 3, ["app:loop.swapSize", "-1"]),
    "negative delay": (vm("domainLivenessDelay -5;"), 3, ["app:vm.domainLivenessDelay"]),
    # attributes that contradict each other, and words
    "kernel with bootloader": (
        XEN.format('kernel "/etc/hostname"; bootloader "pygrub";'), 3,
        ["app:vm", "kernel or bootloader, not both"]),
    "network with bridge": (vm('network "default"; bridge "br0";'), 3, ["app:vm", "network or bridge, not both"]),
    "ramdisk without kernel": (vm('ramdisk "/etc/hostname";'), 3, ["app:vm", "ramdisk needs a kernel"]),
    "extra without kernel": (vm('extra "quiet";'), 3, ["app:vm", "extra needs a kernel"]),
    "misspelt attribute": (
        vm("strictAttributes true; memry 64;"), 3,
        ["app:vm", "memry is no attribute of a KvmDomain", "did you mean memory?", "strictAttributes"]),
    "attribute nobody knows": (
        vm("strictAttributes true; colour 3;"), 3, ["app:vm", "colour is no attribute of a KvmDomain"]),
    "strict in a word": (vm('strictAttributes "very";'), 3, ["app:vm", "strictAttributes must be true or false"]),
    "unknown word": (vm('startMode "boted";'), 3, ["app:vm.startMode", 'did you mean "booted"']),
    "keepVolumes maybe": (loop(more='keepVolumes "maybe";'), 3, ["app:loop.keepVolumes", "statuquo", "maybe"]),
    "unknown way of packing": (loop(more='saveImageExtension "tr";'), 3, ["saveImageExtension", '"tar"']),
    "no storage": ("vm extends KvmDomain {}", 3, ["app:vm", "storageBackend must be given", "diskless true"]),
    "storage that leads nowhere": (
        "vm extends KvmDomain { storageBackend LAZY ATTRIB tape; }", 1, ["app:vm", "tape"]),
    "storage that is none": (
        "sh extends BashShell; vm extends KvmDomain { storageBackend LAZY ATTRIB sh; }", 3,
        ["app:vm", "storageBackend", "app:sh", "StorageBackend"]),
    "unknown storage backend": ("tape extends TapeStorageBackend {}", 3, ["SF-TYPE", "TapeStorageBackend"]),
    "unknown storage class": (
        'tape extends Prim { sfClass "components.storage.TapeStorageBackend"; }', 3,
        ["app:tape", "components.storage.TapeStorageBackend"]),
    "filesystem maker with an open quote": (
        loop(more="makeFs \"mkfs.ext4 -L 'x\";"), 3, ["app:loop.makeFs", "quot"]),
    "filesystem maker that is not there": (
        loop(more='makeFs "mkfs.nothing";'), 1, ["app:loop", "mkfs.nothing", "mkfs.ext4"]),
    # names
    "name with a slash": (vm('domainName "a/b";'), 3, ["app:vm.domainName", "'/' is not allowed"]),
    "name with a space": (vm('domainName "a b";'), 3, ["app:vm.domainName", "' ' is not allowed"]),
    "name with a line break": (vm('domainName "a\\nb";'), 3, ["app:vm.domainName", "'\\n' is not allowed"]),
    "name with markup": (vm('domainName "a<b";'), 3, ["app:vm.domainName", "'<' is not allowed"]),
    "name that is too long": (vm(f'domainName "{"a" * 64}";'), 3, ["app:vm.domainName", "64 characters", "63"]),
    "name that begins with a dash": (vm('domainName "-a";'), 3, ["app:vm.domainName", "begin with"]),
    "host name with an underscore": (vm('hostname "a_b";'), 3, ["app:vm.hostname", "host name"]),
    "volume name that climbs out": (
        loop(more='volumeBaseName "../../x";'), 3, ["app:loop", "'/' is not allowed"]),
    "existing volume names that climb out": (
        loop(more='usingExistingVolumes true; volumeNames [|"../../etc/passwd"|];'), 3,
        ["app:loop", "'/' is not allowed"]),
    "two names for one machine": (
        lambda files: loop()(files) + 'vm extends KvmDomain { domainName "e"; storageBackend LAZY ATTRIB loop; }',
        1, ["app:vm", "'d'", "'e'"]),
    "control character in a kernel's words": (
        vm('kernel "/etc/hostname"; extra "a\\nb";'), 3, ["app:vm", "'\\n'", "not allowed"]),
    # addresses
    "ip with an octet too great": (vm('ip "123.456.78.90";'), 3, ["app:vm.ip", "456"]),
    "ip of the network itself": (vm('ip "10.20.0.0";'), 3, ["app:vm", "10.20.0.0/16 itself"]),
    "ip of everybody": (vm('ip "10.20.255.255";'), 3, ["app:vm", "broadcast"]),
    "ip of a group": (vm('ip "224.0.0.5";'), 3, ["app:vm.ip", "one machine"]),
    "netmask with a hole": (vm('ip "10.0.0.5"; netmask "255.0.255.0";'), 3, ["app:vm.netmask", "ones come first"]),
    "gateway elsewhere": (
        vm('ip "10.0.0.5"; gateway "10.9.0.1";'), 3, ["app:vm", "gateway 10.9.0.1", "10.0.0.0/16", "gatewayOnLink"]),
    "mac of five octets": (vm('mac "52:54:00:00:01";'), 3, ["app:vm.mac", "six octets"]),
    "mac of a group": (vm('mac "01:00:5e:00:00:01";'), 3, ["app:vm.mac", "first octet must be even"]),
    "ip given twice": (
        two('ip "10.0.0.5";', 'ip "10.0.0.5/24";'), 3, ["app:b", "10.0.0.5", "app:a", "another ip"]),
    "mac given twice": (
        two('mac "52:54:00:00:00:AA";', 'mac "52-54-00-00-00-aa";'), 3, ["app:b", "app:a", "another mac"]),
    "name given twice": (two('domainName "x";', 'domainName "x";'), 3, ["app:b", '"x"', "app:a"]),
    "one mac by ip and by hand": (
        two('ip "10.0.0.5";', 'mac "52:54:0a:00:00:05";'), 1, ["app:b", "52:54:0a:00:00:05", "app:a"]),
    "network that is not there": (
        vm('network "nowhere";'), 1, ["app:vm", "no network nowhere", "networks there: default", "Network"]),
    "bridge that is not there": (
        vm('bridge "nobr0";'), 1, ["app:vm", "no bridge nobr0 on this host", "bridges here:", "ip link add"]),
    "bridge that is a network": (
        NET.format("") + vm("bridge LAZY ATTRIB lan;"), 3, ["app:vm", "app:lan, which is a network", "network instead of bridge"]),
    "bridge with a name no device has": (
        "b extends Bridge { name \"a/b\"; }", 3, ["app:b.name", "network device"]),
    "network without a subnet": ('lan extends Network {}', 3, ["app:lan", "needs a subnet", "10.30.0.1/24"]),
    "network over another": (
        NET.format('subnet "192.168.1.1/16";'), 1, ["app:lan", "192.168.122.0/24 on network default", "another subnet"]),
    "network of somebody else": (
        NET.format('networkName "default";'), 1, ["app:lan", "not made by smartdomains", "not touched"]),
    "addresses from elsewhere": (
        NET.format('range [|"10.31.0.1", "10.31.0.9"|];'), 3, ["app:lan", "10.31.0.1", "10.30.0.0/24"]),
    # the host and its hypervisor
    "kernel that is not there": (vm('kernel "/no/vmlinuz";'), 1, ["app:vm", f"no file /no/vmlinuz on host {socket.gethostname()}"]),
    "hypervisor address that is none": (
        vm('hypervisorUri "qemu";'), 3, ["app:vm.hypervisorUri", "qemu:///system"]),
    "hypervisor of the wrong kind": (
        XEN.format('hypervisorUri "qemu:///system";'), 3, ["app:vm", "WrongHypervisor", "VM"]),
    "hypervisor of no known kind": (
        'vm extends VM { diskless true; hypervisorUri "vbox:///session"; }', 3,
        ["app:vm", "vbox:///session", "qemu, test, xen"]),
    "hypervisor that does not answer": (
        vm('hypervisorUri "qemu+unix:///system?socket=/no/such";'), 1, ["app:vm", "/no/such", "daemon running"]),
    "domain of somebody else": (
        vm('domainName "test";'), 1, ["app:vm", "a domain called test exists", "not made by smartdomains", "not touched"]),
    "guest to be told by an agent it cannot have": (
        XEN.format('context extends Context { mode "agent"; }'), 3, ["app:vm", "context mode agent", "another mode"]),
    "guest to be told by an agent without a channel": (
        vm('agentChannel false; context extends Context { mode "agent"; }'), 3,
        ["app:vm", "context mode agent", "no channel", "agentChannel true"]),
    "guest to be told by its agent what it cannot": (
        vm('context extends Context { mode "agent"; userData "x"; }'), 3,
        ["app:vm", "context mode agent cannot tell userData", "nocloud"]),
    # images and volumes
    "image not given": (
        'loop extends LoopbackStorageBackend { domainName "d"; }', 3, ["app:loop", "baseImage must be given"]),
    "image that is not there": (loop("/no/image"), 1, ["app:loop", "/no/image", "path right"]),
    "image of no known kind": (loop("note.txt"), 1, ["app:loop", "note.txt", "not an image"]),
    "image that is a qcow2 only by its first bytes": (loop("head.qcow2"), 1, ["app:loop", "head.qcow2", "qcow2"]),
    "archive cut short": (loop("cut.tgz"), 1, ["app:loop", "cut.tgz", "cannot be read"]),
    "archive that climbs out": (loop("dots.tar"), 1, ["app:loop", "dots.tar", "../evil", "leave its folder"]),
    "archive with an absolute path": (loop("absolute.tar"), 1, ["app:loop", "/tmp/sd-evil", "leave its folder"]),
    "archive with a link out of it": (loop("symlink.tar"), 1, ["app:loop", "leave its folder"]),
    "archive with a hard link out of it": (loop("hardlink.tar"), 1, ["app:loop", "leave its folder"]),
    "archive that writes through a link": (loop("through.tar"), 1, ["app:loop", "through.tar"]),
    "image of another digest": (
        loop("disk.raw", f'imageDigest "sha256:{"0" * 64}";'), 1, ["app:loop", "disk.raw", "digest"]),
    "digest that is none": (loop("disk.raw", 'imageDigest "12";'), 3, ["app:loop.imageDigest", "sha256:"]),
    "image larger than its volume": (
        loop("disk.raw", 'volumeSize "1m";'), 1, ["app:loop", "disk.raw", "raise volumeSize"]),
    "no space": (loop(more='spaceReserve "9000t";'), 1, ["app:loop", "bytes free", "spaceReserve"]),
    "volumes that are not there": (loop(more="usingExistingVolumes true;"), 1, ["app:loop", "there is no", "d-volume1"]),
    "volume of somebody else": (
        loop(more='volumeBaseName "theirs";'), 1, ["app:loop", "d-theirs", "not ours", "not touched"]),
    "folder that is a file": (
        loop(more='directory "/etc/hostname/volumes";'), 1, ["app:loop", "/etc/hostname"]),
    "overlay on a folder": (
        lambda files: loop()(files).replace("Loopback", "Overlay"), 1, ["app:loop", "raw or qcow2"]),
    "filesystem maker that is killed": (
        lambda files: loop(more=f'makeFs "{files}/killed"; populateMode "mount";')(files), 1,
        ["app:loop", "killed", "signal 9"]),
    "storage shared by two": (
        lambda files: loop()(files)
        + "a extends KvmDomain { storageBackend LAZY ATTRIB loop; } "
        + "b extends KvmDomain { storageBackend LAZY ATTRIB loop; }",
        1, ["app:b", "BackendInUse", "serves app:a already", "backend of its own"]),
}  # fmt: skip


def member(archive, name, content=b"x", *, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images that are wrong in one way each, and a volume of somebody else's."""
    folder = tmp_path_factory.mktemp("files")
    archives = {
        "dots": [("../evil", {})],
        "absolute": [("/tmp/sd-evil", {})],
        "symlink": [("etc/out", {"kind": tarfile.SYMTYPE, "target": "../../out"})],
        "hardlink": [("shadow", {"kind": tarfile.LNKTYPE, "target": "/etc/shadow"})],
        "through": [("up", {"kind": tarfile.SYMTYPE, "target": "/tmp"}), ("up/sd-evil", {})],
    }
    for name, members in archives.items():
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            for path, more in members:
                member(archive, path, **more)
    with tarfile.open(folder / "cut.tgz", "w:gz") as archive:
        member(archive, "a", os.urandom(100_000))
    whole = (folder / "cut.tgz").read_bytes()
    (folder / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    (folder / "note.txt").write_text("no image\n")
    (folder / "killed").write_text("#!/bin/sh\nkill -9 $$\n")
    (folder / "killed").chmod(0o755)
    (folder / "head.qcow2").write_bytes(b"QFI\xfb")
    with (folder / "disk.raw").open("wb") as disk:
        disk.truncate(4 * MIB)
    (folder / "volumes").mkdir()
    (folder / "volumes" / "d-theirs").write_text("precious")
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with daemons(tmp_path_factory.mktemp("bad"), "one") as (one,):
        yield one


@pytest.fixture
def daemon(shared):
    """The daemon of all rows; what a row should not have started is ended after it."""
    yield shared
    client = shared.client()
    try:
        for name in ("app", "first", "second"):
            with contextlib.suppress(EngineError):
                client.terminate(name, Record.normal()).result()
    finally:
        client.close()


def run(*words):
    done = subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


def start(daemon, tmp_path, text, name="app"):
    file = tmp_path / f"{name}.sf"
    file.write_text(HOST.format(text))
    return run("sfstart", "localhost", name, file, "-p", daemon.port)


def nothing_left(daemon, files, tmp_path):
    client = daemon.client()
    try:
        seen = client.diagnosis(services=True)
        rows = [dict(row)["name"] for _, row in seen.found]
        held = dict(seen.facts)
    finally:
        client.close()
    assert set(rows) <= {"test", ""}
    assert held["components"] == held["ledger_effects"] == held["ledger_segments"] == "0"
    outside = subprocess.run(
        [sys.executable, str(OUTSIDE), str(daemon.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outside.stdout.strip() == ""
    assert [path.name for path in (files / "volumes").iterdir()] == ["d-theirs"]
    assert (files / "volumes" / "d-theirs").read_text() == "precious"
    assert not Path("/tmp/sd-evil").exists()
    assert not (files / "evil").exists()


@pytest.mark.parametrize("case", ROWS)
def test_a_wrong_description_is_answered_in_words_and_leaves_nothing(tmp_path, daemon, files, case):
    body, code, words = ROWS[case]

    done = start(daemon, tmp_path, body(files) if callable(body) else body)

    assert done.returncode == code, done.stderr
    assert "internal" not in done.stderr.lower()
    for word in words:
        assert word in done.stderr
    assert len(done.stderr) < LONGEST
    nothing_left(daemon, files, tmp_path)


FOUND_EARLY = [
    "image that is not there", "image of no known kind", "archive cut short", "archive that climbs out",
    "image of another digest", "image larger than its volume", "no space", "volumes that are not there",
    "folder that is a file", "overlay on a folder", "filesystem maker that is not there",
]  # fmt: skip


@pytest.mark.parametrize("case", FOUND_EARLY)
def test_what_is_wrong_with_a_machines_storage_is_found_before_any_host_makes_anything(
    tmp_path, daemon, files, case
):
    body, _, words = ROWS[case]

    done = start(
        daemon, tmp_path, body(files) + "vm extends KvmDomain { storageBackend LAZY ATTRIB loop; }"
    )

    assert done.returncode == 1, done.stderr
    assert "deploy failed" in done.stderr
    for word in words:
        assert word.replace("app:loop", "app:vm") in done.stderr  # who asked for it tells
    nothing_left(daemon, files, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_disk_that_is_full_in_the_middle_leaves_nothing_on_it(tmp_path):
    """A layer needs more than its own bytes, so that the space looks enough before it is made."""
    base, small = tmp_path / "base.raw", tmp_path / "small"
    with base.open("wb") as disk:
        disk.truncate(MIB)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=True)
    try:
        with daemons(tmp_path, "one") as (one,):
            done = start(
                one, tmp_path,
                f'o extends OverlayStorageBackend {{ domainName "d"; swapSize 0; volumeSize "8m"; '
                f'spaceReserve 0; directory "{small}/volumes"; baseImage "{base}"; }}',
            )  # fmt: skip

            assert done.returncode == 1, done.stderr
            assert "app:o" in done.stderr
            assert "No space left on device" in done.stderr
            assert not list(small.glob("volumes/*"))
            assert held_nothing(one)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def held_nothing(daemon):
    client = daemon.client()
    try:
        held = dict(client.diagnosis().facts)
    finally:
        client.close()
    return held["components"] == held["ledger_effects"] == held["ledger_segments"] == "0"


CONFLICTS = {
    "ip": ('ip "192.168.122.77";', "ip 192.168.122.77 is held by first:vm already"),
    "mac": ('mac "52:54:00:00:00:77";', "mac 52:54:00:00:00:77 is held by first:vm already"),
    "domainName": ('domainName "same";', "a domain called same exists already (first:vm"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_what_another_application_has_is_refused_with_the_holder_named(
    tmp_path, daemon, files, case
):
    more, words = CONFLICTS[case]
    assert start(daemon, tmp_path, vm(more), "first").returncode == 0

    done = start(daemon, tmp_path, vm(more), "second")

    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "second:vm" in done.stderr
    assert run("sfterminate", "localhost", "first", "-p", daemon.port).returncode == 0
    assert start(daemon, tmp_path, vm(more), "second").returncode == 0
    assert run("sfterminate", "localhost", "second", "-p", daemon.port).returncode == 0
    nothing_left(daemon, files, tmp_path)


def test_a_stale_base_is_refused_and_the_volume_kept(tmp_path, daemon, files):
    base = tmp_path / "base.raw"
    with base.open("wb") as disk:
        disk.truncate(MIB)
    body = (
        f'o extends OverlayStorageBackend {{ domainName "d"; swapSize 0; volumeSize "8m"; spaceReserve 0; '
        f'directory "{tmp_path}/volumes"; baseImage "{base}"; '
    )
    assert start(daemon, tmp_path, f"{body} keepVolumes true; }}").returncode == 0
    assert run("sfterminate", "localhost", "app", "-p", daemon.port).returncode == 0
    base.write_bytes(b"\1" * MIB)

    done = start(daemon, tmp_path, f"{body} usingExistingVolumes true; }}")

    assert done.returncode == 1, done.stderr
    for word in ("app:o", "StaleBase", str(base), "make it anew"):
        assert word in done.stderr
    assert (tmp_path / "volumes" / "d-volume1").exists()
    nothing_left(daemon, files, tmp_path)


def test_what_is_wrong_on_another_host_is_found_before_anything_is_sent_there(tmp_path):
    body = 'a extends KvmDomain {{ diskless true; ip "10.0.0.5"; {} }} '
    text = body.format("") + body.format('sfProcessHost "two";').replace("a extends", "b extends")
    with daemons(tmp_path, "one", "two") as (one, _):
        done = start(one, tmp_path, text)

    assert done.returncode == 3, done.stderr
    assert "app:b" in done.stderr
    assert 'ip "10.0.0.5" is given to app:a as well' in done.stderr


def test_a_plan_says_it_as_well(tmp_path, daemon):
    file = tmp_path / "app.sf"
    file.write_text(HOST.format(two('ip "10.0.0.5";', 'ip "10.0.0.5";')))

    done = run("sfstart", "localhost", "app", file, "--plan", "-p", daemon.port)

    assert 'ip "10.0.0.5" is given to app:a as well' in done.stdout + done.stderr
    assert done.returncode != 0
