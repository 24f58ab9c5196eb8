"""News in, rows and questions out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.core.events import Noted, Progressed, Restarted
from engine.core.faults import NotFound
from engine.core.records import Record
from tui.consequences import consequences
from tui.filtering import Filter
from tui.hosts import Reach
from tui.model import Model
from tui.news import Happened, Reached, Silent, TreePage, TreeRefused


class World:
    """A model, the daemons it shows, and everything on its way between them."""

    def __init__(self, fake, *listed):
        self.one, self.two = fake("one", 1), fake("two", 2)
        self.daemons = {daemon.address: daemon for daemon in (self.one, self.two)}
        self.model = Model([getattr(self, name).address for name in listed])
        self.now_s = 100.0
        self.places = {}
        self.asked = {address: [] for address in self.daemons}
        self.questions = 0

    # -- what may happen on the way

    def reach(self, address):
        """Greet a daemon; events from now on will be pulled."""
        daemon = self.daemons[address]
        self.places[address] = len(daemon.log)
        self.take(Reached(address, daemon.client().hello()))

    def reach_all(self):
        for address, view in list(self.model.hosts.items()):
            if view.reach is Reach.CONNECTING:
                self.reach(address)

    def cut(self, address):
        if self.places.pop(address, None) is not None:
            self.asked[address].clear()
            self.take(Silent(address, "connection refused"))

    def take(self, news):
        self.model.take(news, self.now_s)

    def pull(self, address, limit=10_000):
        """Deliver the next events of a daemon."""
        if address in self.places:
            start = self.places[address]
            events = self.daemons[address].log[start : start + limit]
            self.places[address] = start + len(events)
            self.take(Happened(address, tuple(events)))

    def tick(self, seconds):
        self.now_s += seconds
        for question in self.model.due(self.now_s):
            self.questions += 1
            self.asked[question.address].append([question, ""])

    def answer(self, address, limit=4):
        """Deliver one page of the oldest question to a daemon, read at this moment."""
        if not self.asked[address]:
            return
        waiting = self.asked[address][0]
        question, after = waiting
        try:
            page = self.daemons[address].client().tree(question.ref, after=after, limit=limit)
        except NotFound as error:
            self.asked[address].pop(0)
            self.take(TreeRefused(address, question.ref, question.number, str(error), gone=True))
            return
        waiting[1] = page.next
        if not page.next:
            self.asked[address].pop(0)
        self.take(TreePage(address, question.ref, question.number, page.rows, not page.next))

    def settle(self):
        """Let everything on its way arrive, until nothing is asked for long enough."""
        quiet = 0
        for _ in range(500):
            before = self.questions
            self.reach_all()
            for address in self.places:
                self.pull(address)
            self.tick(0.7)
            busy = any(self.asked.values())
            for address, waiting in self.asked.items():
                while waiting:
                    self.answer(address)
            quiet = 0 if busy or self.questions != before else quiet + 1
            if quiet > 15:
                return
        raise AssertionError("the model does not come to rest")

    # -- comparing

    def shown(self):
        self.model.forest.check()
        return {node.key: bare(node.row) for node in self.model.forest.walk()}

    def read_again(self):
        found = {}
        for address, view in self.model.hosts.items():
            if view.listed:
                daemon = self.daemons[address]
                for app in daemon.apps:
                    found.update({(address, row.path): bare(row) for row in daemon.rows(app)})
        return found


def bare(row):
    """A row without what depends on when it was read, and without its depth in what was asked."""
    return replace(row, age_s=0.0, seen_s=0.0, depth=0)


@pytest.fixture
def world(fake):
    made = World(fake, "one", "two")
    made.reach_all()
    return made


def settled(world, pool):
    top = pool(world.one)
    world.settle()
    return top


def test_what_is_read_is_shown_in_the_order_of_the_daemon(world, pool):
    settled(world, pool)

    assert [node.row.path for node in world.model.visible(Filter())] == [
        row.path for row in world.one.rows("pool")
    ]


def test_events_of_known_components_change_rows_without_any_reading(world, pool):
    top = settled(world, pool)
    asked = world.questions

    world.one.judge(top.children["computer1"], good=False, text="hot")
    world.one.be_ready(top, ready=False)
    world.pull(world.one.address)
    for _ in range(100):
        world.tick(0.1)

    assert world.shown() == world.read_again()
    assert world.questions == asked


def test_what_a_component_says_it_does_is_shown_until_it_has_started(world, pool):
    top = settled(world, pool)
    asked = world.questions

    world.one.enter(top, "starting")
    world.one.set(top, "memory", "64")
    world.one.set(top, "status", '"makes a volume"')
    world.pull(world.one.address)

    (node,) = [each for each in world.model.visible(Filter()) if each.row.path == "pool"]
    assert node.row.status == "makes a volume"
    assert world.questions == asked
    world.one.enter(top, "started")
    world.pull(world.one.address)
    assert node.row.status == ""


def test_a_new_component_is_asked_for_once_and_alone(world, pool):
    top = settled(world, pool)
    asked = len(world.one.asked)

    world.one.add(top, "computer4", "compound")
    world.settle()

    assert world.shown() == world.read_again()
    assert world.one.asked[asked:] == [("tree", "pool:computer4")]


def test_many_new_components_are_asked_for_together(world, pool):
    top = settled(world, pool)
    asked = len(world.one.asked)

    for number in range(200):
        world.one.add(top, f"more{number}")
    world.pull(world.one.address)
    world.settle()

    assert world.shown() == world.read_again()
    questions = {ref for verb, *ref in world.one.asked[asked:] if verb == "tree" for ref in ref}
    assert questions == {"pool"}


def test_an_ended_component_shows_its_record_and_then_leaves(world, pool):
    top = settled(world, pool)
    record = Record.abnormal("disk full")

    world.one.end(top.children["computer2"], record)
    world.pull(world.one.address)
    row = world.model.forest.at(world.one.address, "pool:computer2").row
    assert (row.state, row.record) == ("terminated", record)

    world.settle()
    assert world.model.forest.at(world.one.address, "pool:computer2:disk") is None
    assert world.shown() == world.read_again()


def test_a_restarted_component_shows_how_often(world, pool):
    top = settled(world, pool)

    again = world.one.restart(top.children["computer1"])
    world.settle()
    world.one.restart(again)
    world.settle()

    assert world.model.forest.at(world.one.address, "pool:computer1").row.restarts == 2
    assert world.shown() == world.read_again()


def test_restarts_are_read_once_the_component_has_started(world, pool):
    top = settled(world, pool)
    old = top.children["computer1"]
    world.one.end(old, Record.abnormal("told to"))
    world.one.happen(top, Restarted("computer1 is restarted"))
    new = world.one.add(top, "computer1", "compound", start=False)
    world.settle()
    assert world.model.forest.at(world.one.address, new.path).row.restarts == 0

    new.restarts = 1  # the daemon counts while the component grows, and tells nobody
    world.one.enter(new, "started")
    world.settle()

    assert world.shown() == world.read_again()


def test_an_answer_older_than_events_that_overtook_it_does_not_win(world, pool):
    top = settled(world, pool)
    world.model.read_again(world.now_s)
    world.tick(1.0)
    world.answer(world.one.address)  # the list of applications
    world.tick(1.0)
    old = world.one.client().tree("pool")
    question, _ = world.asked[world.one.address].pop(0)

    world.one.judge(top, good=False, text="late")
    world.pull(world.one.address)
    world.take(TreePage(question.address, "pool", question.number, old.rows, last=True))

    assert world.model.forest.at(world.one.address, "pool").row.health == "late"


def test_rows_of_a_lost_daemon_are_lost_with_the_age_of_what_was_heard_last(world, pool):
    top = settled(world, pool)
    world.two.add(top, "far", "kvm.domain")
    world.settle()
    near = world.model.forest.at(world.one.address, "pool:computer1")
    far = world.model.forest.at(world.one.address, "pool:far")
    world.pull(world.two.address)
    world.cut(world.two.address)

    world.now_s += 12.0

    assert world.model.lost_for(far, world.now_s) == pytest.approx(12.0)
    assert world.model.lost_for(near, world.now_s) is None
    shown = world.model.visible(Filter(faults=True))
    assert far in shown
    assert near not in shown


def test_a_daemon_that_is_back_is_read_again_with_what_happened_meanwhile(world, pool):
    top = settled(world, pool)
    far = world.two.add(top, "far", "kvm.domain")
    world.two.add(None, "own", "compound")
    world.settle()
    world.cut(world.two.address)
    world.two.judge(far, good=False, text="unseen")
    world.two.add(world.two.apps["own"], "new")
    world.two.end(world.two.add(None, "brief"), Record.normal())

    world.reach(world.two.address)
    world.settle()

    assert world.shown() == world.read_again()
    assert all(
        world.model.lost_for(node, world.now_s) is None for node in world.model.forest.walk()
    )


def test_a_daemon_that_holds_parts_is_followed_but_its_own_applications_are_not_shown(fake, pool):
    world = World(fake, "one")
    world.reach_all()
    far = world.two.add(pool(world.one), "far", "kvm.domain")
    world.two.add(None, "own", "compound")
    world.settle()
    assert list(world.model.hosts) == [world.one.address, world.two.address]

    world.two.judge(far, good=False, text="told by its own daemon")
    world.settle()

    assert world.shown() == world.read_again()
    assert world.model.forest.at(world.two.address, "own") is None

    world.one.end(world.one.apps["pool"], Record.normal())
    world.settle()
    world.model.count_components()
    assert list(world.model.hosts) == [world.one.address]


def test_two_names_of_one_daemon_show_it_once(fake, pool):
    daemon = fake("one", 1)
    pool(daemon)
    model = Model(["127.0.0.1:1", "host1:1"])
    for address in ("127.0.0.1:1", "host1:1"):
        model.take(Reached(address, daemon.client().hello()), 0.0)

    assert model.hosts["host1:1"].reach is Reach.SAME
    assert {question.address for question in model.due(10.0)} == {"127.0.0.1:1"}


def test_a_daemon_that_answers_under_another_name_takes_over_from_the_lost_one(fake, pool):
    daemon = fake("one", 1)
    pool(daemon)
    model = Model(["127.0.0.1:1", "host1:1"])
    model.take(Reached("127.0.0.1:1", daemon.client().hello()), 0.0)
    model.take(Silent("127.0.0.1:1", "moved"), 1.0)

    model.take(Reached("host1:1", daemon.client().hello()), 2.0)

    assert model.hosts["host1:1"].reach is Reach.LIVE
    assert {question.address for question in model.due(10.0)} == {"host1:1"}


def test_the_consequences_of_an_end_count_what_is_hidden_elsewhere_and_lost(world, pool):
    top = settled(world, pool)
    world.two.add(top.children["computer1"], "far", "kvm.domain")
    world.settle()
    world.cut(world.two.address)
    node = world.model.forest.at(world.one.address, "pool:computer1")
    node.open = False

    what = consequences(world.model, node, world.now_s)

    assert (what.components, what.hosts, what.lost, what.parent) == (4, ("one", "two"), 1, "pool")
    assert "1 of them cannot be reached now." in what.sentences()


def test_a_gap_in_the_events_has_everything_read_again(world, pool):
    top = settled(world, pool)
    world.one.judge(top, good=False, text="missed")
    world.places[world.one.address] = len(world.one.log)

    world.take(Happened(world.one.address, (), gap=True))
    world.settle()

    assert world.shown() == world.read_again()


def test_a_part_called_lost_by_its_parents_daemon_is_looked_at_again(world, pool):
    settled(world, pool)
    key = (world.one.address, "pool:computer1:domain")
    node = world.model.forest.at(*key)
    node.row = replace(node.row, state="lost", health="no answer")
    assert world.model.lost_for(node, world.now_s) is not None

    world.settle()

    assert world.shown() == world.read_again()


def test_what_belongs_to_no_component_is_only_a_line(world, pool):
    settled(world, pool)
    before = world.shown()
    lines = len(world.model.lines)

    world.one.happen(None, Noted("warning", "disk nearly full"))
    world.one.happen(None, Progressed("op", "creating", 1, 2))
    world.settle()

    assert world.shown() == before
    assert len(world.model.lines) == lines + 2


def test_folding_hides_what_is_below_and_a_filter_shows_it(world, pool):
    settled(world, pool)
    address = world.one.address
    world.model.forest.at(address, "pool:computer2").open = False

    paths = {node.row.path for node in world.model.visible(Filter())}
    assert "pool:computer2" in paths
    assert "pool:computer2:disk" not in paths

    found = [node.row.path for node in world.model.visible(Filter("computer2:disk"))]
    assert found == ["pool", "pool:computer2", "pool:computer2:disk"]


@pytest.mark.parametrize(
    ("text", "faults", "expected"),
    [
        ("kvm", False, 3),
        ("!kvm", False, 7),
        ("kvm !computer1", False, 2),
        ("kind=storage", False, 3),
        ("name=computer1 kind=compound", False, 1),
        ("state=started", False, 10),
        ("host=nowhere", False, 0),
        ("", True, 1),
        ("DISK", False, 3),
    ],
)
def test_a_filter_keeps_what_fits_and_what_is_above_it(world, pool, text, faults, expected):
    settled(world, pool)
    wanted = Filter(text, faults=faults)
    test = wanted.test()

    shown = world.model.visible(wanted)

    fitting = [n for n in shown if test(n.row) and (not faults or n.row.good is False)]
    assert len(fitting) == expected
    needed = Counter()
    for node in fitting:
        at = node
        while at is not None:
            needed[at.key] += 1
            at = at.parent
    assert {node.key for node in shown} == set(needed)


DEEDS = (
    "add", "add", "add far", "end", "restart", "judge", "ready", "judge", "ready",
    "pull one", "pull one", "pull two", "pull two", "tick", "tick", "answer one", "answer one",
    "answer one", "cut two", "mend two", "again", "settle",
)  # fmt: skip


def alive(world):
    return [part for app in world.one.apps.values() for _, part in app.walk()]


def do(world, deed, which, much):  # noqa: C901, PLR0912 - one line for each deed
    """Do one of the things that may happen, in a daemon or on the way."""
    parts = alive(world)
    part = parts[which % len(parts)] if parts else None
    address = (world.two if deed.endswith("two") else world.one).address
    match deed.split()[0]:
        case "add" if part is None or which % 5 == 0:
            if f"app{much}" not in world.one.apps:
                world.one.add(None, f"app{much}", "compound")
        case "add":
            if f"c{much}" not in part.children:
                holder = world.two if deed == "add far" else part.daemon
                holder.add(part, f"c{much}", start=much % 3 != 0)
                if holder is not part.daemon:  # only a flow makes parts elsewhere later on
                    part.daemon.happen(part, Restarted(f"c{much} is started"))
        case "end" if part is not None:
            world.one.end(part, Record.abnormal(f"end {much}"))
        case "restart" if part is not None and part.parent is not None:
            world.one.restart(part)
        case "judge" if part is not None:
            part.daemon.judge(part, good=bool(much % 2), text=str(much))
        case "ready" if part is not None:
            part.daemon.be_ready(part, ready=bool(much % 2))
        case "pull":
            world.pull(address, much)
        case "tick":
            world.tick(much / 10)
        case "answer":
            world.answer(address)
        case "cut":
            world.cut(address)
        case "mend" if address not in world.places and address in world.model.hosts:
            world.reach(address)
        case "again":
            world.model.read_again(world.now_s)
        case "settle":
            world.settle()


@settings(max_examples=150, deadline=None)
@given(
    listed=st.sampled_from([("one", "two"), ("one",)]),
    deeds=st.lists(
        st.tuples(st.sampled_from(DEEDS), st.integers(0, 50), st.integers(0, 8)),
        min_size=15,
        max_size=60,
    ),
)
def test_whatever_happens_the_events_lead_to_what_reading_again_would_show(
    fake, pool, listed, deeds
):
    world = World(fake, *listed)
    world.reach_all()
    settled(world, pool)
    for deed in deeds:
        do(world, *deed)
        world.model.forest.check()

    if world.two.address in world.model.hosts and world.two.address not in world.places:
        world.reach(world.two.address)
    world.settle()

    assert world.shown() == world.read_again()
