"""A Debian system built from packages boots as a guest that knows its name and address."""

from __future__ import annotations

import os
import re

import pytest

import sfdl
from engine.core.records import Record
from engine.testing.daemons import daemons
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
        context extends Context { mode "MODE"; nameservers [|"10.77.0.53"|]; }
    }
}
"""


PACKAGES = ("systemd-sysv", "udev", "iproute2")
MODES = {"script-iso": (), "nocloud": ("cloud-init", "netplan.io")}
WHOLE = "SMARTDOMAINS_TEST_CLOUD_INIT"


@pytest.mark.parametrize("mode", MODES)
def test_a_debian_guest_built_from_packages_boots_with_its_name_and_address(tmp_path, host, mode):
    if mode == "nocloud" and not os.environ.get(WHOLE):
        pytest.skip(f"a guest with cloud-init takes minutes to build and boot: set {WHOLE}=1")
    packages = ", ".join(f'"{name}"' for name in (*PACKAGES, *MODES[mode]))
    text = POOL.replace("PACKAGES", packages).replace("MODE", mode)
    root = sfdl.compile(text, overrides=[("sfConfig:uri", host.uri)]).root
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", root).result()
        (console,) = tmp_path.glob("*/port-*/work/console/pool-vm-*.log")
        text = console.read_text(errors="replace")
        client.terminate("pool", Record.normal("test over")).result()
        client.close()

    ready = re.search(r"SD-READY name=(\S+) address=(\S*) gateway=(\S*)", text)
    assert ready, text[-3000:]
    assert ready.groups() == ("built", "10.77.0.21/24", "10.77.0.1")
    assert f"SD-CONTEXT mode={'cloud-init' if mode == 'nocloud' else mode}" in text
    assert not list(tmp_path.glob("*/port-*/work/volumes/*"))


BY_ITSELF = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri uri; uri TBD;
    debian extends DebianImage {
        include [|PACKAGES, "qemu-guest-agent"|]; size "1g"; sfStartTimeout 1000; buildTimeout 900;
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
            mode "agent"; nameservers [|"10.77.0.53"|]; runCommands [|"echo again >> /root/ran"|];
            users [(extends { name "ann"; groups [|"staff"|]; keys [|"ssh-ed25519 A ann"|]; })];
        }
    }
}
"""
ASKED = """hostname; ip -4 -o addr show scope global | awk '{ print $4 }'; cat /etc/resolv.conf
id -Gn ann; cat /home/ann/.ssh/authorized_keys; cat /root/ran; findmnt -n -o SOURCE /
"""


def ask(client, command):
    row = next(iter(client.tree("pool:vm", depth=0).rows))
    return decode(client.call(row.ident, "exec", (command,), budget_s=120.0).result().value, object)


def test_a_debian_disk_boots_by_itself_and_its_agent_tells_it_once(tmp_path, host):
    if not os.environ.get(WHOLE):
        pytest.skip(f"a second Debian takes minutes to build and boot: set {WHOLE}=1")
    packages = ", ".join(f'"{name}"' for name in PACKAGES)
    text = BY_ITSELF.replace("PACKAGES", packages)
    root = sfdl.compile(text, overrides=[("sfConfig:uri", host.uri)]).root
    known = [
        "built", "10.77.0.21/24", "nameserver 10.77.0.53", "ann staff", "# begin smartdomains",
        "ssh-ed25519 A ann", "# end smartdomains", "again", "/dev/vda1",
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
