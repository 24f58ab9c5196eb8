"""What runs inside the tiny guest: its /init and the scripts it needs, as text.

Words on the kernel command line steer it: `sd.name` (host name), `sd.ip` (address with prefix;
else what its context says, as `descriptions/guest/sd-context` finds it), `sd.beat` (seconds between
beats), `sd.con` (console device, ttyS0 or hvc0; else that of `console`).
"""

from __future__ import annotations

MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "virtio_console",
    "virtio_balloon",
    "xen-blkfront",
    "xen-netfront",
    "button",
    "evdev",
    "cdrom",
    "isofs",
)
"""Kernel modules in the order they must be inserted."""

FURTHER_MODULES = ("fuse", "virtiofs", "pvpanic", "pvpanic-mmio", "efivarfs")
"""Modules that are there and not inserted: few guests need them, and each costs time at boot."""

INIT = r"""#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts

while read -r module; do insmod "/lib/modules/$module.ko" 2>/dev/null; done < /lib/modules/order

name=guest ip= beat=1 con=ttyS0
for word in $(cat /proc/cmdline); do
    case "$word" in
        sd.name=*) name=${word#*=} ;;
        sd.ip=*) ip=${word#*=} ;;
        sd.beat=*) beat=${word#*=} ;;
        console=*) con=${word#*=} con=${con%%,*} ;;
        sd.con=*) con=${word#*=} ;;
    esac
done
exec > "/dev/$con" 2>&1 < "/dev/$con"
hostname "$name"

ip link set lo up
if [ -n "$(ls /sys/bus/virtio/drivers/virtio_net 2>/dev/null | grep virtio)" ] ||
   [ -d /sys/bus/xen ]; then
    tries=0
    while [ ! -e /sys/class/net/eth0 ] && [ $tries -lt 20 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
fi
if [ -n "$ip" ]; then
    ip link set eth0 up
    ip addr add "$ip" dev eth0
fi

disks=
for device in /dev/vd? /dev/xvd? /dev/xvd?[0-9]; do
    [ -b "$device" ] || continue
    short=${device#/dev/}
    mkdir -p "/mnt/$short"
    mount "$device" "/mnt/$short" 2>/dev/null && disks="$disks$short,"
done

# A system on the first disk is told by files in it; anything else by the script images have.
root=/mnt/vda
if [ -n "$ip" ]; then
    :
elif [ -e $root/etc/hostname ]; then
    hostname "$(cat $root/etc/hostname)"
    mkdir -p /var/run /run/network
    ip link set eth0 up
    ifup -i $root/etc/network/interfaces eth0
    cat $root/etc/resolv.conf > /etc/resolv.conf 2>/dev/null
    echo "SD-CONTEXT mode=inject"
else
    sd-context
fi
[ ! -e /sys/class/net/eth0 ] || ip link set eth0 up
name=$(hostname)
echo "$name" > /etc/name
told=$(ip -4 -o addr show dev eth0 2>/dev/null | awk '{ print $4; exit }')
route=$(ip -4 route show default 2>/dev/null | awk '{ print $3; exit }')
echo "SD-TOLD name=$name address=$told gateway=$route" \
    "dns=$(awk '$1 == "nameserver" { printf "%s,", $2 }' /etc/resolv.conf 2>/dev/null)"
ip=${told:-$ip}

acpid
httpd -h /www
for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ]; then
        qemu-ga -d -f /run/qga.pid -l /run/qga.log -m virtio-serial -p "/dev/${port##*/}" -t /run
    fi
done

read -r up _ < /proc/uptime
echo "SD-READY name=$name ip=${ip%/*} up=$up disks=${disks%,}"
count=0
while :; do
    sleep "$beat"
    count=$((count + 1))
    for cpu in /sys/devices/system/cpu/cpu[0-9]*/online; do
        [ -e "$cpu" ] && [ "$(cat "$cpu")" = 0 ] && echo 1 > "$cpu"
    done
    read -r up _ < /proc/uptime
    echo "SD-BEAT name=$name n=$count up=$up"
done
"""

POWEROFF = """#!/bin/sh
sync
exec /bin/busybox poweroff -f
"""
"""Both the action of the power button and /sbin/poweroff: the one in busybox would ask init."""

REBOOT = """#!/bin/sh
sync
exec /bin/busybox reboot -f
"""

STATUS = r"""#!/bin/sh
echo "Content-Type: text/plain"
echo
read -r up _ < /proc/uptime
echo "name=$(cat /etc/name)"
echo "up=$up"
echo "memory_kib=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)"
echo "cpus=$(grep -c ^processor /proc/cpuinfo)"
"""
"""Answers http://GUEST/cgi-bin/status."""
