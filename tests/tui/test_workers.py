"""The threads: they follow, they come back, they do not run ahead."""

from __future__ import annotations

import itertools
import queue
import threading
import time

import pytest

from engine.core.faults import TimedOut
from engine.core.records import Record
from engine.testing.daemons import wait_until
from tui.news import (
    AttributesRead,
    AttributesRefused,
    Happened,
    Question,
    Reached,
    Silent,
    Told,
    TreePage,
    TreeRefused,
)
from tui.workers import ROOM, Feed, terminate

PORTS = itertools.count(50_001)  # threads are told apart by address


@pytest.fixture
def following(fake, pool):
    """A feed over a fake daemon, and the queue it delivers to."""
    daemon = fake("one", next(PORTS))
    pool(daemon)
    news = queue.SimpleQueue()
    feed = Feed(daemon.address, lambda _: daemon.client(), news.put)
    feed.start()
    yield daemon, feed, news
    feed.stop()


def await_news(news, kind, feed=None, timeout_s=10.0):
    """The next news of a kind; events on the way are taken in."""
    end = time.monotonic() + timeout_s
    while True:
        item = news.get(timeout=max(0.01, end - time.monotonic()))
        if isinstance(item, Happened) and feed is not None:
            feed.taken()
        if isinstance(item, kind):
            return item


def test_a_feed_greets_and_then_hands_over_what_happens(following):
    daemon, _, news = following
    assert await_news(news, Reached).welcome.name == "one"

    daemon.judge(daemon.apps["pool"], good=True)

    events = await_news(news, Happened).events
    assert [event.path for event in events] == ["pool"]


def test_a_feed_says_that_its_daemon_is_silent_and_comes_back_with_what_it_missed(following):
    daemon, feed, news = following
    await_news(news, Reached)

    daemon.crash()
    assert "refused" in await_news(news, Silent, feed).why
    daemon.come_back()
    daemon.judge(daemon.apps["pool"], good=True)

    await_news(news, Reached, feed)
    missed = await_news(news, Happened)
    assert (missed.gap, len(missed.events)) == (True, 1)


def test_a_feed_does_not_run_ahead_of_whoever_takes_its_events(following):
    daemon, feed, news = following
    await_news(news, Reached)
    for _ in range(20_000):
        daemon.judge(daemon.apps["pool"], good=True)
    delivered = []

    def deliveries():
        while not news.empty():
            delivered.append(news.get())
        return len(delivered)

    wait_until(lambda: deliveries() >= ROOM, what="deliveries")
    time.sleep(0.3)
    assert deliveries() == ROOM

    feed.taken()
    wait_until(lambda: deliveries() == ROOM + 1, what="one more delivery")


def test_trees_come_in_pages_and_a_missing_component_is_said_to_be_gone(following):
    daemon, feed, news = following
    top = daemon.apps["pool"]
    for number in range(600):
        daemon.add(top, f"c{number}", start=False)

    feed.ask(Question(daemon.address, "pool", 7))
    feed.ask(Question(daemon.address, "pool:nothing", 8))

    first, second = await_news(news, TreePage, feed), await_news(news, TreePage, feed)
    assert [first.number, len(first.rows), first.last] == [7, 500, False]
    assert [second.number, len(second.rows), second.last] == [7, 110, True]
    refused = await_news(news, TreeRefused, feed)
    assert (refused.number, refused.gone) == (8, True)


def test_of_several_attribute_questions_only_the_last_matters(fake, pool):
    daemon = fake("one", 1)
    pool(daemon)
    news = queue.SimpleQueue()
    feed = Feed(daemon.address, lambda _: daemon.client(), news.put)
    for ref in ("pool", "pool:computer1", "pool:computer2"):
        feed.ask_attributes(ref)

    feed.start()
    answer = await_news(news, AttributesRead, feed)
    assert answer.ref == "pool:computer2"
    feed.ask_attributes("pool:nothing")
    assert await_news(news, AttributesRefused, feed).ref == "pool:nothing"
    feed.stop()

    assert [ref for verb, *ref in daemon.asked if verb == "attributes"] == [
        ["pool:computer2"], ["pool:nothing"],
    ]  # fmt: skip


def test_all_threads_end_when_a_feed_is_stopped(following):
    daemon, feed, news = following
    await_news(news, Reached)

    def alive():
        return [t for t in threading.enumerate() if t.name.endswith(f" {daemon.address}")]

    assert len(alive()) == 3
    feed.stop()
    wait_until(lambda: not alive(), what="threads ended")


def test_a_defect_in_a_client_is_said_and_the_threads_go_on(fake, pool):
    daemon = fake("one", next(PORTS))
    pool(daemon)
    broken = threading.Event()
    broken.set()

    class Client(type(daemon.client())):
        def _ask(self, *question):
            if broken.is_set():
                raise ValueError("unheard of")
            super()._ask(*question)

    news = queue.SimpleQueue()
    feed = Feed(daemon.address, lambda _: Client(daemon), news.put)
    feed.start()
    assert await_news(news, Silent, feed).why == "ValueError: unheard of"
    feed.ask(Question(daemon.address, "pool", 1))
    assert not await_news(news, TreeRefused, feed).gone
    feed.ask_attributes("pool")
    assert await_news(news, AttributesRefused, feed).why == "ValueError: unheard of"

    broken.clear()
    await_news(news, Reached, feed)
    feed.ask(Question(daemon.address, "pool", 2))
    assert await_news(news, TreePage, feed).number == 2
    feed.stop()


def test_a_termination_tells_how_it_ended(following):
    daemon, _, _ = following
    told = []

    terminate(
        daemon.address,
        "pool:computer1",
        Record.normal("enough"),
        lambda _: daemon.client(),
        told.append,
    ).join(10)

    assert told == [Told("terminated pool:computer1: 3 components in 0.0 s")]
    assert daemon.ended == [("pool:computer1", Record.normal("enough"))]


def test_a_termination_that_fails_says_why(following):
    daemon, _, _ = following
    told = []

    class Slow:
        def terminate(self, ref, record):
            raise TimedOut("not done in time", hint="ask again")

        def close(self):
            pass

    terminate(daemon.address, "pool", Record.normal(), lambda _: Slow(), told.append).join(10)

    assert told == [Told("pool was not terminated: not done in time; ask again", "error")]
