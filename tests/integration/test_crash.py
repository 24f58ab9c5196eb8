"""Real daemons over Pyro5, killed at every point: what was half made is undone, what ran goes on."""

from __future__ import annotations

import pytest

from engine.client.client import DaemonUnreachable
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import tree
from engine.testing.sabotage import Plan

pytestmark = pytest.mark.integration

FILE = "engine.testing.components.FileMaker"
GROUP = "engine.compound.Compound"


def two_hosts(tmp_path, **second):
    return tree(
        {
            "sfClass": GROUP,
            "sfLivenessDelay": 1,
            "one": {"sfClass": GROUP, "a": {"sfClass": FILE, "file": str(tmp_path / "a")}},
            "two": {
                "sfClass": GROUP,
                "sfProcessHost": "two",
                "b": {"sfClass": FILE, "file": str(tmp_path / "b"), **second},
            },
        }
    )


def files(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix == "")


def rows(daemon, name):
    client = daemon.client()
    try:
        return list(client.whole_tree(name))
    except EngineError:
        return []
    finally:
        client.close()


def facts(daemon):
    client = daemon.client()
    try:
        return dict(client.diagnosis().facts)
    finally:
        client.close()


def why_gone(client, name):
    try:
        list(client.whole_tree(name))
    except EngineError as error:
        return str(error)
    return ""


def nothing_held(daemon):
    seen = facts(daemon)
    return seen["components"] == seen["ledger_effects"] == seen["ledger_segments"] == "0"


def test_an_application_over_two_daemons_starts_and_ends(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        grown = client.start("app", two_hosts(tmp_path)).result()
        assert grown.components == 5
        assert files(tmp_path) == ["a", "b"]
        assert client.ping("app:two:b").good

        gone = client.terminate("app", Record.normal()).result()

        assert (gone.components, gone.leftovers) == (5, ())
        assert files(tmp_path) == []
        assert nothing_held(one)
        assert nothing_held(two)
        client.close()


def test_a_failure_in_the_second_daemon_rolls_back_the_first(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        with pytest.raises(EngineError, match="told to fail") as failure:
            client.start("app", two_hosts(tmp_path, fail="start")).result()
        assert failure.value.fault.where == "app:two:b"
        assert files(tmp_path) == []
        assert nothing_held(one)
        assert nothing_held(two)
        client.close()


@pytest.mark.parametrize("when", ["making", "made"])
def test_the_first_daemon_killed_inside_an_effect_undoes_it_and_its_parts(tmp_path, when):
    with daemons(tmp_path, "one", "two") as (one, two):
        one.stop()
        one.start(sabotage=[Plan("OwnedFile", when, "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", two_hosts(tmp_path)).result()
        client.close()
        one.reap()

        one.start()

        assert files(tmp_path) == []
        assert nothing_held(one)
        wait_until(lambda: nothing_held(two), what="the second daemon forgets its part")
        again = one.client()
        again.start("app", two_hosts(tmp_path)).result()
        again.terminate("app", Record.normal()).result()
        again.close()


@pytest.mark.parametrize("when", ["making", "made"])
def test_the_second_daemon_killed_inside_an_effect_rolls_back_the_first(tmp_path, when):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan("OwnedFile", when, "kill")])
        client = one.client()
        operation = client.start("app", two_hosts(tmp_path))
        operation._poll(0.1)
        two.reap()
        two.start()

        with pytest.raises(EngineError):
            operation.result()

        assert files(tmp_path) == []
        assert nothing_held(one)
        wait_until(lambda: nothing_held(two), what="the second daemon forgets its part")
        client.close()


def test_a_request_sent_again_after_the_crash_says_that_it_was_undone(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        one.stop()
        one.start(sabotage=[Plan("OwnedFile", "made", "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", two_hosts(tmp_path), request_id="r1").result()
        one.reap()
        one.start()

        with pytest.raises(EngineError, match="restarted"):
            client.start("app", two_hosts(tmp_path), request_id="r1").result()
        client.close()
        wait_until(lambda: nothing_held(two), what="the second daemon forgets its part")


@pytest.mark.parametrize("who", [0, 1])
def test_a_running_application_is_adopted_under_its_old_ids(tmp_path, who):
    with daemons(tmp_path, "one", "two") as both:
        one, two = both
        client = one.client()
        client.start("app", two_hosts(tmp_path)).result()
        before = {row.path: row.ident for row in rows(one, "app")}
        content = (tmp_path / "a").read_text() + (tmp_path / "b").read_text()

        both[who].kill()
        both[who].start()

        after = wait_until(
            lambda: {row.path: row.ident for row in rows(one, "app") if row.state == "started"}
        )
        assert after == before
        assert (tmp_path / "a").read_text() + (tmp_path / "b").read_text() == content
        gone = client.terminate("app", Record.normal()).result()
        assert gone.leftovers == ()
        assert files(tmp_path) == []
        assert nothing_held(one)
        assert nothing_held(two)
        client.close()


def test_what_was_lost_while_the_daemon_was_down_ends_the_application(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("app", two_hosts(tmp_path)).result()
        two.kill()
        (tmp_path / "b").unlink()
        two.start()

        wait_until(lambda: nothing_held(one) and nothing_held(two))
        assert files(tmp_path) == []
        with pytest.raises(EngineError, match="was gone when the daemon came back"):
            list(client.whole_tree("app"))
        client.close()


@pytest.mark.parametrize("who", [0, 1])
def test_a_daemon_killed_while_undoing_goes_on_at_its_next_start(tmp_path, who):
    with daemons(tmp_path, "one", "two") as both:
        one, two = both
        both[who].stop()
        both[who].start(sabotage=[Plan("OwnedFile", "undoing", "kill")])
        client = one.client()
        client.start("app", two_hosts(tmp_path)).result()
        operation = client.terminate("app", Record.normal())
        try:
            operation._poll(0.1)
        except DaemonUnreachable:
            assert who == 0
        both[who].reap()
        both[who].start()

        wait_until(lambda: nothing_held(one) and nothing_held(two) and not files(tmp_path))
        client.close()


def test_a_daemon_that_stays_away_ends_the_rest_within_the_bound(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("app", two_hosts(tmp_path)).result()
        two.kill()

        wait_until(lambda: files(tmp_path) == ["b"], timeout_s=20)
        wait_until(lambda: "livenessFailure" in why_gone(client, "app"))
        two.start()
        wait_until(lambda: nothing_held(two) and files(tmp_path) == [], timeout_s=30)
        wait_until(lambda: nothing_held(one), timeout_s=60)
        client.close()
