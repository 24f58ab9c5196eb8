from __future__ import annotations

import gzip
import time

import pytest

from components.testbed.guest_image import GuestImage
from components.testbed.tools import MissingToolError, ToolFailedError, run, tool

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]


def test_two_builds_are_the_same_bit_for_bit_and_a_third_is_taken_from_the_cache(guests, tmp_path):
    first = GuestImage.build(tmp_path / "first")
    second = GuestImage.build(tmp_path / "second")
    made = first.initrd.stat().st_mtime_ns
    third = GuestImage.build(tmp_path / "first")

    for part in ("kernel", "initrd", "disk"):
        assert getattr(first, part) != getattr(second, part)
        assert getattr(first, part).read_bytes() == getattr(second, part).read_bytes()
    assert third == first
    assert first.initrd.stat().st_mtime_ns == made
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == [".lock", first.key]


def test_the_guest_holds_what_it_needs(image, tmp_path):
    (tmp_path / "root.cpio").write_bytes(gzip.decompress(image.initrd.read_bytes()))

    listing = run(["cpio", "-t", "--quiet", "-F", tmp_path / "root.cpio"]).split()

    assert {"init", "bin/sh", "sbin/qemu-ga", "sbin/poweroff", "var/log"} <= set(listing)
    assert "etc/acpi/PWRF/00000080" in listing
    assert "lib/modules/virtio_net.ko" in listing
    assert image.initrd.stat().st_size < 8 * 2**20


def test_a_failed_build_leaves_no_trace_in_the_cache(guests, tmp_path, monkeypatch):
    def broken(_scratch, output, _versions):
        (output / "vmlinuz").touch()
        raise ToolFailedError("planted")

    monkeypatch.setattr("components.testbed.guest_image._make", broken)
    with pytest.raises(ToolFailedError, match="planted"):
        GuestImage.build(tmp_path / "cache")

    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_program_that_is_missing_fails_or_hangs_is_told():
    with pytest.raises(MissingToolError, match="apt-get install no-such-thing"):
        tool("no-such-thing")
    with pytest.raises(ToolFailedError, match="status 1"):
        run(["/bin/false"])
    began = time.monotonic()
    with pytest.raises(ToolFailedError, match=r"not done after 0\.1 s"):
        run(["/bin/sleep", "20"], limit_s=0.1)
    assert time.monotonic() - began < 10
