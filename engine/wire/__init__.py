"""The seam between processes: messages as data, links to peers, the one object each process exposes.

`messages` and `codec` say what travels; `pyro` and `links` carry it. Nothing outside knows Pyro5.
"""
