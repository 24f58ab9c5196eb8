"""Programs and files of a host as components."""

from components.system.process import Process
from components.system.shell import BashShell, Shell

__all__ = ["BashShell", "Process", "Shell"]
