"""A ledger written by the previous version is read, and what it holds is taken up."""

from __future__ import annotations

import sqlite3

import msgspec

from engine.runtime.effects import Owner, encode_effect
from engine.runtime.ledger import FORMAT, Ledger
from engine.testing.components import OwnedFile
from engine.testing.kit import engines, tree, virtual_time
from engine.wire.codec import encode, encode_tree

FORMAT_1 = """
create table meta (key text primary key, value text not null);
create table segments (
  id text primary key, application text not null, path text not null, name text not null,
  parent blob, description blob not null, incarnation integer not null, state text not null,
  recovery text not null, record blob, created_ms integer not null, inherited blob not null);
create table births (
  segment text not null, path text not null, incarnation integer not null,
  primary key (segment, path));
create table fates (
  segment text not null, path text not null, fate text not null, record blob,
  primary key (segment, path));
create table effects (
  id integer primary key, segment text not null, application text not null, path text not null,
  incarnation integer not null, class text not null, data blob not null, executor text not null,
  keep text not null, survival text not null, state text not null, error text not null,
  due_ms integer not null);
create table requests (
  id text primary key, op text not null, segment text not null, answer blob, at_ms integer not null);
create table ended (
  application text primary key, record blob not null, at_ms integer not null);
insert into meta values ('format', '1'), ('daemon', 'd-of-before');
"""


def write_format_1(folder, file):
    """Write what the previous version left of a daemon that held one application with one file."""
    folder.mkdir(parents=True)
    owner = Owner("local-test", "app", "app:a", 7)
    file.write_text(f"{msgspec.json.encode(owner).decode()}\n")
    maker = {"sfClass": "engine.testing.components.FileMaker", "file": str(file)}
    root = tree({"sfClass": "engine.compound.Compound", "a": maker})
    class_, data = encode_effect(OwnedFile(str(file)))
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        db.executescript(FORMAT_1)
        db.execute(
            "insert into segments values (?,?,?,?,?,?,?,?,?,?,?,?)",
            ("s-1", "app", "app", "app", None, encode_tree(root), 7, "started", "adopt", None, 1,
             encode({})),
        )  # fmt: skip
        db.execute(
            "insert into effects values (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (1, "s-1", "app", "app:a", 7, class_, data, "own", "never", "host", "made", "", 0),
        )


def test_what_format_1_holds_is_taken_up_and_ended_cleanly(tmp_path):
    file = tmp_path / "a"
    write_format_1(tmp_path / "state" / "host1", file)

    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            assert one.process.daemon_id == "d-of-before"
            assert {live.path for live in one.process.lives.values()} == {"app", "app:a"}
            await one.terminate("app")
            assert not file.exists()

    virtual_time(story())
    ledger = Ledger(tmp_path / "state" / "host1" / "ledger.sqlite", inline=True)
    assert ledger.meta("format") == FORMAT
    ledger.close()
