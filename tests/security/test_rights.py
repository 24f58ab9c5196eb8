"""One table says who may do what; nothing is outside it."""

from __future__ import annotations

from typing import get_args

import pytest
from msgspec import Struct

from engine.core.events import Ident
from engine.core.faults import NotAllowed
from engine.core.records import Record
from engine.runtime.permission import action_of
from engine.security.identity import Caller, Role, caller_of, uris
from engine.security.rights import LIMITED, RIGHTS, check
from engine.wire.codec import FlatTree
from engine.wire.messages import Call, Create, Op, ParentLink, Reading, Terminate

VIEWER, OPERATOR, ADMIN, PEER = (
    Caller("somebody", "client", frozenset({role}))
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.PEER)
)
SPECIFIED = {  # who may, in the order viewer, operator, admin, peer
    "hello": "yyyy", "beat": "nnny", "stream": "yyyy", "stream piece": "nnny", "stream channel": "nyyy",
    "read tree": "yyyy", "read attributes": "yyyy", "read dump": "yyyy", "read diagnosis": "yyyn",
    "read checkup": "nyyn", "read census": "nnny",
    "read plan": "nyyy", "read resolve": "nnny", "read segment": "nnny",
    "submit ping": "yyyy", "submit set": "nyyy", "submit call": "nyyy",
    "read plan_update": "nyyy", "submit detach": "nyyy", "submit forget": "nnny",
    "submit rename": "nnny", "submit cancel": "nyyy", "submit update": "nyyy",
    "submit update_part": "nnny", "submit spawn": "nnny", "submit drain": "nnyn",
    "submit set_level": "nnyy",
    "submit create": "nyyn", "submit create part": "nnny", "submit deploy": "nnny",
    "submit start": "nnny", "submit terminate": "nyyy", "submit terminate part": "nnny",
    "submit stop": "nnyn", "submit graft": "nyyy", "read value": "yyyy", "read peers": "yyyn",
}  # fmt: skip


def test_every_message_of_every_verb_is_in_the_table():
    tags = {f"submit {op.__struct_config__.tag}" for op in get_args(Op)}
    tags |= {f"read {reading.__struct_config__.tag}" for reading in get_args(Reading)}
    tags |= {"hello", "beat", "stream", "stream piece", "stream channel"}

    assert tags | {"submit create part", "submit terminate part"} == set(RIGHTS)
    assert set(RIGHTS) >= LIMITED


@pytest.mark.parametrize("action", RIGHTS)
def test_each_role_may_do_what_is_specified_and_nothing_else(action):
    for caller, letter in zip((VIEWER, OPERATOR, ADMIN, PEER), SPECIFIED[action], strict=True):
        if letter == "y":
            check(caller, action)
        else:
            with pytest.raises(NotAllowed) as refused:
                check(caller, action)
            assert refused.value.fault.hint


def test_what_is_not_in_the_table_is_nobodys_right():
    for caller in (VIEWER, OPERATOR, ADMIN, PEER):
        with pytest.raises(NotAllowed):
            check(caller, "submit format")


def test_making_and_ending_parts_is_told_from_making_and_ending_applications():
    parent = ParentLink(Ident("d", "c"), "h:1", "app")
    root = Create("s", "app", "app", "app", FlatTree(()))
    part = Create("s", "app", "app:x", "x", FlatTree(()), parent=parent)
    record = Record.normal()

    assert action_of("submit", root) == "submit create"
    assert action_of("submit", part) == "submit create part"
    assert action_of("submit", Terminate(record, ref="app")) == "submit terminate"
    assert action_of("submit", Terminate(record, segment="s")) == "submit terminate part"
    assert action_of("submit", Terminate(record, ref="a", quietly=True)) == "submit terminate part"
    assert action_of("submit", Call(Ident("d", "c"), "m", b"")) == "submit call"


@pytest.mark.parametrize("action", sorted(LIMITED))
def test_an_operator_limited_to_names_acts_on_such_applications_only(action):
    limited = Caller("web", "client", frozenset({Role.OPERATOR}), ("web-*", "db"))
    check(limited, action, "web-1")
    check(limited, action, "db")
    for other in ("pool", "web", "db2", None):
        with pytest.raises(NotAllowed, match="limited to"):
            check(limited, action, other)


def test_an_admin_is_not_limited_by_names():
    both = Caller("root", "client", frozenset({Role.OPERATOR, Role.ADMIN}), ("web-*",))
    check(both, "submit create", "pool")


def _decoded(*texts: str) -> dict[str, object]:
    return {
        "subject": ((("commonName", "x"),),),
        "subjectAltName": [("URI", text) for text in texts],
    }


def test_a_clients_certificate_that_says_peer_makes_no_peer():
    found = caller_of(_decoded(*uris("client", [Role.PEER, Role.VIEWER], ())), "here")

    assert found.roles == {Role.VIEWER}


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["urn:smartdomains:kind:king"],
        ["urn:smartdomains:kind:daemon", "urn:smartdomains:kind:client"],
        uris("client", [], ()),
        ["urn:smartdomains:kind:client", "urn:smartdomains:role:emperor"],
        ["https://smartdomains/kind:daemon"],
    ],
)
def test_a_certificate_that_does_not_say_what_it_is_for_lets_nobody_in(said):
    with pytest.raises(NotAllowed):
        caller_of(_decoded(*said), "here")


def test_patterns_survive_being_written_into_a_certificate():
    names = ("web-*", "a b:c/ü%")
    assert caller_of(_decoded(*uris("client", [Role.OPERATOR], names)), "").names == names


def test_messages_of_the_wire_are_structs_with_tags():
    for kind in (*get_args(Op), *get_args(Reading)):
        assert issubclass(kind, Struct)
        assert kind.__struct_config__.tag
