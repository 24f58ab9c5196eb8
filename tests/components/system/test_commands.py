"""Programs run once: what they leave, how they end, here and over ssh."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sfdl
from engine.core.records import Record
from engine.ports import free_port
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import until

HEAD = '#include "components/system.sf"\n'


def text(words, kind="RunCommand"):
    return f"{HEAD}sfConfig extends Compound {{ c extends {kind} {{ {words} }} }}"


async def record_of(bench):
    return await until(lambda: bench.one.process.ended_application("app"))


async def test_what_it_left_is_published(bench):
    words = 'cmd "cat; echo bad >&2; exit 3"; input "in"; terminateOnFailure false;'
    await bench.deploy(text(f"{words} shouldTerminate false;"))
    live = bench.find("c")

    await until(lambda: live.value("exitCode") == 3)
    await until(lambda: live.value("stdout") == "in")
    assert live.value("stderr") == "bad\n"
    await live.prim.check()
    await bench.one.terminate("app")
    assert list((bench.work / "programs").iterdir()) == []


async def test_it_ends_normally_once_its_program_has(bench):
    await bench.deploy(text('cmd ["true"];'))

    assert (await record_of(bench)).is_normal


async def test_a_failure_is_an_abnormal_end_with_its_last_words(bench):
    await bench.deploy(text('cmd "sleep 0.5; echo no space >&2; exit 2";'))

    record = await record_of(bench)
    assert record.type == "abnormal"
    assert "status 2: no space" in record.description


async def test_a_failure_may_be_no_failure(bench):
    await bench.deploy(text('cmd "false"; terminateOnFailure false;'))

    assert (await record_of(bench)).is_normal


async def test_it_is_ended_when_its_time_is_over(bench):
    await bench.deploy(text('cmd "sleep 600"; timeout "300ms";'))

    record = await record_of(bench)
    assert record.type == "abnormal"
    assert "did not end within 0.3 s" in record.description


async def test_only_the_end_of_long_output_is_kept(bench):
    words = 'cmd "seq 200000"; capture "1k"; shouldTerminate false;'
    await bench.deploy(text(words))
    live = bench.find("c")

    said = await until(lambda: live.value("stdout"))

    assert len(said) == 1024
    assert said.endswith("\n200000\n")
    await bench.one.terminate("app")


async def test_it_sees_its_folder_and_its_variables(bench, tmp_path):
    words = f'cmd "pwd; echo $A"; dir "{tmp_path}"; env extends DATA {{ A "b c"; }}'
    await bench.deploy(text(f"{words} shouldTerminate false;"))

    said = await until(lambda: bench.find("c").value("stdout"))

    assert said == f"{tmp_path}\nb c\n"
    await bench.one.terminate("app")


@pytest.mark.integration
def test_its_result_is_known_though_the_daemon_was_killed_meanwhile(tmp_path):
    go = tmp_path / "go"
    words = f'cmd "while [ ! -e {go} ]; do sleep 0.05; done; echo done"; shouldTerminate false;'
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(text(words)).root).result()
        one.kill()
        go.touch()
        one.start()

        def said():
            return {row.name: row.value for row in client.attributes("app:c")}.get("stdout")

        assert "done" in wait_until(said)
        client.terminate("app", Record.normal()).result()
        client.close()


# -- over ssh


@pytest.fixture
def ssh_server(tmp_path):
    """A server of the test's own on loopback: its port, the client's key and the known host."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs openssh-server: scripts/setup --services")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    port = free_port()
    shutil.copy(folder / "client.pub", folder / "authorized")
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up its rights
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "config")],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: "listening" in (folder / "log").read_text(), what="sshd listens")
        yield port, folder
    finally:
        server.terminate()
        server.wait(10)


def ssh(port, folder, words, known="known hosts"):
    return text(
        f'host "127.0.0.1"; port {port}; user "{getpass.getuser()}"; key "{folder}/client"; '
        f'knownHosts "{folder}/{known}"; {words}',
        "SshCommand",
    )


@pytest.mark.integration
async def test_it_runs_on_another_machine_with_its_words_unchanged(bench, ssh_server):
    words = """cmd ["printf", "%s|", "a b", "$HOME", "it's"]; shouldTerminate false;"""
    await bench.deploy(ssh(*ssh_server, words))

    said = await until(lambda: bench.find("c").value("stdout"))

    assert said == "a b|$HOME|it's|"
    assert bench.find("c").value("exitCode") == 0
    await bench.one.terminate("app")


@pytest.mark.integration
async def test_input_and_status_pass_to_and_from_the_other_machine(bench, ssh_server):
    await bench.deploy(ssh(*ssh_server, 'cmd "cat; exit 9"; input "over there";'))

    record = await record_of(bench)

    assert record.type == "abnormal"
    assert "status 9" in record.description


@pytest.mark.integration
async def test_a_host_that_is_not_known_is_not_talked_to(bench, ssh_server):
    port, folder = ssh_server
    (folder / "nobody").write_text("")
    await bench.deploy(ssh(port, folder, 'cmd "true";', "nobody"))

    record = await record_of(bench)

    assert record.type == "abnormal"
    assert "ssh to 127.0.0.1 failed" in record.description


@pytest.mark.integration
async def test_a_machine_that_does_not_answer_is_an_abnormal_end(bench, ssh_server):
    _, folder = ssh_server
    await bench.deploy(ssh(free_port(), folder, 'cmd "true";'))

    record = await record_of(bench)

    assert "ssh to 127.0.0.1 failed" in record.description
