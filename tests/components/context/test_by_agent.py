"""The scripts an agent runs do in a system what its context says, and doing it twice is doing it once."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from msgspec.structs import replace

from components.context.by_agent import LOOK, SHELL, Applied, applied, steps_for
from components.context.told import Beside, GuestFile, Person, Told, Wishes, instance_id

TOLD = Told(uuid="u", hostname="web.example", mac="52:54:00:00:00:01", ip="10.0.0.5")
ANN = Person(
    "ann", keys=("ssh-ed25519 A ann", "ssh-ed25519 B it's ann"), groups=("new", "staff"),
    sudo="ALL=(ALL) NOPASSWD:ALL", shell="/bin/sh", password_hash="$6$salt$hash",
)  # fmt: skip
ALONE = """set -e
mkdir "$1/etc" "$1/work"
mount -t tmpfs none /home
mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" none /etc
"""
"""Puts a script where it may change /etc and /home, which nobody else sees."""


def scripts(wishes, names):
    steps = steps_for(replace(TOLD, wishes=wishes), Applied())
    return {step.name: step.script for step in steps if step.name.startswith(names)}


def run(script, *, path=""):
    environment = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}" if path else os.defpath)
    return subprocess.run(
        SHELL,
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )


@pytest.fixture
def system(tmp_path):
    """Run scripts as root of this system, with an /etc and /home of their own; return what they say."""
    if os.geteuid() != 0:
        pytest.skip("accounts are made by root")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)

    def go(*parts):
        text = "".join((ALONE, *parts))
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", text, "sh", str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    yield go
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_account_is_made_and_made_again_with_the_same_outcome(system):
    (script,) = scripts(Wishes(users=(ANN,)), "user").values()
    seen = """
    (id -un ann; id -Gn ann; grep ^ann: /etc/shadow | cut -d: -f2; grep ^ann: /etc/passwd | cut -d: -f7
    cat /etc/sudoers.d/90-smartdomains-ann; stat -c '%a %U' /home/ann/.ssh/authorized_keys
    cat /home/ann/.ssh/authorized_keys)
    """
    found = system(
        f"({script})\n", "echo mine >> /home/ann/.ssh/authorized_keys\n", f"({script})", seen
    )

    assert found == [
        "ann", "ann staff new", "$6$salt$hash", "/bin/sh", "ann ALL=(ALL) NOPASSWD:ALL", "600 ann",
        "mine", "# begin smartdomains", "ssh-ed25519 A ann", "ssh-ed25519 B it's ann",
        "# end smartdomains",
    ]  # fmt: skip


def test_mounts_are_there_at_once_and_at_the_next_boot(system):
    mounts = (("none", "/home/a", "tmpfs", "size=1m"), ("/no/such", "/home/b", "ext4", "nofail"))
    (script,) = scripts(Wishes(mounts=mounts), "mounts").values()
    seen = "grep -c ' /home/a ' /proc/mounts; grep -c ^none./home/a /etc/fstab; test -d /home/b\n"

    assert system(f"({script})\n", f"({script})\n", seen) == ["1", "1"]


def test_a_mount_that_is_needed_and_fails_is_no_success(system):
    (script,) = scripts(Wishes(mounts=(("/no/such", "/home/b", "ext4", "rw"),)), "mounts").values()

    both = f"sh -c {shlex.quote(script)} 2>/dev/null && echo done || echo failed\n"
    assert system(both) == ["failed"]


def test_a_file_is_exactly_what_was_said_however_it_is_spelt(tmp_path):
    path = tmp_path / "deep" / "note"
    content = "it's $HOME `id` \\n %s\n\n"
    (script,) = scripts(Wishes(files=(GuestFile(str(path), content, "0604"),)), "file").values()

    assert [run(script).returncode, run(script).returncode] == [0, 0]
    assert path.read_text() == content
    assert oct(path.stat().st_mode & 0o777) == "0o604"
    assert [each.name for each in path.parent.iterdir()] == ["note"]


@pytest.mark.parametrize(
    ("program", "said"),
    [("apt-get", ["-q update", "-q -y install -- nginx a b"]), ("dnf", ["-y install nginx a b"])],
)
def test_packages_are_installed_by_what_the_system_has(tmp_path, program, said):
    stub = tmp_path / program
    stub.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    stub.chmod(0o755)
    (script,) = scripts(Wishes(packages=("nginx", "a b")), "packages").values()
    if program != "apt-get":  # this system may have it
        script = script.replace("apt-get", "no-apt-get")

    done = run(script, path=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").read_text().splitlines() == said


def test_commands_keep_their_order_and_only_they_are_patient():
    wishes = Wishes(run_commands=("one", "two"), packages=("nginx",), users=(ANN,))
    steps = steps_for(replace(TOLD, wishes=wishes), Applied())

    assert [(step.name, step.patient) for step in steps] == [
        ("name and network", False), ("user ann", False), ("packages", True),
        ("command 1 of 2", True), ("command 2 of 2", True), ("note", False),
    ]  # fmt: skip


def test_what_does_not_outlast_a_boot_is_done_at_each_and_the_rest_once():
    told = replace(
        TOLD, wishes=Wishes(run_commands=("one",)),
        beside=(Beside("52:54:00:00:00:02", "10.1.0.5"), Beside("52:54:00:00:00:03")),
    )  # fmt: skip
    names = {
        there: [step.name for step in steps_for(told, there)]
        for there in (
            Applied(instance_id(told), now=True),
            Applied(instance_id(told)),
            Applied("sd-0"),
        )
    }

    always = ["name and network", "interface 52:54:00:00:00:02"]
    assert list(names.values()) == [[], [*always, "note"], [*always, "command 1 of 1", "note"]]


def test_what_is_done_once_is_not_done_anew_for_an_instance_that_was_given():
    before = replace(TOLD, wishes=Wishes(run_commands=("one",), instance="golden-1"))
    changed = replace(before, wishes=Wishes(run_commands=("two",), instance="golden-1"))
    other = replace(before, wishes=Wishes(run_commands=("two",), instance="golden-2"))

    noted = Applied(instance_id(before))
    assert [step.name for step in steps_for(changed, noted)] == ["name and network", "note"]
    assert "command 1 of 1" in [step.name for step in steps_for(other, noted)]


def test_what_was_noted_is_found_again_and_another_boot_is_told_apart(tmp_path):
    def of(script):
        return script.replace("/var/lib/smartdomains", str(tmp_path / "state"))

    *_, note = steps_for(TOLD, Applied())
    assert applied(run(of(LOOK.script)).stdout) == Applied()
    assert run(of(note.script)).returncode == 0
    assert applied(run(of(LOOK.script)).stdout) == Applied(instance_id(TOLD), now=True)

    boot = tmp_path / "state" / "boot"
    boot.write_text(f"{instance_id(TOLD)} another\n")
    assert applied(run(of(LOOK.script)).stdout) == Applied(instance_id(TOLD))


def test_an_interface_that_is_not_there_is_no_success(tmp_path):
    told = replace(TOLD, hostname="", mac="52:54:00:ff:ff:ff")
    (step,) = [step for step in steps_for(told, Applied()) if step.name == "name and network"]
    script = step.script.replace("-lt 300", "-lt 1")

    done = run(script)

    assert done.returncode == 1
    assert "there is no interface 52:54:00:ff:ff:ff" in done.stderr
