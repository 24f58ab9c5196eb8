"""A Debian system built from packages boots as a guest that knows its name and address."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sfdl
from components.context.host_keys import read_key
from components.images.passwords import crypted
from components.testbed.ssh_key import new_ssh_key
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.wire.codec import decode

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri uri; uri TBD;
    debian extends DebianImage {
        include [|PACKAGES|]; size "1g"; sfStartTimeout 1000; buildTimeout 900;
    }
    disk extends OverlayStorageBackend {
        baseImage LAZY ATTRIB debian; volumeSize "1g"; swapSize 0; spaceReserve 0; keepOnFailure 0;
    }
    vm extends KvmDomain {
        storageBackend LAZY ATTRIB disk; memory 512; bridge "br0"; stopMode "destroy";
        kernel LAZY PARENT:debian:kernelPath; ramdisk LAZY PARENT:debian:ramdiskPath;
        extra "root=LABEL=root ro quiet panic=1"; startMode "booted"; bootTimeout 900; sfStartTimeout 1000;
        hostname "built.lab.example"; ip "10.77.0.21"; netmask 24; gateway "10.77.0.1";
        context extends Context { mode "MODE"; nameservers [|"10.77.0.53"|]; MORE }
    }
}
"""
BOOT = "echo SD-INSTANCE $(cat /var/lib/cloud/data/instance-id) > /dev/ttyS0"
LAST = "echo SD-SERVED $(ssh-keyscan -t ed25519 127.0.0.1) > /dev/ttyS0"
CLOUD = rf"""
    instanceId "golden-1"; hostKeys "fixed"; hostKey "KEY";
    userData "#cloud-config\nbootcmd: ['{BOOT}']\nruncmd: ['{LAST}']\n";
"""
KEY = read_key(new_ssh_key())
SPELT = KEY.private.replace("\n", "\\n")


PACKAGES = ("systemd-sysv", "udev", "dbus", "iproute2")
MODES = {"script-iso": (), "nocloud": ("cloud-init", "netplan.io", "openssh-server")}
DEBIANS = "SMARTDOMAINS_TEST_MORE_DEBIANS"


@pytest.mark.parametrize("mode", MODES)
def test_a_debian_guest_built_from_packages_boots_with_its_name_and_address(tmp_path, host, mode):
    packages = ", ".join(f'"{name}"' for name in (*PACKAGES, *MODES[mode]))
    text = POOL.replace("PACKAGES", packages).replace("MODE", mode)
    text = text.replace("MORE", CLOUD.replace("KEY", SPELT) if mode == "nocloud" else "")
    root = sfdl.compile(text, overrides=[("sfConfig:uri", host.uri)]).root
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", root).result()
        (console,) = tmp_path.glob("*/port-*/work/console/pool-vm-*.log")
        if mode == "nocloud":  # commands of cloud-init come last
            wait_until(lambda: b"SD-SERVED" in console.read_bytes(), timeout_s=200)
        text = console.read_text(errors="replace")
        client.terminate("pool", Record.normal("test over")).result()
        client.close()

    ready = re.search(r"SD-READY name=(\S+) address=(\S*) gateway=(\S*)", text)
    assert ready, text[-3000:]
    assert ready.groups() == ("built", "10.77.0.21/24", "10.77.0.1")
    assert f"SD-CONTEXT mode={'cloud-init' if mode == 'nocloud' else mode}" in text
    assert ("SD-INSTANCE golden-1" in text) == (mode == "nocloud")
    assert (f"SD-SERVED 127.0.0.1 {KEY.public}" in text) == (mode == "nocloud")
    assert not list(tmp_path.glob("*/port-*/work/volumes/*"))


BY_ITSELF = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri uri; uri TBD;
    debian extends DebianImage {
        include [|PACKAGES, "qemu-guest-agent", "openssh-server"|]; size "1g"; sfStartTimeout 1000; buildTimeout 900;
        bootable "grub"; extra "quiet panic=1"; contextScript false;
    }
    disk extends OverlayStorageBackend {
        baseImage LAZY ATTRIB debian; volumeSize "1g"; swapSize 0; spaceReserve 0; keepOnFailure 0;
    }
    vm extends KvmDomain {
        storageBackend LAZY ATTRIB disk; memory 512; bridge "br0"; stopMode "destroy"; stopTimeout 300;
        startMode "booted"; bootTimeout 900; sfStartTimeout 1000;
        hostname "built.lab.example"; ip "10.77.0.21"; netmask 24; gateway "10.77.0.1";
        context extends Context {
            mode "agent"; hostKeys "fixed"; hostKey "KEY"; nameservers [|"10.77.0.53"|];
            runCommands [|"echo again >> /root/ran"|];
            users [(extends { name "ann"; groups [|"staff"|]; keys [|"ssh-ed25519 A ann"|]; })];
        }
    }
}
"""
ASKED = """hostname; ip -4 -o addr show scope global | awk '{ print $4 }'; cat /etc/resolv.conf
id -Gn ann; cat /home/ann/.ssh/authorized_keys; cat /root/ran; findmnt -n -o SOURCE /
systemctl start ssh; systemctl is-active ssh; ssh-keyscan -t ed25519 127.0.0.1 2> /dev/null
"""


def ask(client, command):
    row = next(iter(client.tree("pool:vm", depth=0).rows))
    done = client.call(row.ident, "exec", (command, 200.0), budget_s=240.0).result()
    return decode(done.value, object)


def test_a_debian_disk_boots_by_itself_and_its_agent_tells_it_once(tmp_path, host):
    if not os.environ.get(DEBIANS):
        pytest.skip(f"a second Debian takes minutes to build and boot: set {DEBIANS}=1")
    packages = ", ".join(f'"{name}"' for name in PACKAGES)
    text = BY_ITSELF.replace("PACKAGES", packages).replace("KEY", SPELT)
    root = sfdl.compile(text, overrides=[("sfConfig:uri", host.uri)]).root
    known = [
        "built", "10.77.0.21/24", "nameserver 10.77.0.53", "ann staff", "# begin smartdomains",
        "ssh-ed25519 A ann", "# end smartdomains", "again", "/dev/vda1", "active",
        f"127.0.0.1 {KEY.public}",
    ]  # fmt: skip
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", root).result()
        assert ask(client, ASKED)["out"].splitlines() == known

        row = next(iter(client.tree("pool:vm", depth=0).rows))
        client.call(row.ident, "shutdown", (), budget_s=400.0).result()
        client.call(row.ident, "start", (), budget_s=900.0).result()
        assert ask(client, ASKED)["out"].splitlines() == known
        client.terminate("pool", Record.normal("test over")).result()
        client.close()


PASSWORD = "correct-horse-battery"
TWICE = """
#include "components/vm.sf"
Recipe extends DebianImage {
    builder "BUILDER"; include [|"systemd-sysv", "openssh-server"|]; kernelPackage ""; size "1g";
    rootPassword "PASSWORD"; sfStartTimeout 1000; buildTimeout 900;
}
sfConfig extends Compound {
    sfSyncTerminate true; sfConcurrency 0;
    here extends ImageStore { folder "FOLDER/here"; }
    there extends ImageStore { folder "FOLDER/there"; }
    one extends Recipe { store LAZY ATTRIB here; }
    two extends Recipe { store LAZY ATTRIB there; }
}
"""


def command_lines(stop):
    """Return all that processes of this host were called with until asked to stop."""
    seen = set()
    while not stop.wait(0.05):
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen.add(file.read_bytes())
    return seen


def debugged(image, command):
    done = subprocess.run(["debugfs", "-R", command, image], capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("builder", ["mmdebstrap", "debootstrap"])
def test_a_recipe_is_the_same_image_in_two_places_and_its_password_is_nowhere_in_the_clear(
    tmp_path, builder
):
    if builder == "debootstrap" and not os.environ.get(DEBIANS):
        pytest.skip(f"two more Debians take minutes to build: set {DEBIANS}=1")
    text = TWICE.replace("BUILDER", builder).replace("FOLDER", str(tmp_path))
    root = sfdl.compile(text.replace("PASSWORD", PASSWORD)).root
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool, daemons(tmp_path / "state", "one") as (one,):
        lines = pool.submit(command_lines, stop)
        client = one.client()
        try:
            client.start("twice", root).result()
        finally:
            stop.set()
        shown = [str(row) for row in client.whole_tree("twice")]
        client.close()
        one.kill()
        files = [file for file in one.folder.glob("**/*") if file.is_file()]
        kept = [file for file in files if PASSWORD.encode() in file.read_bytes()]
        one.start()
        client = one.client()
        client.terminate("twice", Record.normal("test over")).result()
        client.close()

    assert not kept
    assert not [line for line in lines.result() if PASSWORD.encode() in line]
    assert PASSWORD not in "".join(shown)
    images = [file for file in tmp_path.glob("*here/sha256/*/*") if not file.suffix]
    assert len(images) == 2
    assert len({image.read_bytes() for image in images}) == 1
    assert {stat.S_IMODE(image.stat().st_mode) for image in images} == {0o400}
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", images[0], raw], check=True)
    hashed = debugged(raw, "cat /etc/shadow").splitlines()[0].split(":")[1]
    assert hashed == crypted(PASSWORD, hashed.split("$")[3])
    assert "sshd_config" in debugged(raw, "ls /etc/ssh")
    assert "ssh_host" not in debugged(raw, "ls /etc/ssh")
