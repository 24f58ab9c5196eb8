"""What runs in dom0 before the lab's disk is there: /init of the initial RAM disk, then of the root."""

from __future__ import annotations

BOOT_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "crc16",
    "crc32c_generic",
    "libcrc32c",
    "mbcache",
    "jbd2",
    "ext4",
)
"""Modules that reach the root file system, in the order they must be inserted."""

MODULES = (
    *("xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-blkback", "xen-netback"),
    *("virtio_net", "virtio_console", "virtio-rng", "bridge", "tun", "loop"),
    *("dm-mod", "dm-snapshot", "dm-thin-pool", "dm-mirror"),
)  # fmt: skip
"""Modules dom0 inserts, with all they need."""

BOOT_INIT = r"""#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/lib/modules/$module.ko"; done < /lib/modules/order
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
mount -t ext4 /dev/vda /root || echo "SD-DOM0-FAILED no root file system"
mount --move /dev /root/dev
umount /proc /sys
exec switch_root /root /sbin/dom0-init
"""

ROOT_INIT = r"""#!/bin/sh
# The lab's disk has all else.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
for word in $(cat /proc/cmdline); do
    case "$word" in sd.lab=*) lab=${word#*=} ;; esac
done
mkdir -p "$lab"
mount -t ext4 /dev/vdb "$lab" || echo "SD-DOM0-FAILED no disk of the lab"
exec /bin/sh "$lab/dom0-init"
"""
