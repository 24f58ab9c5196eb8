"""Files in an ext2, ext3 or ext4 filesystem that is not mounted, through the filesystem's debugger."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from components.context.systems import PROBED, READ, Seen, Written
from components.images.partitions import device_at, filesystem_at
from engine.core.faults import Refused
from engine.runtime.effects import Site

_MAGIC_AT, _MAGIC = 0x438, b"\x53\xef"
_NEEDS_RECOVERY_AT, _NEEDS_RECOVERY = 0x460, 0x4
_TYPE = re.compile(r"Type: (\S+)")


class Filesystem(Struct, frozen=True):
    """An ext filesystem on a volume.

    Attributes:
        device: The volume, and where on it the filesystem begins, as e2fsprogs read it.
        needs_recovery: Its journal has to be replayed before anything is written.
    """

    device: str
    needs_recovery: bool


def find_filesystem(volume: Path) -> Filesystem:
    """Find the filesystem of a volume, or of its one partition; blocks.

    Raises:
        Refused: It is no ext filesystem.
    """
    for start in dict.fromkeys((0, filesystem_at(volume))):
        with volume.open("rb") as file:
            file.seek(start)
            head = file.read(_NEEDS_RECOVERY_AT + 4)
        if head[_MAGIC_AT : _MAGIC_AT + 2] == _MAGIC:
            flags = int.from_bytes(head[_NEEDS_RECOVERY_AT:], "little")
            return Filesystem(device_at(str(volume), start), bool(flags & _NEEDS_RECOVERY))
    raise Refused(
        f"{volume} holds no ext2, ext3 or ext4 filesystem, so nothing can be written into it",
        code="SF-CTX-002",
        hint="a disk with several partitions is told otherwise: mode nocloud, script-iso or mac",
    )


async def look_into(at: Site, volume: str) -> Seen:
    """Find out what a system uses, and read the files we change a part of."""
    with tempfile.TemporaryDirectory(prefix="sd-inject-") as folder:
        commands = [f"stat {path}" for path in PROBED]
        commands += [f"dump {path} {folder}/{number}" for number, path in enumerate(READ)]
        kinds = _kinds(await _debugfs(at, volume, commands))
        texts = {}
        for number, path in enumerate(READ):
            file = Path(folder, str(number))
            if file.exists():
                texts[path] = file.read_text(encoding="utf-8", errors="surrogateescape")
    return Seen(kinds, texts)


def _kinds(output: str) -> dict[str, str]:
    """Read what `stat` says of each path."""
    kinds = {}
    for answer in output.split("debugfs: stat ")[1:]:
        path, _, rest = answer.partition("\n")
        found = _TYPE.search(rest)
        if found:
            kinds[path.strip()] = found[1]
    return kinds


async def write_into(at: Site, volume: str, files: Sequence[Written]) -> None:
    """Write files, owned by root, with the folders they need; read back what was written.

    Raises:
        Refused: A file is not there as it shall be: the filesystem is full or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="sd-inject-") as folder:
        commands = []
        for number, file in enumerate(files):
            source = Path(folder, str(number))
            source.write_text(file.content, encoding="utf-8", errors="surrogateescape")
            commands += [f"mkdir {parent}" for parent in _parents(file.path)]
            commands += [f"rm {file.path}", f"write {source} {file.path}"]
            commands += [f"sif {file.path} mode 0{0o100000 | file.mode:o}"]
            commands += [f"sif {file.path} {owner} 0" for owner in ("uid", "gid")]
        said = await _debugfs(at, volume, commands, "-w")
        back = [f"dump {file.path} {folder}/back{n}" for n, file in enumerate(files)]
        await _debugfs(at, volume, back)
        for number, file in enumerate(files):
            there = Path(folder, f"back{number}")
            if not there.exists() or there.read_bytes() != Path(folder, str(number)).read_bytes():
                raise Refused(
                    f"{file.path} could not be written into {volume}: {_last(said)}",
                    code="SF-CTX-002", hint="is the filesystem full? raise volumeSize",
                )  # fmt: skip


def _parents(path: str) -> Iterable[str]:
    """Return the folders above a path, but for the root, from the top."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents)][1:]


async def _debugfs(at: Site, volume: str, commands: Sequence[str], *words: str) -> str:
    script = "".join(f"{command}\n" for command in commands)
    output = await at.run(("debugfs", *words, "-f", "-", volume), input_=script.encode())
    return output.stdout.decode(errors="replace") + output.stderr.decode(errors="replace")


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("debugfs")]
    return lines[-1] if lines else "no reason is given"


async def replay_journal(at: Site, volume: str) -> None:
    """Bring the filesystem of a guest that was stopped the hard way to where its journal says.

    Raises:
        Refused: The journal cannot be replayed.
    """
    words = ("sh", "-c", 'e2fsck -p -E journal_only "$1"; [ $? -le 1 ]', "sh", volume)
    await at.run(words)
