"""Plans, dumps, events and private runs, as a user types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.testing.daemons import daemons

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
TEXT = """
#include "org/smartfrog/components.sf"
Maker extends Prim { sfClass "engine.testing.components.FileMaker"; }
sfConfig extends Compound {
    word "hello";
    a extends Maker { file "FOLDER/a"; text LAZY PARENT:word; }
    far extends Compound { sfProcessHost "two"; b extends Maker { file "FOLDER/b"; } }
}
"""


def run(*words, code=0, **environment):
    done = subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.sf"
    path.write_text(TEXT.replace("FOLDER", str(tmp_path)))
    return path


def test_a_plan_lists_what_would_be_made_where_and_changes_nothing(tmp_path, file):
    with daemons(tmp_path, "one", "two") as (one, two):
        done = run("sfstart", "localhost", "app", file, "--plan", "--json", "-p", one.port)
        plan = json.loads(done.stdout)["result"]
        assert [row["path"] for row in plan["rows"]] == ["", "a", "far", "far:b"]
        assert plan["rows"][3]["address"] == two.address
        assert plan["problems"] == []
        assert not (tmp_path / "a").exists()

        run("sfstart", "localhost", "app", file, "--expect", plan["digest"], "-p", one.port)
        done = run("sfstart", "localhost", "app", file, "--plan", "-p", one.port, code=8)
        assert "is in use" in done.stdout
        run("sfterminate", "localhost", "app", "-p", one.port)
        done = run("sfstart", "localhost", "app", file, "--set", "word=other", "--expect",
                   plan["digest"], "-p", one.port, code=1)  # fmt: skip
        assert "something has changed" in done.stderr


def test_a_plan_names_everything_that_is_wrong(tmp_path, file):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        file.write_text(file.read_text().replace("sfConfig extends Compound {",
                        'sfConfig extends Compound { x extends Maker { file 5; } '
                        'y extends Prim { sfClass "components.no.Such"; }'))  # fmt: skip
        done = run("sfstart", "localhost", "app", file, "--plan", "-p", one.port, code=3)
        assert "app:x.file: must be a string" in done.stdout
        assert "components.no.Such" in done.stdout
        assert "host two" in done.stdout


def test_a_dump_compiles_again_to_what_runs(tmp_path, file):
    with daemons(tmp_path, "one", "two") as (one, two):
        run("sfstart", "localhost", "app", file, "-p", one.port)
        dump = tmp_path / "dump.sf"
        run("sfdump", "localhost", "app", "-o", dump, "-p", one.port)
        text = run("sfdump", "localhost", "app", "--resolved", "-p", one.port).stdout
        assert 'text "hello"' in text
        assert f'written "{tmp_path}/b"' in text
        run("sfparse", "-q", dump)
        two.kill()
        done = run("sfdump", "localhost", "app", "-p", one.port)
        assert "not reached: app:far" in done.stderr
        two.start()
        run("sfterminate", "localhost", "app", "-p", one.port)


def test_events_are_lines_or_objects_filtered_at_the_source(tmp_path, file):
    with daemons(tmp_path, "one", "two") as (one, _two):
        run("sfstart", "localhost", "app", file, "-p", one.port)
        run("sfterminate", "localhost", "app", "-p", one.port)
        lines = run("sfevents", "localhost", "app", "-p", one.port).stdout
        assert "app:a  made file a" in lines
        assert "app:a  undone file a" in lines
        done = run("sfevents", "localhost", "app", "--kind", "effect", "--json", "-p", one.port)
        kinds = {json.loads(line)["result"]["body"]["type"] for line in done.stdout.splitlines()}
        assert kinds == {"effect"}


def test_a_private_run_ends_with_its_application(tmp_path):
    file = tmp_path / "run.sf"
    file.write_text("""
#include "org/smartfrog/components.sf"
sfConfig extends Compound {
    s extends Prim { sfClass "engine.testing.components.Sleeper"; endsAfter 0.2d; recordType "KIND"; }
}
""")
    text = file.read_text()
    file.write_text(text.replace("KIND", "normal"))
    assert "ended: normal" in run("sfrun", file).stdout
    file.write_text(text.replace("KIND", "abnormal"))
    assert "abnormal at application:s" in run("sfrun", file, code=1).stdout
    file.write_text(text.replace("0.2d", "600.0d").replace("KIND", "normal"))
    assert "ended: normal" in run("sfrun", file, "-e").stdout
    assert "its time was over" in run("sfrun", file, "--secs", "0.5").stdout


def test_help_of_every_command_imports_nothing_slow():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    scripts = sorted(set(re.findall(r'= "engine\.commands\.(\w+):main"', text)))
    assert len(scripts) > 15
    slow = (
        "libvirt",
        "Pyro5",
        "lark",
        "networkx",
        "textual",
        "sqlite3",
        "asyncio",
        "msgspec",
        "ssl",
    )
    for script in scripts:
        code = (
            f"import sys; from engine.commands.{script} import main\n"
            f"try: main(['--help'])\nexcept SystemExit: pass\n"
            f"print('SLOW', [name for name in {slow!r} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "SLOW []" in done.stderr, (script, done.stderr)
        assert "Usage" in done.stdout
