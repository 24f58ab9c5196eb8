"""Measures what users wait for, and writes docs/performance.md.

    python bench/engine/run.py          all of it, about five minutes

Method: every figure is the median of several runs in one go on this machine, beside a yardstick
measured in the same go (a bare interpreter, the bare libvirt calls), so that ratios mean something on
a noisy machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import libvirt
from scale import report

import sfdl
from engine.core.records import Record
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


def bare_domain():
    connection = libvirt.open("test:///default")
    system = "<os><type>hvm</type></os>"
    xml = f"<domain type='test'><name>bench</name><memory>65536</memory>{system}</domain>"

    def once():
        domain = connection.defineXML(xml)
        domain.create()
        domain.destroy()
        domain.undefine()

    taken = seconds(once, 100)
    connection.close()
    return taken


DOMAINS = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {{
    hypervisorUri "test:///default";
    {machines}
}}
"""


def domains(daemon: Daemon, count: int):
    machines = "\n".join(
        f"vm{n} extends KvmDomain {{ diskless true; memory 64; }}" for n in range(count)
    )
    root = sfdl.compile(DOMAINS.format(machines=machines)).root
    client = daemon.client()
    taken = []
    for _ in range(5):
        grown = client.start("bench", root).result()
        taken.append(sum(ms for _, ms in grown.times_ms) / 1000)
        client.terminate("bench", Record.normal()).result()
    client.close()
    return statistics.median(taken)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        daemons(Path(folder), "one") as (one,),
    ):
        command_rows = commands(one)
        bare = bare_domain()
        single = domains(one, 1)
        hundred = domains(one, 100)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scale_lines = report(Path(folder))
    lines = [
        "# Performance",
        "",
        "Written by `python bench/engine/run.py`; its head says how. Medians, on two cores shared with",
        "other work; compare within one table, not between machines.",
        "",
        "| command, whole run | ms | over the bare interpreter |",
        "|---|---|---|",
        *(f"| {name} | {taken * 1000:.0f} | {more} |" for name, taken, more in command_rows),
        "",
        "| domain on libvirt's test driver | ms |",
        "|---|---|",
        f"| bare libvirt calls: define, create, destroy, undefine | {bare * 1000:.2f} |",
        f"| one domain: create, deploy and start, ledger synced | {single * 1000:.0f} |",
        f"| each of 100 domains, one after the other | {hundred * 10:.1f} |",
        "",
        *scale_lines,
        "",
    ]
    PAGE.write_text("\n".join(lines), "utf-8")
    sys.stdout.write(PAGE.read_text("utf-8"))


if __name__ == "__main__":
    main()
