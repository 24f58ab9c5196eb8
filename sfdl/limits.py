"""What one compilation may use at most, so that hostile or mistaken text ends in a diagnostic.

A short text can ask for an exponentially large result: templates that extend two copies of another
template, strings and vectors that are doubled again and again, `Set` with a size of 10^9. Every
place that multiplies something asks here first. The limits are far above any real description.
"""

from __future__ import annotations

from sfdl.values import Value, Vector

MOST_COMPONENTS = 1_000_000
"""Components made by copying, in one compilation."""

MOST_ATTRIBUTES = 10_000_000
"""Attributes of the components made by copying; also of the result, links written out."""

MOST_CHARACTERS = 16_777_216
"""Characters in a string made by a function."""

MOST_ELEMENTS = 1_000_000
"""Elements of a vector made by a function, those of the vectors in it included."""

MOST_INCLUDES = 10_000
"""Files spliced in, each inclusion counted."""

MOST_PLACEMENT_PASSES = 1_000
"""Passes of the placement phase."""

DEEPEST_VECTOR = 500
"""Vectors inside each other."""

DEEPEST = 10_000
"""Levels of brackets and braces inside each other."""


class TooLarge(Exception):  # noqa: N818 - a finding that the phase reports
    """A limit was reached; the text says which."""


class Budget:
    """Counts what one compilation has copied."""

    __slots__ = ("attributes", "components", "weights")

    def __init__(self) -> None:
        self.components = 0
        self.attributes = 0
        self.weights: dict[int, tuple[Vector, int, int]] = {}

    def take(self, components: int, attributes: int) -> None:
        """Count copies that are about to be made.

        Raises:
            TooLarge: There would be too many.
        """
        self.components += components
        self.attributes += attributes
        if self.components > MOST_COMPONENTS or self.attributes > MOST_ATTRIBUTES:
            raise TooLarge(
                f"the description grows too large: copying templates makes more than "
                f"{MOST_COMPONENTS} components or {MOST_ATTRIBUTES} attributes"
            )

    def weigh(self, value: Value) -> None:
        """Refuse what a function made if it is too long.

        Raises:
            TooLarge: A string or vector is above the limit.
        """
        if isinstance(value, str):
            if len(value) > MOST_CHARACTERS:
                raise TooLarge(f"the string would have more than {MOST_CHARACTERS} characters")
        elif isinstance(value, Vector):
            weight, depth = self._weight(value)
            if weight > MOST_ELEMENTS:
                raise TooLarge(f"the vector would hold more than {MOST_ELEMENTS} elements")
            if depth > DEEPEST_VECTOR:
                raise TooLarge(f"more than {DEEPEST_VECTOR} vectors would be inside each other")

    def _weight(self, vector: Vector) -> tuple[int, int]:
        """Return elements and depth of a vector; one without vectors in it is not remembered."""
        known = self.weights.get(id(vector))
        if known is not None:
            return known[1], known[2]
        weight, depth = len(vector.items), 0
        for item in vector.items:
            if isinstance(item, Vector):
                inside, below = self._weight(item)
                weight += inside
                depth = max(depth, below)
        if depth or weight > len(vector.items):
            self.weights[id(vector)] = vector, weight, depth + 1
        return weight, depth + 1


def size_of(value: Value | None, sizes: dict[int, int]) -> int:
    """Return how many values a frozen value holds; components in it are measured already."""
    known = sizes.get(id(value))
    if known is not None:
        return known
    if not isinstance(value, Vector):
        return 1
    size = 1
    for item in value.items:
        size += size_of(item, sizes)
    sizes[id(value)] = size
    return size
