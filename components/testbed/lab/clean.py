"""Ends every application on the hosts named, and waits until none of their components is left.

What a description wants kept after a failure, such as volumes, is left to the reaper.

Run in the lab's fabric: `python -m components.testbed.lab.clean HOST...`
"""

from __future__ import annotations

import sys
import time

from engine.client.client import Client
from engine.core.addresses import address_of
from engine.core.faults import EngineError
from engine.core.records import Record

_LIMIT_S = 90.0


def _end_all(client: Client) -> bool:
    """End what is there; say whether nothing was."""
    for row in client.whole_tree(depth=0):
        try:
            client.terminate(row.name, Record.normal(), budget_s=_LIMIT_S).result()
        except EngineError:
            continue  # it has ended by itself, or is about to
    facts = dict(client.diagnosis().facts)
    return facts["components"] == facts["ledger_segments"] == "0"


def main(hosts: list[str]) -> int:
    """Clean the hosts; gives the exit status."""
    end = time.monotonic() + _LIMIT_S
    clients = {host: Client(address_of(host)) for host in hosts}
    while True:
        left = [host for host, client in clients.items() if not _end_all(client)]
        if not left:
            return 0
        if time.monotonic() >= end:
            sys.stderr.write(f"something is left on {', '.join(left)}\n")
            return 1
        time.sleep(0.1)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineError as error:
        sys.exit(str(error))
