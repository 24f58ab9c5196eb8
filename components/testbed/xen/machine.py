"""The emulated machine of a Xen host: which disks it has, and how QEMU is started. Pure."""

from __future__ import annotations

from pathlib import Path

import msgspec

from components.testbed.xen.image import XenImage

GROUP = "vg1"
"""Volume group on a host's third disk."""
LAB_BYTES, GROUP_BYTES = 8 * 2**30, 4 * 2**30
"""Sizes of the disk of the lab's files and of the volume group; both sparse."""
TAP = "tap0"


class Machine(msgspec.Struct, frozen=True):
    """A Xen host.

    Attributes:
        image: What it boots from.
        folder: Its files outside, in the lab's folder.
        mac: Of its network card.
        memory_mib: Of the whole; dom0 has 512 MiB of it, its guests most of the rest.
    """

    image: XenImage
    folder: Path
    mac: str
    memory_mib: int = 1280

    @property
    def root_disk(self) -> Path:
        """Where its own layer over the image's root disk is."""
        return self.folder / "root.qcow2"

    @property
    def lab_disk(self) -> Path:
        """Where the disk with the lab's files is, which is mounted at the lab's folder."""
        return self.folder / "lab.ext4"

    @property
    def group_disk(self) -> Path:
        """Where the disk of the volume group is."""
        return self.folder / "group.raw"

    @property
    def agent(self) -> Path:
        """Where its agent is reached."""
        return self.folder / "agent.sock"

    @property
    def console(self) -> Path:
        """Where its serial console is written to."""
        return self.folder / "console.log"

    def argv(self, qemu: str) -> list[str]:
        """Give the command line of QEMU."""
        # No SMAP, which the emulator gets wrong; AMD, for which Xen uses the SVM it emulates.
        cpu = "Westmere,vendor=AuthenticAMD,family=15,model=107,stepping=1,+svm,+npt"
        # A comma separates modules there.
        words = [
            *("console=hvc0", "quiet", "panic=1", "net.ifnames=0", f"sd.lab={self.folder.parent}"),
            *(f"sd.host={self.folder.name}", f"sd.group={GROUP}"),
        ]
        modules = f"{self.image.kernel} {' '.join(words)},{self.image.initrd}"
        xen = "console=com1 com1=115200,8n1 dom0_mem=512M,max:512M loglvl=warning guest_loglvl=warning"
        disks = ((self.root_disk, "qcow2"), (self.lab_disk, "raw"), (self.group_disk, "raw"))
        devices = [
            word
            for number, (path, kind) in enumerate(disks)
            for word in (
                *("-drive", f"file={path},if=none,id=d{number},format={kind},discard=unmap"),
                *("-device", f"virtio-blk-pci,drive=d{number}"),
            )
        ]
        return [
            *(qemu, "-accel", "tcg,thread=multi,tb-size=256", "-M", "pc", "-smp", "1"),
            *("-m", str(self.memory_mib), "-cpu", cpu, "-nodefaults", "-display", "none"),
            *("-no-reboot", "-serial", "chardev:c"),
            *("-chardev", f"file,id=c,path={self.console},append=on"),
            *("-kernel", str(self.image.xen), "-append", xen, "-initrd", modules),
            *devices,
            *("-netdev", f"tap,id=n,ifname={TAP},script=no,downscript=no"),
            *("-device", f"virtio-net-pci,netdev=n,mac={self.mac},romfile="),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=a,path={self.agent},server=on,wait=off"),
            *("-device", "virtserialport,chardev=a,name=org.qemu.guest_agent.0"),
        ]
