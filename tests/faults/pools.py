"""Pools drawn from a seed, each with one planned fault: what is described, what goes wrong and where.

Pure: the same seed, driver and places always give the same pool.
"""

from __future__ import annotations

import random
from pathlib import Path

from msgspec import Struct

from engine.testing.sabotage import Plan

KINDS = (
    "raise making", "raise made", "hang making", "hang made", "kill making", "kill made",
    "raise undoing", "hang undoing", "kill undoing", "tool",
)  # fmt: skip
"""What may go wrong: an error before or after an effect is made (after: its answer is lost), a hang past
the time limit, a crash of the daemon, the same while undoing, and a program that is killed half-way."""
START_S, END_S = 8, 2
"""Limits of one hook at a start and at an end, in seconds."""
SAVED = "@SAVED@"
"""Stands for the folder of the run that images are saved to."""


class Places(Struct, frozen=True):
    """Where things are.

    Attributes:
        uri: The hypervisor, asked by daemons and from outside.
        images: Path of an image by kind: `directory`, `tar`, `raw`, `qcow2`.
        kernel: Kernel and RAM disk of a guest that boots; empty where nothing boots.
        bridges: Whether bridges may be made here.
    """

    uri: str
    images: dict[str, str]
    kernel: tuple[str, str] = ("", "")
    bridges: bool = False


class Run(Struct, frozen=True):
    """One drawn run.

    Attributes:
        text: The description.
        hosts: Names of the daemons.
        victim: The daemon things go wrong in.
        kind: One of `KINDS`.
        place: Name of the effect's class, a part of its label, or the program that is killed.
        keeps: Whether volumes may stay once the pool had started: it is said so, or their image may not
            have been saved, which keeps them.
        again: Whether the same pool is started and ended once more, without a fault.
        address: Kept for a machine on the network that was there before; empty for none.
        prefix: How all names of the run begin.
    """

    seed: int
    text: str
    hosts: tuple[str, ...]
    victim: str
    kind: str
    place: str
    keeps: bool
    again: bool
    address: str
    prefix: str

    def plans(self, release: Path) -> list[Plan]:
        """Return what the victim is told to do."""
        if self.kind == "tool":
            return []
        mode, when = self.kind.split()
        return [Plan(self.place, when, mode, release=str(release))]  # type: ignore[arg-type] # of KINDS


class _Computer:
    """One computer of a pool, put together piece by piece."""

    def __init__(self, draw: random.Random, seed: int, places: Places) -> None:
        self._draw, self._seed, self._places = draw, seed, places
        self.lines: list[str] = []
        self.effects: list[str] = []
        self.tools: list[str] = []
        self.keeps = self.saves = False
        self.address = ""

    def fill(self) -> None:
        """Draw everything in it."""
        shell = self._draw.random() < 0.5
        if shell:
            self.lines.append(f"myShell extends BashShell {{ {_limits()} }}")
            self.effects.append("ShellProcess")
        self._storage("shell LAZY ATTRIB myShell;" if shell else "")
        self._machine()

    def _storage(self, shell: str) -> None:
        draw = self._draw
        backend = draw.choice(("Loopback", "Overlay", "LVM", "Pool"))
        kinds = ("raw", "qcow2") if backend == "Overlay" else ("directory", "tar", "raw", "qcow2")
        kind = draw.choice(kinds)
        image = f'"{self._places.images[kind]}"'
        if kind == "tar" and draw.random() < 0.5:
            text = f'disk extends TarImage {{ archive {image}; size "6m"; {_limits()} }}'
            self.lines.append(text)
            self.effects.append("TarBuild")
            self.tools += ["tar", "mke2fs"]
            image, kind = "LAZY ATTRIB disk", "raw"
        keep = draw.choice(("true", "false", '"statuquo"'))
        self.keeps = keep == "true"
        swap = draw.choice(("0", '"1m"'))
        more = "spaceReserve 0;" if backend != "LVM" else ""
        raw = backend not in {"Overlay", "Pool"}
        if backend == "Pool":
            self.lines.append(
                f'basin extends StoragePool {{ poolName "f{self._seed}-pool"; {_limits()} }}'
            )
            more += " pool LAZY ATTRIB basin;"
            self.effects += ["DefinedPool", "ActivePool", "PoolVolume"]
        elif draw.random() < 0.3:
            extension = (
                draw.choice(("tar", "tar.gz", "raw"))
                if raw and kind in {"directory", "tar"}
                else "raw"
            )
            more += (
                f' saveImage true; saveImagePath "{SAVED}"; saveImageExtension "{extension}"; '
                'saveImageOn "always";'
            )
            self.saves = True
            self.effects.append("SavedImage")
            self.tools.append("qemu-img" if extension == "raw" else "unshare")
        self.lines.append(
            f'store extends {backend}StorageBackend {{ {shell} baseImage {image}; volumeSize "8m"; '
            f"swapSize {swap}; keepVolumes {keep}; keepOnFailure 0; {more} {_limits()} }}"
        )
        self.effects.append({"Overlay": "OverlayFile"}.get(backend, "volume1"))
        if backend != "Pool":
            self.effects.append("VolumesInUse")
        if swap != "0":
            self.effects.append("volume1-swap")
            self.tools.append("mkswap")
        maker = (
            "mkfs.ext3" if kind in {"directory", "tar"} else "cp" if kind == "raw" else "qemu-img"
        )
        self.tools.append("qemu-img" if backend == "Overlay" else maker)
        self._raw = raw and kind in {"directory", "tar"}

    def _machine(self) -> None:
        draw, seed = self._draw, self._seed
        kinds = ("KvmDomain", "VM") if self._places.kernel[0] else ("KvmDomain", "XenDomain", "VM")
        more = []
        net = draw.choice(
            ("none", "default", "made", *(["bridge"] if self._places.bridges else []))
        )
        if net == "default" and not self._places.kernel[0]:
            self.address = f"192.168.122.{2 + seed % 250}"
            more.append(f'ip "{self.address}"; netmask "255.255.255.0";')
            self.effects.append("KeptAddress")
        elif net == "made":
            subnet = f"10.{100 + seed % 100}.{seed // 100 % 250}"
            self.lines.append(
                f'lan extends Network {{ networkName "f{seed}-lan"; subnet "{subnet}.1/24"; {_limits()} }}'
            )
            more.append(f'network LAZY ATTRIB lan; ip "{subnet}.5"; netmask "255.255.255.0";')
            self.effects += ["DefinedNetwork", "ActiveNetwork", "KeptAddress"]
        elif net == "bridge":
            self.lines.append(f'br extends Bridge {{ name "sdf{seed}"; create true; {_limits()} }}')
            self.effects.append("HostBridge")
            self.tools.append("ip")
            if not self._places.kernel[0]:  # a real guest would look for it on its own host
                more.append("bridge LAZY ATTRIB br;")
        modes = ["none", "nocloud", "script-iso", *(["inject"] if self._raw else [])]
        mode = draw.choice(modes)
        self.lines.append(f'told extends Context {{ mode "{mode}"; }}')
        if mode in {"nocloud", "script-iso"}:
            self.effects.append("ContextDisk")
        if mode == "inject":
            self.effects.append("InjectedFiles")
            self.tools.append("debugfs")
        kernel, ramdisk = self._places.kernel
        if kernel:
            more.append(
                f'kernel "{kernel}"; ramdisk "{ramdisk}"; extra "quiet panic=1"; memory 96;'
            )
        self.lines.append(
            f"vm extends {draw.choice(kinds)} {{ storageBackend LAZY ATTRIB store; "
            f'context LAZY ATTRIB told; memory 96; stopMode "destroy"; {" ".join(more)} {_limits()} }}'
        )
        self.effects += ["ConsoleLog", "DefinedDomain", "RunningDomain"]


def _limits() -> str:
    return f"sfStartTimeout {START_S}; sfTerminateTimeout {END_S};"


def drawn(seed: int, places: Places) -> Run:
    """Draw the run of a seed."""
    draw = random.Random(f"faults {seed}")
    hosts = draw.choice((("one",), ("one",), ("one", "two")))
    victim = draw.choice(hosts)
    computer = _Computer(draw, seed, places)
    computer.fill()
    kind = draw.choice(KINDS)
    place = draw.choice(computer.tools if kind == "tool" else computer.effects)
    near = "" if victim == "one" else ' sfProcessHost "two";'
    body = "\n        ".join(computer.lines)
    beside = ""
    if len(hosts) == 2:
        other = "two" if victim == "one" else "one"
        beside = f'beside extends PhysicalHost {{ sfProcessHost "{other}"; sh extends BashShell; }}'
    unsaved = computer.saves and (kind == "tool" or (place == "SavedImage" and "kill" not in kind))
    text = f"""
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true; sfLivenessDelay 2; sfConcurrency {draw.choice((0, 1))};
    {beside}
    host extends PhysicalHost {{{near}
        hypervisorUri "{places.uri}"; sfSyncTerminate true;
        {body}
    }}
}}
"""
    return Run(
        seed, text, hosts, victim, kind, place, computer.keeps or unsaved, draw.random() < 0.3,
        computer.address, f"f{seed}",
    )  # fmt: skip
