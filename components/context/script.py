"""The files of a script disk: data as shell variables, and a script that applies them. Pure."""

from __future__ import annotations

from importlib.resources import files

from components.context.quoting import assignment
from components.context.told import Told, instance_id

LABEL = "sdcontext"


def guest_script(name: str) -> str:
    """Return a script that runs in guests, from the folder `guest` of the descriptions."""
    return files("descriptions").joinpath("guest", name).read_text("utf-8")


def files_of(told: Told) -> dict[str, bytes]:
    """Return the files of the disk by name; `post-install` is to be run as root at each boot."""
    found = {"context": variables(told), "post-install": guest_script("post-install")}
    for number, file in enumerate(told.wishes.all_files):
        found[f"file-{number}"] = file.content
    return {name: text.encode() for name, text in found.items()}


def variables(told: Told) -> str:
    """Return what the guest is told as lines of shell; nothing in a value is read as code.

    Example:
        >>> print(variables(Told(uuid="u", hostname="web")).splitlines()[1])
        HOSTNAME='web'
    """
    wishes = told.wishes
    pairs = {
        "INSTANCE_ID": instance_id(told), "HOSTNAME": told.hostname, "MAC": told.mac,
        "IP": told.ip, "PREFIX": str(told.prefix) if told.ip else "",
        "NETMASK": told.netmask if told.ip else "", "GATEWAY": told.gateway,
        "ON_LINK": "yes" if told.on_link else "",
        "NAMESERVERS": " ".join(wishes.nameservers), "SEARCH": " ".join(wishes.search_domains),
        "MTU": str(wishes.mtu or ""), "SSH_KEYS": "\n".join(wishes.ssh_keys),
        "FILES": "\n".join(f"{file.mode} {file.path}" for file in wishes.all_files),
        "RUN": "\n".join(wishes.run_commands),
    }  # fmt: skip
    return "".join(f"{assignment(key, value)}\n" for key, value in pairs.items())
