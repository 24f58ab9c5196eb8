"""The console's model: news in, rows and questions out. No screen, no network, no clock.

Trees are read once, when a daemon is reached. From then on its events keep them up to date. An event
says what happened to whom, but not what kind of thing a new component is, so each new one is asked for
once; several close together in one question.

An answer may be older than events that came while it was under way. So events are kept while anything
is asked, each reading remembers where in them it began, and those after that place are applied again on
top of its rows. Applying an event twice does no harm: the last one about a component decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from engine.core.events import (
    AttributeChanged,
    EffectEvent,
    Emitted,
    Event,
    HealthChanged,
    Noted,
    Progressed,
    ReadyChanged,
    Rejected,
    Restarted,
    StateChanged,
)
from engine.wire.messages import TreeRow, Welcome
from tui import wording
from tui.filtering import Filter
from tui.forest import ENDED, Forest, Key, Node, above
from tui.hosts import HostView, Reach
from tui.news import Happened, Question, Reached, Silent, TreeNews, TreePage, TreeRefused

COALESCE_S = 0.15
AGAIN_S = 0.5
ENDED_S = 2.0
LOST_S = 3.0
MANY = 16
JOURNAL = 50_000
LINES = 200
ATTEMPTS = 3


@dataclass
class _Reading:
    """One question under way: its number, where in the journal it began, what came so far."""

    number: int
    mark: int
    seen: set[str] = field(default_factory=set)


class Model:
    """All that is shown.

    Attributes:
        hosts: By address, in the order given; followed ones behind.
        lines: The latest events, each with what its daemon is called; the newest last.
        touched: Components something happened to since whoever reads this emptied it.
        changed: Something to be painted happened since whoever reads this cleared it.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        """Take the daemons asked for."""
        self.hosts = {address: HostView(address, listed=True) for address in addresses}
        self.forest = Forest(addresses)
        self.lines: deque[tuple[str, Event]] = deque(maxlen=LINES)
        self.touched: set[Key] = set()
        self.changed = True
        self._daemons: dict[str, str] = {}
        self._aliases: set[str] = set()
        self._wants: dict[tuple[str, str], float] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._readings: dict[tuple[str, str], _Reading] = {}
        self._numbers = 0
        self._journal: list[tuple[str, Event]] = []
        self._journal_start = 0
        self._lost_looked_s = 0.0
        self._counted = -1

    # -- news

    def take(self, news: TreeNews, now_s: float) -> None:
        """Take in what a worker has to tell."""
        self.changed = True
        view = self.hosts.get(news.address)
        if view is None:
            return
        match news:
            case Reached(_, welcome):
                self._reached(view, welcome, now_s)
            case Silent(_, why):
                self._silent(view, why)
            case Happened(_, events, gap):
                view.heard_s = now_s
                for event in events:
                    self._event(view, event, now_s)
                if gap:
                    self._read_all(view, now_s)
            case TreePage():
                self._page(view, news, now_s)
            case TreeRefused():
                self._refused(view, news, now_s)

    def _reached(self, view: HostView, welcome: Welcome, now_s: float) -> None:
        other = self.hosts.get(self._daemons.get(welcome.daemon, ""))
        if other is not None and other is not view and other.reach is Reach.LIVE:
            if other.listed:
                self._let_go(view, other)
                return
            self._let_go(other, view)
        view.reach, view.why, view.heard_s = Reach.LIVE, "", now_s
        view.name, view.daemon = welcome.name, welcome.daemon
        view.insecure = welcome.security == "insecure"
        self._daemons[welcome.daemon] = view.address
        self._refusals.clear()
        self._read_all(view, now_s)

    def _let_go(self, view: HostView, other: HostView) -> None:
        """Stop following a daemon under a second name."""
        self._aliases.add(view.address)
        if view.listed:
            view.reach, view.why = Reach.SAME, other.label
        else:
            del self.hosts[view.address]

    def _read_all(self, view: HostView, now_s: float) -> None:
        """Ask for everything a daemon holds: its applications, and those that have parts there."""
        if view.listed:
            self._want(view.address, "", now_s)
        for host, roots in self.forest.roots.items():
            if host == view.address:
                continue
            for name, root in roots.items():
                if any(node.row.ident.daemon == view.daemon for node in root.walk()):
                    self._want(host, name, now_s)

    def read_again(self, now_s: float) -> None:
        """Ask for everything anew, also what was refused before."""
        self._refusals.clear()
        for view in self.hosts.values():
            self._read_all(view, now_s)

    def _silent(self, view: HostView, why: str) -> None:
        if view.reach is Reach.SAME:
            return
        view.reach, view.why = Reach.LOST, why
        for key in [key for key in self._readings if key[0] == view.address]:
            del self._readings[key]
        for key in [key for key in self._wants if key[0] == view.address]:
            del self._wants[key]
        self._trim_journal()

    # -- events

    def _event(self, view: HostView, event: Event, now_s: float) -> None:
        self.lines.append((view.label, event))
        if self._readings:
            self._journal.append((view.address, event))
            if len(self._journal) > JOURNAL:
                self._start_over(now_s)
        self._apply(view.address, event, now_s)

    def _apply(self, address: str, event: Event, now_s: float) -> None:
        if not event.about.component:
            return
        node = self.forest.of(event.about)
        if node is None:
            self._unknown(address, event, now_s)
            return
        self.touched.add(node.key)
        match event.body:
            case StateChanged():
                self._state(node, event.body, now_s)
            case ReadyChanged(ready):
                node.row = replace(node.row, ready=ready)
            case HealthChanged(good, text):
                node.row = replace(node.row, good=good, health=text)
            case AttributeChanged("status", text):
                node.row = replace(node.row, status=text.strip('"'))
            case Restarted():
                # a child made on a host that is not followed yet tells nobody but its parent
                node.restarting = True
                self._want(node.host, node.row.path, now_s + COALESCE_S)
            case (
                AttributeChanged() | EffectEvent() | Progressed() | Noted() | Emitted() | Rejected()
            ):
                pass  # shown as lines only; attributes are read again for the selected component

    def _state(self, node: Node, body: StateChanged, now_s: float) -> None:
        ended = body.state == "terminated"
        if body.state != node.row.state:
            node.since_s = now_s
        node.row = replace(
            node.row, state=body.state, record=body.record, ready=node.row.ready and not ended,
            status="" if body.state == "started" else node.row.status,  # then it rests
        )  # fmt: skip
        parent = node.parent
        if ended and (parent is None or parent.row.state not in ENDED):
            self._want(node.host, node.row.path, now_s + COALESCE_S)
        elif body.state == "started" and (parent is None or parent.restarting):
            # neither the number of restarts nor parts elsewhere are in the events of this daemon
            if parent is not None:
                parent.restarting = False
            self._want(node.host, node.row.path, now_s + COALESCE_S)

    def _unknown(self, address: str, event: Event, now_s: float) -> None:
        """Ask for a component nothing is known of, or for the first unknown one above it."""
        if isinstance(event.body, StateChanged) and event.body.state in ENDED:
            return
        hosts = self.forest.holders(event.application)
        if not hosts and self.hosts[address].listed:
            hosts = [address]
        for host in hosts:
            ref = self._first_unknown(host, event.path)
            if isinstance(event.body, StateChanged):
                self._refusals.pop((host, ref), None)
            self._want(host, ref, now_s + COALESCE_S)

    def _first_unknown(self, host: str, path: str) -> str:
        while path:
            parent = path.rpartition(":")[0]
            if not parent or self.forest.at(host, parent) is not None:
                break
            path = parent
        return path

    # -- readings

    def _want(self, host: str, ref: str, at_s: float) -> None:
        key = (host, ref)
        if self._refusals[key] >= ATTEMPTS and self.forest.at(host, ref) is None:
            return
        at_s = max(at_s, self._not_before.get(key, 0.0))
        self._wants[key] = min(at_s, self._wants.get(key, at_s))

    def due(self, now_s: float) -> list[Question]:
        """Return the readings to be begun now; each is answered by pages or a refusal."""
        self._look_for_lost(now_s)
        self._gather()
        questions = []
        for key, at_s in list(self._wants.items()):
            host, ref = key
            view = self.hosts.get(host)
            if view is None or view.reach is not Reach.LIVE:
                del self._wants[key]
            elif at_s <= now_s and not self._under_way(host, ref):
                del self._wants[key]
                self._numbers += 1
                mark = self._journal_start + len(self._journal)
                self._readings[key] = _Reading(self._numbers, mark)
                questions.append(Question(host, ref, self._numbers))
        return questions

    def _gather(self) -> None:
        """Ask for a whole application instead of for many of its components."""
        found = Counter((host, ref.partition(":")[0]) for host, ref in self._wants if ref)
        for (host, application), number in found.items():
            if number <= MANY:
                continue
            below = [
                key
                for key in self._wants
                if key[0] == host and key[1].partition(":")[0] == application
            ]
            at_s = min(self._wants.pop(key) for key in below)
            self._want(host, application, at_s)

    def _under_way(self, host: str, ref: str) -> bool:
        """Say whether the component, or one above or below it, is being read or asked for first."""
        above_it = ref
        while above_it:
            if (host, above_it) in self._readings or (
                above_it != ref and (host, above_it) in self._wants
            ):
                return True
            above_it = above_it.rpartition(":")[0]
        if not ref:
            return (host, "") in self._readings
        return any(at == host and other.startswith(f"{ref}:") for at, other in self._readings)

    def _look_for_lost(self, now_s: float) -> None:
        """Have what a daemon called lost read again now and then: no event tells of its return."""
        if now_s - self._lost_looked_s < LOST_S:
            return
        self._lost_looked_s = now_s
        self._not_before = {key: at_s for key, at_s in self._not_before.items() if at_s > now_s}
        for node in self.forest.walk():
            if node.row.state == "lost":
                self._want(node.host, above(node.row.path, node.row.name) or node.row.path, now_s)

    def _page(self, view: HostView, page: TreePage, now_s: float) -> None:
        key = (view.address, page.ref)
        reading = self._readings.get(key)
        if reading is None or reading.number != page.number:
            return
        view.heard_s = now_s
        for row in page.rows:
            self._put(view, page.ref, row, now_s)
            reading.seen.add(row.path)
        self._replay(reading, now_s)
        if page.last:
            del self._readings[key]
            self._refusals.pop(key, None)
            self._not_before[key] = now_s + AGAIN_S
            self._drop_unseen(view, page.ref, reading.seen)
            self._trim_journal()
            if not page.ref:
                for row in page.rows:
                    self._want(view.address, row.path, now_s)

    def _put(self, view: HostView, ref: str, row: TreeRow, now_s: float) -> None:
        node = self.forest.put(view.address, row, now_s, move=row.path != ref)
        if node is None:
            self._want(view.address, self._first_unknown(view.address, row.path), now_s + AGAIN_S)
            return
        if row.state == "terminated":
            self._want(view.address, row.path, now_s + ENDED_S)
        daemon = row.ident.daemon
        known = daemon in self._daemons or row.address in self.hosts or row.address in self._aliases
        if row.address and not known:
            self.hosts[row.address] = HostView(row.address, listed=False)

    def _drop_unseen(self, view: HostView, ref: str, seen: set[str]) -> None:
        if ref:
            top = self.forest.at(view.address, ref)
            tops = [] if top is None else list(top.walk())
        else:
            tops = list(self.forest.roots.get(view.address, {}).values())
        for node in tops:
            known = self.forest.at(view.address, node.row.path) is node
            if known and node.row.path not in seen:
                self.forest.remove(node)

    def _refused(self, view: HostView, refusal: TreeRefused, now_s: float) -> None:
        key = (view.address, refusal.ref)
        reading = self._readings.get(key)
        if reading is None or reading.number != refusal.number:
            return
        del self._readings[key]
        self._trim_journal()
        node = self.forest.at(view.address, refusal.ref)
        if refusal.gone and node is not None:
            self.forest.remove(node)
            return
        self._refusals[key] += 1
        self._not_before[key] = now_s + LOST_S
        if not refusal.gone or self._refusals[key] < ATTEMPTS:
            self._want(view.address, refusal.ref, now_s + LOST_S)

    def _replay(self, reading: _Reading, now_s: float) -> None:
        for address, event in self._journal[reading.mark - self._journal_start :]:
            if address in self.hosts:
                self._apply(address, event, now_s)

    def _trim_journal(self) -> None:
        if not self._readings:
            self._journal_start += len(self._journal)
            self._journal.clear()

    def _start_over(self, now_s: float) -> None:
        """Too much happened during a reading: give it up and ask anew."""
        for host, ref in list(self._readings):
            del self._readings[host, ref]
            self._want(host, ref, now_s + AGAIN_S)
        self._trim_journal()

    # -- what is shown

    @property
    def reading(self) -> bool:
        """Say whether answers are awaited."""
        return bool(self._readings or self._wants)

    def host_of(self, node: Node) -> HostView | None:
        """Return the daemon a component lives in, or through which it is known."""
        address = self._daemons.get(node.row.ident.daemon, node.host)
        return self.hosts.get(address) or self.hosts.get(node.host)

    def lost_for(self, node: Node, now_s: float) -> float | None:
        """Return how old what is shown of a lost component is; nothing if it is not lost."""
        view = self.host_of(node)
        if view is not None and view.reach is Reach.LOST:
            age_s = view.age_s(now_s)
            return now_s - node.since_s if age_s is None else age_s
        if node.row.state == "lost":
            return now_s - node.since_s
        return None

    def visible(self, filter_: Filter) -> list[Node]:
        """Return the rows in order: folded ones left out, or, under a filter, those that fit."""
        if filter_.active:
            return self._fitting(filter_)
        rows: list[Node] = []
        for roots in self.forest.roots.values():
            stack = list(reversed(roots.values()))
            while stack:
                node = stack.pop()
                rows.append(node)
                if node.open and node.children:
                    stack.extend(reversed(node.children.values()))
        return rows

    def _fitting(self, filter_: Filter) -> list[Node]:
        nodes = list(self.forest.walk())
        kept: set[int] = set()
        test = filter_.test()
        for node in reversed(nodes):
            if id(node) in kept or (test(node.row) and (not filter_.faults or self._faulty(node))):
                kept.add(id(node))
                if node.parent is not None:
                    kept.add(id(node.parent))
        return [node for node in nodes if id(node) in kept]

    def _faulty(self, node: Node) -> bool:
        return wording.is_bad(node.row) or self.lost_for(node, 0.0) is not None

    def count_components(self) -> None:
        """Count the components of each daemon, and stop following those that have none left."""
        if self._counted == self.forest.version:
            return
        self._counted = self.forest.version
        found: Counter[str] = Counter()
        addresses: set[str] = set()
        for node in self.forest.walk():
            found[node.row.ident.daemon] += 1
            addresses.add(node.row.address)
        for view in list(self.hosts.values()):
            view.components = found[view.daemon] if view.daemon else 0
            if not view.listed and not view.components and view.address not in addresses:
                del self.hosts[view.address]
                self._daemons.pop(view.daemon, None)
