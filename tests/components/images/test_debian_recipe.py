"""What a system of Debian packages is made with: builder, password of root, and no trace of the time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from components.images import bootstrap
from components.images.bootstrap import Packages, chosen_builder, commands, one_source
from components.images.debian_image import DebianBuild
from components.images.passwords import crypted, give_root
from components.images.store import Made, Source, Store, name_of
from components.images.timeless import EPOCH_S, forget, settle
from engine.core.faults import Refused
from engine.runtime.effects import Owner, OwnExecutor, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.wire.codec import encode

PACKAGES = Packages(
    suite="bookworm", variant="minbase", arch="arm64", components=("main", "contrib"),
    include=("udev", "dbus"), hooks=("touch $1/x",), fixed=True,
)  # fmt: skip
LINE = "deb http://d.o/debian bookworm main"


def words(builder, **changes):
    given = ("deb http://d.o/u bookworm-updates main", LINE)
    return commands(builder, replace(PACKAGES, **changes), Path("/t"), given)


def test_mmdebstrap_is_given_all_sources_and_the_hooks():
    (command,) = words("mmdebstrap")

    assert command[-4:] == ("bookworm", "/t", "deb http://d.o/u bookworm-updates main", LINE)
    assert "--include=udev,dbus" in command
    assert "--architectures=arm64" in command
    assert command.index("--customize-hook=touch $1/x") > command.index(
        f"--customize-hook={bootstrap.WITHOUT_KEYS}"
    )


def test_debootstrap_is_given_the_source_of_the_release_and_its_hooks_run_after_it(tmp_path):
    program = tmp_path / "hook"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command, keys, hook, called = words("debootstrap", hooks=("touch $1/x", str(program)))

    assert command[-3:] == ("bookworm", "/t", "http://d.o/debian")
    assert {"--variant=minbase", "--arch=arm64", "--components=main,contrib"} <= set(command)
    assert keys[-5:-2] == ("sh", "-c", bootstrap.WITHOUT_KEYS)
    assert hook[-5:] == ("sh", "-c", "touch $1/x", "exec", "/t")
    assert called[-2:] == (str(program), "/t")
    assert "--variant" not in " ".join(words("debootstrap", variant="important")[0])


@pytest.mark.parametrize("builder", bootstrap.PROGRAMS)
def test_packages_learn_the_time_only_of_an_image_that_need_not_be_reproducible(builder):
    assert "SOURCE_DATE_EPOCH=1" in words(builder)[0]
    assert "SOURCE_DATE_EPOCH=1" not in words(builder, fixed=False)[0]


def test_debootstrap_takes_a_line_an_address_or_a_file(tmp_path):
    file = tmp_path / "own.sources"
    file.write_text(
        "Types: deb\nURIs: http://f.o\nSuites: bookworm\nComponents: main\nTrusted: yes\n"
    )

    assert one_source([LINE], "bookworm") == ("http://d.o/debian", False)
    assert one_source(["file:/srv/debian"], "bookworm") == ("file:/srv/debian", False)
    assert one_source([str(file)], "bookworm") == ("http://f.o", True)
    with pytest.raises(Refused, match="needs a source of trixie itself"):
        one_source([LINE, str(file)], "trixie")


@pytest.mark.parametrize(
    ("asked", "there", "builder"),
    [
        ("auto", bootstrap.PROGRAMS, "mmdebstrap"), ("auto", ("debootstrap",), "debootstrap"),
        ("debootstrap", bootstrap.PROGRAMS, "debootstrap"),
        ("auto", (), "needs mmdebstrap or debootstrap on its host"),
        ("mmdebstrap", ("debootstrap",), "needs mmdebstrap on its host"),
    ],
)  # fmt: skip
def test_the_builder_is_the_one_asked_for_or_the_better_one_there(
    monkeypatch, asked, there, builder
):
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name, path: name in there or None)
    if builder in bootstrap.PROGRAMS:
        assert chosen_builder(asked, "app") == builder
    else:
        with pytest.raises(Refused, match=builder):
            chosen_builder(asked, "app")


def test_a_password_becomes_what_the_published_example_says():
    assert crypted("Hello world!", "saltstringsaltst", 10000) == (
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/"
        "YTBmSK6H9qs/y3RnOaw5v."
    )


def test_root_gets_the_password_and_the_file_keeps_its_owner_and_mode(tmp_path):
    shadow = tmp_path / "etc/shadow"
    shadow.parent.mkdir()
    shadow.write_text("root:*:19000:0:99999:7:::\nann:!:19000::::::\n")
    shadow.chmod(0o640)
    give_root(tmp_path, "$6$h")

    assert shadow.read_text() == "root:$6$h::0:99999:7:::\nann:!:19000::::::\n"
    assert stat.S_IMODE(shadow.stat().st_mode) == 0o640
    with pytest.raises(Refused, match="has no /etc/shadow"):
        give_root(tmp_path / "nothing", "$6$h")


def test_a_recipe_with_a_password_is_another_image_that_others_cannot_read(tmp_path):
    plain = DebianBuild("s", suite="bookworm")
    build = DebianBuild("s", suite="bookworm", root_hash=crypted("hunter2", plain.key[:16]))
    file = tmp_path / "making" / "image"
    file.parent.mkdir()
    file.write_bytes(b"disk")
    kept = Store(tmp_path).keep(Source(file, "raw", private=build.private))

    assert build.key != plain.key
    assert not plain.private
    assert b"hunter2" not in encode(build)
    assert stat.S_IMODE(Store(tmp_path).path(kept.digest).stat().st_mode) == 0o400


def test_what_need_not_be_reproducible_is_another_image_each_time():
    builds = [DebianBuild("s", suite="bookworm", nonce=each) for each in ("a", "b", "")]

    assert len({build.key for build in builds}) == 3
    assert [build.fixed for build in builds] == [False, False, True]


@pytest.mark.parametrize(("nonce", "stays"), [("a", False), ("", True)])
async def test_what_is_made_anew_each_time_does_not_fill_the_store(tmp_path, nonce, stays):
    owner = Owner("lab", "app", "app:image", 1)
    at = Site(owner, services=Services(), workers=InlineWorkers(), executor=OwnExecutor())
    store, file = Store(tmp_path / "store"), tmp_path / "store" / "image"
    file.parent.mkdir()
    file.write_bytes(b"disk")
    build = DebianBuild(str(store.folder), suite="bookworm", nonce=nonce)
    made = Made(store.keep(Source(file, "raw")).digest)
    store.note_made(build.key, made)
    store.refer(made.image, name_of(owner), owner.path)
    await replace(build, made=made).undo(at)

    assert (store.find(made.image) is not None) == stays
    assert (store.made_by(build.key) is not None) == stays
    assert store.users(made.image) == 0


def test_what_came_with_packages_keeps_its_time_and_the_rest_has_one(tmp_path):
    for name in ("usr", "etc/ssl", "var/log/apt", "var/lib/dpkg"):
        (tmp_path / name).mkdir(parents=True)
    old = 1_600_000_000
    for name in (
        "usr/packed",
        "etc/made",
        "etc/shadow-",
        "var/log/dpkg.log",
        "var/log/apt/term.log",
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("/nowhere")
    began_s = (tmp_path / "usr").stat().st_mtime
    os.utime(tmp_path / "usr/packed", (old, old))
    forget(tmp_path)
    settle(tmp_path, began_s)

    found = {str(path.relative_to(tmp_path)): path.lstat().st_mtime for path in tmp_path.rglob("*")}
    assert found.pop("usr/packed") == old
    assert set(found.values()) == {EPOCH_S}
    assert set(found) == {
        "usr", "etc", "etc/ssl", "etc/made", "link", "var", "var/log", "var/log/apt", "var/lib",
        "var/lib/dpkg",
    }  # fmt: skip
