"""Whatever bytes arrive as a message, the answer is a fault in words and the process goes on."""

from __future__ import annotations

import random
from typing import get_args

import msgspec
import pytest

from engine.core.events import Ident
from engine.core.faults import Kind
from engine.core.records import Record
from engine.runtime.resolver import encode_parts
from engine.security.identity import Caller, Role
from engine.testing.kit import engines, tree, virtual_time
from engine.wire import messages
from engine.wire.codec import FlatNode, FlatTree, NodeRef, decode, encode, flatten, unflatten
from engine.wire.messages import Answer, Failed
from sfdl.values import Part, PartKind

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
COMPOUND = tree({"sfClass": "engine.compound.Compound", "x": 1, "y": ["a", 2.5]})
EVERYBODY = Caller("fuzz", "client", frozenset({Role.OPERATOR, Role.PEER}))
INPUTS = 100_000


def corpus():
    """One good message of every kind, for its verb."""
    m, here, flat = messages, Ident("d", "c"), flatten(COMPOUND)
    parent = m.ParentLink(here, "host9:3800", "app")
    record = Record.normal()
    ops = [
        m.Create("s1", "app", "app", "app", flat, upto="started"),
        m.Create("s2", "app", "app:x", "x", flat, parent=parent, inherited=(("sfLog", "x"),)),
        m.Deploy("s1"), m.Start("s1"), m.Terminate(record, ref="app"),
        m.Terminate(record, segment="s2", quietly=True), m.Ping("app"),
        m.Call(here, "method", encode([1, "two"])),
        m.Set((m.Change("x", "replace", m.as_tree(7)),), ref="app"),
        m.Cancel("r1"), m.Detach("app"), m.Forget("s1", here), m.SetLevel("debug", "app"),
        m.Rename("s2", "app", "app:x", parent), m.Drain(), m.Spawn("p1", (("nice", "1"),)),
        m.Update("app", flat), m.UpdatePart("s2", flat), m.Graft("x", flat, ref="app"), m.Stop(),
    ]  # fmt: skip
    assert {type(op) for op in ops} == set(get_args(m.Op))
    readings = [
        m.ReadTree("app"), m.ReadAttributes("app"), m.Resolve(here, encode_parts([Part(PartKind.HERE, "x")]), 4), m.ReadSegment("s1"),
        m.ReadDiagnosis(services=True), m.ReadPlan("app", flat), m.ReadDump("app", resolved=True),
        m.ReadUpdate(flat, "app"), m.ReadValue("app:x"), m.ReadPeers(), m.ReadCheckup(), m.ReadCensus(),
    ]  # fmt: skip
    assert {type(reading) for reading in readings} == set(get_args(m.Reading))
    notice = m.Notice("s2", here, record)
    return [
        ("hello", encode(m.Hello(1, "fuzz"))),
        *(("submit", encode(m.Request("r", op, 1000, 1000))) for op in ops),
        *(("read", encode(reading)) for reading in readings),
        ("beat", encode(m.Beat("d", ("s1",), (notice,)))),
        ("stream", encode(m.Pull("0"))),
        ("stream", encode(m.PullLog("0"))),
        ("stream", encode(m.OpenChannel("c1", "console", ref="app"))),
        ("stream", encode(m.PullChannel("c1", 0))),
        ("stream", encode(m.FeedChannel("c1", 0, b"ls\n"))),
        ("stream", encode(m.CloseChannel("c1"))),
        ("stream", encode(m.PullPiece(f"sha256:{'0' * 64}", "host9:3800", 4096, 1024))),
    ]


def mutilated(chance, good):
    """Change a message somewhere, or make one up."""
    how = chance.random()
    if how < 0.05:
        return chance.randbytes(chance.randrange(200))
    data = bytearray(good)
    if how < 0.25:
        del data[chance.randrange(len(data)) :]
    elif how < 0.45:
        at = chance.randrange(len(data))
        data[at:at] = chance.randbytes(chance.randint(1, 8))
    elif how < 0.6:
        at = chance.randrange(len(data))
        del data[at : at + chance.randint(1, 8)]
    for _ in range(chance.randint(0, 5)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def test_100000_mutilated_messages_are_answered_in_words(tmp_path):
    async def fuzz():
        chance = random.Random(20260101)
        good = corpus()
        kinds: dict[str, int] = {}
        async with engines(tmp_path, 1) as (network, (one,)):
            verbs = network.verbs[one.process.address]
            await one.deploy("app", COMPOUND)
            for number in range(INPUTS):
                verb, message = chance.choice(good)
                if verb == "submit":  # a request id of its own, or it would be an earlier one's
                    message = message.replace(b"\xa1r", encode(f"r{number}"), 1)
                sent = mutilated(chance, message)
                answer = await verbs.handle(verb, sent, EVERYBODY)
                fault = fault_in(verb, answer)
                assert fault is None or fault.kind is not Kind.INTERNAL, (verb, sent, fault)
                name = "none" if fault is None else fault.kind.value
                kinds[name] = kinds.get(name, 0) + 1
            for verb, message in good:
                await verbs.handle(verb, message, EVERYBODY)
            assert not one.process.stopping.is_set()
        return kinds

    kinds = virtual_time(fuzz())

    assert sum(kinds.values()) == INPUTS
    assert kinds["Refused"] > INPUTS / 4
    assert kinds["none"] > 0


async def test_a_description_that_refers_to_nothing_is_refused(tmp_path):
    op = messages.Create("s", "a", "a", "a", FlatTree((FlatNode((("x", NodeRef(5)),), (), False),)))
    async with engines(tmp_path, 1) as (network, (one,)):
        verbs = network.verbs[one.process.address]
        request = messages.Request("r", op, 1000, 5000)
        answer = decode(await verbs.handle("submit", encode(request), EVERYBODY), Answer)
    assert answer.fault.kind is Kind.REFUSED
    assert "not there" in answer.fault.message


def fault_in(verb, answer):
    if verb == "submit":
        return decode(answer, Answer).fault
    try:
        return decode(answer, Failed).fault
    except msgspec.DecodeError:
        return None


def test_a_description_that_unfolds_without_end_is_refused():
    """Forty nodes, each having the one before twice: a million million components."""
    nodes = [FlatNode((), (), data=False)]
    for number in range(40):
        pairs = (("a", NodeRef(number)), ("b", NodeRef(number)))
        nodes.append(FlatNode(pairs, (), data=False))

    with pytest.raises(msgspec.ValidationError, match="too many"):
        unflatten(FlatTree(tuple(nodes)))
