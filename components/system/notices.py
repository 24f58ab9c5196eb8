"""What a program tells its service manager, as systemd has it: `READY=1` and the like.

The socket is an abstract one, named by the program's token; only messages from the program's own
session count.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Mapping

from components.system.program import find_program

MOST_BYTES = 4096
_CREDENTIALS = struct.Struct("3i")


def parse(message: bytes) -> Mapping[str, str]:
    r"""Read one notice: lines of `NAME=value`.

    Example:
        >>> parse(b"READY=1\nSTATUS=serving")
        {'READY': '1', 'STATUS': 'serving'}
    """
    lines = message.decode(errors="replace").splitlines()
    return {name: value for name, mark, value in (line.partition("=") for line in lines) if mark}


class Notices:
    """The socket for the notices of one program."""

    def __init__(self, token: str, told: Callable[[Mapping[str, str]], None]) -> None:
        """Listen for the program that carries a token; each notice is told."""
        self._token = token
        self._told = told
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + self.address_of(token)[1:])
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)

    @staticmethod
    def address_of(token: str) -> str:
        """Return what the program finds in `NOTIFY_SOCKET`."""
        return f"@smartdomains-{token}"

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, extra, _, _ = self._socket.recvmsg(MOST_BYTES, socket.CMSG_SPACE(12))
                if any(self._is_ours(data) for *_, data in extra):
                    self._told(parse(message))

    def _is_ours(self, credentials: bytes) -> bool:
        pid, _, _ = _CREDENTIALS.unpack(credentials[: _CREDENTIALS.size])
        main = find_program(self._token)
        try:
            return main is not None and os.getsid(pid) == main[0]
        except ProcessLookupError:
            return False

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
