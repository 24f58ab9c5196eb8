"""What a Xen host holds, found by looking, inside its dom0: knows none of the project's code.

    xen_left.py FOLDER...

prints, one per line: domains Xen knows and domains libvirt knows, logical volumes, mapped devices, loop
devices, mounts, network devices of guests, consoles of guests, and files below the folders that are no
ledger and no log. Whoever asks before and after sees what is left.
"""

import subprocess
import sys
from pathlib import Path

KNOWN = ("ledger.sqlite", "secrets.key", "lock")
LVS = ("lvs", "--noheadings", "-o", "vg_name,lv_name,lv_tags")
DEFINED = ("virsh", "-c", "xen:///system", "list", "--all", "--name")


def said(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]


def main() -> int:
    found = [f"xen domain {line}" for line in said("xenstore-list", "/local/domain")]
    found += [f"libvirt domain {line}" for line in said(*DEFINED)]
    found += [f"logical volume {line}" for line in said(*LVS)]
    found += [f"mapped {path.name}" for path in Path("/dev/mapper").iterdir()]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        found.append(f"loop {backing.parts[3]} {backing.read_text().strip()}")
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {' '.join(line.split()[:2])}" for line in mounts]
    found += [f"link {path.name}" for path in Path("/sys/class/net").iterdir()]
    found += [f"console {path}" for path in Path("/var/log/xen/console").glob("guest-*")]
    for folder in sys.argv[1:]:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.name.startswith(KNOWN) and path.suffix != ".log":
                found.append(f"file {path}")
    print("\n".join(sorted(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
