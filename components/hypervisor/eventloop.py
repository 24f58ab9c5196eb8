"""libvirt's event loop: one daemon thread for the process, registered before the first open."""

from __future__ import annotations

import threading

import libvirt

_lock = threading.Lock()
_thread: threading.Thread | None = None


def ensure_running() -> None:
    """Start the loop, and stop libvirt printing errors to stderr. Harmless when called again.

    Must come before the first connection of the process: keep-alive and events need it. Callbacks
    come on its thread, and must return at once.
    """
    global _thread  # noqa: PLW0603 - libvirt's registration is global to the process, too
    with _lock:
        if _thread is not None:
            return
        libvirt.registerErrorHandler(_be_silent, None)
        libvirt.virEventRegisterDefaultImpl()
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()


def _be_silent(_context: object, _error: object) -> None:
    """Ignore: every error is raised as an exception as well."""


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
