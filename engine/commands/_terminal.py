"""The user's terminal as the far end of a channel: raw while it is open, as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from typing_extensions import override

from engine.core.faults import EngineError

if TYPE_CHECKING:
    from engine.client.channels import Channel

ESCAPE = b"\x1d"
"""Ctrl-], which leaves."""
LOOK_S = 0.2
"""Most seconds until the end of the channel is noticed."""
CHUNK = 4096
ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """Pass every key on as it is; what the terminal was like is restored whatever happens."""
    if not os.isatty(fd):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(fd)
    handlers = {number: signal.signal(number, _leave) for number in ENDING}
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)


class Reader(threading.Thread):
    """Shows what comes, until the channel ends or breaks.

    Attributes:
        failed: Why it broke, if it did.
        over: It has ended.
    """

    def __init__(self, channel: Channel, out: int) -> None:
        """Take the channel and the file to write to."""
        super().__init__(name="console", daemon=True)
        self.failed: EngineError | None = None
        self.over = threading.Event()
        self._channel = channel
        self._out = out

    @override
    def run(self) -> None:
        try:
            while not self._channel.ended:
                write_all(self._out, self._channel.read())
        except EngineError as error:
            self.failed = error
        except OSError:
            pass  # nobody looks any more
        finally:
            self.over.set()


def write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def converse(channel: Channel, keys: int, out: int) -> str:
    """Carry keys one way and bytes the other until the escape, or the end of the channel.

    Args:
        channel: The channel.
        keys: File that is typed into; its end sends nothing more and leaves the rest to be shown.
        out: File to show it on.

    Returns:
        Why it ended; nothing after the escape.

    Raises:
        EngineError: The channel broke.
    """
    reader = Reader(channel, out)
    reader.start()
    typing = True
    while not reader.over.is_set():
        if not typing:
            reader.over.wait(LOOK_S)
            continue
        if not select.select([keys], [], [], LOOK_S)[0]:
            continue
        data = os.read(keys, CHUNK)
        typing = bool(data)
        before, escape, _ = data.partition(ESCAPE)
        if before:
            channel.write(before)
        if escape:
            return ""
    if reader.failed is not None:
        raise reader.failed
    return channel.ended
