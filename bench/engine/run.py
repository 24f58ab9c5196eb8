"""Measures what users wait for, and writes docs/performance.md.

    python bench/engine/run.py          all of it, about five minutes

Method: every figure is the median of several runs in one go on this machine, beside a yardstick
measured in the same go (a bare interpreter), so that ratios mean something on
a noisy machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scale import report

from engine.testing.daemons import Daemon, daemons

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAGE = ROOT / "docs" / "performance.md"
RUNS = 11


def seconds(work, runs=RUNS):
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def run(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def commands(daemon: Daemon):
    bare = seconds(lambda: run(sys.executable, "-c", "pass"))
    rows = [("bare interpreter", bare, "")]
    for name in ("sfping", "sfstart", "sfstatus"):
        taken = seconds(lambda name=name: run(BIN / name, "--help"))
        rows.append((f"`{name} --help`", taken, f"+{(taken - bare) * 1000:.0f} ms"))
    for words in (("sfping", "localhost"), ("sfstatus", "localhost")):
        taken = seconds(lambda words=words: run(BIN / words[0], *words[1:], "-p", daemon.port))
        rows.append((f"`{' '.join(words)}`", taken, ""))
    return rows


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        daemons(Path(folder), "one") as (one,),
    ):
        command_rows = commands(one)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scale_lines = report(Path(folder))
    lines = [
        "# Performance",
        "",
        "Written by `python bench/engine/run.py`; its head says how. Medians, on two cores shared with",
        "other work; compare within one table, not between machines. Virtual machines have",
        "[a page of their own](performance-domains.md).",
        "",
        "| command, whole run | ms | over the bare interpreter |",
        "|---|---|---|",
        *(f"| {name} | {taken * 1000:.0f} | {more} |" for name, taken, more in command_rows),
        "",
        *scale_lines,
        "",
    ]
    PAGE.write_text("\n".join(lines), "utf-8")
    sys.stdout.write(PAGE.read_text("utf-8"))


if __name__ == "__main__":
    main()
