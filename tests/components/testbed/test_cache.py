"""What takes long to build is built once, whole or not at all, and old things go."""

from __future__ import annotations

import os
import threading

import pytest

from components.testbed.cache import kept, key_of


def filling(text, calls):
    def make(scratch, output):
        calls.append(text)
        (scratch / "half").touch()
        (output / "part").write_text(text)

    return make


def test_it_is_made_once_also_when_several_ask_at_once(tmp_path):
    calls, found = [], []
    threads = [
        threading.Thread(target=lambda: found.append(kept(tmp_path, "k", filling("a", calls))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls == ["a"]
    assert {folder.name for folder in found} == {"k"}
    assert [path.name for path in found[0].iterdir()] == ["part"]


def test_a_failure_keeps_nothing_and_what_a_killed_one_left_goes(tmp_path):
    def broken(scratch, output):
        (output / "part").touch()
        raise ZeroDivisionError

    (tmp_path / ".making-left").mkdir()
    with pytest.raises(ZeroDivisionError):
        kept(tmp_path, "k", broken)

    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_those_longest_unused_go_first(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        os.utime(kept(tmp_path, name, filling(name, [])), (number, number))
    kept(tmp_path, "a", filling("again", []))  # used once more

    kept(tmp_path, "d", filling("d", []), most=2)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a", "d"]
    assert (tmp_path / "a" / "part").read_text() == "a"


def test_another_version_or_another_script_is_another_key(tmp_path):
    script = tmp_path / "script"
    script.write_text("1")
    first = key_of({"a": "1", "b": "2"}, [str(script)])
    assert first == key_of({"b": "2", "a": "1"}, [str(script)])
    assert first != key_of({"a": "1", "b": "3"}, [str(script)])
    script.write_text("2")
    assert first != key_of({"a": "1", "b": "2"}, [str(script)])
