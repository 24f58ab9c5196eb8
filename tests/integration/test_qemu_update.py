"""A real QEMU guest takes more memory and processors while it runs, and the rest by a power cycle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import sfdl
from components.testbed.guest_image import READY
from engine.core.faults import EngineError, Refused
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.wire.codec import decode

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

GUEST = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; sfUpdatable true; hypervisorUri "URI";
    loop extends LoopbackStorageBackend {
        baseImage "DISK"; volumeSize "32m"; swapSize 0; spaceReserve 0;
    }
    vm extends KvmDomain {
        MORE kernel "KERNEL"; ramdisk "RAMDISK"; extra "quiet panic=1 sd.beat=0.2 sd.name=g";
        startMode "booted"; bootTimeout 100; stopTimeout 20; stopMode "destroy";
        shares [|[|"/usr/share/common-licenses", "licenses", true|]|];
        storageBackend LAZY ATTRIB loop; sfStartTimeout 110;
    }
}
"""


def described(host, image, more):
    text = GUEST.replace("MORE", more)
    for word, value in {
        "URI": host.uri, "KERNEL": image.kernel, "RAMDISK": image.initrd, "DISK": image.disk,
    }.items():  # fmt: skip
        text = text.replace(f'"{word}"', f'"{value}"')
    return sfdl.compile(text).root


def virsh(host, *words):
    done = subprocess.run(
        ["virsh", "-c", host.uri, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def devices(host):
    """Return the disks by name and the interfaces by MAC address of the one guest that runs."""
    name = virsh(host, "list", "--name").split()[0]
    rows = [line.split() for line in virsh(host, "domblklist", name).splitlines()[2:] if line]
    nics = [line.split() for line in virsh(host, "domiflist", name).splitlines()[2:] if line]
    return {row[0]: row[1] for row in rows}, {row[4]: row[2] for row in nics}


def plug(client, host, image, folder, more):
    """Plug a disk and an interface in, change one, and plug them out, as the guest runs."""
    one, two = folder / "one.img", folder / "two.img"
    for path in (one, two):
        path.write_bytes(bytes(2**20))
    fixed, free = "52:54:00:00:00:77", '(extends { bridge "br0"; })'
    both = (
        f'{more} disks ["{one}", (extends {{ path "{two}"; readOnly true; }})]; '
        f'interfaces [(extends {{ bridge "br0"; mac "{fixed}"; }}), {free}];'
    )
    client.update("pool", described(host, image, both)).result()
    disks, nics = devices(host)
    (root,) = disks.keys() - {"vdb", "vdc"}
    assert (disks["vdb"], disks["vdc"]) == (str(one), str(two))
    assert nics.pop(fixed) == "br0"
    (stable,) = nics

    fewer = f'{more} disks [(extends {{ path "{two}"; }})]; interfaces [{free}];'
    client.update("pool", described(host, image, fewer)).result()
    disks, nics = devices(host)
    assert disks.keys() == {root, "vdc"}  # changed, under the name it had
    name = virsh(host, "list", "--name").split()[0]
    for kind in ((), ("--inactive",)):  # what is left is that of the folder
        assert virsh(host, "dumpxml", *kind, name).count("<readonly/>") == 1
    assert nics.keys() == {stable}

    client.update("pool", described(host, image, more)).result()
    assert devices(host) == ({root: disks[root]}, {})
    assert client.value("pool:vm:pendingChanges") == ""


def act(client, action, *words):
    row = next(iter(client.tree("pool:vm", depth=0).rows))
    return decode(client.call(row.ident, action, words, budget_s=120.0).result().value, object)


def _told_what_to_do(client, host, name, tmp_path):
    """What only a real guest proves of the actions, in the middle of its story."""
    found = act(client, "exec", "echo $((6 * 7)); echo no >&2; exit 3")
    assert found == {"status": 3, "out": "42\n", "err": "no\n"}
    act(client, "send_keys", "shift-a enter")
    with pytest.raises(Refused):  # it has no screen
        act(client, "screenshot")

    kinds = act(client, "exec", "cat /sys/bus/virtio/devices/*/device")["out"].split()
    assert "0x0009" in kinds  # a folder of the host that is only read, by 9p

    _given_disks(client, host, tmp_path)
    act(client, "suspend")
    assert virsh(host, "domstate", name).strip() == "paused"
    act(client, "resume")
    assert act(client, "exec", "exit 0")["status"] == 0

    (console,) = tmp_path.glob("*/port-*/work/console/*.log")
    boots = console.read_text(errors="replace").count(READY)
    act(client, "exec", "echo kept > /tmp/kept")
    act(client, "save")
    assert not host.qemu_pids()
    act(client, "start")
    assert act(client, "exec", "cat /tmp/kept")["out"] == "kept\n"
    assert console.read_text(errors="replace").count(READY) == boots

    act(client, "shutdown")
    assert not host.qemu_pids()
    assert client.value("pool:vm:status") == "its guest is off"
    act(client, "start")
    assert console.read_text(errors="replace").count(READY) == boots + 1
    assert client.value("pool:vm:status") == "its guest runs"


def _given_disks(client, host, tmp_path):
    """Disks and an interface come, grow and go by actions, as the guest itself sees."""
    extra = tmp_path / "extra.img"
    extra.write_bytes(bytes(2**21))

    def blocks(name):
        return act(client, "exec", f"cat /sys/block/{name}/size 2>/dev/null")["out"].strip()

    assert act(client, "resize_disk", "vda", "64m") == "live"
    wait_until(lambda: blocks("vda") == str(64 * 2048), timeout_s=30)
    assert client.value("pool:loop:volumeSize") == "64m"

    given = act(client, "attach", "disk", str(extra), "target=vdk")
    assert given == {"device": "vdk", "effect": "live"}
    assert act(client, "attach", "disk", str(extra), "target=vdk")["effect"] == "nothing to do"
    (name,) = set(devices(host)[0]) - {"vda"}
    wait_until(lambda: blocks("vdb") == "4096", timeout_s=30)
    nic = act(client, "attach", "bridge", "br0")
    assert nic["effect"] == "live"
    assert devices(host)[1] == {nic["device"]: "br0"}

    assert act(client, "detach", name) == {"device": name, "effect": "live"}
    assert act(client, "detach", nic["device"])["effect"] == "live"
    assert devices(host)[0].keys() == {"vda"}
    assert devices(host)[1] == {}
    assert client.value("pool:vm:pendingChanges") == ""


def grow(client, host, image, more):
    """Make the volume of the guest larger as it runs, as its hypervisor, and its file, tell."""
    name = virsh(host, "list", "--name").split()[0]
    (path,) = devices(host)[0].values()
    client.update("pool", described(host, image, f'{more} volumeSize "48m";')).result()

    lines = virsh(host, "domblkinfo", name, "vda").splitlines()
    assert next(line.split()[1] for line in lines if "Capacity" in line) == str(48 * 2**20)
    assert Path(path).stat().st_size == 48 * 2**20
    assert client.value("pool:vm:pendingChanges") == ""
    client.update("pool", described(host, image, more)).result()  # back: nothing is cut
    assert Path(path).stat().st_size == 48 * 2**20


def on_another_image(client, host, image, more, folder):
    """Have the guest run on volumes of another image, which are made as it runs on its own."""
    other = folder / "other.img"
    data = image.disk.read_bytes()
    other.write_bytes(data + b"another image".ljust(512, b"."))
    (before,) = devices(host)[0].values()
    new = described(host, image, more)
    text = f'{more} allowReplace true; baseImage "{other}";'
    with pytest.raises(EngineError, match="refuses the update"):
        client.update("pool", described(host, image, text.replace("true", "false"))).result()
    assert devices(host)[0] == {"vda": before}

    client.update("pool", described(host, image, text)).result()

    (after,) = devices(host)[0].values()
    assert (after, Path(before).exists()) == (f"{before}+2", False)
    words = f"dd if=/dev/vda bs=512 skip={len(data) // 512} count=1 2>/dev/null | head -c 13"
    assert act(client, "exec", words)["out"] == "another image"
    with pytest.raises(EngineError):  # back is another image as well, and not allowed
        client.update("pool", new).result()


def test_a_guest_is_altered_as_it_runs_and_rebooted_only_where_that_is_said(tmp_path, host, image):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start(
            "pool", described(host, image, "memory 96; maxMemory 192; vcpus 1; maxVcpus 2;")
        ).result()
        (emulator,) = host.qemu_pids().values()

        client.update(
            "pool",
            described(
                host,
                image,
                "memory 160; maxMemory 192; vcpus 2; maxVcpus 2; cpuPin [|0|];",
            ),
        ).result()

        assert list(host.qemu_pids().values()) == [emulator]
        name = virsh(host, "list", "--name").split()[0]
        wait_until(lambda: f"actual {160 * 1024}" in virsh(host, "dommemstat", name), timeout_s=30)
        assert virsh(host, "vcpucount", name, "--live", "--active").strip() == "2"
        assert client.value("pool:vm:pendingChanges") == ""

        more = "memory 160; maxMemory 192; vcpus 2; maxVcpus 2; cpuPin [|0|];"
        plug(client, host, image, tmp_path, more)
        grow(client, host, image, more)
        assert list(host.qemu_pids().values()) == [emulator]
        deferred = f'{more} cpuModel "qemu32";'
        client.update("pool", described(host, image, deferred)).result()
        assert list(host.qemu_pids().values()) == [emulator]
        assert client.value("pool:vm:pendingChanges") == "cpuModel"

        client.update(
            "pool",
            described(
                host, image, f'{more} cpuModel "qemu64"; updateMode "reboot"; domainName "renamed";'
            ),
        ).result()
        name = virsh(host, "list", "--name").split()[0]
        assert name == "renamed"
        assert list(host.qemu_pids().values()) != [emulator]
        assert client.value("pool:vm:pendingChanges") == ""
        _told_what_to_do(client, host, name, tmp_path)
        on_another_image(
            client, host, image, f'{more} cpuModel "qemu64"; domainName "renamed";', tmp_path
        )
        client.terminate("pool", Record.normal()).result()
        assert not host.qemu_pids()
        client.close()
