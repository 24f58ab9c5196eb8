"""How much one certificate may ask for: requests over time, and connections at a time."""

from __future__ import annotations

import threading


class Bucket:
    """Lets through `rate` a second on average and `burst` at once.

    Example:
        >>> bucket = Bucket(1.0, 2, now_s=0.0)
        >>> [bucket.take(0.0), bucket.take(0.0), bucket.take(0.0), bucket.take(1.0)]
        [True, True, False, True]
    """

    __slots__ = ("_burst", "_full", "_rate", "_seen_s")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        """Start full."""
        self._rate = rate
        self._burst = burst
        self._full = burst
        self._seen_s = now_s

    def take(self, now_s: float) -> bool:
        """Say whether one more may pass now, and count it if so."""
        passed_s = max(0.0, now_s - self._seen_s)
        self._full = min(self._burst, self._full + passed_s * self._rate)
        self._seen_s = now_s
        if self._full < 1.0:
            return False
        self._full -= 1.0
        return True


class Usage:
    """Counts connections and requests per certificate, from any thread.

    Example:
        >>> usage = Usage(rate=1.0, burst=1.0)
        >>> usage.enter("0A", 1), usage.enter("0A", 1)
        (True, False)
        >>> usage.leave("0A")
        >>> usage.enter("0A", 1)
        True
    """

    def __init__(self, *, rate: float, burst: float) -> None:
        """Take how many requests a second, and at once, each may make."""
        self._rate = rate
        self._burst = burst
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}

    def enter(self, who: str, most: int) -> bool:
        """Count one more connection of a certificate, unless it has `most` already."""
        with self._lock:
            count = self._open.get(who, 0)
            if count >= most:
                return False
            self._open[who] = count + 1
            return True

    def leave(self, who: str) -> None:
        """Count one connection less."""
        with self._lock:
            left = self._open.get(who, 1) - 1
            if left > 0:
                self._open[who] = left
            else:
                self._open.pop(who, None)

    def ask(self, who: str, now_s: float) -> bool:
        """Say whether a certificate may make one more request now, and count it."""
        with self._lock:
            bucket = self._buckets.get(who)
            if bucket is None:
                bucket = self._buckets[who] = Bucket(self._rate, self._burst, now_s)
            return bucket.take(now_s)
