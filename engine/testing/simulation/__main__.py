"""The long run: `python -m engine.testing.simulation --schedules 100000 --seed 0 --jobs 2`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

from engine.testing.simulation.generate import schedule, shrink
from engine.testing.simulation.run import failure, run

CHUNK = 50
EVERY_S = 30.0


def figures(seeds: range) -> tuple[int, float, int, list[tuple[int, int]]]:
    """Run some schedules.

    Returns:
        How many, virtual seconds, what was seen in all, and the failing seeds with the rule broken.
    """
    seconds, seen = 0.0, 0
    bad: list[tuple[int, int]] = []
    for seed in seeds:
        outcome = run(schedule(seed))
        seconds += outcome.seconds
        seen += len(outcome.trace)
        if outcome.broken is not None:
            bad.append((seed, outcome.broken.rule))
    return len(seeds), seconds, seen, bad


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


def main() -> int:
    """Run schedules, print progress and figures, and show up to five failures made small."""
    parser = argparse.ArgumentParser(prog="engine.testing.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    began = shown = time.monotonic()
    done, seconds, seen = 0, 0.0, 0
    bad: list[tuple[int, int]] = []
    with multiprocessing.Pool(options.jobs) as pool:
        chunks = _chunks(options.seed, options.schedules)
        for count, more_s, more_seen, more_bad in pool.imap_unordered(figures, chunks):
            done, seconds, seen = done + count, seconds + more_s, seen + more_seen
            bad.extend(more_bad)
            for seed, rule in more_bad:
                print(f"seed {seed} breaks rule {rule}", flush=True)
            if time.monotonic() - shown > EVERY_S or done == options.schedules:
                shown = time.monotonic()
                took_s = shown - began
                print(
                    f"{done} schedules, {len(bad)} failing, {took_s:.0f} s, "
                    f"{1000 * took_s / done:.1f} ms each, {seconds / 3600:.0f} virtual hours, "
                    f"{seen} observations",
                    flush=True,
                )
    for rule, times in sorted(Counter(rule for _, rule in bad).items()):
        print(f"rule {rule}: {times} schedules")
    for seed, _ in sorted(bad)[:5]:
        small = shrink(schedule(seed))
        broken = run(small).broken
        if broken is not None:
            print(f"\nseed {seed}: {failure(small, broken)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
