"""What is left on this machine, found by looking: knows none of the project's code.

    leftovers.py FOLDER [--allow PATTERN]... [--hypervisor URI --prefix NAME [--address IP]] [--devices NAME]

prints, one per line, the files below FOLDER that are no ledger nor its key, the processes that mention it in their
command line or environment (daemons excepted), those that have files of it open, mounts and loop devices
below it; domains and networks at the hypervisor whose names begin so, and that address where any network
keeps it; network devices whose names begin so. Files whose paths below FOLDER fit an allowed pattern may
stay. Exit code 1 if there is anything.
"""

import argparse
import fnmatch
import os
import subprocess
import sys
from pathlib import Path

KNOWN = ("ledger.sqlite", "secrets.key", "lock")


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


def opened(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
            words = (link.parents[1] / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        path = Path(target.removesuffix(" (deleted)"))
        if folder not in path.parents or path.name.startswith(KNOWN) or path.suffix == ".log":
            continue
        if "leftovers" not in words:
            found.append(f"open {target} by {link.parts[2]}")
    return found


def asked(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split("\n")


def hypervisor(uri: str, prefix: str, address: str) -> list[str]:
    virsh = ("virsh", "-c", uri)
    domains = [name for name in asked(*virsh, "list", "--all", "--name") if name.startswith(prefix)]
    networks = [name for name in asked(*virsh, "net-list", "--all", "--name") if name]
    pools = [name for name in asked(*virsh, "pool-list", "--all", "--name") if name]
    found = [f"domain {name}" for name in domains]
    found += [f"pool {name}" for name in pools if name.strip().startswith(prefix)]
    for name in networks:
        if name.startswith(prefix):
            found.append(f"network {name}")
        elif address and f"ip='{address}'" in "".join(asked(*virsh, "net-dumpxml", name)):
            found.append(f"address {address} kept at network {name}")
    return found


def devices(prefix: str) -> list[str]:
    lines = asked("ip", "-o", "link", "show")
    names = [line.split(": ")[1].partition("@")[0] for line in lines if line]
    return [f"device {name}" for name in names if name.startswith(prefix)]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--allow", action="append", default=[])
    for name in ("--hypervisor", "--prefix", "--address", "--devices"):
        parser.add_argument(name, default="")
    return parser.parse_args()


def main() -> int:
    given = options()
    folder = given.folder.resolve()
    kept = [f"file {folder}/{pattern}" for pattern in given.allow]
    there = [one for one in files(folder) if not any(fnmatch.fnmatch(one, each) for each in kept)]
    left = [
        *there,
        *processes(str(folder)),
        *opened(folder),
        *mounts(str(folder)),
        *loops(str(folder)),
    ]
    if given.hypervisor:
        left += hypervisor(given.hypervisor, given.prefix, given.address)
    if given.devices:
        left += devices(given.devices)
    print("\n".join(left))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
