"""The gallery of diagnostics: for each code an example, its output, and the example repaired.

    python tests/sfdl/gallery.py docs/language/diagnostics.md

writes the page; `test_gallery.py` fails where it is stale, where a code has no example, and where a
repaired example does not compile without findings.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sfdl.commands.check import missing_classes
from sfdl.compiler import check_description
from sfdl.diagnostics import report
from sfdl.includes import shipped_folder

_DOUBLING = "".join(
    f"t{i} extends {{ x extends t{i + 1}; y extends t{i + 1}; }} " for i in range(20)
)
_LAUGHS = "".join(f"  a{i} extends {{ x a{i + 1}; y a{i + 1}; }}\n" for i in range(24))
_PREDICATES = '#include "org/smartfrog/predicates.sf"\n'
_FUNCTIONS = '#include "org/smartfrog/functions.sf"\n'


@dataclass(eq=False)
class Example:
    """One code.

    Attributes:
        code: The code.
        why: When it is given, and what to do.
        bad: The main file that gives it.
        good: The same repaired.
        files: Other files, by name.
        good_files: Other files of the repaired example, where they differ.
        shown: What the page shows of `bad`, where that is long.
    """

    code: str
    why: str
    bad: str
    good: str
    files: dict[str, str] = field(default_factory=dict)
    good_files: dict[str, str] = field(default_factory=dict)
    shown: str = ""


EXAMPLES = [
    Example(
        "SF-PARSE-001",
        "A word or sign does not fit where it stands. The parser goes on at the next `;` or `}`, so "
        "one run reports several places, at most twenty for a file.",
        "sfConfig extends {\n  size (1 + 2 * 3);\n  list [1, 2;\n}\n",
        "sfConfig extends {\n  size (1 + (2 * 3));\n  list [1, 2];\n}\n",
    ),
    Example(
        "SF-PARSE-002",
        "A literal has a value that its kind cannot have, or an escape has no meaning.",
        'sfConfig extends {\n  big 5000000000;\n  raw #HEX#abc#;\n  path "C:\\data";\n}\n',
        'sfConfig extends {\n  big 5000000000L;\n  raw #HEX#0abc#;\n  path "C:\\\\data";\n}\n',
    ),
    Example(
        "SF-PARSE-003",
        "The path of a value set from outside (`-D`) is no path of names. The example is run with "
        "`-D PARENT:size=4`, its repair with `-D sfConfig:size=4`.",
        "sfConfig extends { size 1; }\n",
        "sfConfig extends { size 1; }\n",
    ),
    Example(
        "SF-INCLUDE-001",
        "A file is nowhere on the search path. `#include?` makes it optional.",
        '#include "net.sf"\nsfConfig extends Net;\n',
        '#include "net.sf"\nsfConfig extends Net;\n',
        good_files={"net.sf": "Net extends { mtu 1500; }\n"},
    ),
    Example(
        "SF-INCLUDE-002",
        "Files include each other in a circle.",
        '#include "a.sf"\nsfConfig extends A;\n',
        '#include "a.sf"\nsfConfig extends A;\n',
        {"a.sf": '#include "b.sf"\nA extends B;\n', "b.sf": '#include "a.sf"\nB extends {}\n'},
        {"a.sf": '#include "b.sf"\nA extends B;\n', "b.sf": "B extends {}\n"},
    ),
    Example(
        "SF-INCLUDE-003",
        "Only files can be included, not addresses on the network.",
        '#include "http://example.org/net.sf"\nsfConfig extends Net;\n',
        '#include "net.sf"\nsfConfig extends Net;\n',
        good_files={"net.sf": "Net extends { mtu 1500; }\n"},
    ),
    Example(
        "SF-INCLUDE-004",
        "A file cannot be read: no permission, or its text is not UTF-8. (The byte that is shown as "
        "`\\xff` stands in the file.)",
        '#include "net.sf"\nsfConfig extends {}\n',
        '#include "net.sf"\nsfConfig extends {}\n',
        {"net.sf": "\udcff"},
        {"net.sf": "Net extends {}\n"},
    ),
    Example(
        "SF-INCLUDE-005",
        "A file of data is malformed, or holds what a description cannot.",
        'sfConfig extends {\n  #include "hosts.csv"\n}\n',
        'sfConfig extends {\n  #include "hosts.csv"\n}\n',
        {"hosts.csv": "name,memory\nh1,512\nh2\n"},
        {"hosts.csv": "name,memory\nh1,512\nh2,256\n"},
    ),
    Example(
        "SF-TYPE-001",
        "There is no component of the name that is extended. It is looked for from the component "
        "itself outwards, and names near it are suggested.",
        "Vm extends { memory 512; }\nsfConfig extends {\n  a extends VM;\n}\n",
        "Vm extends { memory 512; }\nsfConfig extends {\n  a extends Vm;\n}\n",
    ),
    Example(
        "SF-TYPE-002",
        "What is extended is a plain value.",
        "memory 512;\nsfConfig extends {\n  a extends memory;\n}\n",
        "memory 512;\nsfConfig extends {\n  a memory;\n}\n",
    ),
    Example(
        "SF-TYPE-003",
        "Components extend each other in a circle. Each step is given with its place.",
        "A extends B;\nB extends { c extends A; }\nsfConfig extends A;\n",
        "A extends B;\nB extends { c extends {} }\nsfConfig extends A;\n",
    ),
    Example(
        "SF-TYPE-004",
        "An attribute tagged `sfFinal` is overridden.",
        "Web extends { [sfFinal] port 80; }\nsfConfig extends Web { port 81; }\n",
        "Web extends { [sfFinal] port 80; }\nsfConfig extends Web { other 81; }\n",
    ),
    Example(
        "SF-TYPE-005",
        "An attribute tagged `sfOverride` overrides nothing.",
        "Web extends { port 80; }\nsfConfig extends Web { [sfOverride] prot 81; }\n",
        "Web extends { port 80; }\nsfConfig extends Web { [sfOverride] port 81; }\n",
    ),
    Example(
        "SF-PLACE-001",
        "The component that an attribute is to be placed into does not exist.",
        "sfConfig extends {\n  vm extends { disk extends {} }\n  vm:dsik:size 3;\n}\n",
        "sfConfig extends {\n  vm extends { disk extends {} }\n  vm:disk:size 3;\n}\n",
    ),
    Example(
        "SF-PLACE-002",
        "On the way of a placement there is something that is no component: a value, a lazy "
        "reference, or an expression.",
        "sfConfig extends {\n  vm extends { disk 10; }\n  vm:disk:size 3;\n}\n",
        "sfConfig extends {\n  vm extends { disk extends {} }\n  vm:disk:size 3;\n}\n",
    ),
    Example(
        "SF-PLACE-003",
        "A placement would replace an attribute tagged `sfFinal`.",
        "sfConfig extends {\n  web extends { [sfFinal] port 80; }\n  web:port 81;\n}\n",
        "sfConfig extends {\n  web extends { port 80; }\n  web:port 81;\n}\n",
    ),
    Example(
        "SF-CONFIG-001",
        "A description to be compiled has no `sfConfig`. (`sfdl check` takes such a file for a "
        "library; the example is compiled as `sfparse` does.)",
        "sfconfig extends { a 1; }\n",
        "sfConfig extends { a 1; }\n",
    ),
    Example(
        "SF-CONFIG-002",
        "`sfConfig` is no component, or leads to none.",
        "sfConfig 5;\n",
        "sfConfig extends { a 5; }\n",
    ),
    Example(
        "SF-LINK-001",
        "A reference leads nowhere. The part that fails is marked with `^`, those before it with "
        "`-`. Notes say where was searched, what may have been meant, and how the reference came "
        "to stand there.",
        'net extends { gateway "10.0.0.1"; }\nVm extends { gw net:gatway; }\n'
        "sfConfig extends {\n  vm1 extends Vm;\n}\n",
        'net extends { gateway "10.0.0.1"; }\nVm extends { gw net:gateway; }\n'
        "sfConfig extends {\n  vm1 extends Vm;\n}\n",
    ),
    Example(
        "SF-LINK-002",
        "Attributes depend on each other in a circle.",
        "sfConfig extends {\n  a b;\n  b (c + 1);\n  c a;\n}\n",
        "sfConfig extends {\n  a b;\n  b (c + 1);\n  c 1;\n}\n",
    ),
    Example(
        "SF-LINK-003",
        "An attribute that is `TBD`, to be defined, was never given a value.",
        "Vm extends { memory TBD; }\nsfConfig extends {\n  a extends Vm;\n}\n",
        "Vm extends { memory TBD; }\nsfConfig extends {\n  a extends Vm { memory 512; }\n}\n",
    ),
    Example(
        "SF-LINK-004",
        "Links would make a tree without end: a link leads to a component around it, or components "
        "lead into each other.",
        "sfConfig extends {\n  p extends { x q; }\n  q extends { y p; }\n}\n",
        "sfConfig extends {\n  p extends { x q; }\n  q extends { y LAZY p; }\n}\n",
    ),
    Example(
        "SF-FUNCTION-001",
        "A function refuses its arguments.",
        'sfConfig extends {\n  name "vm";\n  size (name + 1);\n}\n',
        'sfConfig extends {\n  name "vm";\n  size (name ++ 1);\n}\n',
    ),
    Example(
        "SF-FUNCTION-003",
        "`phase.function` names no way to construct a function.",
        'f extends { phase.function "Construct"; }\nsfConfig extends {}\n',
        'f extends { phase.function "ConstructFunction"; }\nsfConfig extends {}\n',
    ),
    Example(
        "SF-FUNCTION-004",
        "A phase added by `phaseList` refuses a component, or its class may not be imported.",
        'phaseList [|"type", "place", "audit", "sfConfig", "link"|];\n'
        'sfConfig extends { phase.audit "os.path"; }\n',
        'phaseList [|"type", "place", "sfConfig", "link"|];\n'
        'sfConfig extends { phase.audit "os.path"; }\n',
    ),
    Example(
        "SF-ASSERT-001",
        "An assertion or a schema does not hold.",
        "sfConfig extends {\n  size 3;\n"
        '  ok ASSERT { sfFunctionClass "LT"; left PARENT:size; right 3; }\n}\n',
        "sfConfig extends {\n  size 2;\n"
        '  ok ASSERT { sfFunctionClass "LT"; left PARENT:size; right 3; }\n}\n',
    ),
    Example(
        "SF-ASSERT-001",
        "A schema is not met: the place is that of the attribute, or of the component that has to "
        "have it.",
        _PREDICATES
        + "Web extends { rules extends Schema { port extends Integer; root extends String; } }\n"
        'sfConfig extends {\n  web extends Web { port "http"; rooot "/srv"; }\n}\n',
        _PREDICATES
        + "Web extends { rules extends Schema { port extends Integer; root extends String; } }\n"
        'sfConfig extends {\n  web extends Web { port 80; root "/srv"; }\n}\n',
    ),
    Example(
        "SF-CLASS-001",
        "`sfdl check --classes` finds no class for `sfClass`.",
        'sfConfig extends { sfClass "engine.compound.Compund"; }\n',
        'sfConfig extends { sfClass "engine.compound.Compound"; }\n',
    ),
    Example(
        "SF-LIMIT-001",
        "Copying templates would make more than a million components or ten million attributes.",
        f"{_DOUBLING}t20 extends {{}}\nsfConfig extends t0;\n",
        "t0 extends { x extends t1; y extends t1; }\nt1 extends {}\nsfConfig extends t0;\n",
        shown="t0 extends { x extends t1; y extends t1; } t1 extends { x extends t2; ... t20 "
        "extends {}\nsfConfig extends t0;\n",
    ),
    Example(
        "SF-LIMIT-002",
        "A function would make something too large: `Set` more than a million components, a string "
        "of more than 16,777,216 characters, a vector of more than a million elements or more than "
        "500 deep.",
        _FUNCTIONS + "sfConfig extends {\n  all extends Set { setElem extends {} setSize "
        "1000000000; }\n}\n",
        _FUNCTIONS
        + "sfConfig extends {\n  all extends Set { setElem extends {} setSize 10; }\n}\n",
    ),
    Example(
        "SF-LIMIT-003",
        "The result would have more than ten million attributes when what links repeat is written "
        "out.",
        f"sfConfig extends {{\n{_LAUGHS}  a24 extends {{}}\n}}\n",
        "sfConfig extends {\n  a0 extends { x a1; y a1; }\n  a1 extends {}\n}\n",
        shown="sfConfig extends {\n  a0 extends { x a1; y a1; }\n  a1 extends { x a2; y a2; }\n"
        "  ...\n  a24 extends {}\n}\n",
    ),
    Example(
        "SF-LIMIT-004",
        "More than 10,000 brackets and braces, or more than 500 vectors, are inside each other.",
        f"sfConfig extends {{ v {'[' * 501}{']' * 501}; }}\n",
        "sfConfig extends { v [[[]]]; }\n",
        shown="sfConfig extends { v [[[[[ ... ]]]]]; }\n",
    ),
    Example(
        "SF-LIMIT-005",
        "More than 10,000 files are included, each inclusion counted.",
        '#include "a.sf"\n' * 100 + "sfConfig extends {}\n",
        '#include "a.sf"\nsfConfig extends {}\n',
        {"a.sf": '#include "b.sf"\n' * 101, "b.sf": "x 1;\n"},
        {"a.sf": '#include "b.sf"\n', "b.sf": "x 1;\n"},
        shown='#include "a.sf"\n... a hundred times\nsfConfig extends {}\n',
    ),
    Example(
        "SF-LINT-001",
        "`#codebase` is accepted for the sake of old files.",
        '#codebase "http://example.org/" #include "net.sf"\nsfConfig extends Net;\n',
        '#include "net.sf"\nsfConfig extends Net;\n',
        {"net.sf": "Net extends {}\n"},
    ),
    Example(
        "SF-LINT-002",
        "A lone `-` is accepted as an anonymous name.",
        "sfConfig extends { - 1; }\n",
        "sfConfig extends { -- 1; }\n",
    ),
    Example(
        "SF-LINT-003",
        "A semicolon is missing after a value that is no component. What follows is read as the "
        "next name, which is not always what was meant.",
        "sfConfig extends {\n  a 1\n  b 2;\n}\n",
        "sfConfig extends {\n  a 1;\n  b 2;\n}\n",
    ),
    Example(
        "SF-LINT-004",
        "A name stands twice in one body; the last value counts, at the place of the first.",
        "sfConfig extends {\n  a 1;\n  b 2;\n  a 3;\n}\n",
        "sfConfig extends {\n  a 3;\n  b 2;\n}\n",
    ),
    Example(
        "SF-LINT-005",
        "A name looks like an expression: operators need spaces, since `-` and `+` may stand in "
        "names.",
        "sfConfig extends {\n  a 1;\n  a-1 2;\n}\n",
        "sfConfig extends {\n  a 1;\n  less 2;\n}\n",
    ),
    Example(
        "SF-LINT-006",
        "A lazy reference begins its search at the component it stands in, and so finds itself.",
        "sfConfig extends {\n  host LAZY host:name;\n}\n",
        "sfConfig extends {\n  host LAZY PARENT:host:name;\n}\n",
    ),
    Example(
        "SF-LINT-007",
        "`PARENT` in an expression counts from the expression, so the first one is the component "
        "that holds it.",
        "w 1;\nsfConfig extends {\n  w 2;\n  area (PARENT:w * 2);\n}\n",
        "w 1;\nsfConfig extends {\n  w 2;\n  area (w * 2);\n}\n",
    ),
]

OVERRIDES = {"SF-PARSE-003": ([("PARENT:size", "4")], [("sfConfig:size", "4")])}


def written(folder: Path, text: str, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content, errors="surrogateescape")
    main = folder / "main.sf"
    main.write_text(text)
    return main


@cache
def findings(example: Example, *, repaired: bool = False):
    """Return what is found in an example, and the text shown for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = example.files
        if repaired:
            files = example.good_files or files
        path = written(folder, example.good if repaired else example.bad, files)
        overrides = OVERRIDES.get(example.code, ([], []))[repaired]
        found, compiled = check_description(
            path, overrides=overrides, library=example.code != "SF-CONFIG-001"
        )
        if example.code == "SF-CLASS-001" and compiled is not None:
            found.extend(missing_classes(compiled))
        text = report(found).replace(f"{folder}/", "")
        return found, text.replace(str(shipped_folder()), "DESCRIPTIONS")


def page() -> str:
    parts = [
        "# Diagnostics",
        "",
        "Every code with an example, exactly what is shown for it, and the example repaired. This "
        "page is written by `tests/sfdl/gallery.py` and checked by the tests. Where a part of a path "
        "depends on the installation it is shown as `DESCRIPTIONS`.",
        "",
        "Codes never change their meaning. `SF-LINT` codes are warnings and do not keep a "
        "description from being used. `SF-FORMAT-001` and `SF-COMPILE` are codes of exceptions of "
        "the Python interface and have no text to point at.",
    ]
    for before, example in zip([None, *EXAMPLES], EXAMPLES, strict=False):
        _, shown = findings(example)
        if before is None or before.code != example.code:
            parts += ["", f"## {example.code}"]
        parts += ["", example.why, "", "```sf"]
        parts += [(example.shown or example.bad).rstrip("\n"), "```"]
        for name, text in example.files.items():
            short = text if len(text) < 200 else text[:40].rstrip("\n") + "\n...\n"
            parts += ["", f"`{name}`:", "", "```sf", short.rstrip("\n"), "```"]
        parts += ["", "```text", shown.rstrip("\n"), "```", "", "Repaired:", "", "```sf"]
        parts += [example.good.rstrip("\n"), "```"]
        for name, text in (example.good_files or {}).items():
            parts += ["", f"`{name}`:", "", "```sf", text.rstrip("\n"), "```"]
    clean = "\n".join(parts) + "\n"
    return clean.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
