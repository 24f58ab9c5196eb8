"""The check of a machine: every finding on a machine made up for it."""

from __future__ import annotations

import threading

import pytest

from components.hypervisor.checkup import capabilities, check
from engine.core.faults import Refused
from engine.core.findings import GOOD, MISSING, NOTE, WARNING, Finding, fit
from engine.doctor import hardware, software, surroundings
from engine.doctor.checkup import bounded, checkup, others
from engine.doctor.machine import Machine
from engine.doctor.surroundings import Greeting
from engine.security.identity import Expiry
from engine.settings import Settings

ALL = 0x1FFFFFFFFFF


class Other(Machine):
    """A machine where everything is well, but for what a test says."""

    def __init__(self, **facts):
        self.facts = {
            "python": (3, 11, 4), "packages": {"lark": "1.4"}, "needs": ["lark<2,>=1.3"],
            "programs": {each.name for each in software.PROGRAMS}, "user": 0, "files": 65536,
            "texts": {"/proc/self/status": f"Name: x\nCapEff:\t{ALL:016x}\n",
                      "/proc/mounts": "/dev/vda / ext4 rw 0 0"},
            "there": {"/", "/dev/kvm", "/sys/module/kvm_amd"}, "closed": set(), "free": 1 << 40,
            "arch": "x86_64", "names": {"n7": "10.0.0.7"}, "ports": {}, "kept": True,
        } | facts  # fmt: skip

    def python(self):
        return self.facts["python"]

    def package(self, name):
        return self.facts["packages"].get(name)

    def requirements(self):
        return self.facts["needs"]

    def program(self, name):
        return f"/usr/bin/{name}" if name in self.facts["programs"] else None

    def text(self, path):
        return self.facts["texts"].get(path)

    def exists(self, path):
        return path in self.facts["there"]

    def may(self, path, mode):
        return path not in self.facts["closed"]

    def architecture(self):
        return self.facts["arch"]

    def user(self):
        return self.facts["user"]

    def open_files(self):
        return self.facts["files"]

    def free_bytes(self, path):
        return self.facts["free"]

    def name(self):
        return "n7"

    def resolves(self, name):
        return self.facts["names"].get(name)

    def trouble_at(self, host, port):
        return self.facts["ports"].get(port, "")

    def clock_is_kept(self):
        return self.facts["kept"]


KNOWN = Settings(state_dir="/var/lib/sd", metrics="127.0.0.1:9380")
LOOKS = {
    "versions": lambda machine, _: software.versions(machine),
    "programs": lambda machine, _: software.programs(machine),
    "rights": lambda machine, _: hardware.rights(machine),
    "limits": lambda machine, _: hardware.limits(machine),
    "kvm": lambda machine, _: hardware.kvm(machine),
    "network": surroundings.network,
    "ports": lambda machine, known: surroundings.ports(machine, known, running=False),
    "state": surroundings.state,
    "clock": lambda machine, _: surroundings.clock(machine),
}


@pytest.mark.parametrize("topic", LOOKS)
def test_a_machine_where_all_is_well_has_good_findings_only(topic):
    found = list(LOOKS[topic](Other(), KNOWN))
    assert found
    assert {each.verdict for each in found} == {GOOD}
    assert {each.topic for each in found} == {topic}


NFS = {"/proc/mounts": "/dev/vda / ext4 rw 0 0\nsrv:/x /var nfs4 rw 0 0"}
RAM = {"/proc/mounts": "tmpfs / tmpfs rw 0 0"}
POOR = {"/proc/self/status": "CapEff:\t0000000000000000\n"}
AWAY = {"peers": {"n8": "nowhere:3800"}}
BAD = {
    "old python": ("versions", {"python": (3, 10, 1)}, {}, MISSING, "3.10.1", "3.11"),
    "no package": ("versions", {"packages": {}}, {}, MISSING, "not installed", "pip install"),
    "old package": ("versions", {"packages": {"lark": "1.2.9"}}, {}, WARNING, "1.2.9", "pip install"),
    "new package": ("versions", {"packages": {"lark": "2.0"}}, {}, WARNING, "2.0", "pip install"),
    "no qemu-img": ("programs", {"programs": {"tar", "ip", "setpriv"}}, {}, MISSING, "volumes",
                    "apt install qemu-utils"),
    "no lvm": ("programs", {"programs": {each.name for each in software.PROGRAMS} - {"lvcreate"}}, {},
               NOTE, "logical volumes", "apt install lvm2"),
    "no rights": ("rights", {"user": 1000, "texts": POOR}, {}, WARNING, "CAP_NET_ADMIN", "service"),
    "few files": ("limits", {"files": 256}, {}, WARNING, "256", "LimitNOFILE"),
    "no kvm": ("kvm", {"there": set()}, {}, NOTE, "emulated", "modprobe"),
    "kvm in name only": ("kvm", {"there": {"/dev/kvm"}}, {}, WARNING, "never run", "tcg"),
    "kvm for others": ("kvm", {"closed": {"/dev/kvm"}}, {}, WARNING, "not for us", "group kvm"),
    "no name": ("network", {"names": {}}, {}, WARNING, "leads nowhere", "/etc/hosts"),
    "advertised wrongly": ("network", {}, {"advertise": "n9"}, MISSING, "leads nowhere", "advertise"),
    "peer nowhere": ("network", {}, AWAY, WARNING, "peer n8", "peers"),
    "port in use": ("ports", {"ports": {3800: "in use"}}, {}, MISSING, "in use", "--port"),
    "metrics in use": ("ports", {"ports": {9380: "in use"}}, {}, MISSING, "in use", "--metrics"),
    "state closed": ("state", {"closed": {"/"}}, {}, MISSING, "cannot be written", "--state-dir"),
    "state full": ("state", {"free": 1 << 20}, {}, MISSING, "1 MiB free", "make room"),
    "state nearly full": ("state", {"free": 100 << 20}, {}, WARNING, "100 MiB", "make room"),
    "state far away": ("state", {"texts": NFS, "there": {"/var/lib"}}, {}, WARNING, "nfs4", "local"),
    "state in memory": ("state", {"texts": RAM}, {}, WARNING, "tmpfs", "--state-dir"),
    "clock adrift": ("clock", {"kept": False}, {}, WARNING, "nobody", "timesyncd"),
    "clock silent": ("clock", {"kept": None}, {}, NOTE, "does not tell", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_found_with_what_to_do(case):
    topic, facts, settings, verdict, text, todo = BAD[case]
    known = Settings(state_dir="/var/lib/sd", metrics="127.0.0.1:9380", **settings)

    found = [each for each in LOOKS[topic](Other(**facts), known) if each.verdict != GOOD]

    assert any(
        each.verdict == verdict and text in each.text and todo in each.todo for each in found
    ), found
    assert all(each.todo for each in found if each.verdict in {MISSING, WARNING})


def test_kvm_of_other_processors_needs_no_vendor_module():
    (found,) = hardware.kvm(Other(arch="aarch64", there={"/dev/kvm"}))
    assert found.verdict == GOOD


def test_a_port_used_by_the_daemon_itself_is_good():
    machine = Other(ports={3800: "in use", 9380: "in use"})
    found = list(surroundings.ports(machine, KNOWN, running=True))
    assert {each.verdict for each in found} == {GOOD}


@pytest.mark.parametrize(
    ("ahead_s", "verdict"), [(0.3, GOOD), (-1.2, GOOD), (5.0, WARNING), (-90.0, MISSING)]
)
def test_a_peers_clock_is_judged_beyond_what_the_way_there_takes(ahead_s, verdict):
    seen = Greeting.of("n8", "n8:3800", round((1000.5 + ahead_s) * 1000), 1000.0, 1001.0)
    answers, clock = surroundings.peer(seen)
    assert answers.verdict == GOOD
    assert (clock.topic, clock.verdict) == ("clock", verdict)
    if verdict != GOOD:
        assert ("ahead" if ahead_s > 0 else "behind") in clock.text


def test_a_peer_that_does_not_answer_or_tell_its_time_is_no_clock():
    (silent,) = surroundings.peer(Greeting("n8", "n8:3800", trouble="connection refused"))
    assert (silent.verdict, silent.text) == (WARNING, "connection refused")
    assert len(list(surroundings.peer(Greeting.of("n8", "n8:3800", 0, 0.0, 0.0)))) == 1


@pytest.mark.parametrize(("days", "verdict"), [(-1, MISSING), (10, WARNING), (300, GOOD)])
def test_a_certificate_is_judged_by_the_days_it_has_left(days, verdict):
    found = surroundings.lasting(Expiry("daemon", "n7", "n7.pem", days * 86400.0), 0.0)
    assert found.verdict == verdict
    assert verdict == GOOD or "sfca renew n7" in found.todo


def test_certificates_that_are_named_but_missing_or_open_are_found(tmp_path):
    half = Settings(cert=str(tmp_path / "c.pem"))
    assert [each.verdict for each in surroundings.certificates(half)] == [MISSING]
    key = tmp_path / "k"
    key.write_text("x")
    key.chmod(0o644)
    named = Settings(cert=str(tmp_path / "c"), key=str(key), ca=str(tmp_path / "a"))
    (found,) = surroundings.certificates(named)
    assert "read by others" in found.text
    (none,) = surroundings.certificates(Settings(community_dir=str(tmp_path / "none")))
    assert none.verdict == NOTE
    (open_,) = surroundings.certificates(Settings(insecure=True))
    assert open_.verdict == WARNING


def test_a_check_that_hangs_fails_or_raises_is_a_finding_and_does_not_stop_the_others():
    release = threading.Event()

    def hanging(_settings):
        release.wait(30)
        return []

    def failing(_settings):
        yield Finding("x", "a", GOOD, "first")
        raise OSError("broken")

    def refusing(_settings):
        raise Refused("cannot", hint="do that")

    (late,) = bounded("x", hanging, KNOWN, 0.05)
    release.set()
    assert late.verdict == MISSING
    assert "0.05 s" in late.text
    first, broken = bounded("x", failing, KNOWN)
    assert (first.verdict, broken.verdict) == (GOOD, MISSING)
    assert "broken" in broken.text
    (refused,) = bounded("x", refusing, KNOWN)
    assert (refused.text, refused.todo) == ("cannot", "do that")


def test_the_hypervisor_is_checked_by_its_own_package(capfd):
    assert "hypervisor" in dict(others())
    found = list(check(Settings(hypervisor_uri="test:///default")))
    assert {each.verdict for each in found} == {GOOD}
    (absent,) = check(Settings(hypervisor_uri="qemu+unix:///system?socket=/no/such"))
    assert absent.verdict == MISSING
    assert absent.todo
    assert capfd.readouterr().err == ""


def test_a_hypervisor_that_advertises_kvm_is_not_believed_by_itself():
    xml = "<capabilities><guest><arch><domain type='{}'/></arch></guest></capabilities>"
    kinds = list(capabilities(xml.format("kvm")))
    assert [each.verdict for each in kinds] == [GOOD, NOTE]
    (none,) = capabilities("<capabilities/>")
    assert none.verdict == MISSING


def test_the_whole_check_of_this_machine_has_every_topic_and_ends(tmp_path):
    known = Settings(state_dir=str(tmp_path), hypervisor_uri="test:///default", port=1,
                     community_dir=str(tmp_path))  # fmt: skip
    found = checkup(known, running=False, machine=Other(there={"/", str(tmp_path)}))
    assert {each.topic for each in found} == {*LOOKS, "certificates", "hypervisor"}
    assert fit(found), [each for each in found if each.verdict == MISSING]
    assert "versions" in {each.topic for each in checkup(known, running=False)}
