"""Logs of several hosts become one stream by time."""

from __future__ import annotations

import itertools

import pytest

from engine.client.logs import Follower, Said, Scope, hosts_of, kept
from engine.core.events import Ident
from engine.core.faults import Unreachable
from engine.wire.messages import LogRow, TreeRow


def row(seq, at_ms, node, text="x"):
    return LogRow(seq, at_ms, "info", "app", text, node)


def tree_row(path, address):
    return TreeRow(path, path, 0, "t", "started", True, None, "", address, 0.0, 0, Ident("", ""))


class Host:
    """A client of a host that answers from a list."""

    def __init__(self, address, rows=(), *, down=0):
        self.address = address
        self.rows = list(rows)
        self.down = down
        self.asked = []

    def log(self, cursor="", *, path="", level="", trace="", limit=500, wait_s=0.0):
        self.asked.append((cursor, path, level, trace))
        if self.down:
            self.down -= 1
            raise Unreachable("nobody there")
        after = int(cursor or 0)
        rows = [each for each in self.rows if each.seq > after][:limit]
        gap = cursor == "7"
        return rows, str(rows[-1].seq if rows else after), gap

    def close(self):
        pass

    def whole_tree(self, name):
        return iter([tree_row(name or "one", "a:1"), tree_row("app:x", "b:1")])


def test_what_is_kept_is_merged_by_time_whatever_host_it_is_from():
    one = Host("a:1", [row(1, 10, "a"), row(2, 40, "a")])
    two = Host("b:1", [row(1, 20, "b"), row(2, 40, "b"), row(3, 50, "b")])

    rows, cursors = kept([one, two], Scope("app", "warn", "r1"), pytest.fail)

    assert [(each.at_ms, each.node) for each in rows] == [
        (10, "a"), (20, "b"), (40, "a"), (40, "b"), (50, "b"),
    ]  # fmt: skip
    assert cursors == {"a:1": "2", "b:1": "3"}
    assert one.asked == [("", "app", "warn", "r1")]


def test_more_than_a_page_is_read_to_its_end():
    one = Host("a:1", [row(n, n, "a") for n in range(1, 1202)])
    assert len(kept([one], Scope(), pytest.fail)[0]) == 1201


def test_a_host_that_does_not_answer_is_named_and_does_not_hide_the_others():
    said = []
    rows, cursors = kept([Host("a:1", down=1), Host("b:1", [row(1, 1, "b")])], Scope(), said.append)
    assert [each.node for each in rows] == ["b"]
    assert said == [Said("a:1", "nobody there")]
    assert cursors == {"b:1": "1"}


def test_the_hosts_of_an_application_are_those_that_hold_its_parts():
    client = Host("a:1")
    assert hosts_of(client, "app") == ("app", ("a:1", "b:1"))
    client.address = "c:1"
    assert hosts_of(client, "") == ("", ("c:1", "a:1", "b:1"))


def test_following_asks_a_host_again_that_was_away_and_tells_of_gaps():
    hosts = {"a:1": Host("a:1", [row(1, 1, "a")], down=2), "b:1": Host("b:1", [row(8, 2, "b")])}
    follower = Follower(hosts.__getitem__, Scope(), {"a:1": "", "b:1": "7"})
    try:
        found = list(itertools.islice(follower.rows(tuple), 4))
    finally:
        follower.close()
    assert Said("a:1", "nobody there") in found
    assert Said("b:1", "some records in between were not kept") in found
    assert sorted(each.node for each in found if isinstance(each, LogRow)) == ["a", "b"]


def test_following_takes_in_hosts_that_come_to_hold_a_part(monkeypatch):
    monkeypatch.setattr("engine.client.logs.LOOK_S", 0.01)
    hosts = {"a:1": Host("a:1"), "b:1": Host("b:1", [row(1, 2, "b")])}
    follower = Follower(hosts.__getitem__, Scope(), {"a:1": ""})
    try:
        found = next(follower.rows(lambda: ("a:1", "b:1")))
    finally:
        follower.close()
    assert found.node == "b"
