"""Coverage-guided fuzzing of the compiler with Atheris.

    nice python bench/language/fuzz.py -max_total_time=1800 -rss_limit_mb=2500

Arguments go to libFuzzer. Every input is text; it is compiled, and what compiles is written as JSON
and as source and read back, and compiled again by the grammar without
the parser's short cuts. Any exception but `CompileError`, any difference after reading back and
any input that takes more than five seconds is a finding: it is stored once for each place in the
code under `/tmp/sfdl-fuzz/findings`, and the run goes on. Counts stand in `/tmp/sfdl-fuzz/counts`.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
import traceback
from pathlib import Path
from unittest.mock import patch

import atheris

with atheris.instrument_imports(include=["sfdl"]):
    import sfdl
    import sfdl.builder
    import sfdl.canonical
    import sfdl.compiler
    import sfdl.parser
    import sfdl.printer

FOLDER = Path(os.environ.get("SFDL_FUZZ", "/tmp/sfdl-fuzz"))
CASES = Path(__file__).resolve().parents[2] / "tests" / "sfdl" / "cases"
SLOW_S = 5
TOKEN = re.compile(r'"[^"\n]*"|[\w.$]+|[^\w\s]+|\s+')
WORDS = (  # noqa: SIM905 - a list would fill a page
    "extends DATA LAZY NULL TBD OPTIONAL PARENT ROOT THIS HERE ATTRIB PROCESS HOST PROPERTY "
    "IPROPERTY ENVPROPERTY IENVPROPERTY CONSTANT APPLY ASSERT IF THEN ELSE FI SWITCH ENDSWITCH "
    "sfConfig sfFunctionClass phase.function phaseList sfFinal sfTemp sfOverride sfLocal Set Sum "
    "Next Ref Format Concatenate Vector Append CheckAssertions ConstructFunction ConstructSchema "
    "{ } ( ) [ ] [| |] , ; : -- - + * / % ++ <> == != <= >= < > && || x| -> ! 1 2L 2147483647 "
    '1.5 2F 0d "s" ##t# #HEX#ff# #include #codebase a b c a:b sfAssertionPhase "static" // /* */ '
    "setElem setSize setMax 1000000000 \\u0041"
).split()
counts = {"inputs": 0, "compiled": 0, "refused": 0, "findings": 0}
seen: set[str] = set()


def timed_out(_number: int, _frame: object) -> None:
    raise TimeoutError


def compile_by_grammar(text: str) -> str | None:
    """Compile without the short cuts for common forms."""
    with patch("sfdl.parser.read_attributes", lambda _source, at, _items: at):
        try:
            return sfdl.compile(text, environment={}).to_json()
        except sfdl.CompileError:
            return None


def compile_and_read_back(text: str) -> None:
    by_grammar = compile_by_grammar(text)
    try:
        compiled = sfdl.compile(text, environment={})
    except sfdl.CompileError as error:
        counts["refused"] += 1
        for diagnostic in error.diagnostics[:5]:
            diagnostic.render()
        if by_grammar is not None:
            raise AssertionError("the grammar alone accepts this") from error
        return
    counts["compiled"] += 1
    canonical = compiled.to_json()
    if canonical != by_grammar:
        raise AssertionError(f"the grammar alone gives something else: {by_grammar}")
    if sfdl.to_json(sfdl.from_json(canonical)) != canonical:
        raise AssertionError("JSON does not read back")
    again = sfdl.compile(compiled.source(), environment={}).to_json()
    if again != canonical:
        raise AssertionError(f"source does not read back:\n{canonical}\n{again}")


def place_of(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "sfdl" in f.filename]
    last = frames[-1] if frames else None
    where = f"{Path(last.filename).name}-{last.lineno}" if last is not None else "outside"
    return f"{type(error).__name__}-{where}"


def store(error: BaseException, text: str) -> None:
    name = place_of(error)
    if name in seen:
        return
    seen.add(name)
    counts["findings"] += 1
    found = FOLDER / "findings"
    found.mkdir(parents=True, exist_ok=True)
    (found / f"{name}.sf").write_text(text, errors="surrogatepass")
    (found / f"{name}.txt").write_text("".join(traceback.format_exception(error)))


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    counts["inputs"] += 1
    if counts["inputs"] % 500 == 0:
        (FOLDER / "counts").write_text(json.dumps({**counts, "until": time.time()}))
    signal.alarm(SLOW_S)
    try:
        compile_and_read_back(text)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        store(error, text)
    finally:
        signal.alarm(0)


def mutated(data: bytes, most: int, seed: int) -> bytes:
    """Change words rather than bytes, so that many inputs get past the parser."""
    chance = random.Random(seed)
    if chance.random() < 0.3:
        return atheris.Mutate(data, most)
    words = TOKEN.findall(data.decode("utf-8", "replace")) or ["sfConfig", " "]
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(words))
        match chance.randrange(4):
            case 0:
                words[at] = chance.choice(WORDS)
            case 1:
                words.insert(at, f" {chance.choice(WORDS)} ")
            case 2:
                del words[at]
            case 3:
                other = chance.randrange(len(words))
                words[at:at] = words[other : other + chance.randint(1, 8)]
        words = words or [";"]
    return "".join(words).encode("utf-8", "replace")[:most]


def main() -> None:
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in CASES.rglob("*.sf"):
        (corpus / "-".join(path.relative_to(CASES).parts)).write_bytes(path.read_bytes())
    signal.signal(signal.SIGALRM, timed_out)
    atheris.Setup(
        [sys.argv[0], str(corpus), "-max_len=3000", *sys.argv[1:]],
        one_input,
        custom_mutator=mutated,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
