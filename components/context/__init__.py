"""Contextualisation: what a guest learns of itself at boot, and the ways it learns it."""

from components.context.context import Context, Outline
from components.context.told import Told

__all__ = ["Context", "Outline", "Told"]
