"""A Xen host in an emulated machine: its image, its disks, its first process, and a way to reach in.

Xen, a Debian dom0 with libvirt's Xen driver, and a daemon of this project in it, under QEMU without
acceleration. From outside it is a libvirt host like any other, at `xen+tcp://ADDRESS/system`.
"""
