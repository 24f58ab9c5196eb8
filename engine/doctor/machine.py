"""What checks look at: a machine, so that tests can show them another one."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import sys
from pathlib import Path

from engine import ports

TIME_ERROR = 5
"""What the kernel says of a clock nobody keeps right."""


class Machine:
    """The machine this runs on."""

    def python(self) -> tuple[int, ...]:
        """Return the version of the interpreter."""
        return tuple(sys.version_info[:3])

    def package(self, name: str) -> str | None:
        """Return the version of an installed package."""
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
        return None

    def requirements(self) -> list[str]:
        """Return what our own package says it needs, without its extras."""
        found = importlib.metadata.requires("smartdomains") or []
        return [line for line in found if "extra ==" not in line]

    def program(self, name: str) -> str | None:
        """Return where a program is; the folders of the administrator's count too."""
        path = os.environ.get("PATH", "")
        return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")

    def text(self, path: str) -> str | None:
        """Return what a file of the kernel says."""
        try:
            return Path(path).read_text("utf-8", "replace")
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        return Path(path).exists()

    def may(self, path: str, mode: int) -> bool:
        """Say whether we may read, write or enter a file: `os.R_OK` and so on."""
        return os.access(path, mode)

    def architecture(self) -> str:
        """Return the kind of processor."""
        return platform.machine()

    def user(self) -> int:
        """Return who we are."""
        return os.geteuid()

    def open_files(self) -> int:
        """Return how many files we may have open, if we ask for it."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return sys.maxsize if most == resource.RLIM_INFINITY else most

    def free_bytes(self, path: str) -> int:
        """Return the space left for us where a file is."""
        facts = os.statvfs(path)
        return facts.f_bavail * facts.f_frsize

    def name(self) -> str:
        """Return the name of the host."""
        return socket.gethostname()

    def resolves(self, name: str) -> str | None:
        """Return the first address of a host name."""
        try:
            return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
        except (OSError, UnicodeError):
            return None

    def trouble_at(self, host: str, port: int) -> str:
        """Say why one cannot listen at an address, or nothing if one can."""
        return ports.trouble_at(host, port)

    def clock_is_kept(self) -> bool | None:
        """Say whether the kernel believes its clock; nothing where it does not tell."""
        try:
            state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
        except (OSError, AttributeError):
            return None
        return None if state < 0 else bool(state != TIME_ERROR)
