"""The files of a NoCloud disk, as cloud-init reads them. Pure."""

from __future__ import annotations

from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import cast

import yaml

from components.context.told import Person, Told, instance_id
from engine.runtime.kinds import BadValueError

LABEL = "cidata"
_CLOUD_CONFIG = "#cloud-config"
_TYPES = {"#!": "x-shellscript", "#include": "x-include-url", "## template: jinja": "jinja2"}

Data = dict[str, object]


def files_of(told: Told) -> dict[str, bytes]:
    """Return the files of the disk by name.

    Raises:
        BadValueError: `userData` is no YAML, or no mapping.
    """
    files = {
        "meta-data": _yaml({"instance-id": instance_id(told), "local-hostname": told.hostname}),
        "user-data": user_data(told),
    }
    network = network_config(told)
    if network:
        files["network-config"] = _yaml(network)
    if told.wishes.vendor_data:
        files["vendor-data"] = told.wishes.vendor_data
    return {name: text.encode() for name, text in files.items()}


def network_config(told: Told) -> Data:
    """Return the network of a guest, version 2; nothing where DHCP will do."""
    wishes = told.wishes
    plain = not (told.ip or wishes.nameservers or wishes.mtu)
    if (plain or not told.mac) and not told.beside:
        return {}
    links = {wishes.interface: _link(told)} if told.mac else {}
    for index in range(len(told.beside)):
        other = told.about(index)
        links[f"beside{index + 1}"] = _link(other)
    return {"version": 2, "ethernets": links}


def _link(told: Told) -> Data:
    """Return one interface; what is not known of it, it asks for."""
    wishes = told.wishes
    link: Data = {"match": {"macaddress": told.mac}}
    if told.ip:
        link["addresses"] = [f"{told.ip}/{told.prefix}"]
    else:
        link["dhcp4"] = True
    if told.gateway:
        route: Data = {"to": "0.0.0.0/0", "via": told.gateway}
        link["routes"] = [route | ({"on-link": True} if told.on_link else {})]
    names = {"addresses": list(wishes.nameservers), "search": list(wishes.search_domains)}
    if any(names.values()):
        link["nameservers"] = {key: value for key, value in names.items() if value}
    if wishes.mtu:
        link["mtu"] = wishes.mtu
    return link


def user_data(told: Told) -> str:
    """Return our data for cloud-init together with what the description passes on.

    Data of the description's own wins, key by key; lists that both have become one. What is no
    `#cloud-config` goes along as a part of its own.

    Raises:
        BadValueError: It says `#cloud-config` and is no YAML mapping.
    """
    ours, theirs = cloud_config(told), told.wishes.user_data
    if not theirs:
        return f"{_CLOUD_CONFIG}\n{_yaml(ours)}"
    if theirs.startswith(_CLOUD_CONFIG):
        return f"{_CLOUD_CONFIG}\n{_yaml(merged(ours, _mapping(theirs)))}"
    both = MIMEMultipart(boundary="=====smartdomains=====")
    both.attach(MIMEText(f"{_CLOUD_CONFIG}\n{_yaml(ours)}", "cloud-config"))
    kind = next((kind for start, kind in _TYPES.items() if theirs.startswith(start)), "plain")
    both.attach(MIMEText(theirs, kind))
    return both.as_string()


def check_user_data(text: str) -> None:
    """Refuse data that says `#cloud-config` and is none.

    Raises:
        BadValueError: The text says why.
    """
    if text.startswith(_CLOUD_CONFIG):
        _mapping(text)


def cloud_config(told: Told) -> Data:
    """Return what we ask of cloud-init."""
    wishes = told.wishes
    data: Data = {"preserve_hostname": False, "manage_etc_hosts": True}
    if wishes.ssh_keys:
        data["ssh_authorized_keys"] = list(wishes.ssh_keys)
    if wishes.users:
        data["users"] = ["default", *(_person(each) for each in wishes.users)]
    if wishes.files:
        data["write_files"] = [
            {"path": file.path, "content": file.content, "permissions": file.mode}
            for file in wishes.files
        ]
    for key, items in (("packages", wishes.packages), ("runcmd", wishes.run_commands)):
        if items:
            data[key] = list(items)
    if wishes.mounts:
        data["mounts"] = [list(fields) for fields in wishes.mounts]
    if wishes.host_keys == "image":
        data["ssh_deletekeys"] = False
    if wishes.host_key is not None:
        kind = wishes.host_key.kind
        data["ssh_keys"] = {
            f"{kind}_private": wishes.host_key.private, f"{kind}_public": wishes.host_key.public,
        }  # fmt: skip
    if told.ready_marker:
        data["final_message"] = told.ready_marker
    return data


def _person(person: Person) -> Data:
    data: Data = {"name": person.name, "shell": person.shell, "lock_passwd": True}
    if person.keys:
        data["ssh_authorized_keys"] = list(person.keys)
    if person.groups:
        data["groups"] = list(person.groups)
    if person.sudo:
        data["sudo"] = person.sudo
    if person.password_hash:
        data |= {"passwd": person.password_hash, "lock_passwd": False}
    return data


def merged(ours: Data, theirs: Data) -> Data:
    """Put two mappings together by key: theirs wins, lists of both become one.

    Example:
        >>> merged({"a": 1, "b": [1], "c": 2}, {"a": 9, "b": [2]})
        {'a': 9, 'b': [1, 2], 'c': 2}
    """
    result = dict(ours)
    for key, value in theirs.items():
        mine = ours.get(key)
        result[key] = mine + value if isinstance(mine, list) and isinstance(value, list) else value
    return result


def _mapping(text: str) -> Data:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadValueError(f"userData says #cloud-config and is no YAML{_place(error)}") from None
    if not isinstance(found, dict | None):
        raise BadValueError("userData says #cloud-config and is no mapping of keys to values")
    return cast("Data", found or {})


def _place(error: Exception) -> str:
    """Say where it is wrong; what stands there may be a secret."""
    mark = getattr(error, "problem_mark", None)
    return f": see line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _yaml(data: Data) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text
