"""What is left on this machine, found by looking: knows none of the project's code.

    leftovers.py FOLDER

prints, one per line, the files below FOLDER that are no ledger, the processes that mention it in their
command line or environment (daemons excepted), mounts and loop devices below it. Exit code 1 if there
is anything.
"""

import os
import sys
from pathlib import Path

KNOWN = ("ledger.sqlite", "lock")


def files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(KNOWN) and path.suffix != ".log":
            found.append(f"file {path}")
        if path.is_file() and path.suffix == ".log" and path.parent.name == "console":
            found.append(f"file {path}")
    return found


def processes(folder: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            above = Path(f"/proc/{parent}/cmdline").read_bytes()
        except OSError:
            continue
        line = b" ".join(words).decode(errors="replace")
        daemon = b"sfdaemon" in above and folder.encode() in above
        if (folder in line or daemon) and "sfdaemon" not in line and "pytest" not in line:
            if "python" in line and "leftovers" in line:
                continue
            found.append(f"process {entry.name} {line}")
    return found


def mounts(folder: str) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [f"mount {line}" for line in lines if folder in line]


def loops(folder: str) -> list[str]:
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        text = backing.read_text().strip()
        if folder in text:
            found.append(f"loop {backing} {text}")
    return found


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    left = [*files(folder), *processes(str(folder)), *mounts(str(folder)), *loops(str(folder))]
    print("\n".join(left))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
