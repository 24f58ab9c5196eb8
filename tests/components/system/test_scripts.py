"""Scripts run in their phases; a recording shell remembers; what has to be undone is."""

from __future__ import annotations

import pytest

import sfdl
from components.system.recording import MOST_SCRIPTS
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.kit import until
from tests.components.system.refusals import refuses

HEAD = '#include "components/system.sf"\n'


def text(script, shell="sh extends BashShell;", more=""):
    body = f"s extends Script {{ shell LAZY ATTRIB sh; {script} }}"
    return f"{HEAD}sfConfig extends Compound {{ {shell} {body} {more} }}"


RECORDING = 'sh extends RecordingShell { answers [|[|"uname", 0, "Linux"|], [|"^rm", 3, "no"|]|]; }'


async def test_each_script_runs_in_its_phase(bench):
    words = 'deployScript "a"; startScript ["b", "c"]; terminateScript extends DATA { one "d"; two ["e"]; }'
    await bench.deploy(text(words, RECORDING))
    shell = bench.find("sh").prim

    assert list(shell.live.value("scripts").items) == ["a", "b", "c"]
    await bench.one.terminate("app")
    assert [*shell._heard] == ["a", "b", "c", "d", "e"]


async def test_a_recording_shell_answers_as_it_is_told(bench):
    await bench.deploy(text("", RECORDING))
    shell = bench.find("sh").prim

    good = await shell.execute("uname -s", 1.0)
    bad = await shell.execute("rm -rf x", 1.0)

    assert (good.status, good.stdout) == (0, b"Linux")
    assert (bad.status, bad.stderr) == (3, b"no")
    for number in range(MOST_SCRIPTS + 5):
        await shell.execute(str(number), 1.0)
    assert len(shell.live.value("scripts").items) == MOST_SCRIPTS
    await bench.one.terminate("app")


async def test_a_script_that_fails_fails_the_start_and_the_rest_is_undone(bench, tmp_path):
    words = f'deployScript "touch {tmp_path}/made"; terminateScript "rm {tmp_path}/made";'
    more = 'b extends Script { shell LAZY ATTRIB sh; startScript "echo why >&2; false"; }'

    with pytest.raises(EngineError, match="startScript failed with status 1: why"):
        await bench.deploy(text(words, more=more))

    assert not (tmp_path / "made").exists()
    assert list((bench.work / "scripts").iterdir()) == []


async def test_only_the_last_status_counts_unless_any_does(bench, tmp_path):
    await bench.deploy(text('startScript ["false", "true"];'))
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match="startScript failed with status 1"):
        await bench.deploy(text('failOn "any"; startScript "false\\ntrue";'))
    with pytest.raises(EngineError, match="startScript failed with status 1"):
        await bench.deploy(text('failOn "any"; startScript ["false", "true"];'))


async def test_what_one_script_sets_the_next_one_sees(bench, tmp_path):
    await bench.deploy(text(f'startScript ["n=5", "echo $n > {tmp_path}/n"];'))

    assert (tmp_path / "n").read_text() == "5\n"
    await bench.one.terminate("app")


async def test_it_ends_after_its_start_script_if_told_to(bench):
    await bench.deploy(text('startScript "true"; autoTerminate true;'))

    record = await until(lambda: bench.one.process.ended_application("app"))
    assert record.is_normal


async def test_a_script_that_takes_too_long_fails_the_start(bench):
    with pytest.raises(EngineError, match="did not end within"):
        await bench.deploy(text('startScript "sleep 600"; timeout "300ms";'))


async def test_what_a_verbose_one_runs_is_logged(bench, caplog):
    with caplog.at_level("INFO"):
        await bench.deploy(text('startScript "echo hello"; verbose true;'))

    assert any("| hello" in record.getMessage() for record in caplog.records)
    await bench.one.terminate("app")


async def test_a_shell_has_the_variables_and_the_program_it_is_given(bench):
    shell = (
        'sh extends BashShell { env extends DATA { WHO "us"; N 3; } '
        'exec extends DATA { cmd ["/bin/bash", "--norc"]; } dir "/tmp"; name "one"; }'
    )
    await bench.deploy(text("", shell))

    output = await bench.find("sh").prim.execute('echo "$WHO $N $PWD"', 10.0)

    assert output.stdout == b"us 3 /tmp\n"
    await bench.one.terminate("app")


SHELLS = "sh extends BashShell;"


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ('Script { startScript "x"; }', "shell"),
        ("Script { shell LAZY ATTRIB sh; startScript 3; }", "startScript: must be text, a list"),
        ("Script { shell LAZY ATTRIB sh; terminateScript [true]; }", "terminateScript: must be text"),
        ('Script { shell LAZY ATTRIB sh; failOn "first"; }', "failOn: must be one of last, any"),
        ("Script { shell LAZY ATTRIB sh; timeout 0; }", "timeout: must be at least"),
        ("Script { shell LAZY ATTRIB sh; verbose 2; }", "has to be Boolean"),
        ("Script { shell LAZY ATTRIB sh; autoTerminate 2; }", "has to be Boolean"),
        ("RecordingShell { answers [1]; }", "answers: must be lists of a pattern"),
        ('RecordingShell { answers [|[|"(", 0, ""|]|]; }', "must be a regular expression"),
        ('RecordingShell { answers [|[|"x", 900, ""|]|]; }', "answers: must be lists of a pattern"),
        ("BashShell { cmd [2]; }", "cmd: must be a list of strings"),
        ("BashShell { exec extends DATA { a 1; } }", "exec: must have cmd"),
        ("BashShell { env extends DATA { a [1]; } }", "env: a must be a string"),
        ("BashShell { dir 4; }", "has to be String"),
        ("RunCommand;", "`cmd` in .* is TBD"),
        ("RunCommand { cmd []; }", "cmd: must be a string or a list of strings"),
        ('RunCommand { cmd "x"; timeout "x"; }', "timeout: must be a duration"),
        ('RunCommand { cmd "x"; capture "1g"; }', "capture: must be at most 1 MiB"),
        ('RunCommand { cmd "x"; input 5; }', "has to be String"),
        ('RunCommand { cmd "x"; shouldTerminate 5; }', "has to be Boolean"),
        ('RunCommand { cmd "x"; terminateOnFailure 5; }', "has to be Boolean"),
        ('RunCommand { cmd "x"; env 5; }', "env: must be a component description"),
        ('SshCommand { cmd "x"; }', "`host` in .* is TBD"),
        ('SshCommand { cmd "x"; host "-oProxyCommand=x"; }', "host: must be a host name"),
        ('SshCommand { cmd "x"; host "a b"; }', "host: must be a host name"),
        ('SshCommand { cmd "x"; host "h"; user "-x"; }', "is no user's name"),
        ('SshCommand { cmd "x"; host "h"; key "/no/key"; }', "there is no file /no/key"),
        ('SshCommand { cmd "x"; host "h"; knownHosts "/no/k"; }', "there is no file /no/k"),
        ('SshCommand { cmd "x"; host "h"; port 0; }', "port: must be at least 1"),
        ('SshCommand { cmd "x"; host "h"; connectTimeout 0; }', "connectTimeout: must be at least"),
    ],
)  # fmt: skip
async def test_bad_attributes_are_refused_before_anything_starts(tmp_path, wrong, match):
    await refuses(tmp_path, wrong, match)


@pytest.mark.integration
def test_the_counterpart_is_run_though_the_daemon_was_killed_in_the_middle(tmp_path):
    from engine.client.client import DaemonUnreachable
    from engine.testing.daemons import daemons
    from engine.testing.sabotage import Plan

    words = f'deployScript "touch {tmp_path}/made"; terminateScript "rm {tmp_path}/made";'
    more = 'p extends Process { cmd ["sleep", "600"]; }'
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("Program", "making", "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", sfdl.compile(text(words, more=more)).root).result()
        client.close()
        one.reap()
        assert (tmp_path / "made").exists()

        one.start()

        assert not (tmp_path / "made").exists()
        client = one.client()
        client.start("app", sfdl.compile(text(words)).root).result()
        one.kill()
        one.start()
        assert (tmp_path / "made").exists()
        client.terminate("app", Record.normal()).result()
        assert not (tmp_path / "made").exists()
        client.close()
