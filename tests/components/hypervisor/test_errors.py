from __future__ import annotations

import pickle

import libvirt
import pytest

from components.hypervisor import events, operations
from components.hypervisor.errors import HypervisorError, from_libvirt
from components.hypervisor.protocol import DomainState, EventKind


def raised(code: int, domain: int, message: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError("")
    error.err = (code, domain, message, 2, "", "", "", 0, 0)
    return error


CASES = [
    (42, 10, "Domain not found: no domain with matching uuid", "NotFound", ""),
    (9, 20, "operation failed: domain 'a' already exists with uuid x", "NameTaken", "is taken"),
    (3, 20, "this function is not supported by the connection driver: x", "Unsupported", ""),
    (8, 12, "unsupported flags (0x1) in function f", "Unsupported", ""),
    (8, 20, "Invalid UUID", "Refused", ""),
    (74, 10, "argument unsupported: QEMU guest agent is not configured", "Refused", ""),
    (86, 10, "Guest agent is not responding", "Refused", ""),
    (67, 10, "unsupported configuration: x", "Unsupported", ""),
    (38, 7, "Failed to connect socket to '/x': No such file or directory", "Unreachable", "daemon"),
    (38, 7, "Cannot recv data: Connection reset by peer", "Unreachable", "daemon running"),
    (1, 7, "internal error: client socket is closed", "Unreachable", "daemon running"),
    (1, 10, "internal error: process exited while connecting to monitor", "Internal", ""),
    (55, 10, "Requested operation is not valid: domain is not running", "Refused", ""),
    (68, 10, "Timed out during operation: cannot acquire state change lock", "Timeout", ""),
    (
        38,
        18,
        "Cannot access storage file '/srv/a.img' (as uid:0, gid:0): No such file or directory",
        "Refused",
        "/srv/a.img is not on this host",
    ),
    (38, 0, "Cannot get interface MTU on 'br9': No such device", "Refused", "bridge 'br9' is not"),
    (1, 0, "Unable to add bridge br9 port vnet0: No such device", "Internal", "bridge 'br9' is"),
    (8, 10, "could not find capabilities for domaintype=kvm ", "Refused", "no KVM device"),
    (1, 10, "Could not access KVM kernel module: Permission denied", "Internal", "no KVM device"),
    (
        67,
        31,
        "the CPU is incompatible with host CPU: Host CPU does not provide required features: svm",
        "Unsupported",
        "older CPU model",
    ),
    (1, 10, "Failed to bind socket to 127.0.0.1:5900: Address already in use", "Internal", "port"),
]


@pytest.mark.parametrize(
    ("code", "domain", "text", "kind", "hint"), CASES, ids=[c[2] for c in CASES]
)
def test_an_error_is_mapped_to_its_kind_and_hint(code, domain, text, kind, hint):
    mapped = from_libvirt(raised(code, domain, text), step="start", name="vm1")

    assert mapped.kind == kind
    assert hint in mapped.hint
    assert bool(mapped.hint) == bool(hint)
    assert (mapped.number, mapped.domain, mapped.message) == (code, domain, text)


def test_permission_denied_names_the_user_and_the_files_owner_and_mode(tmp_path):
    image = tmp_path / "a.img"
    image.touch(mode=0o600)
    text = f"Cannot access storage file '{image}' (as uid:65534, gid:65534): Permission denied"

    hint = from_libvirt(raised(38, 18, text), step="start").hint

    assert "user nobody" in hint
    assert f"{image} belongs to" in hint
    assert "-rw-------" in hint
    assert "AppArmor" in hint


def test_the_text_of_an_error_is_one_line_with_all_it_knows():
    error = HypervisorError(
        "Refused", "it\nwill not", step="start", name="vm1", hint="try", code=9, domain=10
    )

    assert str(error) == "Refused: start vm1: it will not (libvirt 9/10); hint: try"


def test_an_error_survives_pickling():
    error = HypervisorError("Timeout", "late", step="start", name="vm1", hint="wait", code=68)

    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy)) == (HypervisorError, str(error))


def constants(prefix: str) -> dict[str, int]:
    found = {
        name.removeprefix(prefix): number
        for name, number in vars(libvirt).items()
        if name.startswith(prefix) and isinstance(number, int)
    }
    return {name: number for name, number in found.items() if name != "LAST"}


def spelt(name: str) -> str:
    return name.lower().replace("_", "-").replace("ioerror", "io-error")


@pytest.mark.parametrize("state", ["RUNNING", "PAUSED", "SHUTOFF", "CRASHED", "BLOCKED"])
def test_state_reasons_are_libvirts(state):
    number = constants("VIR_DOMAIN_")[state]

    for name, reason in constants(f"VIR_DOMAIN_{state}_").items():
        assert operations.state_of(number, reason) == (DomainState(state.lower()), spelt(name))


def test_states_are_libvirts():
    for state in DomainState:
        number = getattr(libvirt, f"VIR_DOMAIN_{state.name}")
        assert operations.state_of(number, 0)[0] is state
    assert operations.state_of(99, 0) == (DomainState.NOSTATE, "unknown")
    assert operations.state_of(1, 99) == (DomainState.RUNNING, "unknown")


@pytest.mark.parametrize(
    "kind",
    [
        "DEFINED",
        "UNDEFINED",
        "STARTED",
        "SUSPENDED",
        "RESUMED",
        "STOPPED",
        "SHUTDOWN",
        "PMSUSPENDED",
    ],
)
def test_event_details_are_libvirts(kind):
    number = getattr(libvirt, f"VIR_DOMAIN_EVENT_{kind}")

    for name, detail in constants(f"VIR_DOMAIN_EVENT_{kind}_").items():
        event = events.lifecycle_event("u", "n", number, detail)
        assert event is not None
        assert (event.kind, event.detail) == (EventKind[kind], spelt(name))


def test_an_event_of_a_later_library_is_passed_over():
    assert events.lifecycle_event("u", "n", 99, 0) is None
