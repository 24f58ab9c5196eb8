"""A shared directory: every host of the application sees what every other has written, or it fails."""

from __future__ import annotations

import pytest

import sfdl
from components.storage.shared_store import MountedExport, SharedView
from engine.core.faults import EngineError
from engine.runtime.commands import Output
from engine.runtime.effects import Owner, Presence, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.testing.kit import engines
from sfdl.errors import SmartDomainsError

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    shared extends SharedStore {{ path "{path}"; {more} }}
    there extends LoopbackStorageBackend {{
        sfProcessHost "host2"; domainName "d"; baseImage "/usr/share/common-licenses"; spaceReserve 0;
        volumeSize "8m"; swapSize "1m"; directory LAZY ATTRIB shared:path;
        saveImage true; saveImagePath LAZY ATTRIB shared:path; saveImageName "saved";
    }}
}}
"""


@pytest.fixture
async def two(tmp_path):
    async with engines(tmp_path / "state", 2, threads=True) as (_network, pair):
        yield pair


def text(path, more=""):
    return sfdl.compile(POOL.format(path=path, more=more)).root


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def find(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


async def test_hosts_that_share_a_directory_use_it_and_leave_what_they_wrote_away(two, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()

    await two[0].deploy("app", text(folder))

    shared = find(two[0], "shared")
    assert len(shared.value("seenBy").split(", ")) == 2
    assert shared.value("fsyncSeconds") > 0
    assert names(folder) == [
        "d-volume1", "d-volume1-swap", "d-volume1-swap.lock", "d-volume1-swap.owner.json",
        "d-volume1.lock", "d-volume1.owner.json",
    ]  # fmt: skip
    await two[0].terminate("app")
    assert names(folder) == ["saved.tar", "saved.tar.json"]
    assert two[1].process.lives == {}


async def test_a_directory_that_is_not_shared_fails_with_the_two_hosts(two, tmp_path, monkeypatch):
    """Each host has another directory behind that path."""
    folder = tmp_path / "shared"
    folder.mkdir()

    def behind(view):
        own = folder / view.live.process.daemon_id
        own.mkdir(exist_ok=True)
        return own

    def write(view, token, nonce):
        (behind(view) / token).write_text(nonce)
        return 0.0

    def read(view, tokens):
        there = {path.name: path.read_text() for path in behind(view).iterdir()}
        return {token: there[token] for token in tokens if token in there}

    monkeypatch.setattr(SharedView, "_write", write)
    monkeypatch.setattr(SharedView, "_read", read)

    with pytest.raises(EngineError, match=r"is not shared: .* does not see what .* has written"):
        await two[0].deploy("app", text(folder))

    assert two[0].process.lives == two[1].process.lives == {}
    assert not list(folder.glob("d-volume1*"))


async def test_a_slow_store_is_warned_of(two, tmp_path, monkeypatch):
    folder = tmp_path / "shared"
    folder.mkdir()
    before = SharedView._write
    monkeypatch.setattr(
        SharedView, "_write", lambda view, token, nonce: before(view, token, nonce) + 2.0
    )

    await two[0].deploy("app", text(folder))

    assert find(two[0], "shared").value("fsyncSeconds") > 2.0
    await two[0].terminate("app")


@pytest.mark.parametrize(
    ("path", "more", "words"),
    [
        ("/nowhere/at/all", "", "is no directory of this host"),
        ("relative", "", "must be an absolute path"),
        ("/tmp", 'type "smb";', "must be one of same-path, nfs"),
        ("/tmp", "mount true;", 'mount needs type "nfs", server and export'),
        ("/tmp", 'type "nfs"; mount true; server "s";', "server and export"),
        ("/tmp", 'server "s";', 'server and export need type "nfs"'),
    ],
)
async def test_a_wrong_store_is_refused_before_anything_is_made(two, path, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await two[0].deploy("app", text(path, more))

    assert words in str(failure.value)
    assert two[0].process.lives == two[1].process.lives == {}


class Recorder:
    def __init__(self):
        self.asked = []

    async def run(self, argv, *, input_, timeout_s):
        self.asked.append(list(argv))
        return Output(0, b"", b"")


async def test_an_export_is_mounted_and_taken_off_again(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text("")
    monkeypatch.setattr("components.storage.shared_store._MOUNTS", mounts)
    recorder = Recorder()
    at = Site(
        Owner("c", "a", "a:s", 1), services=Services(), workers=InlineWorkers(), executor=recorder
    )
    path = tmp_path / "store"
    effect = MountedExport("nas:/export", str(path), "vers=4", made_folder=True)

    assert await effect.look(at) is Presence.ABSENT
    await effect.make(at)
    assert path.is_dir()
    mounts.write_text(f"nas:/export {path} nfs4 rw 0 0\n")
    assert await effect.look(at) is Presence.OURS
    await effect.make(at)
    await effect.undo(at)

    assert recorder.asked == [
        ["mount", "-t", "nfs", "-o", "vers=4", "--", "nas:/export", str(path)],
        ["umount", "--", str(path)],
    ]
    assert not path.exists()
    mounts.write_text(f"other:/x {path} nfs4 rw 0 0\n")
    assert await effect.look(at) is Presence.FOREIGN
