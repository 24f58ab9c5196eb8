"""What an earlier version has written into its ledger is found, also where its class has moved since."""

import pytest

from engine.runtime.effects import Effect
from engine.runtime.types import Types


@pytest.mark.parametrize(
    "place",
    [
        "lvm:LogicalVolume", "lvm:FrozenVolume", "lvm:GivenUpLogicalVolume", "lvm:RecordedVolume",
        "overlay:OverlayFile", "overlay:Layer", "overlay:GivenUpLayer",
    ],
)  # fmt: skip
def test_a_volume_of_an_earlier_version_is_still_known(place: str) -> None:
    found = Types(("components",)).effect(f"components.storage.{place}")

    assert issubclass(found, Effect)
    assert found.__name__ == place.partition(":")[2]
