"""Commands run as a user types them, against real daemons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.testing.daemons import daemons

BIN = Path(sys.executable).parent
TEXT = """
#include "org/smartfrog/components.sf"
Maker extends Prim { sfClass "engine.testing.components.FileMaker"; }
sfConfig extends Compound {
    sfUpdatable true; sfMinReadyTime 0;
    word "hello";
    a extends Maker { file "FOLDER/a"; text LAZY PARENT:word; }
    in extends Compound { b extends Maker { file "FOLDER/b"; } }
    far extends Compound { sfProcessHost "two"; c extends Maker { file "FOLDER/c"; } }
}
"""


class Shell:
    """Runs commands on one daemon and looks at their exit codes."""

    def __init__(self, port):
        self.port = port

    def begin(self, *words, **environment):
        return subprocess.Popen(
            [str(BIN / words[0]), *map(str, words[1:]), "-p", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def __call__(self, *words, code=0, **environment):
        with self.begin(*words, **environment) as process:
            try:
                out, err = process.communicate(timeout=60)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == code, out + err
        assert "Traceback" not in out + err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words, code=0):
        done = self(*words, "--json", code=code)
        (line,) = done.stdout.splitlines()
        answer = json.loads(line)
        assert (answer["ok"], answer["code"]) == (code == 0, code)
        return answer["result"] if "result" in answer else answer["error"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with daemons(tmp_path_factory.mktemp("daemons"), "one", "two") as both:
        yield both


@pytest.fixture
def sh(pair):
    """A shell on the first of two daemons; what it leaves running is ended."""
    shell = Shell(pair[0].port)
    yield shell
    for row in shell.json("sfstatus", "localhost"):
        shell("sfterminate", "localhost", row["path"])
    assert shell.json("sfstatus", "localhost") == []


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.sf"
    path.write_text(TEXT.replace("FOLDER", str(tmp_path)))
    return path
