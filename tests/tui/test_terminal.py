"""`sftui` in a terminal of its own: it starts, shows, obeys NO_COLOR, and leaves the terminal alone."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
NOWHERE = "127.0.0.1:1"


def run_sftui(**environment):
    """Run it until it has shown its footer, press `q`; return its exit code and what it sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    known = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [Path(sys.executable).parent / "sftui", NOWHERE], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**known, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    sent = b""
    asked = False
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                sent += os.read(ours, 65536)
            except OSError:  # the terminal's other side is closed
                break
        if not asked and b"never reached" in sent and b"quit" in sent:
            os.write(ours, b"q")
            asked = True
        if process.poll() is not None and not select.select([ours], [], [], 0)[0]:
            break
    os.close(ours)
    try:
        return process.wait(timeout=10), sent
    finally:
        process.kill()


def colours(sent):
    """The parameters of all sequences that set a colour other than the terminal's own."""
    found = set()
    for sequence in re.findall(rb"\x1b\[([0-9;]+)m", sent):
        numbers = [int(number) for number in sequence.split(b";")]
        if any(n in {38, 48} or 30 <= n <= 37 or 40 <= n <= 47 or 90 <= n <= 107 for n in numbers):
            found.add(sequence)
    return found


def test_it_starts_without_a_daemon_says_so_and_q_ends_it():
    code, sent = run_sftui()

    assert code == 0
    assert b"never reached: cannot be reached: connection refused" in sent
    assert colours(sent)
    assert sent.rindex(b"\x1b[?1049l") > sent.rindex(b"\x1b[?1049h")  # the old screen is back


def test_no_color_is_obeyed():
    code, sent = run_sftui(NO_COLOR="1")

    assert code == 0
    assert b"never reached" in sent
    assert colours(sent) == set()
