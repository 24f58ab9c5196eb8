"""A type is first decoded by several threads at once: in a process of its own, for it may end it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import threading
import msgspec
from engine.wire.codec import decode, encode

first, second = threading.Event(), threading.Event()

def slowly() -> type[int]:
    first.set()
    second.wait(1)
    return int

class Inner(msgspec.Struct):
    number: "slowly()"

class Outer(msgspec.Struct):
    inner: Inner

data, found = encode({"inner": {"number": 7}}), []
threads = [threading.Thread(target=lambda: found.append(decode(data, Outer).inner.number)) for _ in "12"]
threads[0].start()
assert first.wait(5)
threads[1].start()
threads[1].join(0.2)
second.set()
for thread in threads:
    thread.join()
print(found)
"""


def test_a_thread_that_meets_a_half_known_type_waits():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[7, 7]\n", "")
