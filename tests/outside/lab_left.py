"""What a lab is made of, and what is left of it, found by looking: knows none of the project's code.

lab_left.py spaces FOLDER
    prints the time in ticks, and the namespaces of processes that mention FOLDER
lab_left.py left FOLDER [TIME SPACE...]
    prints what is left: processes in these namespaces since TIME (of later ones the numbers may be
    somebody else's) or mentioning FOLDER, mounts, links, loop devices, files; exit code 1 if there is
    anything
"""

import os
import re
import subprocess
import sys
from pathlib import Path

KINDS = ("mnt", "uts", "ipc", "pid", "net")
OURS = {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in KINDS}


def processes() -> list[tuple[int, str, set[str], int]]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in {os.getpid(), os.getppid()}:
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            began = int((entry / "stat").read_text().rpartition(")")[2].split()[19])
            spaces = {str((entry / "ns" / kind).readlink()) for kind in KINDS}
        except OSError:
            continue  # gone, or a zombie
        found.append((int(entry.name), line, spaces, began))
    return found


def spaces(folder: str) -> set[str]:
    return {
        space for _, line, ids, _ in processes() if f"{folder}/" in line for space in ids
    } - OURS


def left(folder: str, time: int, gone: set[str]) -> list[str]:
    found = [
        f"process {pid} {line}"
        for pid, line, ids, began in processes()
        if f"{folder}/" in line or (ids & gone and began <= time)
    ]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if folder in line]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found += [
        f"link {name}" for name in re.findall(r"^\d+: ((?:up|slow)\d+)[@:]", links, re.MULTILINE)
    ]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        if folder in backing.read_text():
            found.append(f"loop {backing}")
    if Path(folder).exists():
        found += [f"file {path}" for path in [Path(folder), *Path(folder).rglob("*")]]
    return found


def main() -> int:
    if sys.argv[1] == "spaces":
        ticks = float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK")
        print("\n".join([str(int(ticks)), *sorted(spaces(sys.argv[2]))]))
        return 0
    seen = left(sys.argv[2], int([*sys.argv[3:], "0"][0]), set(sys.argv[4:]))
    print("\n".join(seen))
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
