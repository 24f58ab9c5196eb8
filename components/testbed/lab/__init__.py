"""A lab: hosts in network namespaces on one machine, each with its own daemon, and their faults.

    with Lab(3) as lab:
        lab.sf("sfstart", "h1", "pool", "descriptions/examples/labPool.sf")
        lab["h2"].crash()

It needs root. Everything a lab is made of lives in namespaces that have no names outside, so labs do
not meet, and what a lab did is gone with it. A lab needs nobody to watch over it: how it stands is in
a file, and any process may take it up with `Lab.open`.
"""

from components.testbed.lab.faults import Slow
from components.testbed.lab.host import Completed, LabHost
from components.testbed.lab.lab import Lab
from components.testbed.lab.store import LabError, LabExistsError, NoSuchLabError

__all__ = ["Completed", "Lab", "LabError", "LabExistsError", "LabHost", "NoSuchLabError", "Slow"]
