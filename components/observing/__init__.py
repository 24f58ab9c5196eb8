"""Looking on: what happens in a tree as lines, and changes of attributes as events."""

from components.observing.trace import Trace
from components.observing.watch import Watch

__all__ = ["Trace", "Watch"]
