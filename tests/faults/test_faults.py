"""Seeded pools with faults on real daemons: whatever goes wrong, a look from outside finds nothing left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.pools import KINDS, Places, drawn

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests" / "outside" / "leftovers.py"
SOMEWHERE = Places(
    "test:///default",
    {kind: f"/{kind}" for kind in ("directory", "tar", "raw", "qcow2")},
    bridges=True,
)


def run(count, driver, seed):
    if os.geteuid() != 0:
        pytest.skip("a network namespace and a private libvirtd need root")
    words = [
        "-m",
        "tests.faults",
        str(count),
        "--driver",
        driver,
        "--seed",
        str(seed),
        "--jobs",
        "3",
    ]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_no_fault_leaves_anything_on_the_test_driver():
    out = run(25, "test", 2000)

    assert "25 runs, 0 failing" in out


@pytest.mark.qemu
@pytest.mark.timeout(240)
def test_no_fault_leaves_anything_where_guests_boot():
    out = run(2, "qemu", 7)

    assert "2 runs, 0 failing" in out


def test_a_seed_draws_the_same_pool_each_time_and_all_kinds_come_up():
    runs = [drawn(seed, SOMEWHERE) for seed in range(500)]

    assert runs == [drawn(seed, SOMEWHERE) for seed in range(500)]
    assert {each.kind for each in runs} == set(KINDS)
    assert {each.place for each in runs} >= {
        "ShellProcess", "volume1", "volume1-swap", "OverlayFile", "PoolVolume", "TarBuild", "SavedImage", "HostBridge",
        "DefinedNetwork", "ActiveNetwork", "KeptAddress", "ContextDisk", "InjectedFiles", "ConsoleLog",
        "DefinedDomain", "RunningDomain", "qemu-img", "mkfs.ext3", "mke2fs", "ip",
    }  # fmt: skip


def left(folder, *more):
    done = subprocess.run(
        [sys.executable, str(OUTSIDE), str(folder), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split("\n")


def test_the_look_from_outside_sees_what_is_there(tmp_path):
    volume = tmp_path / "work" / "volumes" / "f1-vm-volume1"
    volume.parent.mkdir(parents=True)
    volume.write_text("x")

    assert left(tmp_path) == [f"file {volume}", ""]
    assert left(tmp_path, "--allow", "work/volumes/*") == ["", ""]
    with volume.open() as file, subprocess.Popen(["sleep", "60"], stdin=file) as holder:
        try:
            assert f"open {volume} by {holder.pid}" in left(tmp_path)
        finally:
            holder.kill()
    name = f"sdf{random.randrange(10**6)}"
    if os.geteuid() == 0:
        inside = f"ip link add {name} type bridge; exec {sys.executable} {OUTSIDE} /nowhere --devices sdf"
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", inside], capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["device", name]
