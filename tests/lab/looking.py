"""Looking at labs from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests" / "outside" / "lab_left.py"
DESCRIPTION = ROOT / "descriptions" / "examples" / "labPool.sf"

_RECEIVE = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7000)); s.settimeout(float(sys.argv[1]))
print("listening", flush=True)
count = 0
try:
    while s.recv(100):
        count += 1
except TimeoutError:
    pass
print(count)
"""
_SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    s.sendto(b"hello", (sys.argv[1], 7000)); time.sleep(0.01)
"""


def outside(*words):
    done = subprocess.run(
        [sys.executable, "-I", OUTSIDE, *map(str, words)], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.split("\n")[:-1] if words[0] == "left" else done.stdout.split()


def spaces(lab):
    found = outside("spaces", lab.folder)
    assert len(found) > 1
    return found


def left(folder, gone=()):
    return [line for line in outside("left", folder, *gone) if line]


def until(condition, *, within_s=30, what=""):
    end = time.monotonic() + within_s
    while not (seen := condition()):
        assert time.monotonic() < end, what or "it never came true"
        time.sleep(0.05)
    return seen


def script(*words, timeout_s=180, **options):
    return subprocess.run(
        [str(ROOT / "scripts" / "lab"), *map(str, words)], capture_output=True, text=True,
        check=False, timeout=timeout_s, cwd=ROOT, **options,
    )  # fmt: skip


def alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def reaches(a, b):
    """Whether a ping comes back."""
    return a.run("ping", "-c", "1", "-W", "1", b.name).code == 0


def heard(a, b, *, count=20, patience_s=1.0):
    """How many of the datagrams that `a` sends arrive at `b`."""
    with subprocess.Popen(
        b.command([sys.executable, "-c", _RECEIVE, str(patience_s)]),
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        sent = a.run(sys.executable, "-c", _SEND, b.name, str(count))
        assert sent.code == 0, sent.err
        return int(receiver.communicate(timeout=60)[0])
