"""What two images say differently of themselves: by their tags and sizes, without booting or mounting either."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.model.image import COMMIT, SOURCE_AMI, Image
from goldenami.rebuild.plan import short


@dataclass(frozen=True)
class Change:
    """A fact that differs."""

    what: str
    before: str
    after: str

    def line(self) -> str:
        """For people."""
        return f"{self.what}: {self.before or 'none'} → {self.after or 'none'}"


def changes(before: Image | None, after: Image, base_before: Image | None, base_after: Image | None) -> list[Change]:
    """What differs between two golden images and the bases under them; all that is known where there was none before."""
    facts = {
        "version": _both(before, after, "Version"),
        "application": tuple(short(text) if text else "" for text in _both(before, after, COMMIT)),
        "Go": _both(before, after, "Go"),
        "PostgreSQL": _both(before, after, "PostgreSQL"),
        "source AMI": _both(base_before, base_after, SOURCE_AMI),
        "packages updated": _both(base_before, base_after, "Created"),
        "size": (f"{before.size_gib} GiB" if before else "", f"{after.size_gib} GiB"),
    }
    return [Change(what, was, now) for what, (was, now) in facts.items() if was != now]


def _both(before: Image | None, after: Image | None, tag: str) -> tuple[str, str]:
    return (before.tags.get(tag, "") if before else "", after.tags.get(tag, "") if after else "")
