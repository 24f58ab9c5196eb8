"""A daemon that exists in memory only: the same answers and events as a real one, on demand."""

from __future__ import annotations

import threading
import time

import pytest

from engine.core.events import (
    AttributeChanged,
    Event,
    HealthChanged,
    Ident,
    ReadyChanged,
    Restarted,
    StateChanged,
)
from engine.core.faults import NotFound, Unreachable
from engine.core.records import Record
from engine.wire.messages import AttributeRow, Gone, Page, TreeRow, Welcome

NOON_MS = 1_700_000_000_000


class Component:
    """One component of a fake daemon."""

    def __init__(self, daemon, parent, name, kind, address):
        self.daemon, self.parent, self.name = daemon, parent, name
        self.kind, self.address = kind, address
        self.path = name if parent is None else f"{parent.path}:{name}"
        self.ident = Ident(daemon.id, daemon.new_id())
        self.children = {}
        self.state, self.ready, self.good, self.health = "created", False, None, ""
        self.restarts = 0
        self.record = None

    def walk(self, depth=0):
        yield depth, self
        for child in list(self.children.values()):
            yield from child.walk(depth + 1)

    def row(self, depth):
        return TreeRow(
            self.path, self.name, depth, self.kind, self.state, self.ready, self.good, self.health,
            self.address, 1.0, self.restarts, self.ident, self.record,
        )  # fmt: skip


class FakeDaemon:
    """Applications in memory. Every change leaves the event a real daemon would leave."""

    def __init__(self, name="one", port=1):
        self.name, self.id, self.address = name, f"id-{name}", f"127.0.0.1:{port}"
        self.apps = {}
        self.log = []
        self.down = False
        self.life = 1
        self.asked = []
        self.ended = []
        self._numbers = 0
        self._changed = threading.Condition()

    def new_id(self):
        self._numbers += 1
        return f"{self.name}{self._numbers}"

    # -- what happens in it

    def happen(self, component, body):
        if component is not None and component.daemon is not self:
            component.daemon.happen(component, body)
            return
        with self._changed:
            at_ms = NOON_MS + 1000 * len(self.log)
            about = Ident("", "") if component is None else component.ident
            path = "" if component is None else component.path
            event = Event(len(self.log) + 1, at_ms, about, path.partition(":")[0], path, body)
            self.log.append(event)
            self._changed.notify_all()

    def add(self, parent, name, kind="test.part", *, start=True):
        """Create a component, and start it."""
        component = Component(self, parent, name, kind, self.address)
        siblings = self.apps if parent is None else parent.children
        siblings[name] = component
        self.happen(component, StateChanged("created"))
        if start:
            self.enter(component, "deployed")
            self.enter(component, "started")
            self.be_ready(component, ready=True)
        return component

    def enter(self, component, state):
        component.state = state
        self.happen(component, StateChanged(state))

    def be_ready(self, component, *, ready):
        if component.ready != ready:
            component.ready = ready
            self.happen(component, ReadyChanged(ready))

    def judge(self, component, *, good, text=""):
        component.good, component.health = good, text
        self.happen(component, HealthChanged(good, text))

    def set(self, component, name, text):
        self.happen(component, AttributeChanged(name, text))

    def end(self, component, record):
        """End a component and what is below it, children first."""
        if component.record is not None:
            return
        component.record, component.state = record, "terminating"
        self.happen(component, StateChanged("terminating", record))
        for child in reversed(list(component.children.values())):
            self.end(child, record)
        component.state, component.ready = "terminated", False
        self.happen(component, StateChanged("terminated", record))
        siblings = self.apps if component.parent is None else component.parent.children
        siblings.pop(component.name, None)

    def restart(self, component):
        """End a child and bring another to life in its place."""
        parent, name = component.parent, component.name
        order = list(parent.children)
        self.end(component, Record.abnormal("told to"))
        self.happen(parent, Restarted(f"{name} is restarted"))
        new = component.daemon.add(parent, name, component.kind)
        new.restarts = component.restarts + 1
        parent.children = {each: parent.children[each] for each in order}
        return new

    def crash(self):
        with self._changed:
            self.down = True
            self._changed.notify_all()

    def come_back(self):
        self.life += 1
        self.log.clear()
        self.down = False

    # -- what it answers

    def client(self):
        return FakeClient(self)

    def find(self, ref):
        names = ref.split(":")
        found = self.apps.get(names[0])
        for name in names[1:]:
            found = found.children.get(name) if found else None
        if found is None:
            raise NotFound("no such component", where=ref)
        return found

    def rows(self, ref=""):
        if not ref:
            return [app.row(0) for app in self.apps.values()]
        return [component.row(depth) for depth, component in self.find(ref).walk()]

    def after(self, cursor, limit):
        life, _, number = cursor.partition(".")
        gap = bool(cursor) and life != str(self.life)
        start = len(self.log) if not cursor else 0 if gap else int(number)
        events = self.log[start : start + limit]
        return list(events), f"{self.life}.{start + len(events)}", gap

    def wait(self, cursor, limit, wait_s):
        end = time.monotonic() + wait_s
        with self._changed:
            while True:
                if self.down:
                    raise Unreachable("connection refused")
                found = self.after(cursor, limit)
                left = end - time.monotonic()
                if found[0] or left <= 0:
                    return found
                self._changed.wait(left)


class FakeEnding:
    def __init__(self, daemon, ref, record):
        self._daemon, self._ref, self._record = daemon, ref, record

    def follow(self, report):
        self._daemon.ended.append((self._ref, self._record))

    def result(self):
        component = self._daemon.find(self._ref)
        number = len(list(component.walk()))
        self._daemon.end(component, self._record)
        return Gone(self._ref, number, 20, self._record)


class FakeClient:
    """The calls of a client that the console uses."""

    def __init__(self, daemon):
        self._daemon = daemon

    def _ask(self, *question):
        if self._daemon.down:
            raise Unreachable("connection refused")
        self._daemon.asked.append(question)

    def hello(self):
        self._ask("hello")
        daemon = self._daemon
        return Welcome(1, daemon.id, daemon.name, daemon.address, "0", "running", 1, 1.0, 0)

    def tree(self, ref="", *, depth=128, after="", limit=500):
        self._ask("tree", ref)
        rows = self._daemon.rows(ref)
        if not ref:
            return Page(tuple(rows))
        paths = [row.path for row in rows]
        start = paths.index(after) + 1 if after in paths else 0
        more = len(rows) > start + limit
        page = tuple(rows[start : start + limit])
        return Page(page, next=page[-1].path if more else "")

    def attributes(self, ref):
        self._ask("attributes", ref)
        component = self._daemon.find(ref)
        return [
            AttributeRow("sfClass", component.kind, "string"),
            AttributeRow("size", "16777216", "int"),
            AttributeRow("password", "(secret)", "secret", ("secret",)),
            *(
                AttributeRow(name, f"{type(child).__name__}, {child.state}", "component")
                for name, child in component.children.items()
            ),
            AttributeRow("sfState", component.state, "string", ("engine",)),
        ]

    def events(self, cursor="", *, application="", limit=500, wait_s=0.0):
        self._ask("events")
        return self._daemon.wait(cursor, limit, wait_s)

    def terminate(self, ref, record):
        self._ask("terminate", ref)
        return FakeEnding(self._daemon, ref, record)

    def close(self):
        pass


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def fake():
    """Makes fake daemons."""
    return FakeDaemon


def small_pool(daemon):
    """Three machines with a disk each, one of them unwell."""
    pool = daemon.add(None, "pool", "compound")
    for number in (1, 2, 3):
        machine = daemon.add(pool, f"computer{number}", "compound")
        daemon.add(machine, "disk", "storage.loop")
        daemon.add(machine, "domain", "kvm.domain")
    daemon.judge(pool.children["computer2"].children["domain"], good=False, text="no answer")
    return pool


def big_pool(daemon, groups=100, each=99):
    """An application of 1 + groups x (1 + each) components; 10,001 unless told otherwise."""
    pool = daemon.add(None, "pool", "compound", start=False)
    for group in range(groups):
        parent = daemon.add(pool, f"group{group:03}", "compound", start=False)
        for part in range(each):
            daemon.add(parent, f"part{part:03}", start=False)
    daemon.log.clear()
    return pool


@pytest.fixture(scope="session")
def pool():
    """Fills a fake daemon."""
    return small_pool


@pytest.fixture
def console(clock):
    """Makes a console over fake daemons."""
    from datetime import UTC

    from tui.app import ConsoleApp

    def make(*daemons, ticking=False):
        known = {daemon.address: daemon for daemon in daemons}
        moving = {"clock": clock} if not ticking else {}
        return ConsoleApp(
            list(known), connect=lambda address: known[address].client(), zone=UTC, **moving
        )

    return make
