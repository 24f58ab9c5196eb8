"""Compounds that decide about their children in other ways than shared fate."""

from components.workflow.supervisor import Supervisor

__all__ = ["Supervisor"]
