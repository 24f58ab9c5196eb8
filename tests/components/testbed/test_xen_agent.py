"""Commands run through a guest agent; here one of our own that speaks its words."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import threading

import pytest

from components.testbed.xen import agent


class Agent:
    """Answers as the guest agent does, and really runs what it is told."""

    def __init__(self, path, *, before=b"", silent=False):
        self.path, self.before, self.silent = path, before, silent
        self.running = {}
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                line, _ = self.server.accept()
            except OSError:
                return
            with line:
                line.sendall(self.before)
                for text in line.makefile("rb"):
                    if not self.silent:
                        self.answer(line, json.loads(text.rpartition(b"\xff")[2]))

    def answer(self, line, message):
        arguments = message["arguments"]
        match message["execute"]:
            case "guest-sync-delimited":
                line.sendall(b"\xff" + json.dumps({"return": arguments["id"]}).encode() + b"\n")
                return
            case "guest-exec":
                process = subprocess.Popen(
                    [arguments["path"], *arguments["arg"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE
                )  # fmt: skip
                self.running[process.pid] = process
                answer = {"pid": process.pid}
            case "guest-exec-status":
                process = self.running[arguments["pid"]]
                answer = {"exited": process.poll() is not None}
                if answer["exited"]:
                    out, err = process.communicate()
                    how = "signal" if process.returncode < 0 else "exitcode"
                    answer |= {how: abs(process.returncode)}
                    answer |= {"out-data": base64.b64encode(out).decode()}
                    answer |= {"err-data": base64.b64encode(err).decode()}
        line.sendall(json.dumps({"return": answer}).encode() + b"\n")

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


@pytest.fixture
def started(tmp_path):
    agents = []

    def start(**options):
        agents.append(Agent(tmp_path / "a", **options))
        return tmp_path / "a"

    yield start
    for each in agents:
        each.close()


PATH = {"PATH": "/usr/bin:/bin"}


def test_what_a_command_prints_and_its_exit_code_come_back(started):
    path = started()
    script = "echo $A; pwd; echo no >&2; exit 7"

    done = agent.run(path, ["sh", "-c", script], environment={**PATH, "A": "b c"}, cwd="/usr")

    assert (done.returncode, done.stdout, done.stderr) == (7, "b c\n/usr\n", "no\n")


def test_what_was_meant_for_somebody_before_us_is_not_taken_for_ours(started):
    path = started(before=b'{"return": {"pid": 1}}\n{"return": 7}\nhalf a line')

    assert agent.run(path, ["echo", "x"], environment=PATH).stdout == "x\n"


def test_a_command_that_takes_too_long_is_killed_and_told(started):
    path = started()

    with pytest.raises(agent.AgentError, match=r"sleep 4712: not done after 0\.5 s"):
        agent.run(path, ["sleep", "4712"], environment=PATH, limit_s=0.5)

    assert subprocess.run(["pgrep", "-f", "^sleep 4712"], check=False).returncode == 1


def test_a_silent_agent_and_none_at_all_are_told(started, tmp_path):
    with pytest.raises(agent.AgentError, match="does not answer"):
        agent.run(started(silent=True), ["true"], environment=PATH, limit_s=0.1)
    with pytest.raises(agent.AgentError, match="not running"):
        agent.run(tmp_path / "none", ["true"], environment=PATH, limit_s=1)
