"""The pool of the SmartDomains slides, unchanged: two computers on two daemons, and its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

import sfdl
from engine.core.events import StateChanged
from engine.core.records import Record
from engine.testing.daemons import daemons

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="a private view of the host needs root"),
]

ROOT = Path(__file__).parents[2]
SEED = ROOT / "descriptions" / "examples" / "smartdomainsPool.sf"
VIEW = """
mkdir -p "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for at in proc sys dev var/tmp; do mount --rbind "/$at" "$1/root/$at"; done
mount --bind "$1/tmp" "$1/root/tmp"
mkdir -p "$1/root/data/xen" "$1/root/boot"
mount --bind "$1/data" "$1/root/data/xen"
mount --bind "$1/boot" "$1/root/boot"
mkdir -p "$1/root$2"; mount --rbind "$2" "$1/root$2"   # this checkout may be below /tmp
at="$SMARTDOMAINS_COMMUNITY_DIR"      # the certificates of this run are below /tmp, too
mkdir -p "$1/root$at"; mount --bind "$at" "$1/root$at"
root="$1/root"; shift 2
exec chroot "$root" "$@"
"""


@pytest.fixture
def folder():
    """A folder outside /tmp, which the daemons see replaced, with all that the description names."""
    made = Path(tempfile.mkdtemp(prefix="sd-seed-", dir="/var/tmp"))
    try:
        for name in ("tmp", "data", "boot", "state", "tree/etc"):
            (made / name).mkdir(parents=True)
        (made / "tree/etc/who").write_text("slc3\n")
        for name in ("vmlinuz-2.6-xen", "initrd-2.6-xen.img"):
            (made / "boot" / name).write_bytes(b"kernel")
        image = made / "data" / "slc3-smartfrog.img"
        subprocess.run(
            ["/sbin/mke2fs", "-q", "-t", "ext3", "-d", str(made / "tree"), str(image), "8M"],
            check=True,
        )
        with tarfile.open(made / "data" / "slc3-WN.tgz", "w:gz") as archive:
            archive.add(made / "tree", arcname=".")
        yield made
    finally:
        shutil.rmtree(made)


def order(daemon, wanted, under):
    """The names of components below a place, in the order in which they entered a state."""
    client = daemon.client()
    rows, _, gap = client.events("0", limit=5000)
    client.close()
    assert not gap
    return [
        event.path.rpartition(":")[2]
        for event in rows
        if isinstance(event.body, StateChanged)
        and event.body.state == wanted
        and event.path.rpartition(":")[0] == under
    ]


def test_it_compiles_and_keeps_the_schema_for_run_time():
    text = sfdl.compile(SEED).to_json()

    assert '"$assert"' in text
    assert text.count("components.xen.XenDomain") == 3


def test_it_runs_on_two_daemons_and_leaves_three_images_and_nothing_else(folder):
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", VIEW, "sh")
    environment = {"SMARTDOMAINS_LVM": "recorded", "SMARTDOMAINS_HYPERVISOR_URI": "test:///default"}
    view = (*prefix, str(folder), str(ROOT))
    with daemons(folder / "state", "host1", "host2", prefix=view, **environment) as (one, two):
        client = one.client()
        grown = client.start("pool", sfdl.compile(SEED).root).result()
        assert len(grown.hosts) == 2

        first = ["myShell", "loop", "domain1", "lvm", "domain2"]
        assert order(one, "started", "pool:computer1") == first
        found = [dict(row) for _, row in client.diagnosis(services=True).found]
        assert {row["name"] for row in found} == {"domainLoopback", "domainLVM", "test"}
        elsewhere = two.client()
        found = [dict(row) for _, row in elsewhere.diagnosis(services=True).found]
        assert {row["name"] for row in found} == {"domainWN", "test"}
        assert client.ping("pool:computer1:domain1").good
        xml = xml_of(one)
        assert "52:54:0a:14:01:0b" in xml

        gone = client.terminate("pool", Record.normal("test over")).result()

        assert gone.leftovers == ()
        assert gone.errors == ()
        assert order(one, "terminated", "pool:computer1") == first[::-1]
        for each in (client, elsewhere):
            names = [dict(row)["name"] for _, row in each.diagnosis(services=True).found]
            assert names == ["test"]
            facts = dict(each.diagnosis().facts)
            assert facts["ledger_effects"] == facts["ledger_segments"] == "0"
            each.close()
        images = sorted(path.name.partition("-")[0] for path in (folder / "tmp").glob("*.tar"))
        assert images == ["domainLVM", "domainLoopback", "domainWN"]
        for path in (folder / "tmp").glob("*.tar"):
            with tarfile.open(path) as archive:
                assert archive.extractfile("./etc/who").read() == b"slc3\n"
        work = [
            path.name for path in (folder / "state").glob("*/port-*/work/**/*") if path.is_file()
        ]
        assert work == ["commands.log"]


def xml_of(daemon):
    """What the daemon gave its hypervisor, as its ledger keeps it."""
    import sqlite3

    ledger = next(daemon.folder.glob("port-*/ledger.sqlite"))
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
        rows = database.execute("select data from effects where class like '%DefinedDomain'")
        return b"".join(bytes(row[0]) for row in rows).decode(errors="replace")
