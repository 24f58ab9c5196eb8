"""The commands, one module each: thin fronts that read arguments.

What they do stands in `_growing`, `_ending`, `_changing` and `_looking`, as functions of a client that
return an `Outcome`; `_acting` has the same functions by the words of the action syntax. A command
imports them when it runs, so that `--help` loads nothing but click.
"""
