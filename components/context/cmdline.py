"""What a guest is told on its kernel's command line. Pure."""

from __future__ import annotations

from components.context.told import Told


def kernel_words(told: Told) -> str:
    """Return the `ip=` word of the kernel, as in its documentation of nfsroot.

    Example:
        >>> told = Told(uuid="", hostname="web.example", ip="10.1.2.3", gateway="10.1.0.1")
        >>> kernel_words(told)
        'ip=10.1.2.3::10.1.0.1:255.255.0.0:web:eth0:off'
    """
    device = told.wishes.interface
    if not told.ip:
        return f"ip=::::{told.short}:{device}:dhcp"
    return f"ip={told.ip}::{told.gateway}:{told.netmask}:{told.short}:{device}:off"


def mac_words(told: Told) -> str:
    """Return what the address in a MAC address leaves open, for our script in the guest.

    Example:
        >>> mac_words(Told(uuid="", hostname="a", ip="10.1.2.3", gateway="10.1.0.1"))
        'sd.netmask=255.255.0.0 sd.gateway=10.1.0.1'
    """
    words = [f"sd.netmask={told.netmask}"]
    if told.gateway:
        words.append(f"sd.gateway={told.gateway}")
    return " ".join(words)
