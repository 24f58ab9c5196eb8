"""Each verb does what it says, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from components.testbed.lab import LabError, NoSuchLabError, Slow
from tests.lab.looking import DESCRIPTION, alive, heard, reaches, script, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_names_resolve_in_every_host_and_in_the_fabric(lab):
    for at in [*lab, lab.fabric]:
        for host in lab:
            assert reaches(at, host), f"{at.name} to {host.name}"


def test_a_host_has_a_name_a_network_processes_and_files_of_its_own(lab):
    one, two = lab["h1"], lab["h2"]
    assert one.run("hostname").out == "h1\n"
    assert "10.77.0.11/24" in one.run("ip", "-4", "-o", "addr").out
    assert "10.77.0.12" not in one.run("ip", "-4", "-o", "addr").out
    assert "h2" not in one.run("ps", "-eo", "args").out
    assert one.run("cat", "/proc/1/comm").out.startswith("python")
    assert one.run("sfstatus", "localhost").out == "no applications at localhost\n"
    ledgers = [next(host.folder.glob("state/port-*/ledger.sqlite")) for host in (one, two)]
    assert len({path.stat().st_ino for path in ledgers}) == 2


def test_a_command_runs_where_one_stands_and_gives_its_exit_code(lab, tmp_path):
    done = lab["h1"].run("sh", "-c", "pwd; echo no >&2; exit 7", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (7, f"{tmp_path}\n", "no\n")


def test_a_command_that_takes_too_long_is_ended_inside_too(lab):
    with pytest.raises(LabError, match=r"not done after 0\.5 s"):
        lab["h1"].run("sleep", "4711", limit_s=0.5)
    until(lambda: not any("4711" in words for words in lab["h1"].pids().values()))


def test_a_crash_ends_everything_at_once_and_the_host_boots_again(lab):
    host = lab["h2"]
    assert host.run("sh", "-c", "setsid sleep 4711 > /dev/null 2>&1 & sleep 0.1").code == 0
    pids = list(host.pids())
    assert len(pids) == 3  # PID 1, the daemon, the sleeper

    began = time.monotonic()
    host.crash()
    took = time.monotonic() - began

    assert not any(alive(pid) for pid in pids)
    assert took < 5
    assert not reaches(lab["h1"], host)
    assert host.facts().power == "off"
    with pytest.raises(LabError, match="is off; switch it on: scripts/lab boot h2"):
        host.run("true")
    with pytest.raises(LabError, match="off already"):
        host.crash()

    host.start()
    assert reaches(lab["h1"], host)
    assert lab.sf("sfping", "h2").code == 0
    with pytest.raises(LabError, match="on already"):
        host.start()


def test_a_killed_daemon_is_started_again_by_its_host(lab):
    host = lab["h1"]
    first = host.pid("daemon")
    host.kill("daemon")
    until(lambda: host.pid("daemon") not in {None, first})
    until(lambda: lab.sf("sfping", "h1").code == 0)


def test_a_daemon_held_down_stays_down_until_healed(lab):
    host = lab["h1"]
    host.kill("daemon", hold=True)
    assert host.facts().daemon == "held"
    assert lab.sf("sfping", "h1").code == 4
    assert host.facts().daemon == "held"
    with pytest.raises(LabError, match="daemon does not run on h1"):
        host.kill("daemon")

    lab.heal("h1")
    until(lambda: lab.sf("sfping", "h1").code == 0)


def test_a_frozen_daemon_hangs_while_its_host_goes_on(lab):
    host = lab["h3"]
    host.freeze()
    assert (host.facts().power, host.facts().daemon) == ("on", "frozen")
    assert reaches(lab["h1"], host)
    assert lab.sf("sfping", "h3").code != 0

    host.thaw()
    assert host.facts().daemon == "up"
    assert lab.sf("sfping", "h3").code == 0


def test_a_frozen_host_does_nothing_and_goes_on_when_thawed(lab):
    host = lab["h3"]
    host.freeze(everything=True)
    assert (host.facts().power, host.facts().daemon) == ("frozen", "frozen")
    host.thaw()
    assert (host.facts().power, host.facts().daemon) == ("on", "up")
    assert lab.sf("sfping", "h3").code == 0


def test_a_cut_parts_two_hosts_and_no_others(lab):
    one, two, three = lab
    lab.cut("h1", "h2")
    assert not reaches(one, two)
    assert not reaches(two, one)
    assert reaches(one, three)
    assert reaches(three, two)
    assert two.facts().faults == ("cut off h1",)

    lab.heal()
    assert reaches(one, two)


def test_a_cut_one_way_loses_that_direction_only(lab):
    one, two, _ = lab
    lab.cut("h2", "h1", one_way=True)
    assert heard(one, two) == 20
    assert heard(two, one) == 0
    assert not reaches(one, two)  # no answer comes back


def test_an_isolated_host_hears_nobody_and_is_fine_by_itself(lab):
    one, two, three = lab
    lab.isolate("h2")
    assert not reaches(one, two)
    assert not reaches(two, three)
    assert not reaches(lab.fabric, two)
    assert heard(two, one) == 0
    assert two.run("sfping", "localhost").code == 0

    lab.heal("h2")
    assert reaches(lab.fabric, two)


def test_healing_one_host_leaves_the_faults_of_others(lab):
    lab.cut("h1", "h2")
    lab.isolate("h3")
    lab.heal("h1")
    assert reaches(lab["h1"], lab["h2"])
    assert not reaches(lab["h1"], lab["h3"])


def round_trip_ms(a, b):
    out = a.run("ping", "-c", "3", "-i", "0.2", "-W", "5", b.name).out
    return float(out.rpartition("= ")[2].split("/")[0])


def test_a_slow_host_answers_late_both_ways_until_healed(lab):
    one, two, three = lab
    lab.slow("h2", Slow(delay_ms=100))
    assert 200 <= round_trip_ms(one, two) < 400
    assert round_trip_ms(one, three) < 100
    assert two.facts().faults == ("100 ms later",)
    assert lab.sf("sfping", "h2").code == 0  # whole TCP conversations pass

    lab.slow("h2", Slow(delay_ms=20))
    assert 40 <= round_trip_ms(one, two) < 150
    lab.heal("h2")
    assert round_trip_ms(one, two) < 40


def test_large_answers_pass_a_slow_wire_whole(lab, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    lab.slow("h2", Slow(delay_ms=5))
    serve = [sys.executable, "-m", "http.server", "7001", "--directory", str(tmp_path)]
    lab["h2"].run("sh", "-c", 'setsid "$@" > /dev/null 2>&1 &', "sh", *serve)
    fetch = (
        "import hashlib, sys, time, urllib.request as u\n"
        "for _ in range(100):\n"
        "    try: data = u.urlopen('http://h2:7001/big', timeout=30).read(); break\n"
        "    except OSError: time.sleep(0.1)\n"
        "sys.stdout.buffer.write(hashlib.sha256(data).hexdigest().encode())\n"
    )
    done = lab["h1"].run(sys.executable, "-c", fetch)
    lab["h2"].run("pkill", "-f", "http.server 7001")  # of its own PID namespace
    local = lab["h1"].run("sha256sum", str(tmp_path / "big"))
    assert done.out == local.out.split()[0], done.err


def test_a_wire_loses_and_doubles(lab):
    one, two, _ = lab
    lab.slow("h2", Slow(loss=1.0))
    assert not reaches(one, two)
    lab.slow("h2", Slow(duplicate=1.0))
    assert heard(one, two, count=30) == 60
    lab.slow("h2", Slow(loss=0.5))
    assert 60 < heard(one, two, count=200) < 140


def test_a_bad_wire_is_still_there_after_a_boot_and_cuts_go_with_it(lab):
    one, two, three = lab
    lab.slow("h2", Slow(delay_ms=50))
    lab.cut("h2", "h3")
    two.crash()
    two.start()
    assert 100 <= round_trip_ms(one, two) < 300
    assert not reaches(two, three)


def test_unknown_hosts_and_senseless_faults_are_refused(lab):
    with pytest.raises(NoSuchLabError, match=r"no host h9 in lab .*: h1, h2, h3"):
        lab.isolate("h9")
    with pytest.raises(LabError, match="from itself"):
        lab.cut("h1", "h1")
    with pytest.raises(ValueError, match="from 0 to 1"):
        Slow(loss=2)
    with pytest.raises(ValueError, match="nothing is slow"):
        Slow()


def states(lab, host, name):
    done = lab.sf("sfstatus", host, name, "--json")
    answer = json.loads(done.out)
    return {row["path"]: row["state"] for row in answer["result"]} if answer["ok"] else None


def sleepers(host):
    return [words for words in host.pids().values() if words[0] == "sleep"]


def test_an_application_over_three_hosts_ends_when_one_of_them_loses_power(lab, tmp_path):
    description = tmp_path / "three.sf"
    text = DESCRIPTION.read_text().rstrip().removesuffix("}")
    description.write_text(f'{text}\n    worker3 extends Worker {{ sfProcessHost "h3"; }}\n}}\n')
    done = lab.sf("sfstart", "h1", "pool", str(description))
    assert done.code == 0, done.err
    assert "4 components on 3 hosts" in done.out
    assert set(states(lab, "h1", "pool").values()) == {"started"}
    assert all(sleepers(host) for host in lab)

    began = time.time()
    lab["h2"].crash()
    log = (
        lab["h1"].folder / "daemon.log"
    )  # written at once; a question would wait for the dead host
    before = log.read_text().count("worker2: no answer")
    until(lambda: log.read_text().count("worker2: no answer") > before, within_s=60)
    took = time.time() - began

    # Two rounds of two seconds and a ping's time-out of two; the rest is for a busy machine.
    assert took < 6 + 6
    until(lambda: not sleepers(lab["h1"]) and not sleepers(lab["h3"]), within_s=60)
    until(lambda: states(lab, "h1", "pool") is None, within_s=60)
    assert "worker2" in lab.sf("sfstatus", "h1", "pool").err


def test_a_host_cut_off_from_its_parent_ends_its_part_by_its_lease(lab):
    assert lab.sf("sfstart", "h1", "pool", str(DESCRIPTION)).code == 0
    assert sleepers(lab["h2"])

    began = time.monotonic()
    lab.cut("h1", "h2")
    until(lambda: not sleepers(lab["h2"]), within_s=60, what="the lease never ran out")

    assert time.monotonic() - began < 6 + 10  # three rounds of two seconds


def test_the_command_line_does_the_same(lab):
    def ours(*words, **options):
        return script("--name", lab.name, *words, **options)

    assert ours("status").stdout.startswith("host  address     power  daemon")
    assert ours("isolate", "h1").returncode == 0
    seen = json.loads(ours("status", "--json").stdout)
    assert seen["result"]["hosts"][0] == {
        "name": "h1", "address": "10.77.0.11", "power": "on", "daemon": "up", "libvirtd": "none",
        "guests": 0, "faults": ["isolated"],
    }  # fmt: skip
    assert ours("crash", "h2").returncode == 0
    assert ours("heal").stderr == "off: h2; switch on with: scripts/lab boot h2\n"
    assert ours("boot", "h2").returncode == 0
    assert ours("slow", "h1", "--delay", "1").returncode == 0
    assert ours("cut", "h1", "h2", "--one-way").returncode == 0
    assert [facts.faults for facts in lab.status()] == [
        ("cut to h2", "1 ms later"),
        ("cut from h1",),
        (),
    ]
    assert ours("heal", "h1").returncode == 0
    assert ours("freeze", "h3").returncode == 0
    assert lab["h3"].facts().daemon == "frozen"
    assert ours("thaw", "h3").returncode == 0
    assert ours("kill", "h3", "daemon", "--hold").returncode == 0
    assert lab["h3"].facts().daemon == "held"
    assert ours("heal", "h3").returncode == 0
    assert ours("run", "h1", "sh", "-c", "echo -n $0; exit 9", "--hold").stdout == "--hold"
    assert ours("run", "h1", "sh", "-c", "exit 9").returncode == 9
    assert "h1 at h1:3800" in ours("sf", "sfping", "h1").stdout
    assert ours("shell", "h1", input="hostname\n").stdout == "h1\n"
    assert "daemon.log" in ours("logs", "h2").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("crash", "h9"), 7, "no host h9"),
        (("boot", "h1"), 1, "on already"),
        (("slow", "h1"), 2, "nothing is slow"),
        (("slow", "h1", "--loss", "7"), 2, "from 0 to 1"),
        (("slow", "h1", "--delay", "x"), 2, "not a valid float"),
        (("up", "99"), 2, "not in the range"),
        (("up", "1"), 8, "up already"),
        (("kill", "h1", "libvirtd"), 1, "libvirtd does not run"),
        (("dance",), 2, "No such command"),
    ],
)
def test_a_refusal_has_words_and_an_exit_code(lab, words, code, said):
    done = script("--name", lab.name, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_lab_the_commands_say_how_to_make_one(lab_machine):
    done = script("--name", "t-nobody", "status")
    assert done.returncode == 7
    assert "scripts/lab 3" in done.stderr
    assert script("--name", "No Name", "status").returncode == 2


def test_others_than_root_are_told_so(lab_machine):
    nobody = ["setpriv", "--reuid", "nobody", "--clear-groups", sys.executable, "-c"]
    code = "import os, sys; sys.argv[1:] = ['3']; import components.testbed.lab.__main__"
    done = subprocess.run([*nobody, code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5, done.stderr
    assert "needs root" in done.stderr


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    from components.testbed.lab.lab import check_machine

    monkeypatch.setattr("components.testbed.lab.lab.os.geteuid", lambda: 0)
    monkeypatch.setattr("components.testbed.tools._installed", lambda name: name != "nft")
    with pytest.raises(LabError, match="apt-get install nftables"):
        check_machine(libvirt=True)
