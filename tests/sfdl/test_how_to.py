"""The commands shown in the how-to print what is shown below them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sfdl.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "language" / "commands.md"


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def sessions():
    for block in blocks("console"):
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = session.partition("\n")
            yield pytest.param(command, output, id=command[:40])


@pytest.mark.parametrize(("command", "output"), sessions())
def test_command_prints_what_is_shown(tmp_path, monkeypatch, command, output):
    for name, text in zip(("pool.sf", "other.sf"), blocks("sf"), strict=True):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, shlex.split(command)[1:])

    assert result.stdout == output
    assert result.exit_code in (0, 10)
