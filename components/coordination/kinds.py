"""What descriptions say of an ensemble: its servers, and nodes."""

from __future__ import annotations

import re

from engine.runtime.kinds import BadValueError, Kind, shown, strings
from sfdl.values import Value

_PATH = re.compile(r"(/[\w.-]+)+")
_NAME = re.compile(r"[\w.][\w.-]{0,99}")
_SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
USUAL = ("127.0.0.1:2181",)
"""Servers where nothing is said: one on this host."""


def _name(value: Value) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise BadValueError(f"must be a name of letters, digits, _, . and - (got {shown(value)})")


def _path(value: Value) -> str:
    if isinstance(value, str) and _PATH.fullmatch(value):
        return value
    raise BadValueError(f"must be an absolute path (got {shown(value)})")


def _servers(value: Value) -> tuple[str, ...]:
    servers = strings.read(value)
    if servers and all(_SERVER.fullmatch(server) for server in servers):
        return servers
    raise BadValueError(f'must be servers as "host:port" (got {shown(value)})')


name_kind = Kind("name", "String", _name)
path_kind = Kind("absolute path", "String", _path)
servers_kind = Kind("list of servers", "Vector", _servers)
