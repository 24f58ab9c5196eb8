"""Programs and files of a host as components."""

from components.system.shell import BashShell, Shell

__all__ = ["BashShell", "Shell"]
