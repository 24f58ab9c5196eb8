"""Wrong input: for each case the exit code, and words that say what is wrong; never a traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.ports import free_port
from engine.testing.daemons import daemons
from engine.wire.codec import encode
from engine.wire.messages import Welcome
from engine.wire.server import Door, NodeServer, Quotas

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
HEAD = '#include "components/vm.sf"\n'
LOOP = (
    'loop extends LoopbackStorageBackend { domainName "vm"; baseImage "%s"; volumeSize "8m"; '
    "swapSize 0; spaceReserve 0; }"
)


def run(*words, **environment):
    done = subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with daemons(tmp_path_factory.mktemp("bad"), "one") as (one,):
        yield one


DESCRIPTIONS = {
    "syntax error": ("sfConfig extends { a 1; b ", 3, ["SF-PARSE", "1:"]),
    "unknown prototype": ("sfConfig extends Compund {}", 3, ["SF-TYPE", "Compund"]),
    "no sfConfig": ("a 1;", 3, ["sfConfig"]),
    "unresolvable reference": ("sfConfig extends Compound { a nowhere; }", 3, ["SF-LINK", "nowhere"]),
    "missing include": ('#include "no/such.sf"\nsfConfig extends {}', 3, ["no/such.sf"]),
    "unknown class": ('sfConfig extends Prim { sfClass "components.nothing.Here"; }', 3,
                      ["components.nothing.Here"]),
    "forbidden class": ('sfConfig extends Prim { sfClass "os.path"; }', 3, ["os.path", "allowed packages"]),
    "no class": ("sfConfig extends { a 1; }", 3, ["sfClass"]),
    "not a component type": ('sfConfig extends Prim { sfClass "engine.settings.Settings"; }', 3,
                             ["not a component type"]),
    "wrong kind": ("sfConfig extends Compound { s extends Supervisor { intensity true; } }", 3,
                   ["intensity", "SF-ASSERT"]),
    "out of range": ("sfConfig extends Compound { s extends Supervisor { intensity -1; } }", 3,
                     ["app:s.intensity", "at least 0"]),
    "unknown word": ('sfConfig extends Compound { s extends Supervisor { strategy "one4one"; } }', 3,
                     ["one_for_one"]),
    "lazy value of the wrong kind": (
        "sfConfig extends Compound { n true; s extends Supervisor { intensity LAZY n; } }", 3,
        ["intensity", "whole number"]),
    "lazy reference to nothing": (
        "sfConfig extends Compound { vm extends KvmDomain { storageBackend LAZY gone; } }", 1,
        ["app:vm", "gone"]),
    "host that does not answer": (
        'sfConfig extends Compound { c extends Compound { sfProcessHost "localhost:1"; } }', 1,
        ["localhost:1", "does not answer"]),
    "host that is no host": (
        'sfConfig extends Compound { c extends Compound { sfProcessHost "a b"; } }', 1, ["a b", "not a host"]),
    "child of a prim": ("sfConfig extends BashShell { c extends Compound {} }", 3, ["has no children"]),
    "missing image": (f'sfConfig extends Compound {{ {LOOP % "/no/image"} }}', 1, ["/no/image", "app:loop"]),
    "foreign domain": (
        'sfConfig extends PhysicalHost { hypervisorUri "test:///default"; '
        'vm extends KvmDomain { diskless true; domainName "test"; } }', 1,
        ["test", "not made by smartdomains"]),
    "hypervisor that is not there": (
        'sfConfig extends Compound { vm extends KvmDomain { diskless true; '
        'hypervisorUri "qemu+unix:///system?socket=/no/such"; } }', 1, ["app:vm", "/no/such"]),
    "size too large": ('sfConfig extends Compound { vm extends KvmDomain { memory "9999999t"; } }', 3,
                       ["app:vm.memory", "2^62"]),
    "negative size": ("sfConfig extends Compound { vm extends KvmDomain { memory -1; } }", 3,
                      ["app:vm.memory", "size"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_wrong_description_is_refused_with_its_code_and_words(tmp_path, daemon, case):
    text, code, words = DESCRIPTIONS[case]
    file = tmp_path / "bad.sf"
    file.write_text(HEAD + text if "#include" not in text else text)

    done = run("sfstart", "localhost", "app", file, "-p", daemon.port)

    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    after = run("sfstatus", "localhost", "-p", daemon.port)
    assert "no applications" in after.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="reads as nobody need root to set up")
def test_an_image_that_cannot_be_read_says_who_tried(tmp_path, daemon):
    folder = tmp_path / "image"
    folder.mkdir()
    link = folder / "loop"
    link.symlink_to(link)
    file = tmp_path / "bad.sf"
    file.write_text(HEAD + f"sfConfig extends Compound {{ {LOOP % link} }}")

    done = run("sfstart", "localhost", "app", file, "-p", daemon.port)

    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert "the daemon runs as user" in done.stderr


def test_a_name_in_use_is_exit_code_8_and_changes_nothing(tmp_path, daemon):
    file = tmp_path / "ok.sf"
    file.write_text(HEAD + "sfConfig extends Compound {}")
    assert run("sfstart", "localhost", "app", file, "-p", daemon.port).returncode == 0

    done = run("sfstart", "localhost", "app", file, "-p", daemon.port)

    assert done.returncode == 8
    assert "app is in use" in done.stderr
    assert "started" in run("sfstatus", "localhost", "app", "-p", daemon.port).stdout
    assert run("sfterminate", "localhost", "app", "-p", daemon.port).returncode == 0


COMMANDS = {
    "missing file": (["sfstart", "localhost", "app", "no-such.sf"], 3, ["no-such.sf"]),
    "no such application": (["sfstatus", "localhost", "nothing"], 7, ["nothing"]),
    "no such application to end": (["sfterminate", "localhost", "nothing"], 7, ["nothing"]),
    "no such application to ping": (["sfping", "localhost", "nothing"], 7, ["nothing"]),
    "no such application to list": (["sflist", "localhost", "nothing:a"], 7, ["nothing"]),
    "no such application's log": (["sflog", "localhost", "nothing"], 7, ["nothing"]),
    "no such level": (["sflog", "localhost", "--level", "loud"], 2, ["loud", "fatal"]),
    "bad host": (["sfping", "local host"], 1, ["not a host"]),
    "bad option": (["sfping", "localhost", "--nonsense"], 2, ["--nonsense"]),
    "missing argument": (["sfstart", "localhost"], 2, ["Missing argument"]),
    "bad setting": (["sfstart", "localhost", "app", "x.sf", "--set", "nothing"], 2, ["REF=VALUE"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_wrong_command_says_what_is_wrong(daemon, case):
    words, code, said = COMMANDS[case]

    done = run(*words, "-p", daemon.port)

    assert done.returncode == code, done.stderr
    for word in said:
        assert word in done.stderr


@pytest.mark.parametrize("command", ["sfping", "sfstatus", "sflist", "sfdiag", "sfstop"])
def test_a_daemon_that_is_absent_is_exit_code_4(command):
    done = run(command, "localhost", "-p", free_port())

    assert done.returncode == 4
    assert "connection refused" in done.stderr
    assert "sfdaemon" in done.stderr


def test_failures_are_one_json_object_when_asked_for(daemon):
    done = run("sfstatus", "localhost", "nothing", "--json", "-p", daemon.port)

    assert done.returncode == 7
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["code"]) == (False, 7)
    assert answer["error"]["kind"] == "NotFound"


def test_another_protocol_version_is_refused_in_words():
    port = free_port()
    welcome = Welcome(99, "d", "old", f"127.0.0.1:{port}", "9.9", "running", 1, 0.0, 0)
    door = Door(None, Quotas(), lambda refused: None)
    server = NodeServer("127.0.0.1", port, lambda verb, message, caller: encode(welcome), door)
    server.start()
    try:
        done = run("sfstatus", "localhost", "-p", port, "--insecure")
    finally:
        server.close()

    assert done.returncode == 1
    assert "protocol 99" in done.stderr
    assert "same version" in done.stderr


def test_something_else_at_the_port_is_refused_in_words(daemon):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b" " * 100)

        thread = threading.Thread(target=answer)
        thread.start()
        done = run("sfping", "localhost", "-p", server.getsockname()[1])
        thread.join(timeout=10)

    assert done.returncode == 1
    assert "not a daemon" in done.stderr


def test_a_port_in_use_stops_the_daemon_with_words(tmp_path, daemon):
    done = run("sfdaemon", "-p", daemon.port, "--state-dir", tmp_path)

    assert done.returncode == 1
    assert "cannot listen" in done.stderr


def test_a_state_folder_in_use_stops_the_daemon_with_words(daemon):
    done = run("sfdaemon", "-p", daemon.port, "--state-dir", daemon.folder)

    assert done.returncode == 1
    assert "another daemon uses" in done.stderr


def test_listening_elsewhere_than_on_loopback_is_refused(tmp_path):
    done = run("sfdaemon", "--bind", "0.0.0.0", "--state-dir", tmp_path)

    assert done.returncode == 2
    assert "loopback" in done.stderr


def test_a_wrong_setting_names_its_source(tmp_path):
    done = run("sfdaemon", "--state-dir", tmp_path, SMARTDOMAINS_LIVENESS_DELAY_S="soon")

    assert done.returncode == 2
    assert "SMARTDOMAINS_LIVENESS_DELAY_S" in done.stderr
