"""Real things for tests and demonstrations: a tiny guest, and a private libvirtd to run it on.

Needs root and these Debian packages: libvirt-daemon-system, libvirt-clients, qemu-system-x86,
qemu-utils, iproute2, cpio, e2fsprogs. The machine's own libvirt, network and guests are not
touched.
"""
