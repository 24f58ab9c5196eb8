"""Manual pages and completions of every command: they load, and they complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMPLETIONS = ROOT / "packaging" / "completions"
PAGES = sorted((ROOT / "packaging" / "man").glob("*.1"))


def names():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def plain():
    return [name for name in names() if name == name.lower()]


READ = {"zsh": "autoload -U compinit; compinit -u -D; source {}", "fish": "source {}"}
"""How a shell reads its completions."""


def run(shell, *words):
    """Have a shell run a script, or skip if it is not there."""
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    done = subprocess.run(
        [shell, *words[:-1], "-c", words[-1]], check=False, capture_output=True, text=True,
        timeout=60, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bash(script):
    return run("bash", "--norc", "-eu", script)


def completed(command, *words):
    line = " ".join(f"'{word}'" for word in (command, *words))
    known = f"source {COMPLETIONS}/smartdomains.bash; "
    call = f"_{command.lower()}_completion {command}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return bash(f"{known} COMP_WORDS=({line}); COMP_CWORD={len(words)}; {call}").splitlines()


def test_every_command_has_a_page():
    assert [page.stem for page in PAGES] == sorted(plain())


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_formatted_without_a_warning(page):
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", str(page)], check=False, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""
    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"):
        assert re.search(f"^{title}$", done.stdout, re.MULTILINE), title
    assert "--help" in done.stdout
    assert f"{page.stem}" in done.stdout


def test_the_completions_load_in_bash_and_know_every_name():
    loaded = bash(f"source {COMPLETIONS}/smartdomains.bash; complete -p")
    for name in names():
        assert re.search(rf" {name}$", loaded, re.MULTILINE), name


@pytest.mark.integration
@pytest.mark.parametrize("command", plain())
def test_bash_completes_the_options_of_every_command(command):
    assert any("--help" in line for line in completed(command, "--"))


def test_bash_completes_words_and_sub_commands_under_either_name():
    assert any("revoke" in line for line in completed("sfca", "re"))
    assert any("--follow" in line for line in completed("sfLog", "localhost", "--fo"))
    assert any("fatal" in line for line in completed("sflog", "localhost", "--level", "fa"))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_completions_of_other_shells_load_and_know_every_name(shell):
    file = COMPLETIONS / f"smartdomains.{shell}"
    text = file.read_text()
    for name in names():
        assert re.search(rf"\b{name}\b", text), name
    run(shell, READ[shell].format(file))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "word"),
    [("sfca re", "revoke"), ("sfLog localhost --fo", "--follow"),
     ("sflog localhost --level fa", "fatal")],
)  # fmt: skip
def test_other_shells_complete_words_and_sub_commands_under_either_name(shell, line, word):
    words = line.split()
    ask = {
        "fish": f"complete -C '{line}'",
        "zsh": "_describe() { print -l -- ${(P)3} }; compadd() { print -l -- ${(P)5} }; "
        f"words=({line}); CURRENT={len(words)}; _{words[0].lower()}_completion",
    }[shell]

    found = run(shell, f"{READ[shell].format(COMPLETIONS / f'smartdomains.{shell}')}; {ask}")

    assert any(re.match(rf"{word}\b", each) for each in found.splitlines()), found


def test_a_set_up_environment_has_the_pages_the_completions_and_the_unit():
    share = Path(sys.prefix) / "share"
    assert (share / "man" / "man1" / "sfstart.1").is_file()
    installed = {file.name for file in (share / "smartdomains").iterdir()}
    assert installed == {
        "smartdomains.bash",
        "smartdomains.zsh",
        "smartdomains.fish",
        "sfdaemon.service",
    }


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_a_wheel_brings_the_pages_the_completions_and_the_unit(tmp_path):
    tree = tmp_path / "tree"
    own = ("pyproject.toml", "README.md", "LICENSE", "smartdomains.py", "packaging", "engine", "sfdl",
           "components", "descriptions", "tui")  # fmt: skip
    tree.mkdir()
    for name in own:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name)
        else:
            shutil.copy(source, tree / name)
    words = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(tree),
    ]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name.partition(".data/data/share/")[2] for name in archive.namelist()}
    assert {f"man/man1/{page.name}" for page in PAGES} <= found
    assert {"smartdomains/smartdomains.bash", "smartdomains/sfdaemon.service"} <= found
