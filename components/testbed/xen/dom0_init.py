"""What runs in dom0 between its boot and its services, as text; it is on the lab's disk.

Words on the kernel command line steer it: `sd.lab` (the folder of the lab's disk), `sd.host` (our
folder in it), `sd.group` (volume group on the third disk).
"""

from __future__ import annotations

from components.testbed.xen.dom0_boot import MODULES

INIT = r"""#!/bin/sh
# First process of dom0: Xen's helpers, the lab's disk, logical volumes; then the host's services.
export PATH="$(echo /usr/lib/xen-[0-9]*/bin):/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C.UTF-8
exec < /dev/null > /dev/hvc0 2>&1
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
find /tmp -xdev -mindepth 1 -delete 2> /dev/null    # the lab's disk may be below it
mkdir -p /run/xen /run/xenstored /run/libvirt /run/lock /run/lvm /var/log/xen/console /var/lib/xen \
    /var/log/libvirt
# Without /dev/stdin the script that attaches a guest's disk spins for ever.
ln -sfn /proc/self/fd /dev/fd
for pair in 0:stdin 1:stdout 2:stderr; do ln -sfn "/proc/self/fd/${pair%:*}" "/dev/${pair#*:}"; done

for word in $(cat /proc/cmdline); do
    case "$word" in
        sd.lab=*) lab=${word#*=} ;;
        sd.host=*) host=${word#*=} ;;
        sd.group=*) group=${word#*=} ;;
    esac
done

modprobe -a MODULES
mount -t xenfs xenfs /proc/xen
# Rules that look into every new disk cost more than the 40 s Xen gives its script that attaches one.
mkdir -p /run/udev/rules.d
for rule in /lib/udev/rules.d/*.rules; do
    case ${rule##*/} in
        50-udev-default.rules | 55-dm.rules | 56-dm* | 56-lvm.rules | 95-dm-notify.rules) ;;
        *) ln -s /dev/null "/run/udev/rules.d/${rule##*/}" ;;
    esac
done
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle --timeout=20

port=$(grep -l '^org.qemu.guest_agent.0$' /sys/class/virtio-ports/*/name)
port=${port%/name}
qemu-ga -d -f /run/qga.pid -l /run/qga.log -m virtio-serial -p "/dev/${port##*/}" -t /run

oxenstored --pid-file=/run/xen/xenstored.pid
tries=0
while ! xenstore-exists / && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
xen-init-dom0
xenconsoled --log=all --log-dir=/var/log/xen/console

vgs "$group" > /dev/null 2>&1 || vgcreate -q -y "$group" /dev/vdc
vgchange -q -ay "$group"

ln -sfn "$lab/lib" /opt/smartdomains
umount -l /sys    # what follows mounts its own
exec python3 -I -S "$lab/lib/components/testbed/host_init.py" "$lab/$host/plan.json"
""".replace("MODULES", " ".join(MODULES))
