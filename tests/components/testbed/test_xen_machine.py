"""How an emulated Xen host is started, and what its first processes are told."""

from __future__ import annotations

from pathlib import Path

from components.testbed.lab.plans import Place
from components.testbed.xen import dom0_init
from components.testbed.xen.image import XenImage
from components.testbed.xen.machine import TAP, Machine

LAB = Path("/lab")
MACHINE = Machine(XenImage(Path("/cache/key")), LAB / "x1", "52:54:00:4e:00:31")
PLACE = Place(LAB, "x1", 33, "10.77.0.43")


def test_the_words_of_dom0_have_no_comma_which_would_begin_another_module():
    argv = MACHINE.argv("qemu")
    modules = argv[argv.index("-initrd") + 1].split(",")

    assert len(modules) == 2
    assert modules[0].startswith("/cache/key/vmlinuz console=hvc0 ")
    assert "sd.lab=/lab sd.host=x1 sd.group=vg1" in modules[0]
    assert modules[1] == "/cache/key/initrd.gz"


def test_the_image_is_only_the_base_of_a_layer_of_its_own():
    words = " ".join(MACHINE.argv("qemu"))

    assert "/cache/key/root.ext4" not in words
    assert "file=/lab/x1/root.qcow2,if=none,id=d0,format=qcow2" in words
    assert words.index("/lab/x1/root.qcow2") < words.index("lab.ext4") < words.index("group.raw")


def test_outside_it_is_a_network_and_qemu_inside_a_host_with_a_daemon():
    outside = PLACE.around(TAP, MACHINE.argv("qemu"))
    inside = PLACE.plan(libvirt=True, daemon=LAB / "bin/sfdaemon", environment={"A": "b"})

    assert (outside["tap"], outside["bridge"][0], outside["libvirt"]) == ("tap0", None, None)
    assert [service["name"] for service in outside["services"]] == ["machine"]
    assert inside["bridge"] == ["10.77.0.43/24", "52:54:00:4d:00:31"]
    (daemon,) = inside["services"]
    assert daemon["argv"][:3] == ["/lab/bin/sfdaemon", "--node", "x1"]
    assert outside["bridge"][1] != inside["bridge"][1] != MACHINE.mac


def test_the_script_of_dom0_names_every_module_it_needs():
    assert "modprobe -a xen-evtchn " in dom0_init.INIT
    assert " dm-thin-pool " in dom0_init.INIT
