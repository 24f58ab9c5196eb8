"""Real QEMU guests with what only they prove: UEFI, a folder of the host, a TPM, a panic, secure boot."""

from __future__ import annotations

import os
import re
import shutil

import pytest

import sfdl
from components.domains.firmware import described as firmware
from components.testbed.guest_image import READY
from components.testbed.packages import unpack, versions
from components.testbed.tools import run
from engine.core.faults import EngineError
from engine.testing.daemons import daemons, wait_until
from engine.wire.codec import decode

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

GUESTS = """
#include "components/vm.sf"
Guest extends KvmDomain { firmware "efi"; secureBoot true; stopTimeout 5; }
sfConfig extends PhysicalHost {
    uri TBD; guestKernel TBD; guestRamdisk TBD;
    hypervisorUri uri; sfSyncTerminate true; sfLivenessDelay 2;
    distrusted extends Guest {
        diskless true; memory 160; stopMode "destroy"; kernel guestKernel; ramdisk guestRamdisk;
    }
    vm extends Guest {
        memory 400; disks [|"DISK"|]; tpm true; shares [|[|"FOLDER", "data"|]|]; memoryBacking [|"nosharepages", "immediate"|];
        startMode "booted"; readyChecks [|"agent"|]; bootTimeout 100; sfStartTimeout 110; onGuestCrash "dump";
    }
}
"""
MODULES = "/lib/modules"
SIGNED = ("shim-signed", "grub-efi-amd64-signed")
GRUB = """linux /vmlinuz console=ttyS0 quiet panic=1 sd.beat=1 sd.name=d
initrd /initrd.gz
boot
"""


@pytest.fixture
def devices(guests):
    """Skip where there is nothing to emulate a TPM or secure boot with; in CI that is a failure."""
    lacking = [name for name in ("swtpm", "swtpm_setup", "mformat") if shutil.which(name) is None]
    lacking += [] if any(one.fits("x86_64", "q35", secure=True) for one in firmware()) else ["ovmf"]
    if lacking:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"not installed: {', '.join(lacking)}")


def signed_disk(folder, image):
    """Make a disk from which firmware boots the tiny guest by what Microsoft and Debian have signed."""
    folder.mkdir()
    disk, config = folder / "esp.img", folder / "grub.cfg"
    config.write_text(GRUB)
    parts = unpack(versions(SIGNED), folder)
    with disk.open("wb") as file:
        file.truncate(40 * 2**20)
    run(["mformat", "-i", disk, "-F", "::"])
    run(["mmd", "-i", disk, *(f"::{name}" for name in ("EFI", "EFI/BOOT", "EFI/debian"))])
    for source, target in (
        (parts / "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
        (parts / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
        (config, "EFI/debian/grub.cfg"),
        (image.kernel, "vmlinuz"),
        (image.initrd, "initrd.gz"),
    ):
        run(["mcopy", "-i", disk, source, f"::/{target}"])
    return disk


def described(folder, disk, **values):
    overrides = [(f"sfConfig:{name}", str(value)) for name, value in values.items()]
    return sfdl.compile(
        GUESTS.replace("FOLDER", str(folder)).replace("DISK", str(disk)), overrides=overrides
    ).root


def why_gone(client):
    try:
        list(client.whole_tree("pool"))
    except EngineError as error:
        return str(error)
    return ""


def test_a_guest_booted_securely_has_a_folder_and_a_tpm_and_its_panic_leaves_its_memory(
    tmp_path, devices, host, image
):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "from-host").write_text("hello\n")
    disk = signed_disk(tmp_path / "disk", image)
    pool = described(
        folder, disk, uri=host.uri, guestKernel=image.kernel, guestRamdisk=image.initrd
    )
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", pool).result()
        vm = next(row for row in client.whole_tree("pool") if row.path == "pool:vm")

        def guest(*commands):
            words = " && ".join(commands)
            done = decode(
                client.call(vm.ident, "exec", (words,), budget_s=60.0).result().value, dict
            )
            assert done["status"] == 0, done
            return done["out"]

        variables = "/sys/firmware/efi/efivars"
        secure = guest(
            f"insmod {MODULES}/efivarfs.ko", f"mount -t efivarfs efivarfs {variables}",
            f"od -An -t x1 {variables}/SecureBoot-*",
        )  # fmt: skip
        assert secure.split()[-1] == "01"

        major, first = guest("cd /sys/class/tpm/tpm0", "cat tpm_version_major pcr-sha256/0").split()
        assert major == "2"
        assert re.fullmatch("[0-9A-F]{64}", first)
        assert int(first, 16)  # the firmware has measured itself

        said = guest(
            f"insmod {MODULES}/fuse.ko", f"insmod {MODULES}/virtiofs.ko",
            "mount -t virtiofs data /mnt", "cat /mnt/from-host", "echo back > /mnt/from-guest",
        )  # fmt: skip
        assert said == "hello\n"
        assert (folder / "from-guest").read_text() == "back\n"

        (work,) = tmp_path.glob("*/port-*/work")
        (console,) = (work / "console").glob("pool-distrusted-*.log")
        wait_until(
            lambda: "Security Violation" in console.read_text(errors="replace"), timeout_s=90
        )
        assert READY not in console.read_text(errors="replace")

        guest(
            f"insmod {MODULES}/pvpanic.ko", f"insmod {MODULES}/pvpanic-mmio.ko",
            "(sleep 0.5; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &",
        )  # fmt: skip
        reason = wait_until(lambda: why_gone(client), timeout_s=60)
        (dump,) = (work / "dumps").iterdir()
        assert "crashed: panicked" in reason
        assert f"its memory is in {dump}" in reason
        assert dump.stat().st_size > 100 * 2**20
        wait_until(lambda: not host.qemu_pids(), timeout_s=30)
        client.close()
