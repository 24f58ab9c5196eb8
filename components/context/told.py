"""What a guest is told of itself, as data. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid as uuids

import msgspec
from msgspec import Struct

from components.context.host_keys import HostKey
from components.context.quoting import one_line

MODES = ("auto", "inject", "nocloud", "script-iso", "mac", "kernel", "agent", "none")
"""The ways a guest can be told; `docs/context.md` has one section for each."""


class Person(Struct, frozen=True):
    """A user account the guest shall have.

    Attributes:
        keys: Public SSH keys, one line each.
        sudo: A rule as in sudoers, such as `ALL=(ALL) NOPASSWD:ALL`; empty: none.
        password_hash: As in /etc/shadow; empty: no password.
    """

    name: str
    keys: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sudo: str = ""
    shell: str = "/bin/bash"
    password_hash: str = ""


class GuestFile(Struct, frozen=True):
    """A file the guest shall have.

    Attributes:
        mode: Permissions, octal digits.
    """

    path: str
    content: str
    mode: str = "0644"


class Wishes(Struct, frozen=True):
    """What a `Context` says beyond what a machine knows of itself.

    Attributes:
        interface: Name of the first interface, for systems that cannot find it by its MAC address.
        mtu: Of the first interface; 0: the guest's default.
        user_data: Goes to cloud-init with ours; `#cloud-config`, or anything else it takes.
        mounts: Lines as in fstab, split into fields.
        host_keys: `perVm` has new ones made at first boot, `image` leaves those of the image, `fixed`
            has `host_key`.
        instance: What the guest takes for its instance; empty: it is named after all it is told.
    """

    interface: str = "eth0"
    nameservers: tuple[str, ...] = ()
    search_domains: tuple[str, ...] = ()
    mtu: int = 0
    ssh_keys: tuple[str, ...] = ()
    users: tuple[Person, ...] = ()
    user_data: str = ""
    vendor_data: str = ""
    files: tuple[GuestFile, ...] = ()
    packages: tuple[str, ...] = ()
    run_commands: tuple[str, ...] = ()
    mounts: tuple[tuple[str, ...], ...] = ()
    host_keys: str = "perVm"
    instance: str = ""
    host_key: HostKey | None = None

    @property
    def all_files(self) -> tuple[GuestFile, ...]:
        """Return the files, and those of the host key, for a guest that knows only files."""
        key = self.host_key
        if key is None:
            return self.files
        private = GuestFile(key.path, key.private, "0600")
        return (*self.files, private, GuestFile(f"{key.path}.pub", f"{key.public}\n"))


class Beside(Struct, frozen=True):
    """An interface beside the first.

    Attributes:
        ip: Its address; empty: from DHCP.
        netmask: Dotted.
    """

    mac: str
    ip: str = ""
    netmask: str = "255.255.0.0"


class Told(Struct, frozen=True, kw_only=True):
    """Everything one guest is told.

    Attributes:
        uuid: Of the machine.
        mac: Of its first interface; empty: it has none.
        ip: Of its first interface; empty: from DHCP.
        netmask: Dotted.
        on_link: The gateway is reached though it is outside the subnet.
        ready_marker: What the serial console shall show at the end of each boot; empty: nothing.
        beside: Interfaces beside the first, in order.
    """

    uuid: str
    hostname: str
    mac: str = ""
    ip: str = ""
    netmask: str = "255.255.0.0"
    gateway: str = ""
    on_link: bool = False
    ready_marker: str = ""
    wishes: Wishes = Wishes()
    beside: tuple[Beside, ...] = ()

    def about(self, index: int) -> Told:
        """Return what there is to tell of one of the interfaces beside the first, as if it were that.

        Example:
            >>> told = Told(uuid="", hostname="a", beside=(Beside("52:54:00:00:00:01"),))
            >>> told.about(0).mac, told.about(0).wishes.interface
            ('52:54:00:00:00:01', 'eth1')
        """
        one = self.beside[index]
        stem = self.wishes.interface.rstrip("0123456789")
        name = f"{stem}{int(self.wishes.interface.removeprefix(stem) or 0) + index + 1}"
        return Told(
            uuid=str(uuids.uuid5(uuids.NAMESPACE_OID, f"{self.uuid} {one.mac}")),
            hostname=self.hostname, mac=one.mac, ip=one.ip, netmask=one.netmask,
            wishes=Wishes(interface=name),
        )  # fmt: skip

    @property
    def prefix(self) -> int:
        """Return the length of the network part of the address.

        Example:
            >>> Told(uuid="", hostname="a", netmask="255.255.255.0").prefix
            24
        """
        return ipaddress.IPv4Network(f"0.0.0.0/{self.netmask}").prefixlen

    @property
    def short(self) -> str:
        """Return the host name without its domain."""
        return self.hostname.partition(".")[0]

    @property
    def hosts_line(self) -> str:
        """Return the guest's own line in /etc/hosts.

        Example:
            >>> Told(uuid="", hostname="a.example").hosts_line
            '127.0.1.1 a.example a'
        """
        names = dict.fromkeys((self.hostname, self.short))
        return " ".join((self.ip or "127.0.1.1", *names))


def content_id(told: Told) -> str:
    """Name what a guest is told; anything different has another name."""
    data = msgspec.to_builtins(told)
    if not told.beside:  # as it was named before there were any
        del data["beside"]
    for name in ("instance", "host_key"):
        if not data["wishes"][name]:  # likewise
            del data["wishes"][name]
    return f"sd-{hashlib.sha256(msgspec.json.encode(data)).hexdigest()[:32]}"


def instance_id(told: Told) -> str:
    """Return what the guest takes for its instance: what is done once is done anew where it differs.

    Example:
        >>> told = Told(uuid="", hostname="a", wishes=Wishes(instance="golden-1"))
        >>> instance_id(told), instance_id(told) == content_id(told)
        ('golden-1', False)
    """
    return told.wishes.instance or content_id(told)


def hostname_from(name: str) -> str:
    """Turn a machine's name into a host name: what may not stand in one becomes a dash.

    Example:
        >>> hostname_from("pool_1-web+a"), hostname_from("a.-b")
        ('pool-1-web-a', 'a.b')
    """
    labels = (re.sub(r"[^A-Za-z0-9-]", "-", label).strip("-")[:63] for label in name.split("."))
    return ".".join(label.rstrip("-") for label in labels if label) or "guest"


def check_lines(wishes: Wishes) -> None:
    """Refuse line breaks where the guest reads one line.

    Raises:
        BadValueError: The text names the attribute.
    """
    for key in wishes.ssh_keys:
        one_line("sshKeys", key)
    for person in wishes.users:
        for key in person.keys:
            one_line("users.keys", key)
    for fields in wishes.mounts:
        for field in fields:
            one_line("mounts", field)
