"""How a machine learns its name and address: decided and checked before anything is made, then done.

What to tell is the machine's own description and its `Context`; how is the context's mode. Nothing here
asks which hypervisor it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from components.context import by_agent, nocloud, script
from components.context.choosing import chosen, not_carried
from components.context.cmdline import kernel_words, mac_words
from components.context.context import Context, Outline, is_local
from components.context.effects import ContextDisk, InjectedFiles, Messages, check_size
from components.context.told import Told, Wishes, content_id
from components.hypervisor.capabilities import Capability
from components.hypervisor.protocol import Hypervisor
from components.networks.addresses import mac_from_ip
from components.storage.backend import StorageBackend
from components.storage.keeping import AS_LONG_AS_MADE, AS_LONG_AS_RESUMED
from components.storage.offers import CONTEXT, DiskOffer
from engine.core.faults import BadDescription, Refused
from engine.prim import Prim
from engine.runtime.effects import Effect
from engine.runtime.handles import Link
from engine.runtime.kinds import BadValueError
from engine.wire.messages import Handle

E = TypeVar("E", bound=Effect)

DISKS = {
    "nocloud": (nocloud.LABEL, nocloud.files_of),
    "script-iso": (script.LABEL, script.files_of),
}
"""Label and files of the disk, by mode."""


class Telling(Struct, frozen=True):
    """What telling adds to a machine.

    Attributes:
        mode: How it is told.
        disks: Context disks.
        words: For its kernel's command line.
    """

    mode: str
    disks: tuple[DiskOffer, ...] = ()
    words: str = ""


async def outline_of(context: Link[Context], user: Handle) -> Outline:
    """Return what a context says that counts before anything is made; it learns of its user."""
    return await context.api.outline(user) if context.given else Outline()


def check(outline: Outline, prim: Prim, *, kernel: bool, ip: str, mac: str, disks: bool) -> None:
    """Refuse a way of telling that cannot work for this machine.

    Raises:
        BadDescription: The text says what is missing or in the way.
    """
    mode = outline.mode
    lost = not_carried(mode, outline.given)
    wrong = (
        (mode == "kernel" and not kernel, "tells by the kernel's command line, and there is no kernel",
         "give kernel, or choose another mode"),
        (mode == "mac" and not ip, "tells the address by the MAC address, and there is no ip",
         "give ip, or choose another mode"),
        (mode == "mac" and bool(mac and ip) and mac != mac_from_ip(ip or "0.0.0.1", outline.mac_prefix),
         f"needs the MAC address that stands for ip {ip}, and mac is {mac}", "leave mac out"),
        (mode == "inject" and not disks, "writes into the root volume, and there is none",
         "give a storageBackend, or choose another mode"),
        (bool(lost), f"cannot tell {', '.join(lost)}", "mode nocloud tells everything"),
    )  # fmt: skip
    for failed, text, hint in wrong:
        if failed:
            raise BadDescription(
                f"context mode {mode} {text}", code="SF-CTX-001", where=prim.path, hint=hint
            )
    if not is_local(outline.mac_prefix):
        prim.note(
            f"macPrefix {outline.mac_prefix} is not in the range of addresses given by hand "
            "(as 52:54 is): a real device may have the same address",
            "warning",
        )  # fmt: skip


def warn_of_lost(prim: Prim, mode: str, given: tuple[str, ...]) -> None:
    """Say what does not reach the guest by the mode that `auto` has become."""
    lost = sorted(given) if mode == "none" else not_carried(mode, given)
    if lost:
        prim.note(
            f"context mode auto is {mode} here, which cannot tell {', '.join(lost)}: name a mode "
            "that can, or say osInfo of the image",
            "warning",
        )  # fmt: skip


def check_agent(
    outline: Outline, prim: Prim, hypervisor: Hypervisor, *, channel: bool
) -> None:  # fmt: skip
    """Refuse to have the agent of a guest tell it where there is no channel to one.

    Raises:
        BadDescription: That is asked for.
    """
    if outline.mode != "agent":
        return
    if not channel:
        text, hint = "the guest is given no channel for one", "say agentChannel true"
    elif Capability.AGENT not in hypervisor.caps:
        text, hint = f"{hypervisor.uri} has no channel to one", "only QEMU's guests have an agent"
    else:
        return
    raise BadDescription(
        f"context mode agent has the guest's agent apply what it is told, and {text}",
        code="SF-CTX-001", where=prim.path, hint=f"{hint}, or choose another mode",
    )  # fmt: skip


def words_of(mode: str, told: Told) -> str:
    """Return what telling in that mode puts on the kernel's command line."""
    match mode:
        case "kernel":
            return kernel_words(told)
        case "mac":
            return mac_words(told)
        case _:
            return ""


async def wishes_of(context: Link[Context]) -> Wishes:
    """Return what a machine's context says."""
    return await context.api.wishes() if context.given else Wishes()


def disk_of(prim: Prim) -> ContextDisk | None:
    """Return the context disk a machine has."""
    return next(_made(prim, ContextDisk), None)


def injected(prim: Prim, volume: str) -> InjectedFiles | None:
    """Return what was written into a volume of a machine."""
    return next((each for each in _made(prim, InjectedFiles) if each.volume == volume), None)


def _made(prim: Prim, kind: type[E]) -> Iterator[E]:
    return (made.effect for made in prim.live.effects if isinstance(made.effect, kind))


def mode_there(prim: Prim, mode: str, ip: str) -> str:
    """Return how a guest is told, as what was made for that says.

    Args:
        prim: The machine.
        mode: How it is described, or `auto`.
        ip: Its address; empty for none.
    """
    disk = disk_of(prim)
    if disk is not None:
        return next(
            (each for each, (label, _) in DISKS.items() if label == disk.volume_label), mode
        )
    if next(_made(prim, InjectedFiles), None) is not None:
        return "inject"
    return ("mac" if ip else "none") if mode == "auto" else mode


def last_told(prim: Prim, mode: str) -> str | None:
    """Return the name of what a guest was told; nothing where that is not known."""
    if mode in DISKS:
        disk = disk_of(prim)
        return disk.instance if disk is not None else None
    return next((each.instance for each in _made(prim, InjectedFiles)), None)


async def tell(
    prim: Prim, told: Told, mode: str, root: DiskOffer | None,
    backend: Link[StorageBackend], disk: Path, *, goes_on: bool = False,
) -> Telling:  # fmt: skip
    """Make what tells the guest, or make it anew: what is there is replaced where it is.

    Args:
        prim: The machine.
        told: What to tell.
        mode: How, or `auto`.
        root: Its root volume.
        backend: Where its volumes come from; asked for what is in the image in mode `auto`.
        disk: Where a context disk is to be.
        goes_on: It has its volumes in use, so that nothing is written into them.

    Raises:
        BadDescription: It is too much, or user data that is none.
        Refused: The volume cannot be written into.
    """
    if mode == "auto":
        image = await backend.api.image_facts() if backend.given else None
        kind, holds = (image.kind, image.holds) if image is not None else ("", ())
        mode = chosen(kind=kind, holds=holds, ip=told.ip)
        if mode == "mac":  # the kernel's command line changes only where that was asked for
            return Telling(mode)
    match mode:
        case "nocloud" | "script-iso":
            keep = AS_LONG_AS_RESUMED if goes_on else AS_LONG_AS_MADE
            return Telling(mode, disks=(await _disk(prim, told, mode, disk, keep),))
        case "inject":
            if not goes_on:
                await _inject(prim, told, root)
            return Telling(mode)
        case "kernel" | "mac":
            return Telling(mode, words=words_of(mode, told))
        case "agent":  # once it runs
            steps = by_agent.steps_for(told, by_agent.Applied())
            check_size({step.name: step.script.encode() for step in steps}, where=prim.path)
            return Telling(mode)
        case _:
            return Telling("none")


async def _disk(prim: Prim, told: Told, mode: str, path: Path, keep: str) -> DiskOffer:
    label, files_of = DISKS[mode]
    before = disk_of(prim)
    path = Path(before.path) if before is not None else path
    try:
        files = files_of(told)
    except BadValueError as error:
        raise BadDescription(str(error), code="SF-CTX-001", where=prim.path) from error
    check_size(files, where=prim.path)
    messages = prim.service(Messages).disks
    messages[str(path)] = files
    disk = ContextDisk(str(path), label, content_id(told))
    try:
        if before is None:
            made = await prim.make(disk, keep=keep)
        else:
            made = await prim.live.process.keeper.remake(prim.live, before, disk)
    finally:
        messages.pop(str(path), None)
    return DiskOffer(CONTEXT, made.path, "file", "raw")


async def _inject(prim: Prim, told: Told, root: DiskOffer | None) -> None:
    if root is None or root.format != "raw":
        found = "no root volume" if root is None else f"a {root.format} volume"
        raise Refused(
            f"context mode inject writes into a raw volume, and there is {found}", code="SF-CTX-002",
            where=prim.path, hint="use a LoopbackStorageBackend, or mode nocloud, script-iso or mac",
        )  # fmt: skip
    before = injected(prim, root.path)
    files = InjectedFiles(root.path, content_id(told))
    if before is not None and before.instance == files.instance:
        return
    messages = prim.service(Messages).volumes
    messages[root.path] = told
    try:
        if before is None:
            made = await prim.make(files)
        else:
            made = await prim.live.process.keeper.remake(prim.live, before, files)
    finally:
        messages.pop(root.path, None)
    if told.mac and not made.style:
        prim.note("the system in the image has no network files that are known here", "warning")
