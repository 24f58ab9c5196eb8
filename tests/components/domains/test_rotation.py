"""A console log is cut before it fills its host, and nobody who reads it is confused."""

from __future__ import annotations

from components.domains import rotation
from components.domains.console import ConsoleTail
from components.domains.rotation import pieces, rotate
from engine.testing.kit import until

ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    hypervisorUri "test:///default";
    vm extends KvmDomain { diskless true; memory 64; }
}
"""


def test_a_small_file_stays_as_it_is(tmp_path):
    path = tmp_path / "vm.log"
    assert not rotate(path, 10)
    path.write_text("small")

    assert not rotate(path, 10)

    assert path.read_text() == "small"
    assert not any(piece.exists() for piece in pieces(path))


def test_the_latest_three_pieces_stay_and_who_writes_goes_on(tmp_path):
    path = tmp_path / "vm.log"
    with path.open("a") as writer:
        for number in range(5):
            writer.write(f"piece {number} of some length")
            writer.flush()
            assert rotate(path, 10)
            assert path.stat().st_size == 0
        writer.write("now")
        writer.flush()

    assert path.read_text() == "now"
    assert [piece.read_text()[:7] for piece in pieces(path)] == ["piece 4", "piece 3", "piece 2"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_marker_is_found_in_a_file_that_was_cut(tmp_path):
    path = tmp_path / "vm.log"
    path.write_text("x" * 100)
    tail = ConsoleTail(path)
    assert not tail.shows("READY")
    rotate(path, 10)
    path.write_text("READY")

    assert tail.shows("READY")


async def test_the_log_of_a_machine_is_cut_and_its_pieces_go_with_it(bench, monkeypatch):
    monkeypatch.setattr(rotation, "PERIOD_S", 0.02)
    await bench.deploy(ONE)
    path = rotation.Path(bench.find("vm").value("consolePath"))
    path.write_bytes(b"x" * rotation.MOST_BYTES)

    await until(lambda: path.stat().st_size == 0)

    assert next(pieces(path)).stat().st_size == rotation.MOST_BYTES
    await bench.one.terminate("app")
    assert list(path.parent.iterdir()) == []
