"""Measures trees of many components, over processes and hosts, and how soon deaths are noticed.

Each figure stands beside what the original engine needed for the same (measured on a machine of this
kind; see the table's last column) and the target it is held to. The growth exponent is that of a line
through the logarithms of the three sizes: 1 is linear.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import psutil

from engine.client.client import Client
from engine.core.records import Record
from engine.testing.daemons import Daemon, daemons
from engine.testing.kit import tree

PRIM = {"sfClass": "engine.prim.Prim", "value": 1}
GROUP = "engine.compound.Compound"
SUPERVISOR = "components.workflow.Supervisor"
BOUND_S = 120.0


class Scale(msgspec.Struct):
    """One deployment of many components: seconds, milliseconds and MiB."""

    components: int
    up_s: float
    read_s: float
    down_s: float
    ping_ms: float
    memory_mib: float


class Noticed(msgspec.Struct):
    """Seconds until a death was noticed: median and slowest."""

    what: str
    median_s: float
    slowest_s: float


def flat(count: int) -> dict[str, object]:
    """Describe that many components side by side."""
    return {"sfClass": GROUP, **{f"c{n}": PRIM for n in range(count)}}


def spread(count: int) -> dict[str, object]:
    """Describe that many components over four processes on three hosts."""
    places = (
        {"sfProcessHost": "h1", "sfProcessName": "worker"},
        {"sfProcessHost": "h2", "sfProcessName": "worker"},
        {"sfProcessHost": "h2", "sfProcessName": "other"},
        {"sfProcessHost": "h3", "sfProcessName": "worker"},
    )
    parts = {f"part{n}": {**flat(count // 4), **place} for n, place in enumerate(places)}
    return {"sfClass": GROUP, "sfConcurrency": 0, **parts}


PINGING = """
import sys, time
from engine.client.client import Client
client, slowest = Client(sys.argv[1]), 0.0
client.hello()
print("pinging", flush=True)
while True:
    began = time.perf_counter()
    client.hello()
    slowest = max(slowest, time.perf_counter() - began)
    print(slowest, flush=True)
    time.sleep(0.01)
"""


@contextlib.contextmanager
def pinging(daemon: Daemon) -> Iterator[list[float]]:
    """Ping a daemon all the while, from a process of its own; what is given holds the slowest, s."""
    slowest = [0.0]
    program = subprocess.Popen(
        [sys.executable, "-c", PINGING, daemon.address], stdout=subprocess.PIPE, text=True
    )
    if program.stdout is None or program.stdout.readline() != "pinging\n":
        raise AssertionError("the pings did not begin")

    def follow(lines: IO[str]) -> None:
        for line in lines:
            with contextlib.suppress(ValueError):  # the last one may be half
                slowest[0] = max(slowest[0], float(line))

    thread = threading.Thread(target=follow, args=(program.stdout,))
    thread.start()
    try:
        yield slowest
    finally:
        program.kill()
        program.wait()
        thread.join()
        program.stdout.close()


def memory_mib(daemon: Daemon) -> float:
    """Return the resident memory of a daemon and its sub-processes."""
    root = psutil.Process(daemon.pid)
    return float(sum(each.memory_info().rss for each in [root, *root.children(True)])) / 2**20


def scale(daemon: Daemon, description: dict[str, object], rounds: int = 3) -> Scale:
    """Deploy, read and terminate a tree several times; the medians."""
    root = tree(description)
    found: list[tuple[float, float, float, float, float]] = []
    count = 0
    before = memory_mib(daemon)
    with contextlib.closing(daemon.client()) as client:
        for _ in range(rounds):
            with pinging(daemon) as slowest:
                began = time.perf_counter()
                client.start("many", root).result()
                up = time.perf_counter() - began
                memory = memory_mib(daemon) - before
                began = time.perf_counter()
                count = sum(1 for _ in client.whole_tree("many"))
                read = time.perf_counter() - began
                began = time.perf_counter()
                client.terminate("many", Record.normal()).result()
                down = time.perf_counter() - began
            found.append((up, read, down, slowest[0] * 1000, memory))
    up, read, down, ping, memory = (
        statistics.median(column) for column in zip(*found, strict=True)
    )
    return Scale(count, up, read, down, ping, max(memory, 0.0))


def exponent(scales: list[Scale]) -> float:
    """Fit the growth of the time to deploy with the number of components."""
    points = [(math.log(each.components), math.log(each.up_s)) for each in scales]
    mean_x = statistics.mean(x for x, _ in points)
    mean_y = statistics.mean(y for _, y in points)
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


def until_unready(client: Client) -> float:
    """Wait until the application is not ready any more; return the time it was seen."""
    end = time.perf_counter() + BOUND_S
    while time.perf_counter() < end:
        row = client.tree("watched", depth=0).rows[0]
        if not row.ready:
            return time.perf_counter()
        time.sleep(0.005)
    raise AssertionError("never noticed")


def noticed(folder: Path, what: str, delay_s: float, rounds: int = 5) -> Noticed:
    """Let a process that holds a part die in some way; measure until its parent knows."""
    taken = []
    for number in range(rounds):
        with daemons(folder / f"{what}-{number}", "h1", "h2") as (one, two):
            place = {"sfProcessName": "worker"} if what == "killed" else {"sfProcessHost": "h2"}
            description = {
                "sfClass": SUPERVISOR, "intensity": 0, "onGiveUp": "keepFailed",
                "sfLivenessDelay": delay_s, "part": {**flat(50), **place},
            }  # fmt: skip
            with contextlib.closing(one.client()) as client:
                client.start("watched", tree(description)).result()
                time.sleep(delay_s * (0.2 + 0.6 * number / rounds))
                victim = psutil.Process(one.pid).children()[0].pid if what == "killed" else two.pid
                began = time.perf_counter()
                os.kill(victim, signal.SIGSTOP if what == "frozen" else signal.SIGKILL)
                try:
                    taken.append(until_unready(client) - began)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGCONT)
    return Noticed(what, statistics.median(taken), max(taken))


def ready_s(folder: Path, rounds: int = 5) -> float:
    """Measure from the command to the ready line of a daemon that has run before."""
    taken = []
    with daemons(folder / "ready", "h1") as (one,):
        for _ in range(rounds):
            one.stop()
            began = time.perf_counter()
            one.start()
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def warm_ping_ms(daemon: Daemon) -> float:
    """Measure one ping over an open TLS connection."""
    with contextlib.closing(daemon.client()) as client:
        client.hello()
        taken = []
        for _ in range(300):  # within the burst a client is allowed
            began = time.perf_counter()
            client.hello()
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def report(folder: Path) -> list[str]:
    """Measure everything; return lines of the page."""
    ready = ready_s(folder)
    with daemons(folder / "scale", "h1") as (one,):
        idle = memory_mib(one)
        ping = warm_ping_ms(one)
        sizes = [scale(one, flat(count)) for count in (1_000, 10_000, 50_000)]
    with daemons(folder / "spread", "h1", "h2", "h3") as (one, _, _):
        first = scale(one, spread(400), 1)
        wide = scale(one, spread(10_000))
    deaths = [
        noticed(folder, "killed", 15.0), noticed(folder, "frozen", 2.0), noticed(folder, "gone", 2.0)
    ]  # fmt: skip
    original = {1_001: "0.39-1.08", 10_001: "5,000: 5-7.1", 50_001: "not measured"}
    target = {1_001: "1", 10_001: "1.5", 50_001: ""}
    per_component = sizes[1].memory_mib * 1024 / sizes[1].components
    return [
        (
            "| trivial components, one process | deploy and start, s | target | original | read all, s "
            "| terminate, s | slowest ping, ms | memory, MiB |"
        ),
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {each.components:,} | {each.up_s:.2f} | {target[each.components]} "
            f"| {original[each.components]} | {each.read_s:.2f} | {each.down_s:.2f} "
            f"| {each.ping_ms:.0f} | {each.memory_mib:.0f} |"
            for each in sizes
        ),
        "",
        f"Growth exponent {exponent(sizes):.2f}; {per_component:.1f} KiB a component at 10,000.",
        "",
        "| over four sub-processes on three hosts | deploy and start, s | terminate, s |",
        "|---|---|---|",
        f"| {first.components:,}, sub-processes started first | {first.up_s:.2f} | {first.down_s:.2f} |",
        f"| {wide.components:,}, sub-processes there | {wide.up_s:.2f} | {wide.down_s:.2f} |",
        "",
        "| noticed by the parent | median, s | slowest, s | bound or target, s | original, s |",
        "|---|---|---|---|---|",
        (
            f"| killed sub-process, liveness every 15 s | {deaths[0].median_s:.2f} "
            f"| {deaths[0].slowest_s:.2f} | 0.2 | 10.9 |"
        ),
        (
            f"| frozen daemon, every 2 s | {deaths[1].median_s:.2f} "
            f"| {deaths[1].slowest_s:.2f} | 6 | never |"
        ),
        (
            f"| killed daemon of another host, every 2 s | {deaths[2].median_s:.2f} "
            f"| {deaths[2].slowest_s:.2f} | 6 | one period |"
        ),
        "",
        "| one daemon | | target | original |",
        "|---|---|---|---|",
        f"| from the command to its ready line | {ready:.2f} s | 1 s | 0.65-0.76 s |",
        f"| memory, idle | {idle:.0f} MiB | 80 MiB | 77-83 MiB |",
        f"| ping over an open TLS connection | {ping:.2f} ms | 1 ms | 0.03-0.28 ms without TLS |",
    ]
