"""Which members a cluster has: the pure decisions about ends, failures and other numbers."""

from __future__ import annotations

import msgspec
import pytest

from components.hosts.membership import START, Members, Membership, OnFailure, Order
from components.hosts.virtual_cluster import name_pattern
from components.hosts.waves import Waves, waves_kind
from engine.core.flows import (
    Asked,
    ChildEnded,
    ChildGone,
    Drop,
    EndChild,
    Finish,
    Perform,
    Performed,
    TimeUp,
    WakeAt,
)
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.core.supervision import Backoff, Budget
from engine.runtime.kinds import BadValueError

BAD, GOOD = Record.abnormal("broken"), Record.normal("done")


class Run:
    """The flow of a cluster driven by hand: what it says to do, in order, without the words."""

    def __init__(self, count=2, named=(), on_failure="terminate", limit=2, up=None):
        order = Order(named, "m{i}", OnFailure(on_failure), Budget(limit, 60), Backoff(first_s=1))
        self.flow = Membership(count, order)
        there = order.wanted(count) if up is None else up
        self.state, dos = self.flow.begin(dict.fromkeys(there, State.STARTED))
        self.first = self._said(dos)

    def tell(self, what, now_s=0.0):
        self.state, dos = self.flow.on(self.state, what, now_s)
        return self._said(dos)

    def _said(self, dos):
        said = []
        for do in dos:
            match do:
                case Perform(step):
                    said.append(step)
                case EndChild(child):
                    said.append(f"end {child}")
                case Drop(child):
                    said.append(f"drop {child}")
                case Finish(record):
                    said.append(f"finish {record.type}")
                case WakeAt(at_s):
                    said.append(f"wake {at_s:g}")
        return said


def started(name):
    return Performed(START + name, GOOD)


def test_more_are_started_and_fewer_end_newest_first():
    run = Run(2)
    assert run.tell(Asked("count", 4)) == ["start m3", "start m4"]
    for name in ("m3", "m4"):
        assert run.tell(started(name)) == []
    assert run.tell(Asked("count", 1)) == ["end m4", "end m3", "end m2"]
    assert run.state.up == ("m1",)
    for name in ("m4", "m3", "m2"):
        assert run.tell(ChildGone(name)) == []
    assert run.state.leaving == ()


def test_one_that_was_to_go_and_is_wanted_again_comes_back_once_it_is_gone():
    run = Run(2)
    run.tell(Asked("count", 1))
    assert run.tell(Asked("count", 2)) == []
    assert run.tell(ChildGone("m2")) == ["start m2"]


def test_one_on_its_way_up_that_is_to_go_ends_once_it_has_started():
    run = Run(1)
    run.tell(Asked("count", 2))
    assert run.tell(Asked("count", 1)) == []
    assert run.tell(started("m2")) == ["end m2"]
    assert run.tell(ChildGone("m2")) == []
    assert (run.state.up, run.state.leaving) == (("m1",), ())


def test_one_that_ends_while_it_is_to_go_is_just_dropped():
    run = Run(2)
    run.tell(Asked("count", 1))
    assert run.tell(ChildEnded("m2", BAD)) == ["drop m2"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("terminate", ["finish abnormal"]),
        ("replace", ["drop m1", "wake 6"]),
        ("ignore", ["drop m1"]),
    ],
)
def test_an_abnormal_end_leads_to_what_is_said(policy, said):
    run = Run(2, on_failure=policy)
    assert run.tell(ChildEnded("m1", BAD), 5.0) == said


def test_a_replacement_waits_longer_each_time_in_a_row_and_has_a_budget():
    run = Run(1, on_failure="replace", limit=2)
    assert run.tell(ChildEnded("m1", BAD), 0.0) == ["drop m1", "wake 1"]
    assert run.tell(TimeUp(), 1.0) == ["start m1"]
    assert run.tell(Performed("start m1", BAD), 2.0) == ["drop m1", "wake 4"]
    assert run.tell(TimeUp(), 4.0) == ["start m1"]
    run.tell(started("m1"), 5.0)
    assert run.tell(ChildEnded("m1", BAD), 6.0) == ["drop m1", "wake 7"]
    run.tell(TimeUp(), 7.0)
    run.tell(started("m1"), 7.0)
    assert run.tell(ChildEnded("m1", BAD), 8.0) == ["finish abnormal"]


def test_a_failed_start_of_a_further_member_ends_nothing():
    run = Run(1)
    run.tell(Asked("count", 2))
    assert run.tell(Performed("start m2", BAD)) == ["drop m2"]
    assert run.state.lost == ("m2",)
    assert run.tell(Asked("count", 2)) == ["start m2"]


def test_a_member_that_has_done_its_job_is_not_wanted_back_and_the_last_one_ends_the_cluster():
    run = Run(2, on_failure="replace")
    assert run.tell(ChildEnded("m1", GOOD)) == ["drop m1"]
    assert run.tell(ChildEnded("m2", GOOD)) == ["drop m2", "finish normal"]


def test_named_members_are_looked_after_as_the_numbered_ones_and_never_scaled():
    run = Run(1, named=("front",), on_failure="replace")
    assert run.tell(Asked("count", 0)) == ["end m1"]
    assert run.tell(ChildEnded("front", BAD)) == ["drop front", "wake 1"]
    assert run.tell(TimeUp(), 1.0) == ["start front"]


def test_those_that_failed_with_the_cluster_are_tried_again_where_members_are_replaced():
    assert Run(3, on_failure="replace", up=("m1", "m3")).first == ["drop m2", "wake 1"]
    assert Run(3, on_failure="ignore", up=("m1", "m3")).first == ["drop m2"]


def test_after_a_restart_everybody_is_where_he_was():
    run = Run(4, on_failure="ignore")
    run.tell(Asked("count", 6))
    run.tell(started("m5"))
    run.tell(ChildEnded("m1", BAD))
    run.tell(Asked("count", 3))
    kept = msgspec.json.decode(msgspec.json.encode(run.state), type=Members)
    there = dict.fromkeys(("m1", "m3", "m4"), State.STARTED)

    state, dos = run.flow.resume(kept, there)

    assert run._said(dos) == ["end m4", "start m2"]
    assert (state.up, state.starting, state.leaving) == (("m1", "m3"), ("m2",), ("m4",))


@pytest.mark.parametrize(
    "text",
    ["wn", "{i}", "a{j}", "a{i}{i}", "a{i.real}", "a{i:x}", "a b{i}", "sf{i}", "a{i:9999}", 5],
)
def test_a_pattern_that_names_nothing_is_refused(text):
    with pytest.raises(BadValueError, match="must be a name with"):
        name_pattern.read(text)


def test_orders_of_starting():
    assert waves_kind.read("parallel") == Waves()
    assert waves_kind.read("sequential").of(("a", "b")) == (("a",), ("b",))
    assert waves_kind.read("waves:3") == Waves(3)
    for wrong in ("waves:0", "waves", "both", 3):
        with pytest.raises(BadValueError, match="parallel, sequential or waves:N"):
            waves_kind.read(wrong)
