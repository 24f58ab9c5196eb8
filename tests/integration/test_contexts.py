"""Guests that boot and say what they were told, one for each way of telling, in one pool."""

from __future__ import annotations

import hashlib
import re
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

import sfdl
from components.context.host_keys import read_key
from components.testbed.ssh_key import new_ssh_key
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan
from engine.wire.codec import decode

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

KEY = read_key(new_ssh_key())
POOL = """
#include "components/vm.sf"
Guest extends KvmDomain {
    memory 96; kernel guestKernel; ramdisk guestRamdisk; extra "quiet panic=1 sd.beat=5";
    startMode mode; bootTimeout 200; stopTimeout 20; diskless true; sfStartTimeout 250;
    netmask "255.255.255.0"; gateway "10.77.0.1"; bridge "br0"; stopMode "destroy";
}
sfConfig extends PhysicalHost {
    sfSyncTerminate true; sfConcurrency 3; sfUpdatable true; hypervisorUri uri; mode "booted";
    sshKey TBD; uri TBD; guestKernel TBD; guestRamdisk TBD; tree TBD; archive TBD; cache TBD;
    all extends Context { nameservers [|"10.77.0.53", "10.77.0.54"|]; searchDomains [|"lab.example"|]; }
    GUESTS
}
"""
GUESTS = {
    "cloud": """cloud extends Guest { hostname "cloud.lab.example"; ip "10.77.0.11";
        context extends all { mode "nocloud"; } }""",
    "script": """script extends Guest { hostname "script"; ip "10.77.0.12";
        context extends all { mode "script-iso"; hostKeys "fixed"; hostKey sshKey;
            runCommands [|"cd /etc/ssh && echo SD-HOST-KEY $(stat -c %a *_key) $(cat *.pub) > /dev/console"|]; } }""",
    "word": """word extends Guest { hostname "word"; ip "10.77.0.13";
        context extends Context { mode "kernel"; } }""",
    "octets": """octets extends Guest { hostname "octets"; ip "10.77.0.14"; netmask "255.255.0.0";
        context extends Context { mode "mac"; macPrefix "56:54"; } }""",
    "files": """loop extends LoopbackStorageBackend {
        baseImage archive; volumeSize "16m"; swapSize 0; spaceReserve 0; keepOnFailure 0; }
    files extends Guest { hostname "files.lab.example"; ip "10.77.0.15"; diskless false;
        storageBackend LAZY ATTRIB loop; context extends all { mode "auto"; } }""",
    "asked": """own extends TarImage { archive tree; size "64m"; bootable "grub"; extra "quiet panic=1";
        kernel "boot/vmlinuz"; ramdisk "boot/initrd.gz"; store LAZY ATTRIB images; }
    images extends ImageStore { folder cache; }
    disk extends OverlayStorageBackend {
        baseImage LAZY ATTRIB own; volumeSize "64m"; swapSize 0; spaceReserve 0; }
    asked extends Guest { hostname "asked.lab.example"; ip "10.77.0.16"; macMode "uuid";
        kernel ""; ramdisk ""; extra ""; memory 128; diskless false; storageBackend LAZY ATTRIB disk;
        interfaces [(extends { bridge "br0"; ip "10.78.0.16"; netmask 24; })];
        context extends all { mode "agent"; hostKeys "fixed"; hostKey sshKey;
            sshKeys [|"ssh-ed25519 A me"|];
            files [(extends { path "/opt/deep/note"; content "it's $HOME"; mode "0640"; })];
            mounts [[|"tmpfs", "/srv/scratch", "tmpfs", "size=1m"|]];
            runCommands [|"cat /opt/deep/note > /tmp/seen", "echo again >> /tmp/ran"|];
        } }""",
}


@pytest.fixture
def archive(tmp_path):
    """A small system that has its network from ifupdown."""
    path = tmp_path / "system.tar"
    files = {
        "etc/hostname": "someone-else\n", "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/hosts": "127.0.0.1 localhost\n10.0.0.9 kept\n",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
    }  # fmt: skip
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text.encode()))
    return path


def compiled(host, image, guests, *, archive="", tree="", mode="booted", changed=()):
    values = {
        "uri": host.uri, "guestKernel": str(image.kernel), "guestRamdisk": str(image.initrd),
        "archive": str(archive), "tree": str(tree),
        "cache": f"{Path(tree).parent}/images", "mode": mode, "sshKey": KEY.private,
    }  # fmt: skip
    text = POOL.replace("GUESTS", "\n    ".join(GUESTS[name] for name in guests))
    for before, after in changed:
        text = text.replace(before, after)
    return sfdl.compile(text, overrides=[(f"sfConfig:{k}", v) for k, v in values.items()]).root


def told_otherwise(client, folder, host, image, archive):
    """Have one guest be told something else now, and the one with files in its volume at its next start."""
    names = ("cloud", "script", "word", "octets", "files")
    before = host.qemu_pids()
    changed = (
        ('hostname "script"', 'hostname "changed"'),
        ('mode "script-iso";', 'mode "script-iso"; applyNow true;'),
        ('hostname "files.lab.example"', 'hostname "other.lab.example"'),
    )
    client.update("pool", compiled(host, image, names, archive=archive, changed=changed)).result()
    assert len(set(host.qemu_pids().values()) & set(before.values())) == len(before) - 1
    assert said(folder, "script")[1]["name"] == "changed"
    assert client.value("pool:files:pendingChanges") == "hostname"
    assert said(folder, "files")[1]["name"] == "files"
    rows = {row.ident for row in client.tree("pool:files", depth=0).rows}
    for action in ("destroy", "start"):
        client.call(next(iter(rows)), action, (), budget_s=120.0).result()
    assert said(folder, "files")[1]["name"] == "other"


def console(folder, name):
    (file,) = folder.glob(f"*/port-*/work/console/pool-{name}-*.log")
    return file.read_text(errors="replace")


def said(folder, name):
    """What a guest said of itself on its console."""
    text = console(folder, name)
    modes = re.findall(r"SD-CONTEXT mode=(\S+)", text)
    told = re.findall(r"SD-TOLD (.*)", text)
    assert modes, text[-2000:]
    assert told, text[-2000:]
    return modes[-1], dict(word.partition("=")[::2] for word in told[-1].split())


def left(folder):
    found = [
        path for part in ("context", "volumes") for path in folder.glob(f"*/port-*/work/{part}/*")
    ]
    return [path.name for path in found]


def test_each_way_of_telling_reaches_a_guest_that_boots(tmp_path, host, image, archive):
    names = ("cloud", "script", "word", "octets", "files")
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host, image, names, archive=archive)).result()
        found = {name: said(tmp_path, name) for name in names}
        assert f"SD-HOST-KEY 600 {KEY.public}" in console(tmp_path, "script")
        disks = sorted(tmp_path.glob("*/port-*/work/context/*"))
        modes = {disk.name.split("-")[1]: oct(disk.stat().st_mode & 0o777) for disk in disks}
        told_otherwise(client, tmp_path, host, image, archive)
        client.terminate("pool", Record.normal("test over")).result()
        client.close()

    dns = "10.77.0.53,10.77.0.54,"
    gateway = "10.77.0.1"
    assert found == {
        "cloud": ("nocloud", {
            "name": "cloud", "address": "10.77.0.11/24", "gateway": gateway, "dns": dns}),
        "script": ("script-iso", {
            "name": "script", "address": "10.77.0.12/24", "gateway": gateway, "dns": dns}),
        "word": ("kernel", {
            "name": "word", "address": "10.77.0.13/24", "gateway": gateway, "dns": ""}),
        "octets": ("mac", {
            "name": "guest", "address": "10.77.0.14/16", "gateway": gateway, "dns": ""}),
        "files": ("inject", {
            "name": "files", "address": "10.77.0.15/24", "gateway": gateway, "dns": dns}),
    }  # fmt: skip
    assert modes == {"cloud": "0o600", "script": "0o600"}
    assert left(tmp_path) == []


INSIDE = """
cat /proc/cmdline; hostname; cat /etc/hosts | tr '\n' ' '; echo
ip -4 -o addr show scope global | awk '{ print $4 }' | sort | tr '\n' ' '; echo
ip -4 route show default | awk '{ print $3 }'
grep -c 10.77.0.5 /etc/resolv.conf
cat /root/.ssh/authorized_keys | tr '\n' ' '; echo
cat /tmp/seen; echo; ls -l /opt/deep/note | awk '{ print $1 }'
ls -l /etc/ssh | awk 'NF > 2 { print $1, $NF }'; cat /etc/ssh/*.pub; sha256sum < /etc/ssh/ssh_host_ed25519_key
awk '$2 == "/srv/scratch" { print $3 }' /proc/mounts; cat /tmp/ran
"""


def act(client, action, *words):
    row = next(iter(client.tree("pool:asked", depth=0).rows))
    return decode(client.call(row.ident, action, words, budget_s=120.0).result().value, object)


def told(client):
    """What the guest that its agent tells is found to know."""
    found = act(client, "exec", INSIDE)
    assert found["status"] == 0, found
    return found["out"].splitlines()


KNOWN = [
    "BOOT_IMAGE=/boot/vmlinuz root=LABEL=root ro console=ttyS0 quiet panic=1",
    "asked",
    "# begin smartdomains 10.77.0.16 asked.lab.example asked # end smartdomains ",
    "10.77.0.16/24 10.78.0.16/24 ",
    "10.77.0.1",
    "2",
    "# begin smartdomains ssh-ed25519 A me # end smartdomains ",
    "it's $HOME",
    "-rw-r-----",
    "-rw------- ssh_host_ed25519_key",
    "-rw-r--r-- ssh_host_ed25519_key.pub",
    KEY.public,
    f"{hashlib.sha256(KEY.private.encode()).hexdigest()}  -",
    "tmpfs",
    "again",
]


@pytest.fixture
def tree(tmp_path, image):
    """An archive with a kernel and a RAM disk, which need nothing else."""
    path = tmp_path / "tree.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(image.kernel, "boot/vmlinuz")
        tar.add(image.initrd, "boot/initrd.gz")
    return path


def test_a_guest_that_boots_its_own_disk_is_told_by_its_agent_once_for_each_boot(
    tmp_path, host, image, tree
):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host, image, ("asked",), tree=tree)).result()
        assert client.value("pool:asked:contextTold") == "told"
        assert told(client) == KNOWN

        one.stop()
        one.start()
        wait_until(lambda: client.value("pool:asked:contextTold") == "told", timeout_s=60)
        assert told(client) == KNOWN  # and no command was run again

        act(client, "reset")  # a system in memory only: nothing of it is left
        wait_until(lambda: told_anew(client), timeout_s=100)
        assert told(client) == KNOWN
        client.terminate("pool", Record.normal("test over")).result()
        client.close()


def told_anew(client):
    try:
        return act(client, "exec", "cat /tmp/ran")["out"] == "again\n"
    except EngineError:  # it boots
        return False


@pytest.mark.parametrize("when", ["making", "made"])
def test_a_daemon_killed_at_the_context_disk_leaves_none(tmp_path, host, image, when):
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("context disk", when, "kill")])
        client = one.client()
        operation = client.start("pool", compiled(host, image, ("cloud",), mode="running"))
        operation._poll(0.05)
        one.reap()
        assert (left(tmp_path) != []) == (when == "made")
        one.start()
        wait_until(lambda: left(tmp_path) == [], timeout_s=40)
        with pytest.raises(EngineError):
            operation.result()
        client.close()
    assert host.qemu_pids() == {}
