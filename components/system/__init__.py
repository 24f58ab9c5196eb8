"""Programs and files of a host as components, and conditions that look at it."""

from components.system.probes import (
    CommandSucceeds,
    DirectoryExists,
    FileExists,
    HostnameIs,
    HttpOk,
    IsOS,
    IsPropertySet,
    IsPropertyTrue,
    PortOpen,
)
from components.system.process import Process
from components.system.shell import BashShell, Shell

__all__ = [
    "BashShell",
    "CommandSucceeds",
    "DirectoryExists",
    "FileExists",
    "HostnameIs",
    "HttpOk",
    "IsOS",
    "IsPropertySet",
    "IsPropertyTrue",
    "PortOpen",
    "Process",
    "Shell",
]
