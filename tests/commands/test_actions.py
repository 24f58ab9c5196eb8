"""The action syntax: how a text is read, whatever is quoted or left out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands._acting import TABLE
from engine.commands._actions import Action, ActionError, Verb, parse, parse_lines

READ = {
    "PING": ("", Verb.PING, "", "", ("localhost",), ""),
    ":TERMINATE": ("", Verb.TERMINATE, "", "", ("localhost",), ""),
    "pool:DEPLOY:pool.sf": ("pool", Verb.DEPLOY, "pool.sf", "", ("localhost",), ""),
    "pool:DEPLOY:pool.sf:::": ("pool", Verb.DEPLOY, "pool.sf", "", ("localhost",), ""),
    "pool:DEPLOY:pool.sf:part:node7:inner": (
        "pool", Verb.DEPLOY, "pool.sf", "part", ("node7",), "inner"),
    "a:b:c:DETaTERM:::h": ("a:b:c", Verb.DETaTERM, "", "", ("h",), ""),
    "a:DEPLOY:'c:/x/y.sf'::h": ("a", Verb.DEPLOY, "c:/x/y.sf", "", ("h",), ""),
    'a:DEPLOY:"it\'s.sf"': ("a", Verb.DEPLOY, "it's.sf", "", ("localhost",), ""),
    'a:PING:::"h:3801"': ("a", Verb.PING, "", "", ("h:3801",), ""),
    'a:PING:::[h1,"h2:3801", h3]': ("a", Verb.PING, "", "", ("h1", "h2:3801", "h3"), ""),
    "a:PING:::[h1]:": ("a", Verb.PING, "", "", ("h1",), ""),
    "a:PING:::[::1]:p": ("a", Verb.PING, "", "", ("[::1]",), "p"),
    "a:PING:::'[::1]:3801'": ("a", Verb.PING, "", "", ("[::1]:3801",), ""),
    'a:PING:::["[::1]:3801",b]': ("a", Verb.PING, "", "", ("[::1]:3801", "b"), ""),
    "PING:PING": ("PING", Verb.PING, "", "", ("localhost",), ""),
    '"PING":LIST:::h': ("PING", Verb.LIST, "", "", ("h",), ""),
    "a:LIST:::'PING'": ("a", Verb.LIST, "", "", ("PING",), ""),
    "x:DEPLOY:a.sf:LIST:h:p": ("x:DEPLOY:a.sf", Verb.LIST, "h", "p", ("localhost",), ""),
    "'a:b':c:PING": ("a:b:c", Verb.PING, "", "", ("localhost",), ""),
    "a:b:CALL:resizeMemory:1g:h": ("a:b", Verb.CALL, "resizeMemory", "1g", ("h",), ""),
    "a:PARSE:f.sf": ("a", Verb.PARSE, "f.sf", "", ("localhost",), ""),
}  # fmt: skip

WRONG = {
    "": "no action",
    "pool": "no action",
    "pool:deploy:x.sf": "no action",
    "pool:DEPLOY": "needs a description",
    "DETACH": "needs a NAME",
    "CALL": "needs what the component is to do",
    ":CALL:suspend": "needs a NAME",
    "a:CALL": "needs what the component is to do",
    ":DUMP": "needs a NAME",
    "a:PING:1:2:3:4:5": "no action",
    "a:PING:::'h": "' is missing",
    'a:PING:::"h': '" is missing',
    "a:PING:::[h1,h2": "] is missing",
    "a:PING:::[h1,,h2]": "no list of hosts",
    "a:PING:::[]": "no list of hosts",
}


@pytest.mark.parametrize("text", READ)
def test_an_action_is_read_from_the_right(text):
    assert parse(text) == Action(*READ[text])


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_action_is_refused_in_words(text):
    with pytest.raises(ActionError) as caught:
        parse(text)
    assert WRONG[text] in str(caught.value)


WORD = st.text(st.characters(exclude_characters="\"'", codec="utf-8"), min_size=1)


@given(st.lists(WORD, min_size=2, max_size=2), st.sampled_from([*Verb]))
def test_quoted_fields_come_back_as_they_are(words, verb):
    source, sub = words
    action = parse(f"n:{verb.value}:'{source}':\"{sub}\"")
    assert (action.name, action.verb, action.source, action.sub) == ("n", verb, source, sub)


@given(st.text())
def test_any_text_is_an_action_or_refused(text):
    with contextlib.suppress(ActionError):
        assert parse(text).hosts


def test_a_file_has_an_action_a_line_and_comments():
    text = """
    # first this
    a:PING
      b:LIST:::h   # then that
    // and at last
    c:DEPLOY:dir//c.sf // slashes inside a word are no comment
    """
    found = parse_lines(text.splitlines())
    assert [(each.name, each.verb) for each in found] == [
        ("a", Verb.PING), ("b", Verb.LIST), ("c", Verb.DEPLOY)
    ]  # fmt: skip
    assert found[2].source == "dir//c.sf"


def test_a_wrong_line_is_named_by_its_number():
    with pytest.raises(ActionError, match="line 3: 'b:FLY'"):
        parse_lines(["a:PING", "", "b:FLY"])


def test_every_action_can_be_carried_out():
    assert set(TABLE) == set(Verb)
