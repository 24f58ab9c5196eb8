"""Channels carry bytes both ways once, are closed when nobody reads, and are found wherever they are."""

from __future__ import annotations

import pytest

from engine.core.events import Noted
from engine.core.faults import Busy, EngineError, NotAllowed, NotFound, Refused
from engine.runtime import channels
from engine.runtime.channels import IDLE_S, KEPT_BYTES, MOST_OPEN, Channels
from engine.runtime.permission import permit
from engine.security.identity import Caller, Role
from engine.testing.components import Echoing
from engine.testing.kit import Rule, engines, tree, until, virtual_time
from engine.wire.messages import CloseChannel, FeedChannel, OpenChannel, PullChannel

ANN = Caller("ann", "client", frozenset({Role.OPERATOR}))
ECHO = {"sfClass": "engine.testing.components.Echoing"}


class Talk:
    """One user's channel, by the messages of the wire."""

    def __init__(self, engine, channel="c1", ref="app:echo"):
        self.process = engine.process
        self.channel, self.ref = channel, ref
        self.at = 0

    async def send(self, wanted):
        return await self.process.services.get(Channels).answer(self.process, wanted, ANN)

    async def open(self, name="console"):
        return await self.send(OpenChannel(self.channel, name, ref=self.ref))

    async def pull(self, wait_ms=5000, at=None):
        got = await self.send(PullChannel(self.channel, self.at if at is None else at, wait_ms))
        self.at = got.at + len(got.data)
        return got

    async def feed(self, at, data):
        return await self.send(FeedChannel(self.channel, at, data))


def run(story, *, hosts=1, where=""):
    def whole(tmp_path):
        async def go():
            async with engines(tmp_path, hosts) as (network, made):
                echo = {**ECHO, "sfProcessHost": where} if where else ECHO
                await made[0].deploy(
                    "app", tree({"sfClass": "engine.compound.Compound", "echo": echo})
                )
                await story(network, made)

        virtual_time(go())

    return whole


def echo_of(engine):
    return next(
        live.prim for live in engine.process.lives.values() if isinstance(live.prim, Echoing)
    )


@pytest.mark.parametrize("where", ["", "host2"])
def test_bytes_go_both_ways_wherever_the_component_is(tmp_path, where):
    async def story(_, made):
        talk = Talk(made[0])
        await talk.open()
        assert (await talk.pull()).data == b"hello\n"
        await talk.feed(0, b"ls")
        await talk.feed(2, b" -l")
        got = (await talk.pull()).data
        while len(got) < 5:
            got += (await talk.pull()).data
        assert got == b"LS -L"
        await talk.feed(5, b".")
        while not (last := await talk.pull()).ended:
            pass
        assert last.ended == "console of app:echo has ended"
        await talk.send(CloseChannel("c1"))
        assert echo_of(made[1] if where else made[0]).opened[0].closed

    run(story, hosts=2, where=where)(tmp_path)


def test_what_is_asked_or_sent_again_comes_and_goes_once(tmp_path):
    async def story(_, made):
        talk = Talk(made[0])
        await talk.open()
        await talk.open()
        assert len(echo_of(made[0]).opened) == 1
        assert (await talk.pull(at=0)).data == b"hello\n"
        assert (await talk.pull(at=0)).data == b"hello\n"
        await talk.feed(0, b"abc")
        assert (await talk.feed(0, b"abcd")).fed == 4
        got = b""
        while len(got) < 4:
            got += (await talk.pull()).data
        assert got == b"ABCD"
        with pytest.raises(Refused, match="4 bytes were sent"):
            await talk.feed(9, b"x")

    run(story)(tmp_path)


def test_a_lost_answer_on_the_way_to_another_host_loses_nothing(tmp_path):
    async def story(network, made):
        talk = Talk(made[0])
        await talk.open()
        network.rules.append(Rule("lose", verb="stream", to="host2:3800"))
        with pytest.raises(EngineError):
            await talk.pull()
        assert (await talk.pull()).data == b"hello\n"

    run(story, hosts=2, where="host2")(tmp_path)


def test_a_channel_nobody_reads_is_closed(tmp_path):
    async def story(_, made):
        talk = Talk(made[0])
        await talk.open()
        echo = echo_of(made[0]).opened[0]
        await until(lambda: echo.closed, timeout_s=IDLE_S + 5)
        with pytest.raises(NotFound, match="no such channel"):
            await talk.pull()
        said = [e.body.text for e in made[0].process.events._ring if isinstance(e.body, Noted)]
        assert "console opened by ann" in said
        assert "console opened by ann is closed: nobody reads it" in said

    run(story)(tmp_path)


def test_of_more_than_is_kept_the_oldest_is_lost_and_the_place_says_so(tmp_path):
    async def story(_, made):
        talk = Talk(made[0])
        await talk.open()
        await talk.pull()
        echo = echo_of(made[0]).opened[0]
        for _number in range(3):
            echo._came.put_nowait(b"x" * (KEPT_BYTES // 2))
        await until(echo._came.empty)
        got = await talk.pull()
        assert got.at == 6 + KEPT_BYTES // 2

    run(story)(tmp_path)


def test_what_cannot_be_had_is_refused_in_words(tmp_path):
    async def story(_, made):
        for ref, name, words in (
            ("app:nobody", "console", "cannot resolve|there is no|nobody"),
            ("app", "console", "a Compound, which has no console"),
            ("app:echo", "screen", "which has no screen"),
            ("app:echo", "x" * 200, "too long"),
        ):
            with pytest.raises(EngineError, match=words):
                await Talk(made[0], ref=ref).open(name)
        echo_of(made[0]).live.bound["busy"] = True
        with pytest.raises(Refused, match="it is busy"):
            await Talk(made[0]).open()
        echo_of(made[0]).live.bound["busy"] = False
        for number in range(MOST_OPEN):
            await Talk(made[0], f"c{number}").open()
        with pytest.raises(Busy, match="channels are open"):
            await Talk(made[0], "more").open()

    run(story)(tmp_path)


def test_a_viewer_and_an_operator_of_other_names_may_not(tmp_path):
    async def story(_, made):
        viewer = Caller("eve", "client", frozenset({Role.VIEWER}))
        other = Caller("bob", "client", frozenset({Role.OPERATOR}), ("web-*",))
        mine = Caller("ann", "client", frozenset({Role.OPERATOR}), ("app",))
        await Talk(made[0]).open()
        process = made[0].process
        for message in (
            OpenChannel("c2", "console", ref="app:echo"), PullChannel("c1"),
            FeedChannel("c1", 0, b"x"), CloseChannel("c1"),
        ):  # fmt: skip
            for caller in (viewer, other):
                with pytest.raises(NotAllowed):
                    permit(process, caller, "stream", message)
            permit(process, mine, "stream", message)

    run(story)(tmp_path)


def test_places_of_channels_that_nobody_closes_are_forgotten_those_in_use_last(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(channels, "MOST_AWAY", 2)

    async def story(_network, made):
        one, two, three = (Talk(made[0], f"c{number}") for number in range(3))
        await one.open()
        await two.open()
        await one.feed(0, b"still here")
        await three.open()
        assert (await one.pull()).data.endswith(b"STILL HERE")
        with pytest.raises(NotFound, match="no such channel"):
            await two.pull()

    run(story, hosts=2, where="host2")(tmp_path)
