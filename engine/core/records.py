"""Termination records: why a component ended."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from engine.core.faults import Fault

NORMAL = "normal"
ABNORMAL = "abnormal"
SHUTDOWN = "shutdown"
LIVENESS_FAILURE = "livenessFailure"
DEPLOYMENT_FAILURE = "deploymentFailure"


class Record(Struct, frozen=True):
    """Why a component ended; the first record of a component stands.

    Attributes:
        type: `normal`, `abnormal`, `shutdown`, `livenessFailure`, `deploymentFailure`, or any other
            word a component chose.
        description: One sentence for people.
        component: Complete name where the end began.
        time_s: Wall clock, seconds since 1970.
        cause: The failure behind it, if there was one.
        trail: Complete names it passed through on its way up.
    """

    type: str
    description: str = ""
    component: str = ""
    time_s: float = 0.0
    cause: Fault | None = None
    trail: tuple[str, ...] = ()

    @property
    def is_normal(self) -> bool:
        """Say whether a restart decision counts this end as a success."""
        return self.type in {NORMAL, SHUTDOWN}

    def passed(self, name: str) -> Record:
        """Return the record with one more name on its trail."""
        return replace(self, trail=(*self.trail, name))

    def begun_at(self, component: str, time_s: float) -> Record:
        """Return the record with its place and time filled in where they are missing."""
        return replace(self, component=self.component or component, time_s=self.time_s or time_s)

    def sentence(self) -> str:
        """Return type, place and description in one line.

        Example:
            >>> Record("abnormal", "guest gone", "pool:vm1").sentence()
            'abnormal at pool:vm1: guest gone'
        """
        place = f" at {self.component}" if self.component else ""
        text = f": {self.description}" if self.description else ""
        return f"{self.type}{place}{text}"

    @classmethod
    def normal(cls, description: str = "") -> Record:
        """Make the record of a job done or a wished end."""
        return cls(NORMAL, description)

    @classmethod
    def abnormal(cls, description: str, cause: Fault | None = None) -> Record:
        """Make the record of a failure."""
        return cls(ABNORMAL, description, cause=cause)
