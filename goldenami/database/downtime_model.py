"""Downtime of a switchover: how long it refused writes, and how long it answered nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldenami.text import seconds


@dataclass(frozen=True)
class Downtime:
    """Downtime so far; times are the clock's seconds.

    Attributes:
        frozen_at: When writes were stopped.
        unavailable: Seconds without answers that are over.
        down_since: When reads stopped; None while an instance answers them.
    """

    frozen_at: float
    unavailable: float = 0.0
    down_since: float | None = None

    def stop_reads(self, now: float) -> Downtime:
        """Return the downtime from the moment that no instance answers any more."""
        return self if self.down_since is not None else replace(self, down_since=now)

    def text(self, now: float) -> str:
        """Describe the downtime that ends now: `read-only 7.3 s, unavailable 0.6 s`."""
        total = now - self.frozen_at
        unavailable = min(total, self.unavailable + (now - self.down_since if self.down_since is not None else 0))
        if unavailable == total:
            return f"unavailable {seconds(total)}"
        return f"read-only {seconds(total - unavailable)}, unavailable {seconds(unavailable)}"
