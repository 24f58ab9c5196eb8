"""A deterministic simulation of the whole engine: many daemons, one loop, no time of day.

Whole `Process` objects run on a loop whose clock jumps, over a network, ledgers and a world of effects
that fail as a schedule says. A schedule is small data; everything random comes from it, so a failure is
a script of a few lines. Start reading at `schedule`, then `run`; `rules` is what must hold.
"""
