"""What parts do when their parent's process is silent for longer than their lease."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.core.leases import Lease, Orphans, orphans
from engine.core.records import Record
from engine.runtime.live import Live, Segment

if TYPE_CHECKING:
    from engine.runtime.process import Process


class Orphanage:
    """Acts by the orphan policies of the components of one process."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process

    def take_in(self, segment: Segment, record: Record) -> None:
        """Act by the orphan policy of each component once its parent's process is silent.

        What keeps, or waits still, keeps its ancestors in the segment; the rest ends. While something
        waits, the lease is what it has left to wait, and this is asked again.
        """
        if self._process.growth.abort(segment, record):
            return
        now_s = asyncio.get_running_loop().time()
        if segment.orphan_since_s is None:
            segment.orphan_since_s = now_s
            self._process.events.note(segment.root, "warning", f"orphan: {record.description}")
        silent_s = now_s - segment.orphan_since_s
        policies: dict[str, Orphans] = {}
        if segment.state == "started":
            policies = {live.id: self._policy(live) for live in segment.root.walk()}
        if self._cut_off(segment, policies):
            return
        keeping = self._keeping(segment, policies, silent_s)
        if segment.root.id not in keeping:
            self._process.termination.end_segment(segment, record)
            return
        waits = [
            policy.wait_s - silent_s for policy in policies.values() if policy.wait_s > silent_s
        ]
        if waits:
            segment.lease = Lease(min(waits), now_s)
        for live in list(segment.root.walk()):
            parent = live.parent
            if live.id in keeping or live.state.ended or parent is None:
                continue
            if parent.id in keeping:
                self._process.write_fate(parent, live.name, "down", record)
                segment.ended_as_orphans.append(live)
            self._process.ending.end(live, record)

    def heard_again(self, segment: Segment) -> None:
        """Take in that a silent parent is back, or none is needed: what has ended meanwhile is told."""
        segment.orphan_since_s = None
        ended, segment.ended_as_orphans = segment.ended_as_orphans, []
        for live in ended:
            if live.ending is not None:
                live.ending.add_done_callback(lambda _, live=live: self._process.tell_parent(live))  # type: ignore[misc] # bound now

    def _policy(self, live: Live) -> Orphans:
        policy = live.value("sfOrphanPolicy") or type(live.prim).reserved.get("sfOrphanPolicy")
        policy = policy or live.inherited("sfOrphanPolicy")
        return orphans(policy if isinstance(policy, str) else "")

    def _cut_off(self, segment: Segment, policies: dict[str, Orphans]) -> bool:
        """Let those that say so become applications of their own; say whether the root did."""
        for live in list(segment.root.walk()):
            policy = policies.get(live.id)
            if policy is not None and policy.detach and not live.state.ended:
                self._process.spawn(self._process.detaching.cut(live, tell=False))
                if live is segment.root:
                    return True
        return False

    def _keeping(self, segment: Segment, policies: dict[str, Orphans], silent_s: float) -> set[str]:
        keeping: set[str] = set()
        for live in segment.root.walk():
            policy = policies.get(live.id)
            if policy is not None and policy.stays(silent_s):
                at: Live | None = live
                while at is not None:
                    keeping.add(at.id)
                    at = at.parent
        return keeping
