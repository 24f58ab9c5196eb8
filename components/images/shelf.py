"""Where images are kept that a component has: in its own store, else in the `imageStore` above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec import Struct

from components.images.fetching import Terms
from components.images.image_store import ImageStore
from components.surroundings.workplace import expanded
from engine.core.faults import BadDescription
from engine.wire.messages import Handle

if TYPE_CHECKING:
    from engine.prim import Prim
    from engine.runtime.handles import Link


class Shelf(Struct, frozen=True):
    """A place where images are kept.

    Attributes:
        terms: Its folder, and how images get there that are not here.
        store: The component that looks after it; none: nobody does.
        own: The component itself names it, not what stands above.
    """

    terms: Terms
    store: Handle | None = None
    own: bool = True


async def shelf_of(prim: Prim, store: Link[ImageStore]) -> Shelf | None:
    """Return where a component's images are kept; nothing if neither it nor its host says.

    Args:
        prim: The component.
        store: The store it names itself.

    Raises:
        BadDescription: `imageStore` above it is neither a component nor a folder.
    """
    if store.given:
        return Shelf(await store.api.terms(), await store.handle())
    found = await prim.above("imageStore")
    if isinstance(found, Handle):
        terms = await prim.call(found, ImageStore, "terms")
        return Shelf(cast("Terms", terms), found, own=False)
    if found is None:
        return None
    if not isinstance(found, str) or not expanded(found).is_absolute():
        raise BadDescription(
            "imageStore above it must be a component or an absolute path", code="SF-IMAGE-009",
            where=prim.path,
        )  # fmt: skip
    return Shelf(Terms(str(expanded(found))), own=False)


async def trim(prim: Prim, shelf: Shelf | None) -> None:
    """Have a store make room, where somebody looks after it."""
    if shelf is not None and shelf.store is not None:
        await prim.call(shelf.store, ImageStore, "trim")
