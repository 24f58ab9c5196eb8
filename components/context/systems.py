"""What is written into a system's files before it boots: from what is there to what shall be. Pure.

Which network files a system uses is detected; the files of the others are left alone. Writing twice is
the same as writing once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml
from msgspec import Struct

from components.context.nocloud import network_config
from components.context.told import Told

BEGIN, END = "# begin smartdomains", "# end smartdomains"
INTERFACES = "/etc/network/interfaces"
READ = ("/etc/hosts", INTERFACES, "/etc/fstab", "/root/.ssh/authorized_keys")
"""Files of which we change only a part."""
_WANTS = "/etc/systemd/system/multi-user.target.wants"
PROBED = (
    "/etc", "/etc/netplan", "/etc/NetworkManager/system-connections",
    f"{_WANTS}/NetworkManager.service", f"{_WANTS}/systemd-networkd.service",
    "/etc/systemd/system/dbus-org.freedesktop.network1.service",
    "/etc/sysconfig/network-scripts", INTERFACES, "/etc/resolv.conf",
)  # fmt: skip
"""Paths whose kind tells what a system uses."""


class Seen(Struct, frozen=True):
    """What was found in a filesystem.

    Attributes:
        kinds: `directory`, `regular`, `symlink`, ..., by path; a path that is not there is missing.
        texts: Content by path, of those of `READ` that are there.
    """

    kinds: Mapping[str, str]
    texts: Mapping[str, str]


class Written(Struct, frozen=True):
    """A file as it shall be.

    Attributes:
        mode: Permissions, as a number.
    """

    path: str
    content: str
    mode: int = 0o644


def uses(seen: Seen) -> str:
    """Say which files a system takes its network from; empty if none of those we know.

    Example:
        >>> uses(Seen({"/etc/network/interfaces": "regular"}, {}))
        'ifupdown'
    """
    there = seen.kinds
    if "/etc/netplan" in there:
        return "netplan"
    if f"{_WANTS}/NetworkManager.service" in there:
        return "networkmanager"
    if f"{_WANTS}/systemd-networkd.service" in there or PROBED[5] in there:
        return "networkd"
    if "/etc/sysconfig/network-scripts" in there:
        return "ifcfg"
    return "ifupdown" if INTERFACES in there else ""


def files_for(told: Told, seen: Seen) -> list[Written]:
    """Return the files to write, in a system as it was seen."""
    wishes = told.wishes
    found = [
        Written("/etc/hostname", f"{told.short}\n"),
        Written("/etc/hosts", block(seen.texts.get("/etc/hosts", _HOSTS), (told.hosts_line,))),
    ]
    if told.mac or told.beside:
        found.extend(_network(told, seen))
    if wishes.nameservers and seen.kinds.get("/etc/resolv.conf") != "symlink":
        found.append(Written("/etc/resolv.conf", resolver(told)))
    if wishes.ssh_keys:
        path = "/root/.ssh/authorized_keys"
        found.append(Written(path, block(seen.texts.get(path, ""), wishes.ssh_keys), 0o600))
    if wishes.mounts:
        lines = tuple(fstab_line(fields) for fields in wishes.mounts)
        found.append(Written("/etc/fstab", block(seen.texts.get("/etc/fstab", ""), lines)))
    found.extend(Written(file.path, file.content, int(file.mode, 8)) for file in wishes.all_files)
    return found


_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


def block(text: str, lines: tuple[str, ...]) -> str:
    r"""Put our lines into a text, between two marks, in place of those put there before.

    Example:
        >>> once = block("a\n", ("b",))
        >>> once, block(once, ("b",)) == once
        ('a\n# begin smartdomains\nb\n# end smartdomains\n', True)
    """
    kept = re.sub(f"^{BEGIN}\n.*?^{END}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return "".join((kept, f"{BEGIN}\n", *(f"{line}\n" for line in lines), f"{END}\n"))


def fstab_line(fields: tuple[str, ...]) -> str:
    """Return one line of /etc/fstab; fields that are not given are as is usual."""
    usual = ("", "", "auto", "defaults,nofail", "0", "2")
    return " ".join((*fields, *usual[len(fields) :]))


def resolver(told: Told) -> str:
    """Return the text of a resolver's configuration."""
    wishes = told.wishes
    search = [f"search {' '.join(wishes.search_domains)}"] if wishes.search_domains else []
    return "".join(
        f"{line}\n" for line in (*search, *(f"nameserver {a}" for a in wishes.nameservers))
    )


# -- the network files of each kind of system


def _network(told: Told, seen: Seen) -> list[Written]:
    match uses(seen):
        case "netplan":
            config = {"network": _with_dhcp(told)}
            text = yaml.safe_dump(config, sort_keys=False)
            return [Written("/etc/netplan/90-smartdomains.yaml", text, 0o600)]
        case "networkmanager":
            path = "/etc/NetworkManager/system-connections/{}.nmconnection"
            return [
                Written(path.format(name), network_manager(each, name), 0o600)
                for name, each in _named(told)
            ]
        case "networkd":
            path = "/etc/systemd/network/10-{}.network"
            return [Written(path.format(name), networkd(each)) for name, each in _named(told)]
        case "ifcfg":
            path = "/etc/sysconfig/network-scripts/ifcfg-{}"
            return [
                Written(path.format(each.wishes.interface), ifcfg(each)) for _, each in _named(told)
            ]
        case "ifupdown":
            text = seen.texts.get(INTERFACES, "")
            for _, each in _named(told):
                text = interfaces(text, each)
            return [Written(INTERFACES, text)]
        case _:
            return []


def _named(told: Told) -> list[tuple[str, Told]]:
    """Return what there is to tell of each interface, by the name of its file."""
    first = [("smartdomains", told)] if told.mac else []
    others = range(len(told.beside))
    return [*first, *((f"smartdomains-{index + 1}", told.about(index)) for index in others)]


def _with_dhcp(told: Told) -> dict[str, object]:
    usual = {told.wishes.interface: {"match": {"macaddress": told.mac}, "dhcp4": True}}
    return network_config(told) or {"version": 2, "ethernets": usual}


def interfaces(text: str, told: Told) -> str:
    """Return ifupdown's file with our stanza in place of what it had for that interface."""
    name = told.wishes.interface
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in {"iface", "auto", "source", "source-directory", "mapping"} | {
            word for word in words[:1] if word.startswith("allow-")
        }:
            inside = words[0] == "iface" and words[1:2] == [name]
            if words[0] == "auto" or words[0].startswith("allow-"):
                others = [word for word in words[1:] if word != name]
                if not others:
                    continue
                line = " ".join((words[0], *others))  # noqa: PLW2901 - the line as it stays
        if not inside:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return "".join(f"{line}\n" for line in (*kept, "", *_stanza(told))).lstrip("\n")


def _stanza(told: Told) -> list[str]:
    wishes, name = told.wishes, told.wishes.interface
    lines = [f"auto {name}", f"iface {name} inet {'static' if told.ip else 'dhcp'}"]
    if told.ip:
        lines += [f"    address {told.ip}", f"    netmask {told.netmask}"]
    if told.gateway and told.on_link:
        lines.append(f"    up ip route replace default via {told.gateway} dev {name} onlink")
    elif told.gateway:
        lines.append(f"    gateway {told.gateway}")
    if wishes.mtu:
        lines.append(f"    mtu {wishes.mtu}")
    if wishes.nameservers:
        lines.append(f"    dns-nameservers {' '.join(wishes.nameservers)}")
    if wishes.search_domains:
        lines.append(f"    dns-search {' '.join(wishes.search_domains)}")
    return lines


def networkd(told: Told) -> str:
    """Return a file for systemd-networkd."""
    wishes = told.wishes
    lines = ["[Match]", f"MACAddress={told.mac}"]
    if wishes.mtu:
        lines += ["", "[Link]", f"MTUBytes={wishes.mtu}"]
    lines += ["", "[Network]", f"Address={told.ip}/{told.prefix}" if told.ip else "DHCP=yes"]
    lines += [f"DNS={address}" for address in wishes.nameservers]
    if wishes.search_domains:
        lines.append(f"Domains={' '.join(wishes.search_domains)}")
    if told.gateway:
        lines += ["", "[Route]", f"Gateway={told.gateway}"]
        lines += ["GatewayOnLink=yes"] if told.on_link else []
    return "".join(f"{line}\n" for line in lines)


def ifcfg(told: Told) -> str:
    """Return a file for the network scripts of Red Hat's kind."""
    wishes = told.wishes
    pairs = {
        "DEVICE": wishes.interface, "HWADDR": told.mac, "ONBOOT": "yes",
        "BOOTPROTO": "none" if told.ip else "dhcp", "IPADDR": told.ip,
        "NETMASK": told.netmask if told.ip else "", "GATEWAY": told.gateway,
        "MTU": str(wishes.mtu or ""), "DOMAIN": " ".join(wishes.search_domains),
    }  # fmt: skip
    pairs |= {f"DNS{n}": address for n, address in enumerate(wishes.nameservers, start=1)}
    return "".join(f'{key}="{value}"\n' for key, value in pairs.items() if value)


def network_manager(told: Told, name: str = "smartdomains") -> str:
    """Return a keyfile for NetworkManager."""
    wishes = told.wishes
    lines = ["[connection]", f"id={name}", f"uuid={told.uuid}", "type=ethernet"]
    lines += ["", "[ethernet]", f"mac-address={told.mac}"]
    lines += [f"mtu={wishes.mtu}"] if wishes.mtu else []
    lines += ["", "[ipv4]", f"method={'manual' if told.ip else 'auto'}"]
    if told.ip:
        gateway = f",{told.gateway}" if told.gateway else ""
        lines.append(f"address1={told.ip}/{told.prefix}{gateway}")
    for key, values in (("dns", wishes.nameservers), ("dns-search", wishes.search_domains)):
        lines += [f"{key}={''.join(f'{value};' for value in values)}"] if values else []
    return "".join(f"{line}\n" for line in lines)
