"""A command on a pseudo terminal, watched from outside."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

BIN = Path(sys.executable).parent


class Terminal:
    """A command on a terminal of its own, and what that shows."""

    def __init__(self, *words):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.shown = b""
        self.process = subprocess.Popen(
            [str(BIN / words[0]), *map(str, words[1:])],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
        )  # fmt: skip

    def expect(self, text, within_s=30.0):
        """Wait until the terminal has shown a text."""
        until = time.monotonic() + within_s
        while text not in self.shown:
            left = until - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.shown!r}"
            if select.select([self.master], [], [], min(left, 0.2))[0]:
                self.shown += os.read(self.master, 4096)

    def type(self, data):
        """Press keys."""
        os.write(self.master, data)

    def until_raw(self):
        """Wait until keys go through as they are."""
        until = time.monotonic() + 20
        while termios.tcgetattr(self.slave)[3] & termios.ICANON:
            assert time.monotonic() < until
            time.sleep(0.01)

    def ended(self, within_s=30.0):
        """Wait for the command's end; the terminal is as it was. Return its exit code."""
        code = self.process.wait(within_s)
        assert termios.tcgetattr(self.slave) == self.before
        return code

    def close(self):
        """End the command if it has not ended, and give the terminal back."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def terminal(*words):
    """Run a command on a terminal."""
    made = Terminal(*words)
    try:
        yield made
    finally:
        made.close()
