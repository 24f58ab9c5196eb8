"""The console: puts model, workers and widgets together.

News arrives as messages and goes into the model at once; the screen is painted from the model at most
ten times a second, and once a second for the ages. Keys are answered in between: nothing here waits.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import tzinfo
from pathlib import PurePath
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Event, InputEvent
from textual.message import Message
from textual.widgets import Footer, Input, Static
from typing_extensions import override

from engine.client.client import Client
from engine.core.records import Record
from engine.wire.messages import AttributeRow
from tui import wording
from tui.consequences import consequences
from tui.filtering import Filter
from tui.forest import Key, Node
from tui.hosts import Reach
from tui.housekeeping import Housekeeping
from tui.model import Model
from tui.news import AttributesRead, AttributesRefused, Happened, News, Told
from tui.widgets.attribute_table import AttributeTable
from tui.widgets.component_tree import ComponentTree
from tui.widgets.confirm import Confirm
from tui.widgets.event_log import EventLog
from tui.widgets.help import Help, listed
from tui.widgets.host_bar import bar
from tui.widgets.lines import Lines
from tui.workers import Connect, Feed, Source, terminate

ANSWER_S = 20.0
TICK_S = 0.1
AGES_S = 1.0
SETTLE_S = 0.08
LOOK_AGAIN_S = 0.4
REMEMBERED = 64
REASON = "ended from the console"


def client_of(address: str) -> Source:
    """Make a client of a daemon."""
    return Client(address, timeout_s=ANSWER_S)


class Delivery(Message):
    """News from a worker thread."""

    def __init__(self, news: News) -> None:
        """Take the news."""
        self.news = news
        super().__init__()


class FilterField(Input):
    """Where the filter is written; it works while it is being written."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "keep the filter"),
        Binding("escape", "app.no_filter", "show all again"),
    ]


class ConsoleApp(App[None]):
    """One screen: hosts, tree, attributes, events, and the keys."""

    CSS_PATH: ClassVar[str | PurePath | list[str | PurePath] | None] = "app.tcss"
    TITLE: str | None = "sftui"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it so
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-low"), (36, "-tall")]  # noqa: RUF012 - Textual declares it so
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "terminate(False)", "terminate"),
        Binding("T", "terminate(True)", "terminate as failed", show=False),
        Binding("slash", "filter", "filter"),
        Binding("f", "faults", "faults only"),
        Binding("escape", "no_filter", "show all again", show=False),
        Binding("r", "read_again", "read again"),
        Binding("c", "copy_name", "copy name"),
        Binding("question_mark", "help", "help"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        connect: Connect = client_of,
        clock: Callable[[], float] = time.monotonic,
        zone: tzinfo | None = None,
    ) -> None:
        """Take the daemons to show; tests bring clients, a clock and a zone of their own."""
        # under NO_COLOR Textual sends greys unless it may leave colours to the terminal
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.model = Model(list(dict.fromkeys(addresses)))
        self.clock = clock
        self._connect = connect
        self._feeds: dict[str, Feed] = {}
        self._attributes: dict[Key, tuple[AttributeRow, ...]] = {}
        self._problems: dict[Key, str] = {}
        self._asked_s = 0.0
        self._painted_s = float("-inf")
        self.housekeeping = Housekeeping()
        self.components = ComponentTree(self.model, clock, id="tree")
        self.table = AttributeTable(id="attributes")
        self.events = EventLog(self.model.lines, zone, id="events")
        self._hosts = Static(id="hosts", markup=False)
        self._status = Static(id="status", markup=False)
        self._field = FilterField(placeholder="words, !word, state= kind= host= name=", id="filter")

    @override
    def compose(self) -> ComposeResult:
        yield self._hosts
        with Container(id="panes"):
            yield self.components
            yield self.table
        yield self.events
        yield self._status
        yield self._field
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow the daemons."""
        self.components.focus()
        self.events.border_title = "Events"
        self._follow_hosts()
        self._paint()
        self.set_interval(TICK_S, self._tick)

    def on_unmount(self) -> None:
        """Let the threads end."""
        for feed in self._feeds.values():
            feed.stop()

    # -- news

    def _deliver(self, news: News) -> None:
        with contextlib.suppress(RuntimeError):  # the console has ended meanwhile
            self.post_message(Delivery(news))

    @on(Delivery)
    def _delivered(self, message: Delivery) -> None:
        if not self.screen_stack:
            return  # the console is ending
        news = message.news
        now_s = self.clock()
        match news:
            case AttributesRead(address, ref, rows):
                self._remember((address, ref), rows)
            case AttributesRefused(address, ref, why):
                self._problems[address, ref] = why
                self._show_attributes()
            case Told(text, level):
                self.say(text, error=level == "error")
            case _:
                self.model.take(news, now_s)
                if isinstance(news, Happened) and news.address in self._feeds:
                    self._feeds[news.address].taken()

    def _remember(self, key: Key, rows: tuple[AttributeRow, ...]) -> None:
        self._attributes.pop(key, None)
        self._attributes[key] = rows
        self._problems.pop(key, None)
        while len(self._attributes) > REMEMBERED:
            del self._attributes[next(iter(self._attributes))]
        self._show_attributes()

    def _follow_hosts(self) -> None:
        """Have a feed for each daemon of the model, and none for others."""
        wanted = {
            address for address, view in self.model.hosts.items() if view.reach is not Reach.SAME
        }
        for address in self._feeds.keys() - wanted:
            self._feeds.pop(address).stop()
        for address in wanted - self._feeds.keys():
            feed = self._feeds[address] = Feed(address, self._connect, self._deliver)
            feed.start()

    # -- painting

    def _tick(self) -> None:
        now_s = self.clock()
        for question in self.model.due(now_s):
            feed = self._feeds.get(question.address)
            if feed is not None:
                feed.ask(question)
        node = self.components.selected
        if node is not None and node.key in self.model.touched:
            self._ask_attributes(node)
        if self.model.changed or now_s - self._painted_s >= AGES_S:
            self._follow_hosts()
            self._paint()
        version = self.model.forest.version
        if self.housekeeping.due(now_s, version):
            self.housekeeping.tidy(now_s, version)

    @override
    async def on_event(self, event: Event) -> None:
        if isinstance(event, InputEvent):
            self.housekeeping.keyed(self.clock())
        await super().on_event(event)

    def _paint(self) -> None:
        now_s = self.clock()
        self._painted_s = now_s
        self.model.changed = False
        self.model.count_components()
        self.components.update()
        self.components.border_title = self._tree_title()
        self._hosts.update(bar(list(self.model.hosts.values()), now_s))
        self.events.refresh()
        self._show_attributes()

    def _tree_title(self) -> str:
        found = len(self.model.forest)
        if not found:
            if self.model.reading:
                return "Reading"
            return "No applications; start one with: sfstart HOST NAME DESCRIPTION"
        title = wording.count(found, "component")
        shown = self.components.filter
        if shown.active:
            words = f"“{shown.text}”" if shown.text else ""
            kind = "faults " if shown.faults else ""
            title = f"{self.components.count():,} of {title}: {kind}{words}".rstrip()
        return title

    def say(self, text: str, *, error: bool = False) -> None:
        """Write a line for the user; it stays until the next one."""
        self._status.set_class(error, "error")
        self._status.update(f"✖ {text}" if error else text)

    # -- attributes

    @on(Lines.Moved, "#tree")
    def _selected(self) -> None:
        self._show_attributes()
        node = self.components.selected
        if node is not None:
            key = node.key
            self.set_timer(SETTLE_S, lambda: self._settled(key))

    def _settled(self, key: Key) -> None:
        """Read the attributes once the cursor has rested on a component."""
        node = self.components.selected
        if node is not None and node.key == key:
            self._asked_s = float("-inf")
            self._ask_attributes(node)

    def _ask_attributes(self, node: Node) -> None:
        now_s = self.clock()
        if now_s - self._asked_s < LOOK_AGAIN_S:
            return
        self._asked_s = now_s
        self.model.touched.clear()
        feed = self._feeds.get(node.host)
        if feed is not None and self.model.hosts[node.host].reach is Reach.LIVE:
            feed.ask_attributes(node.row.path)

    def _show_attributes(self) -> None:
        node = self.components.selected
        if node is None:
            self.table.show(None, (), "Attributes")
            return
        lost_s = self.model.lost_for(node, self.clock())
        title = f"{node.row.path} · {node.row.kind or 'not known'}"
        if lost_s is not None:
            title += f" · lost, {wording.age(lost_s)} old"
        elif node.key in self._problems:
            title += f" · {self._problems[node.key]}"
        if node.row.health:
            title += f" · {node.row.health}"
        self.table.show(node.key, self._attributes.get(node.key, ()), title)

    # -- keys

    def action_terminate(self, abnormal: bool) -> None:  # noqa: FBT001 - Textual passes actions by position
        """Ask whether to end the selected component, and do it if that is wished."""
        node = self.components.selected
        if node is None:
            self.say("nothing is selected", error=True)
            return
        view = self.model.hosts.get(node.host)
        if view is None or view.reach is not Reach.LIVE:
            label = node.host if view is None else view.label
            self.say(f"{node.row.path} cannot be terminated: {label} does not answer", error=True)
            return
        what = consequences(self.model, node, self.clock())
        record = Record.abnormal if abnormal else Record.normal
        host = node.host

        def answered(reason: str | None) -> None:
            if reason is None:
                self.say(f"{what.path} was left as it is")
                return
            self.say(f"terminating {what.path}")
            terminate(host, what.path, record(reason), self._connect, self._deliver)

        self.push_screen(Confirm(what, abnormal=abnormal, reason=REASON), answered)

    def action_filter(self) -> None:
        """Let the user write a filter."""
        self._field.display = True
        self._field.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._filter(Filter(event.value, faults=self.components.filter.faults))

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self._leave_filter()

    def _leave_filter(self) -> None:
        self._field.display = False
        self.components.focus()

    def _filter(self, wanted: Filter) -> None:
        self.components.filter = wanted
        self._paint()

    def action_faults(self) -> None:
        """Show only what is wrong, or everything again."""
        now = self.components.filter
        self._filter(Filter(now.text, faults=not now.faults))

    def action_no_filter(self) -> None:
        """Show everything again."""
        self._field.value = ""
        self._leave_filter()
        self._filter(Filter())

    def action_read_again(self) -> None:
        """Have everything read again."""
        self.model.read_again(self.clock())
        self.say("reading again")

    def action_copy_name(self) -> None:
        """Copy the complete name of the selected component to the terminal's clipboard."""
        node = self.components.selected
        if node is not None:
            self.copy_to_clipboard(node.row.path)
            self.say(f"copied {node.row.path}")

    def action_help(self) -> None:
        """List the keys that do something now."""
        active = self.screen.active_bindings.values()
        self.push_screen(Help(listed(each.binding for each in active if each.enabled)))
