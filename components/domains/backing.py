"""What holds a guest's memory on its host: what is said of it, and whether the host has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from engine.core.faults import Refused
from engine.runtime.kinds import BadValueError, Kind, plain, shown, spell_size
from sfdl.values import Value

Backing = Literal["shared", "locked", "nosharepages", "immediate"]
WORDS: tuple[Backing, ...] = ("shared", "locked", "nosharepages", "immediate")
PROC, SYS = Path("/proc"), Path("/sys")


def _backing(value: Value) -> tuple[Backing, ...]:
    given = plain(value)
    words = tuple(word for word in WORDS if isinstance(given, tuple) and word in given)
    if not isinstance(given, tuple) or len(words) != len(given):
        raise BadValueError(f"must be a list of {', '.join(WORDS)}, each once (got {shown(value)})")
    return words


backing_kind = Kind("list of words on memory", "Vector", _backing)


def usual_page(meminfo: str) -> int:
    """Return the bytes of a huge page as the host usually has them; 0: it has none.

    Example:
        >>> usual_page("Hugepagesize:       2048 kB")
        2097152
    """
    found = re.search(r"^Hugepagesize:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def pages_wanted(memory_bytes: int, page_bytes: int) -> int:
    """Return how many pages a guest's memory takes.

    Example:
        >>> pages_wanted(5 * 2**20, 2**21)
        3
    """
    return -(-memory_bytes // page_bytes)


def free_pages(page_bytes: int, node: int | None, below: Path) -> int:
    """Return how many huge pages are free and promised to nobody; blocks.

    Args:
        page_bytes: Of one page.
        node: Number of the node; none: all.
        below: Where the kernel shows its state, as /sys.
    """
    name = f"hugepages/hugepages-{page_bytes // 1024}kB"
    place = f"kernel/mm/{name}" if node is None else f"devices/system/node/node{node}/{name}"

    def count(what: str) -> int:
        try:
            return int((below / place / what).read_text())
        except FileNotFoundError:  # no such node; and single nodes promise nothing
            return 0

    return count("free_hugepages") - count("resv_hugepages")


def check_pages(
    memory_bytes: int, node: int | None, where: str, *, proc: Path = PROC, sys: Path = SYS
) -> None:
    """Refuse to back memory with huge pages that this host has not. Blocks.

    Args:
        memory_bytes: What the machine may have at most.
        node: Node of the host its memory is on; none: any.
        where: The machine's path.
        proc: The kernel's own folder for figures.
        sys: And that for devices.

    Raises:
        Refused: The text says how many there are, and how many are needed.
    """
    page = usual_page((proc / "meminfo").read_text())
    if not page:
        raise Refused(
            "hugePages: the kernel of this host has no huge pages", code="SF-DOM-025", where=where,
            hint="leave hugePages out",
        )  # fmt: skip
    wanted, free = pages_wanted(memory_bytes, page), free_pages(page, node, sys)
    if free < wanted:
        place = "this host" if node is None else f"node {node} of this host"
        raise Refused(
            f"hugePages: {place} has {free} free pages of {spell_size(page)}, and "
            f"{spell_size(memory_bytes)} of memory take {wanted}",
            code="SF-DOM-025", where=where,
            hint=f"set {wanted - free} more aside (sysctl vm.nr_hugepages), or leave hugePages out",
        )  # fmt: skip
    if not any(
        line.split()[2] == "hugetlbfs" for line in (proc / "mounts").read_text().splitlines()
    ):
        raise Refused(
            "hugePages: no hugetlbfs is mounted on this host", code="SF-DOM-025", where=where,
            hint="mount -t hugetlbfs none /dev/hugepages, and start libvirtd again",
        )  # fmt: skip


def check_lock(uri: str, *, root: bool, where: str) -> None:
    """Refuse to lock memory where the hypervisor is no more than its user, who may not.

    Example:
        >>> check_lock("qemu:///system", root=False, where="app:vm")
        >>> check_lock("qemu:///session", root=False, where="app:vm")
        Traceback (most recent call last):
        engine.core.faults.Refused: app:vm: memoryBacking "locked" needs a hypervisor run by root
    """
    if not root and uri.partition("?")[0].endswith("/session"):
        raise Refused(
            'memoryBacking "locked" needs a hypervisor run by root', code="SF-DOM-025", where=where,
            hint="use qemu:///system, or leave locked out",
        )  # fmt: skip
