"""Pools with faults: `python -m tests.faults 500 --driver test` or `... 30 --driver qemu`.

Each run draws a pool and one fault from its seed, carries it out on real daemons and a private libvirtd,
and has a script from outside look for what is left. Needs root: the runs are in a network namespace of
their own, so that bridges may be made.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import libvirt

from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.private_libvirtd import PrivateLibvirtd
from engine.testing.daemons import own_community
from tests.faults.pools import KINDS, Places, drawn
from tests.faults.running import Outcome, carry_out

INSIDE = "SMARTDOMAINS_FAULTS_INSIDE"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("runs", type=int, help="how many")
    parser.add_argument("--driver", choices=("test", "qemu"), default="test")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--keep", type=Path, help="folder for what failing runs wrote")
    return parser.parse_args()


def made_images(folder: Path) -> dict[str, str]:
    """Make a small image of each kind."""
    tree = folder / "directory"
    (tree / "etc" / "network").mkdir(parents=True)
    (tree / "etc" / "hostname").write_text("small\n")
    (tree / "etc" / "network" / "interfaces").write_text("auto lo\n")
    with tarfile.open(folder / "tar", "w:gz") as archive:
        archive.add(tree, ".")
    with (folder / "raw").open("wb") as disk:
        disk.truncate(2**21)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "qcow2"), "2M"], check=True
    )
    return {kind: str(folder / kind) for kind in ("directory", "tar", "raw", "qcow2")}


@contextlib.contextmanager
def places(driver: str) -> Iterator[tuple[Places, Path]]:
    """Have a libvirtd and images; everything is in one folder, which goes away."""
    folder = Path(tempfile.mkdtemp(prefix="sdf", dir="/tmp"))
    try:
        with PrivateLibvirtd(folder / "h") as host, own_community():
            (folder / "images").mkdir()
            images = made_images(folder / "images")
            uri, kernel = host.uri, ("", "")
            if driver == "test":
                uri = uri.replace("qemu+unix:///system", "test+unix:///default")
            else:
                image = GuestImage.build(default_cache())
                kernel = (str(image.kernel), str(image.initrd))
            held = libvirt.open(uri)  # the test driver's world is there as long as somebody looks
            try:
                yield Places(uri, images, kernel, bridges=True), folder
            finally:
                held.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tell(seed: int, driver: str, outcome: Outcome, what: str) -> None:
    """Print what a failing run left, and how to have it again."""
    print(f"\nseed {seed}: {what}\n{outcome.trouble}")
    print(f"repeat: python -m tests.faults 1 --driver {driver} --seed {seed}", flush=True)


def carry_out_all(given: argparse.Namespace) -> int:
    """Carry out all runs; return how many failed."""
    counts: Counter[str] = Counter()
    failed = 0
    began = time.monotonic()
    with places(given.driver) as (where, folder), ThreadPoolExecutor(given.jobs) as pool:
        runs = [drawn(seed, where) for seed in range(given.seed, given.seed + given.runs)]
        under_way = {
            pool.submit(carry_out, run, where, folder / f"r{run.seed}"): run for run in runs
        }
        for number, future in enumerate(as_completed(under_way), 1):
            run = under_way[future]
            try:
                outcome = future.result()
            except Exception:  # noqa: BLE001 - whatever it was, the other runs go on
                outcome = Outcome(False, False, traceback.format_exc(), 0.0)
            kind = f"{run.kind} {run.place}"
            if not outcome.struck:
                counts["not come about"] += 1
            counts[run.kind] += outcome.struck
            if outcome.trouble:
                failed += 1
                tell(run.seed, given.driver, outcome, f"{kind} on {run.victim} of {run.hosts}")
                if given.keep is not None:
                    shutil.copytree(
                        folder / f"r{run.seed}", given.keep / f"r{run.seed}", dirs_exist_ok=True
                    )
                    (given.keep / f"r{run.seed}" / "pool.sf").write_text(run.text)
            shutil.rmtree(folder / f"r{run.seed}", ignore_errors=True)
            shutil.rmtree(folder / f"r{run.seed}.bin", ignore_errors=True)
            if number % 25 == 0 or number == len(runs):
                took = time.monotonic() - began
                print(f"{number} runs, {failed} failing, {took:.0f} s", flush=True)
    for kind in (*KINDS, "not come about"):
        print(f"{counts[kind]:5} {kind}")
    return failed


def main() -> int:
    """Go into a namespace, then carry out all runs."""
    given = arguments()
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        return 2
    if not os.environ.get(INSIDE):
        words = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        script = 'ip link set lo up && exec "$@"'
        inside = ["unshare", "--net", "sh", "-c", script, "sh", *words]
        return subprocess.run(inside, env={**os.environ, INSIDE: "yes"}, check=False).returncode
    return 1 if carry_out_all(given) else 0


if __name__ == "__main__":
    sys.exit(main())
