"""How much processor time a sub-process gets: control groups, version 2.

The groups of sub-processes stand below that of the daemon, which must be allowed to write there. Since a
group that has processes cannot share out, the daemon moves itself into one of its own beside theirs.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.core.faults import BadDescription, Refused

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
PERIOD_US = 100_000
OURS, THEIRS = "sfdaemon", "sf-"
"""Name of the daemon's own group, and how those of sub-processes begin."""
LEAST, MOST = 0.01, 4096.0


def processors(text: str) -> float:
    """Read `cpuMax`: how many processors' time, as a number or in percent of one.

    Raises:
        BadDescription: It is neither.

    Example:
        >>> processors("1.5"), processors("50%")
        (1.5, 0.5)
    """
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%")) / (100.0 if percent else 1.0)
    except ValueError:
        number = 0.0
    if not LEAST <= number <= MOST:
        raise BadDescription(
            f"cpuMax {text!r} is not a number of processors", code="SF-PROC-004",
            hint="such as 0.5, 2 or 50%",
        )  # fmt: skip
    return number


class Groups:
    """The control groups below that of this daemon."""

    def __init__(self, mount: Path = MOUNT, own: Path = OWN) -> None:
        """Take where they are mounted, and the file that says where we are."""
        self._mount = mount
        self._own = own
        self._place: Path | None = None

    def check(self) -> None:
        """Check that processor time can be limited here.

        Raises:
            Refused: It cannot; the message says why.
        """
        place = self._base()
        if place is None or not (place / "cgroup.controllers").exists():
            raise _refused("control groups version 2 are not in use on this host")
        if "cpu" not in _words(place / "cgroup.controllers"):
            raise _refused(f"{place} has no cpu controller")
        if not os.access(place, os.W_OK) or not os.access(
            place / "cgroup.subtree_control", os.W_OK
        ):
            raise _refused(f"this daemon may not write {place}")

    def make(self, name: str, share: float) -> Path:
        """Make the group of a sub-process; one that is there is set anew.

        Raises:
            Refused: It cannot be made.
        """
        self.check()
        place = self._base()
        if place is None:
            raise _refused("control groups version 2 are not in use on this host")
        try:
            self._share_out(place)
            group = place / f"{THEIRS}{name}"
            group.mkdir(exist_ok=True)
            (group / "cpu.max").write_text(f"{round(share * PERIOD_US)} {PERIOD_US}\n")
        except OSError as error:
            raise _refused(f"{error.filename or place}: {error.strerror or error}") from error
        return group

    def enter(self, group: Path, pid: int) -> None:
        """Put a process into its group, with all it will start.

        Raises:
            Refused: It cannot be put there.
        """
        try:
            (group / "cgroup.procs").write_text(f"{pid}\n")
        except OSError as error:
            raise _refused(f"{group}: {error.strerror or error}") from error

    def remove(self, group: Path) -> None:
        """Remove a group whose processes have ended."""
        with contextlib.suppress(OSError):
            group.rmdir()

    def _base(self) -> Path | None:
        if self._place is None:
            with contextlib.suppress(OSError):
                lines = self._own.read_text("utf-8").splitlines()
                found = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
                place = self._mount / found[0] if found else None
                ours = place is not None and place.name == OURS
                self._place = place.parent if place is not None and ours else place
        return self._place

    def _share_out(self, place: Path) -> None:
        """Have the groups below get shares of processor time."""
        control = place / "cgroup.subtree_control"
        if "cpu" in _words(control):
            return
        if place != self._mount and (place / "cgroup.procs").read_text("utf-8").split():
            ours = place / OURS
            ours.mkdir(exist_ok=True)
            (ours / "cgroup.procs").write_text(f"{os.getpid()}\n")
        control.write_text("+cpu\n")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").split()
    except OSError:
        return []


def _refused(why: str) -> Refused:
    return Refused(
        f"cpuMax cannot be had: {why}", code="SF-PROC-007",
        hint="leave cpuMax out, or run the daemon in a group delegated to it (Delegate=yes)",
    )  # fmt: skip
