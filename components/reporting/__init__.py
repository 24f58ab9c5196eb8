"""Components that say what they do."""

from components.reporting.reporting import Reporting

__all__ = ["Reporting"]
