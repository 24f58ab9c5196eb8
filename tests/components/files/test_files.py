"""File components: what they do, what they publish, what is left of it."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sfdl
from components.files.changes import FileChange
from components.files.kinds import filled
from components.files.states import Kept
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.prim import Unwell
from engine.testing.kit import engines, until
from tests.components.system.refusals import refuses

HEAD = '#include "components/files.sf"\n#include "components/system.sf"\n'
FAILING = 'z extends Script { shell LAZY ATTRIB none; startScript "x"; }'


def text(body, more=""):
    return f"{HEAD}sfConfig extends Compound {{ f extends {body} {more} }}"


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def world(folder):
    """Everything below a folder: names, contents, permissions, times of change."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            mode_of(path),
            path.stat().st_mtime_ns if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "there").write_text("first ${who}\nsecond")
    (folder / "there").chmod(0o640)
    os.utime(folder / "there", (1_000_000_000, 1_000_000_000))
    return folder


# Every type that changes something, so that it is put back at the end.
CHANGES = {
    "new text": 'TextFile {{ filename "{p}/new"; text "hello"; deleteOnExit true; }}',
    "text over": 'TextFile {{ filename "there"; dir "{p}"; text "other"; deleteOnExit true; }}',
    "text below": 'TextFile {{ filename "{p}/a/b/c"; createParentDirs true; deleteOnExit true; }}',
    "temporary": 'TempFile {{ dir "{p}"; text "x"; }}',
    "temporary folder": 'TempDir {{ dir "{p}"; }}',
    "folder": 'Mkdir {{ dir "{p}/x/y"; deleteOnExit true; mode "0700"; }}',
    "copy": 'CopyFile {{ source "{p}/there"; destination "{p}/copy"; deleteOnExit true; }}',
    "delete": 'DeleteFile {{ filename "{p}/there"; restoreOnExit true; }}',
    "touch": 'Touch {{ filename "{p}/there"; deleteOnExit true; }}',
    "touch new": 'Touch {{ filename "{p}/new"; deleteOnExit true; }}',
    "permissions": 'Chmod {{ filename "{p}/there"; mode "0400"; restoreOnExit true; }}',
    "lines": 'AppendLines {{ filename "{p}/there"; lines ["x"]; restoreOnExit true; }}',
    "variables": (
        'ReplaceVars {{ filename "{p}/there"; vars extends DATA {{ who "us"; }} restoreOnExit true; }}'
    ),
}
# The same, left at the end: what was changed is put back only if the start fails.
LEFT = {
    name: body.replace("deleteOnExit true;", "deleteOnExit false;")
    .replace("restoreOnExit true;", "restoreOnExit false;")
    .replace('text "x"; }}', 'text "x"; deleteOnExit false; }}')
    for name, body in CHANGES.items()
}


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_to_be_undone_at_the_end_is(bench, place, name):
    before = world(place)
    await bench.deploy(text(CHANGES[name].format(p=place)))
    assert world(place) != before

    gone = await bench.one.terminate("app")

    assert gone.leftovers == ()
    assert world(place) == before
    assert list((bench.work / "files").iterdir()) == []


@pytest.mark.parametrize("name", [name for name in LEFT if name != "temporary folder"])
async def test_what_is_to_stay_stays_at_the_end(bench, place, name):
    await bench.deploy(text(LEFT[name].format(p=place)))
    after = world(place)

    await bench.one.terminate("app")

    assert world(place) == after
    assert list((bench.work / "files").iterdir()) == []


@pytest.mark.parametrize("name", LEFT)
async def test_a_failure_in_the_middle_undoes_all(bench, place, name):
    before = world(place)

    with pytest.raises(EngineError):
        await bench.deploy(text(LEFT[name].format(p=place), FAILING))

    assert world(place) == before
    assert list((bench.work / "files").iterdir()) == []


@pytest.mark.integration
@pytest.mark.parametrize("name", LEFT)
def test_a_daemon_killed_in_the_middle_undoes_all_when_it_is_back(tmp_path, place, name):
    from engine.client.client import DaemonUnreachable
    from engine.testing.daemons import daemons
    from engine.testing.sabotage import Plan

    before = world(place)
    kind = {"folder": "Folder", "temporary folder": "Folder", "touch": "Settings"}
    effect = {**kind, "permissions": "Settings"}.get(name, "FileChange")
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan(effect, "made", "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", sfdl.compile(text(LEFT[name].format(p=place))).root).result()
        client.close()
        one.reap()
        assert world(place) != before

        one.start()

        assert world(place) == before


@pytest.mark.integration
def test_a_daemon_killed_later_takes_them_up_and_undoes_them_at_the_end(tmp_path, place):
    from engine.testing.daemons import daemons

    before = world(place)
    bodies = [
        f"f{n} extends {body.format(p=place)}"
        for n, (name, body) in enumerate(CHANGES.items())
        if name not in {"copy", "delete", "touch", "permissions", "lines", "variables", "touch new"}
    ]
    whole = f"{HEAD}sfConfig extends Compound {{ sfSyncTerminate true; {' '.join(bodies)} }}"
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(whole).root).result()
        during = world(place)
        one.kill()
        one.start()
        rows = {row.name: row.value for row in client.attributes("app:f0")}
        assert "absolutePath" in rows
        assert rows["exists"] == "true"
        assert world(place) == during
        assert client.terminate("app", Record.normal()).result().leftovers == ()
        client.close()
    assert world(place) == before


async def test_what_stands_there_is_published(bench, place):
    await bench.deploy(text(f'TextFile {{ filename "{place}/new"; text "hé"; mode "0600"; }}'))
    live = bench.find("f")
    path = place / "new"

    assert live.value("absolutePath") == str(path)
    assert live.value("exists") is True
    assert live.value("length") == 3
    assert live.value("timestamp").value == path.stat().st_mtime_ns // 1_000_000
    assert mode_of(path) == 0o600
    path.unlink()
    await live.prim.check()
    assert live.value("exists") is False
    await bench.one.terminate("app")


async def test_a_missing_file_is_unwell_where_that_counts(bench, place):
    await bench.deploy(text(f'TextFile {{ filename "{place}/new"; testOnLiveness true; }}'))
    (place / "new").unlink()

    with pytest.raises(Unwell, match="is not there"):
        await bench.find("f").prim.check()
    await bench.one.terminate("app")


async def test_text_is_written_in_its_encoding(bench, place):
    await bench.deploy(text(f'TextFile {{ filename "{place}/n"; text "hé"; encoding "latin-1"; }}'))

    assert (place / "n").read_bytes() == b"h\xe9"
    await bench.one.terminate("app")


async def test_a_file_that_is_there_is_not_touched_unless_it_may_be(bench, place):
    before = world(place)
    for body in (
        f'TextFile {{ filename "{place}/there"; overwrite false; }}',
        f'CopyFile {{ source "/etc/hostname"; destination "{place}/there"; overwrite false; }}',
    ):
        with pytest.raises(EngineError, match="exists already and is not ours"):
            await bench.deploy(text(body))
        assert world(place) == before


async def test_what_somebody_put_in_its_place_is_left_alone(bench, place):
    await bench.deploy(text(f'TextFile {{ filename "{place}/new"; deleteOnExit true; }}'))
    (place / "other").write_text("mine")
    (place / "other").rename(place / "new")

    await bench.one.terminate("app")

    assert (place / "new").read_text() == "mine"


async def test_a_folder_that_was_there_is_left_with_all_that_is_in_it(bench, place):
    await bench.deploy(text(f'Mkdir {{ dir "{place}"; deleteOnExit true; }}'))
    await bench.one.terminate("app")

    assert (place / "there").exists()


async def test_a_folder_goes_away_with_what_was_put_into_it_only_if_told_to(bench, place):
    for delete in ("true", "false"):
        await bench.deploy(text(f'Mkdir {{ dir "{place}/d"; deleteOnExit {delete}; }}'))
        (place / "d" / "x").touch()
        await bench.one.terminate("app")
        assert (place / "d").exists() is (delete == "false")


async def test_a_copy_into_a_folder_keeps_name_and_permissions(bench, place):
    (place / "in").mkdir()
    await bench.deploy(text(f'CopyFile {{ source "{place}/there"; destination "{place}/in"; }}'))

    copy = place / "in" / "there"
    assert copy.read_bytes() == (place / "there").read_bytes()
    assert mode_of(copy) == 0o640
    await bench.one.terminate("app")


async def test_lines_are_added_and_variables_filled(bench, place):
    more = (
        f'g extends AppendLines {{ filename "{place}/there"; lines ["third", "fourth"]; }}'
        f'h extends ReplaceVars {{ filename "{place}/out"; source "{place}/there"; '
        'vars extends DATA { who "us"; } }'
    )
    await bench.deploy(text(f'File {{ filename "{place}/there"; mustExist true; }}', more))

    assert (place / "out").read_text() == "first us\nsecond\nthird\nfourth\n"
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ('File {{ filename "{p}/no"; mustExist true; }}', "there is no file"),
        ('File {{ filename "{p}/no"; mustRead true; }}', "there is no file"),
        ('CopyFile {{ source "{p}/no"; destination "{p}/x"; }}', "there is no file"),
        ('CopyFile {{ source "{p}/there"; destination "{p}"; }}', "cannot be copied to itself"),
        ('DeleteFile {{ filename "{p}/no"; mustExist true; }}', "there is no file"),
        ('DeleteFile {{ filename "{p}"; }}', "is a folder"),
        ('TextFile {{ filename "{p}"; }}', "is a folder"),
        ('TextFile {{ filename "{p}/no/x"; }}', "cannot be changed: No such file"),
        ('Chmod {{ filename "{p}/no"; mode "0600"; }}', "there is no file"),
        ('AppendLines {{ filename "{p}/no"; mustExist true; lines []; }}', "cannot be read"),
        ('ReplaceVars {{ filename "{p}/there"; vars extends DATA {{ a 1; }} }}', "a value for who"),
        ('Mkdir {{ dir "{p}/there"; }}', "exists already and is not ours"),
        ('Mkdir {{ dir "{p}/a/b"; createParentDirs false; }}', "cannot be made: No such file"),
        ('TempFile {{ dir "{p}/no"; }}', "cannot be changed: No such file"),
        ('Files {{ dir "{p}/no"; }}', "there is no folder"),
        ('Files {{ dir "{p}"; minFileCount 2; }}', "has 1 such files, fewer than 2"),
        ('Files {{ dir "{p}"; maxFileCount 0; }}', "has 1 such files, more than 0"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_fails_the_start_and_changes_nothing(
    tmp_path, place, body, match
):
    before = world(place)
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises(EngineError, match=match):
            await one.deploy("app", sfdl.compile(text(body.format(p=place))).root)
    assert world(place) == before


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("TextFile;", "`filename` in .* is TBD"),
        ('TextFile { filename "x"; }', "must be an absolute path or dir given"),
        ('TextFile { filename ""; }', "filename: must be a path"),
        ('TextFile { filename "/x"; text 3; }', "has to be String"),
        ('TextFile { filename "/x"; mode "999"; }', "mode: must be permissions"),
        ('TextFile { filename "/x"; owner "no-such-user-here"; }', "there is no no-such-user-here"),
        ('TextFile { filename "/x"; owner "a b"; }', "owner: must be a user"),
        ('TextFile { filename "/x"; encoding "klingon"; }', "encoding: must be an encoding"),
        ('TextFile { filename "/x"; text "é"; encoding "ascii"; }', "cannot be written in ascii"),
        ('TextFile { filename "/x"; overwrite 1; }', "has to be Boolean"),
        ('TextFile { filename "/x"; createParentDirs 1; }', "has to be Boolean"),
        ('TextFile { filename "/x"; deleteOnExit 1; }', "has to be Boolean"),
        ('TextFile { filename "/x"; testOnLiveness 1; }', "has to be Boolean"),
        ('File { filename "/x"; mustExist 1; }', "has to be Boolean"),
        ('File { filename "/x"; mustWrite 1; }', "has to be Boolean"),
        ('TempFile { prefix "a/b"; }', "prefix: must be a part of a file's name"),
        ('TempFile { text "é"; encoding "ascii"; }', "cannot be written in ascii"),
        ('TempDir { dir "x"; }', "dir: x must be an absolute path"),
        ('TempDir { suffix 3; }', "has to be String"),
        ('Mkdir { dir "x"; }', "dir: x must be an absolute path"),
        ('CopyFile { source "x"; destination "/y"; }', "source: x must be an absolute path"),
        ('CopyFile { source "/x"; destination "y"; }', "destination: y must be an absolute path"),
        ('DeleteFile { filename "x"; }', "must be an absolute path"),
        ('DeleteFile { filename "/x"; restoreOnExit 1; }', "has to be Boolean"),
        ("Touch { filename 3; }", "has to be String"),
        ('Chmod { filename "/x"; }', "mode or owner must be given"),
        ('Chmod { filename "/x"; mode "rwx"; }', "mode: must be permissions"),
        ('AppendLines { filename "/x"; lines ["a\\nb"]; }', "lines: must be a list of strings"),
        ('AppendLines { filename "/x"; }', "`lines` in .* is TBD"),
        ('ReplaceVars { filename "/x"; vars 3; }', "vars: must be a component description"),
        ('ReplaceVars { filename "/x"; source "y"; vars extends DATA { a 1; } }', "absolute path"),
        ('Files { dir "/x"; pattern "("; }', "must be a regular expression"),
        ('Files { dir "/x"; minFileCount 5; maxFileCount 2; }', "maxFileCount: must be at least"),
        ('Files { dir "/x"; minFileCount "a"; }', "has to be Long|whole number"),
    ],
)  # fmt: skip
async def test_bad_attributes_are_refused_before_anything_starts(tmp_path, wrong, match):
    await refuses(tmp_path, wrong, match)


async def test_files_are_listed_by_name(bench, place):
    for name in ("a.txt", "b.txt", ".c.txt", "d.log"):
        (place / name).touch()
    await bench.deploy(text(f'Files {{ dir "{place}"; pattern ".*[.]txt"; minFileCount 2; }}'))
    live = bench.find("f")

    assert list(live.value("files").items) == [f"{place}/a.txt", f"{place}/b.txt"]
    assert live.value("fileCount") == 2
    await bench.one.terminate("app")


async def test_too_few_files_are_unwell_where_that_counts(bench, place):
    body = f'Files {{ dir "{place}"; minFileCount 1; testOnLiveness true; }}'
    await bench.deploy(text(body))
    await bench.find("f").prim.check()
    (place / "there").unlink()

    with pytest.raises(Unwell, match="fewer than 1"):
        await bench.find("f").prim.check()
    await bench.one.terminate("app")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_file_belongs_to_whom_it_is_given(bench, place):
    await bench.deploy(text(f'TextFile {{ filename "{place}/n"; owner "nobody:root"; }}'))

    found = (place / "n").stat()
    assert (found.st_uid, found.st_gid) == (pwd.getpwnam("nobody").pw_uid, 0)
    await bench.one.terminate("app")


async def test_as_a_step_of_a_workflow_it_ends_once_done(bench, place):
    whole = (
        f'#include "components/workflow.sf"\n{HEAD}sfConfig extends Sequence {{ '
        f'a extends TextFile {{ filename "{place}/new"; text "x"; sfShouldTerminate true; }} '
        f'b extends DeleteFile {{ filename "{place}/there"; sfShouldTerminate true; }} }}'
    )
    await bench.deploy(whole)

    record = await until(lambda: bench.one.process.ended_application("app"))

    assert record.is_normal
    assert (place / "new").read_text() == "x"
    assert not (place / "there").exists()


class Crash(BaseException):
    """The daemon is gone from one moment to the next."""


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    former=st.none() | st.binary(max_size=8),
    content=st.none() | st.binary(max_size=8),
    mode=st.sampled_from([-1, 0o600, 0o644]),
    overwrite=st.booleans(),
    step=st.integers(0, 45),
)
def test_a_crash_at_any_step_leaves_all_as_it_was_once_undone(
    tmp_path_factory, former, content, mode, overwrite, step
):
    place = tmp_path_factory.mktemp("crash")
    path = place / "in" / "it" if former is None else place / "it"
    if former is not None:
        path.write_bytes(former)
        path.chmod(0o604)
    before = world(place)
    effect = FileChange(
        str(path), str(place.parent / f"{place.name}-state"), "token", content=content, mode=mode,
        overwrite=overwrite or former is None, parents=True,
    )  # fmt: skip
    left = step

    def counted(real):
        def run(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return real(*args, **kwargs)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in ("begin", "make_parents", "keep", "_write", "finish"):
            patch.setattr(Kept, name, counted(getattr(Kept, name)))
        for name in ("replace", "unlink", "mkdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        for name in ("write", "fsync", "fchmod", "link"):
            patch.setattr(os, name, counted(getattr(os, name)))
        with contextlib.suppress(Crash, EngineError):
            effect._make()

    effect._undo()

    assert world(place) == before
    effect._undo()
    assert world(place) == before


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), st.text(), max_size=4)
)
def test_what_is_filled_in_is_never_filled_again(values):
    template = "|".join(f"${{{name}}}" for name in values)

    assert filled(template, values) == "|".join(values.values())
