"""The simulation finds what is wrong: six bugs are planted in the shipped code, one at a time."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.leases import Sign
from engine.runtime import leaving
from engine.runtime.keeper import Keeper
from engine.runtime.ledger import drop_effect
from engine.runtime.liveness import Liveness
from engine.runtime.phases import Phases
from engine.runtime.process import Process
from engine.runtime.termination import Termination
from engine.testing.simulation.generate import broken_rule, schedule
from engine.wire.messages import Heard

MOST = 2000


def found(monkeypatch, rule):
    """Find a schedule that breaks this rule, and no rule once the bug is gone."""
    seed = next(seed for seed in range(MOST) if broken_rule(schedule(seed)) == rule)
    monkeypatch.undo()
    assert broken_rule(schedule(seed)) is None


@pytest.mark.timeout(300)
def test_a_dropped_phase_barrier_is_found(monkeypatch):
    send_out = Phases._send_out

    async def without_waiting(self, away):
        asyncio.get_running_loop().create_task(send_out(self, away))

    monkeypatch.setattr(Phases, "_send_out", without_waiting)
    found(monkeypatch, 2)


@pytest.mark.timeout(300)
def test_a_double_notice_of_an_end_is_found(monkeypatch):
    tell = Process.tell_parent

    def twice(self, live):
        tell(self, live)
        tell(self, live)

    monkeypatch.setattr(Process, "tell_parent", twice)
    found(monkeypatch, 6)


@pytest.mark.timeout(300)
def test_a_lease_that_is_never_renewed_is_found(monkeypatch):
    sign = Liveness._sign

    def without_renewal(self, segment_id, now):
        segment = self._process.segments.get(segment_id)
        if segment is None or segment.root.state.ended:
            return sign(self, segment_id, now)
        return Heard(segment_id, Sign.OK)

    monkeypatch.setattr(Liveness, "_sign", without_renewal)
    found(monkeypatch, 5)


@pytest.mark.timeout(300)
def test_a_skipped_undo_is_found(monkeypatch):
    async def skipping(self, live, record):
        while live.effects:
            self._process.ledger.lazy(drop_effect(live.effects.pop().row.id))

    monkeypatch.setattr(Keeper, "undo_all", skipping)
    found(monkeypatch, 1)


@pytest.mark.timeout(300)
def test_a_name_that_is_freed_too_early_is_found(monkeypatch):
    end_segment = Termination.end_segment

    def too_early(self, segment, record, *, tell=True):
        end_segment(self, segment, record, tell=tell)
        if self._process.apps.get(segment.origin.application) is segment:
            del self._process.apps[segment.origin.application]

    monkeypatch.setattr(Termination, "end_segment", too_early)
    found(monkeypatch, 3)


@pytest.mark.timeout(300)
def test_a_daemon_that_goes_down_in_the_middle_of_an_end_is_found(monkeypatch):
    async def without_waiting(process):
        pass

    monkeypatch.setattr(leaving, "_finish_endings", without_waiting)
    found(monkeypatch, 7)
