"""Files that are included again and again are parsed once, and nobody can tell."""

import threading
from pathlib import Path

import pytest

from sfdl.builder import Items, Parsing
from sfdl.compiler import compile_description
from sfdl.errors import CompileError
from sfdl.parsed import LONGEST, PARSED, ParsedFiles
from sfdl.parser import parse_items
from sfdl.values import Description

LIBRARY = """
Base extends { a 1; -- extends { b LAZY ATTRIB a; } #include "more.sf" }
"""
MAIN = '#include "library.sf"\nsfConfig extends Base { c 3; }\nother extends Base;'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a library in two files, and a file that includes it."""
    (tmp_path / "library.sf").write_text(LIBRARY)
    (tmp_path / "more.sf").write_text("d extends { e (1 + 2); }")
    (tmp_path / "main.sf").write_text(MAIN)
    return tmp_path


def compiled(folder: Path) -> Description:
    return compile_description(folder / "main.sf").root


def test_each_compilation_gives_the_same(folder: Path) -> None:
    first = compiled(folder)
    assert first == compiled(folder) == compiled(folder) == compiled(folder)
    assert first.get("c") == 3


def test_a_file_that_has_changed_is_read_anew(folder: Path) -> None:
    for _ in range(3):
        compiled(folder)
    (folder / "more.sf").write_text("d 4;")
    assert compiled(folder).get("d") == 4


def test_what_is_packed_is_not_parsed_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        compiled(folder)

    def refuse(source: Parsing) -> None:
        raise AssertionError(f"{source.name} is parsed again")

    monkeypatch.setattr("sfdl.parsed.parse_items", refuse)
    assert compiled(folder).get("c") == 3


def test_a_mistake_is_told_where_this_inclusion_has_it(folder: Path) -> None:
    """The phases find it; the second file that includes the same library is named, not the first."""
    (folder / "library.sf").write_text("Base extends Nowhere { a 1; }")
    for name in ("one.sf", "two.sf", "three.sf", "four.sf"):
        (folder / name).write_text('\n#include "library.sf"\nsfConfig extends Base;')
        with pytest.raises(CompileError) as caught:
            compile_description(folder / name)
        span = caught.value.diagnostics[0].span
        assert span is not None
        assert (Path(span.file).name, span.line) == ("library.sf", 1)
        assert span.included_from is not None
        assert (Path(span.included_from.file).name, span.included_from.line) == (name, 2)


def test_a_text_that_cannot_be_parsed_is_told_each_time(folder: Path) -> None:
    (folder / "more.sf").write_text("d extends {")
    told = []
    for _ in range(3):
        with pytest.raises(CompileError) as caught:
            compiled(folder)
        told.append([(each.code, str(each.span)) for each in caught.value.diagnostics])
    assert told[0] == told[1] == told[2]


def test_what_is_nested_too_deeply_to_be_packed_is_parsed_each_time() -> None:
    files = ParsedFiles()
    text = "a extends { " * 2000 + "}" * 2000
    for _ in range(3):
        source = Parsing(text)
        assert len(files.parse(source)) == 1
        assert not source.problems


def test_only_so_many_files_are_kept_and_none_that_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    files = ParsedFiles(most=2)
    parsed: list[str] = []

    def noted(source: Parsing) -> Items:
        parsed.append(source.name)
        return parse_items(source)

    monkeypatch.setattr("sfdl.parsed.parse_items", noted)
    for name in ("a", "b", "a", "c", "a", "b", "a"):
        files.parse(Parsing(f"{name} 1;", name))
    assert parsed == ["a", "b", "a", "c", "b"]  # "b" had to make room for "c"
    long = f'a "{"x" * LONGEST}";'
    for _ in range(3):
        files.parse(Parsing(long, "long"))
    assert parsed[-3:] == ["long"] * 3


def test_threads_share_what_is_kept(folder: Path) -> None:
    results: list[Description] = []
    threads = [threading.Thread(target=lambda: results.append(compiled(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 8
    assert all(result == results[0] for result in results)
    assert PARSED.parse(Parsing((folder / "library.sf").read_text()))
