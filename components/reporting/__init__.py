"""Components that say what they do."""

from components.reporting.reporting import Reporting, moment

__all__ = ["Reporting", "moment"]
