"""Programs, shells and the state of a host as components, and conditions that look at it."""

from components.system.checks import CommandCheck, DnsCheck, HttpCheck, PortCheck
from components.system.commands import RunCommand, SshCommand
from components.system.localhost import Localhost
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
from components.system.recording import RecordingShell
from components.system.running import Running
from components.system.script import Script
from components.system.shell import BashShell, Shell

__all__ = [
    "BashShell",
    "CommandCheck",
    "CommandSucceeds",
    "DirectoryExists",
    "DnsCheck",
    "FileExists",
    "HostnameIs",
    "HttpCheck",
    "HttpOk",
    "IsOS",
    "IsPropertySet",
    "IsPropertyTrue",
    "Localhost",
    "PortCheck",
    "PortOpen",
    "Process",
    "RecordingShell",
    "RunCommand",
    "Running",
    "Script",
    "Shell",
    "SshCommand",
]
