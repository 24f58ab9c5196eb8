"""A real name server on loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess

from engine.ports import free_port
from engine.testing.daemons import wait_until

DOMAIN = "lab.example"


@contextlib.contextmanager
def dns_server(*records):
    """A real name server on loopback that knows these: `host,port[,priority]`."""
    program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
    port = free_port()
    words = [program, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
             "--pid-file", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces",
             f"--local=/{DOMAIN}/", "--user=root", "--log-facility=-"]  # fmt: skip
    words += [f"--srv-host=_smartdomains._tcp.{DOMAIN},{each}" for each in records]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _listens(port), what="the name server answers")
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
