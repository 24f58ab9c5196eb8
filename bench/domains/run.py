"""Measures what starting and ending virtual machines costs, and writes docs/performance-domains.md.

    python bench/domains/run.py                 on libvirt's test driver, about five minutes
    python bench/domains/run.py --qemu          also on real QEMU guests; needs root
    python bench/domains/run.py --debian        also a Debian image, its packages not kept before

Method: real daemons, asked over TLS as commands ask them; each figure is the median of several rounds in
one go, beside the bare libvirt calls measured in the same go, so that ratios mean something on a noisy
machine. Processor time is that of the daemon. What a round made it ends; the description is compiled
before.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import msgspec
import psutil

import sfdl
from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.private_libvirtd import PrivateLibvirtd
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import Daemon, daemons
from sfdl.values import Description

PAGE = Path(__file__).parents[2] / "docs" / "performance-domains.md"
NODE = """<node><cpu><mhz>2000</mhz><model>x</model><active>64</active><nodes>1</nodes>
<sockets>1</sockets><cores>64</cores><threads>1</threads></cpu><memory>268435456</memory></node>"""
PLAIN = 'diskless true; memory 64; stopMode "destroy";'


class Row(msgspec.Struct):
    """One line of the page: what, its figures as text, and whether they are within the goal."""

    what: str
    seen: str
    goal: str
    met: bool

    def line(self) -> str:
        """Write it as a line of a table."""
        return f"| {self.what} | {self.seen} | {self.goal} | {'yes' if self.met else '**no**'} |"


class Taken(msgspec.Struct):
    """What one start and one end took: seconds of the clock and of processors, and all memory then."""

    up_s: float
    up_cpu_s: float
    down_s: float
    down_cpu_s: float
    memory_mib: float


def compiled(body: str, uri: str = "test:///default") -> Description:
    """Compile a description of machines on one host."""
    return sfdl.compile(
        f'#include "components/vm.sf"\nsfConfig extends PhysicalHost {{ hypervisorUri "{uri}"; {body} }}'
    ).root


def machines(count: int, more: str = PLAIN) -> str:
    """Describe so many machines."""
    return "\n".join(f"vm{n} extends KvmDomain {{ {more} }}" for n in range(count))


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def rounds(daemon: Daemon, root: Description, count: int) -> list[Taken]:
    """Start and end an application so many times; the first, which warms up, does not count."""
    process = psutil.Process(daemon.pid)
    taken = []
    with contextlib.closing(daemon.client()) as client:
        for _ in range(count + 1):
            cpu = cpu_s(process)
            began = time.perf_counter()
            client.start("bench", root, budget_s=300).result()
            up, up_cpu = time.perf_counter() - began, cpu_s(process) - cpu
            memory = process.memory_info().rss / 2**20
            began, cpu = time.perf_counter(), cpu_s(process)
            client.terminate("bench", Record.normal(), budget_s=300).result()
            down, down_cpu = time.perf_counter() - began, cpu_s(process) - cpu
            taken.append(Taken(up, up_cpu, down, down_cpu, memory))
    return taken[1:]


def middle(taken: list[Taken], of: Callable[[Taken], float]) -> float:
    return statistics.median(of(each) for each in taken)


@contextlib.contextmanager
def one_daemon() -> Iterator[tuple[Daemon, Path]]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        daemons(Path(folder), "one") as (one,),
    ):
        yield one, Path(folder)


# -- on the test driver


def bare_s(uri: str, xml: Callable[[int], str], count: int) -> float:
    """Define and start domains with nothing but libvirt, one after the other; seconds of each."""
    connection = libvirt.open(uri)
    taken = []
    for number in range(count):
        began = time.perf_counter()
        domain = connection.defineXML(xml(number))
        domain.create()
        taken.append(time.perf_counter() - began)
        domain.destroy()
        domain.undefine()
    connection.close()
    return statistics.median(taken)


def small(number: int) -> str:
    system = "<os><type>hvm</type></os>"
    return f"<domain type='test'><name>b{number}</name><memory>65536</memory>{system}</domain>"


def overhead() -> list[Row]:
    """Measure one machine, and one of many one after the other."""
    bare = bare_s("test:///default", small, 100) * 1000
    with one_daemon() as (one, _):
        single = rounds(one, compiled(machines(1)), 11)
        many = rounds(one, compiled(machines(100)), 3)
    alone = middle(single, lambda each: each.up_s) * 1000 - bare
    each = middle(many, lambda each: each.up_s) * 10 - bare
    cpu = middle(many, lambda each: each.up_cpu_s) * 10
    return [
        Row(
            "one machine, over the bare calls", f"{alone:.0f} ms (bare {bare:.2f} ms)", "50 ms",
            alone <= 50,
        ),
        Row(
            "each of 100 machines, one after the other, over the bare calls",
            f"{each:.1f} ms, {cpu:.1f} ms of processor time", "50 ms", each <= 50,
        ),
    ]  # fmt: skip


def ten_hosts() -> Row:
    """Measure 100 machines on ten simulated hosts of one daemon, together."""
    with one_daemon() as (one, folder):
        hosts = []
        for number in range(10):
            world = folder / f"host{number}.xml"
            world.write_text(NODE)
            uri = f'hypervisorUri "test://{world}";'
            hosts.append(
                f"host{number} extends PhysicalHost {{ {uri} sfConcurrency 0; {machines(10)} }}"
            )
        taken = rounds(one, compiled("sfConcurrency 0; " + "\n".join(hosts)), 5)
    up = middle(taken, lambda each: each.up_s)
    return Row("100 machines on 10 simulated hosts, together", f"{up:.2f} s", "5 s", up <= 5)


def thousand() -> list[Row]:
    """Measure 1,000 machines from one description in one process, together and one after the other."""
    rows = []
    for what, together in (("together", "sfConcurrency 0;"), ("one after the other", "")):
        with one_daemon() as (one, _):
            root = compiled(f"{together} {machines(1000)}")
            first = rounds(one, root, 2)
        up, cpu = middle(first, lambda each: each.up_s), middle(first, lambda each: each.up_cpu_s)
        down = middle(first, lambda each: each.down_s)
        memory = max(each.memory_mib for each in first)
        rows += [
            Row(
                f"1,000 machines, {what}: description to running",
                f"{up:.1f} s, {cpu:.1f} s of processor time", "10 s", up <= 10,
            ),
            Row(
                f"memory of the daemon, {what}", f"{memory:.0f} MiB", "300 MiB",
                memory <= 300,
            ),
            Row(f"termination of 1,000, {what}", f"{down:.1f} s", "10 s", down <= 10),
        ]  # fmt: skip
    return rows


def overlay() -> Row:
    """Measure a machine with a layer on a present image and a context disk, until it is created."""
    with one_daemon() as (one, folder):
        image = folder / "base.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M"], check=True)
        store = (
            f'store extends OverlayStorageBackend {{ baseImage "{image}"; volumeSize "128m"; '
            'swapSize 0; spaceReserve 0; } told extends Context { mode "nocloud"; }'
        )
        machine = (
            "vm extends KvmDomain { storageBackend LAZY ATTRIB store; context LAZY ATTRIB told; "
            'memory 64; stopMode "destroy"; }'
        )
        taken = rounds(one, compiled(f"{store} {machine}"), 11)
    up = middle(taken, lambda each: each.up_s)
    return Row(
        "machine with a layer and a context disk, until created",
        f"{up * 1000:.0f} ms",
        "1 s",
        up <= 1,
    )


def twenty(times: int) -> Row:
    """Start 20 machines with volumes at a time in one pool, again and again."""
    failed, taken = [], []
    with one_daemon() as (one, folder):
        image = folder / "base.raw"
        with image.open("wb") as disk:
            disk.truncate(2**20)
        pairs = "\n".join(
            f"pair{n} extends Compound {{ s extends OverlayStorageBackend {{ "
            f'baseImage "{image}"; volumeSize "8m"; swapSize "1m"; spaceReserve 0; }} '
            f'vm extends KvmDomain {{ storageBackend LAZY ATTRIB s; memory 64; stopMode "destroy"; }} }}'
            for n in range(20)
        )
        root = compiled(f"sfConcurrency 0; {pairs}")
        with contextlib.closing(one.client()) as client:
            for _ in range(times):
                began = time.perf_counter()
                try:
                    client.start("bench", root).result()
                    taken.append(time.perf_counter() - began)
                    client.terminate("bench", Record.normal()).result()
                except EngineError as error:
                    failed.append(str(error))
    for text in failed[:3]:
        sys.stderr.write(f"{text}\n")
    seen = f"{len(taken)} of {times}, {statistics.median(taken):.2f} s each" if taken else "none"
    return Row(
        f"20 machines with volumes at a time, {times} times", seen, "all, no retry", not failed
    )


# -- on QEMU


GUEST = """
vm extends KvmDomain {{
    diskless true; memory 96; kernel "{kernel}"; ramdisk "{initrd}"; extra "quiet panic=1 sd.name=bench";
    startMode "booted"; stopMode "destroy"; {more}
}}
"""


def qemu(count: int) -> list[Row]:
    """Start a real guest by hand and by us, in turns, until its console says it is up."""
    image = GuestImage.build(default_cache())
    by_hand, by_us, created = [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="sdb", dir="/tmp") as place,
        PrivateLibvirtd(Path(place) / "h") as host,
        one_daemon() as (one, _),
        contextlib.closing(one.client()) as client,
    ):
        body = GUEST.format(kernel=image.kernel, initrd=image.initrd, more="")
        root = compiled(body, host.uri)
        quick = compiled(body.replace("booted", "running"), host.uri)
        xml = ""
        connection = libvirt.open(host.uri)
        for number in range(count + 1):
            began = time.perf_counter()
            client.start("bench", root, budget_s=300).result()
            ours = time.perf_counter() - began
            xml = connection.listAllDomains()[0].XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            client.terminate("bench", Record.normal()).result()
            began = time.perf_counter()
            client.start("bench", quick, budget_s=300).result()
            until_created = time.perf_counter() - began
            client.terminate("bench", Record.normal()).result()
            bare = _boot(connection, xml, Path(place) / f"console{number}.log")
            if number:
                by_us.append(ours)
                created.append(until_created)
                by_hand.append(bare)
        connection.close()
    ours, bare = statistics.median(by_us), statistics.median(by_hand)
    over = (ours / bare - 1) * 100
    return [
        Row(
            f"real guest until it has booted, {count} times",
            f"{ours:.2f} s; by hand {bare:.2f} s: {over:+.0f} %", "10 % over", over <= 10,
        ),
        Row("the same until it is created", f"{statistics.median(created):.2f} s", "", True),
    ]  # fmt: skip


def _boot(connection: libvirt.virConnect, xml: str, console: Path) -> float:
    """Boot the same guest with libvirt alone, in seconds until its console says so."""
    xml, places = re.subn(r"(<log file=')[^']*", rf"\g<1>{console}", xml)
    assert places, "the guest's console is not written to a file"
    began = time.perf_counter()
    domain = connection.defineXML(xml)
    domain.create()
    while not (console.exists() and b"SD-READY" in console.read_bytes()):
        if time.perf_counter() - began > 300:
            raise AssertionError("the guest did not boot")
        time.sleep(0.02)
    taken = time.perf_counter() - began
    domain.destroy()
    domain.undefine()
    return taken


def debian() -> Row:
    """Build a Debian image with nothing kept from before but what the machine's proxy has."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        daemons(Path(folder), "one", XDG_CACHE_HOME=f"{folder}/cache") as (one,),
        contextlib.closing(one.client()) as client,
    ):
        root = compiled(
            'debian extends DebianImage { suite "bookworm"; variant "minbase"; size "1g"; }'
        )
        began = time.perf_counter()
        client.start("bench", root, budget_s=900).result()
        taken = time.perf_counter() - began
        client.terminate("bench", Record.normal()).result()
    return Row("first Debian image", f"{taken:.0f} s", "60 s", taken <= 60)


def main() -> None:
    """Measure what is asked for, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--qemu", action="store_true", help="also real guests")
    parser.add_argument("--debian", action="store_true", help="also a Debian image")
    parser.add_argument("--times", type=int, default=100, help="rounds of 20 machines at a time")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [*overhead(), ten_hosts(), *thousand(), overlay(), twenty(given.times)]
    if given.qemu:
        rows += qemu(5)
    if given.debian:
        rows.append(debian())
    lines = [
        "# Performance of virtual machines",
        "",
        "Written by `python bench/domains/run.py`; its head says how. Medians; two cores shared with",
        f"other work: load {load:.1f} at the beginning, {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| what | seen | goal | within it |",
        "|---|---|---|---|",
        *(row.line() for row in rows),
        "",
    ]
    PAGE.write_text("\n".join(lines), "utf-8")
    sys.stdout.write(PAGE.read_text("utf-8"))


if __name__ == "__main__":
    main()
