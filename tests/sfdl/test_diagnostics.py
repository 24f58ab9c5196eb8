from __future__ import annotations

import time

import pytest

import sfdl


def failure(text, **options):
    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(text, **options)
    return caught.value.diagnostics


def test_span_counts_lines_and_columns_from_one_and_marks_the_failing_part():
    (found,) = failure("net extends {}\nsfConfig extends {\n  gw net:gatway;\n}")

    assert (found.span.line, found.span.column) == (3, 10)
    assert (found.span.end_line, found.span.end_column) == (3, 16)
    assert found.code == "SF-LINK-001"


def test_excerpt_underlines_the_parts_before_with_dashes_and_the_failing_part_with_carets():
    (found,) = failure("net extends {}\nsfConfig extends {\n  gw net:gatway;\n}")

    lines = found.render().splitlines()

    assert lines[1] == "    3 |   gw net:gatway;"
    assert lines[2] == "      |      ----^^^^^^"


def test_tabs_before_the_offender_are_kept_so_that_carets_stand_below_it():
    (found,) = failure("sfConfig extends {\n\ta gone;\n}")

    assert found.render().splitlines()[2] == "      | \t  ^^^^"


def test_columns_count_characters_as_written_where_the_text_has_unicode_escapes():
    (found,) = failure('sfConfig extends { s "\\u00e9\\u00e9"; a gone; }')

    assert found.span.column == 40


def test_mistyped_name_is_suggested_with_the_place_of_its_definition():
    (found,) = failure("net extends { gateway 1; }\nsfConfig extends { gw net:gatway; }")

    assert "did you mean `gateway` (<text>:1:15)?" in found.notes


def test_names_that_differ_in_case_or_dashes_only_are_suggested():
    (found,) = failure("sfConfig extends { hostName 1; a host-name; }")

    assert any("`hostName`" in note for note in found.notes)


def test_nothing_is_suggested_where_no_name_is_near():
    (found,) = failure("sfConfig extends { alpha 1; a zzzzzz; }")

    assert not any("did you mean" in note for note in found.notes)


def test_places_searched_are_listed_from_the_nearest_to_the_file_root():
    (found,) = failure("sfConfig extends { a extends { b gone; } }")

    assert "searched sfConfig:a, sfConfig, the file root" in found.notes


def test_missing_prototype_names_the_component_and_suggests():
    (found,) = failure("Disk extends {}\nsfConfig extends { d extends Dsik; }")

    assert found.phase == "type"
    assert "sfConfig:d cannot extend `Dsik`" in found.message
    assert any("`Disk`" in note for note in found.notes)


def test_cycle_is_shown_as_a_path_with_one_place_for_each_step():
    found = failure("sfConfig extends { a b; b c; c a; }")[0]

    assert "sfConfig:a -> sfConfig:b -> sfConfig:c -> sfConfig:a" in found.message
    assert len(found.notes) == 3


def test_cycle_of_prototypes_is_shown_as_a_path():
    found = failure("A extends B; B extends C; C extends A; sfConfig extends {}")[0]

    assert "A -> B -> C -> A" in found.message


def test_error_in_an_inherited_reference_names_who_inherits_it():
    (found,) = failure("T extends { v gone; }\nsfConfig extends {\n  x extends T;\n}")

    assert found.span.line == 1
    assert any(
        "inherited from template T (<text>:1:3) by sfConfig:x (<text>:3:" in note
        for note in found.notes
    )


def test_final_attribute_error_gives_both_places():
    (found,) = failure("W extends { [sfFinal] port 80; }\nsfConfig extends W { port 81; }")

    assert found.span.line == 2
    assert "it is final since <text>:1:23" in found.notes


def test_error_in_an_included_file_says_where_it_was_included(tmp_path):
    (tmp_path / "lib.sf").write_text("a } 1;")
    (tmp_path / "main.sf").write_text('\n#include "lib.sf"\nsfConfig extends {}')

    with pytest.raises(sfdl.CompileError) as caught:
        sfdl.compile(tmp_path / "main.sf")

    assert f"included from {tmp_path / 'main.sf'}:2" in str(caught.value)


def test_parser_recovers_and_reports_independent_errors():
    found = failure("sfConfig extends {\n a (1 + );\n b 2;\n c extends { d [1; }\n e ! ; }")

    assert [one.span.line for one in found] == [2, 4, 5]


def test_parser_stops_after_twenty_errors():
    found = failure("sfConfig extends {" + "a ) ;" * 50 + "}")

    assert len(found) == 20


def test_all_failures_of_a_phase_are_collected():
    found = failure("A extends Gone1; B extends Gone2; sfConfig extends { x gone3; }")

    assert [one.phase for one in found] == ["type", "type"]


def test_failure_is_reported_once_however_many_depend_on_it():
    found = failure("sfConfig extends { a gone; b a; c b; d [a, b, c]; }")

    assert len(found) == 1


def test_diagnostics_are_sorted_by_position():
    found = failure("sfConfig extends { z gone1;\n y gone2;\n x gone3; }")

    assert [one.span.line for one in found] == [1, 2, 3]


def test_keyword_as_name_is_answered_with_its_quoted_form():
    (found,) = failure("sfConfig extends { LAZY 1; }")

    assert any('"LAZY"' in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sfConfig extends { a (1 + 2 * 3); }", "no precedence"),
        ("sfConfig extends { a [extends {}]; }", "(extends ...)"),
        ("sfConfig extends { a VAR; }", "not supported"),
        ("sfConfig extends {} /* no end", "never closed"),
        ("sfConfig extends { a ##no end }", "never closed"),
        ('sfConfig extends { a "no end }', "no end on its line"),
        ("sfConfig extends { a ?; }", "begins no word"),
        ("sfConfig extends { a 99999999999999999999L; }", "64 bits"),
        ("sfConfig extends { a 1e999; }", "too large for a double"),
        ("sfConfig extends { a #BIN#0102#; }", "BIN"),
        ("sfConfig extends { a #B64#!#; }", "base64"),
    ],
    ids=lambda value: value[-16:],
)
def test_common_mistakes_get_their_own_words(text, words):
    assert words in "\n".join(one.render() for one in failure(text))


def test_function_error_names_function_argument_and_kind():
    (found,) = failure('sfConfig extends { a (1 - "x"); }')

    assert "`-`" in found.message
    assert "`right`" in found.message
    assert "a string" in found.message
    assert found.span.excerpt[found.span.column - 1] == "-"


def test_diagnostic_as_json_has_a_range():
    (found,) = failure("sfConfig extends { a gone; }")

    assert found.as_json()["range"] == {
        "start": {"line": 1, "column": 22},
        "end": {"line": 1, "column": 26},
    }


def test_mutual_links_between_components_are_an_endless_tree():
    found = failure("sfConfig extends { p extends { x q; } q extends { y p; } }")

    assert found[0].phase == "link"
    assert "without end" in found[0].message


PREDICATES = '#include "org/smartfrog/predicates.sf"\n'


@pytest.mark.parametrize(
    ("written", "marked"),
    [
        pytest.param('port "http";', '"http"', id="literal"),
        pytest.param("port /* which */ LAZY other:x;", "LAZY", id="lazy"),
        pytest.param("other extends { x true; } port other:x;", "other:x", id="link"),
        pytest.param("port ([1] <> [2]);", "(", id="expression"),
        pytest.param('"port" "http";', '"http"', id="quoted name"),
        pytest.param('web:port "http";', '"http"', id="placement"),
        pytest.param("port;", ";", id="no value"),
    ],
)
def test_broken_rule_of_a_schema_points_at_the_value(written, marked):
    where = written if written.startswith("web:") else ""
    inside = "" if where else written
    text = (
        PREDICATES
        + 'Web extends { port 1; rules extends Schema { port extends Integer { binding "eager"; } } }\n'
        + f"sfConfig extends {{\n  web extends Web {{ {inside} }}\n  {where}\n}}\n"
    )

    found = failure(text)

    assert [one.code for one in found] == ["SF-ASSERT-001"]
    span = found[0].span
    assert span.excerpt[span.column - 1 : span.end_column - 1] == marked
    assert found[0].notes == ("asked of sfConfig:web (<text>:4:3) by its schema (<text>:2:46)",)


def test_broken_rule_of_a_schema_points_into_the_template_that_has_the_value():
    text = (
        PREDICATES
        + 'Web extends { port "http"; rules extends Schema { port extends Integer; } }\n'
        + "sfConfig extends { web extends Web; }\n"
    )

    found = failure(text)

    assert (found[0].span.line, found[0].span.column) == (2, 20)


def test_missing_attribute_of_a_schema_points_at_the_component():
    text = (
        PREDICATES
        + "Web extends { rules extends Schema { port extends Integer; } }\n"
        + "sfConfig extends {\n  web extends Web;\n}\n"
    )

    found = failure(text)

    assert (found[0].span.line, found[0].span.column) == (4, 7)


def test_thousands_of_broken_schemas_are_told_in_linear_time():
    text = (
        PREDICATES
        + "Web extends { rules extends Schema { port extends Integer; } }\nsfConfig extends {\n"
        + "\n".join(f"  w{i} extends Web {{ prt 1; }}" for i in range(4000))
        + "\n}\n"
    )
    started = time.process_time()

    found = failure(text)

    assert len(found) == 4000
    assert time.process_time() - started < 20


def test_what_steps_into_a_failed_attribute_is_no_second_finding():
    found = failure("sfConfig extends { a gone; b a:x; c (a:x + 1); d OPTIONAL (3) a:x; }")

    assert [one.span.column for one in found] == [22]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("3L", "a long (3L)"),
        ("#HEX#ff#", "a byte array (#HEX#ff#)"),
        ('"x"', 'a string ("x")'),
        ("DATA a:b", "a reference (DATA a:b)"),
        ("[1]", "a vector"),
        ("(extends {})", "a component"),
        ("NULL", "NULL"),
    ],
)
def test_arguments_are_shown_as_they_are_written(argument, words):
    (found,) = failure(f"sfConfig extends {{ a (true && {argument}); }}")

    assert found.message == f"`&&` takes a boolean, not {words}"


def test_names_of_one_letter_are_not_suggested_for_each_other():
    (found,) = failure("sfConfig extends { a 1; b c; }")

    assert not any("did you mean" in note for note in found.notes)
