"""How a rebuild ended well: what the flow hands to its report, and to whoever called it."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.images.changes import Change
from goldenami.images.diff_plan import Comparison
from goldenami.model.image import Image
from goldenami.rebuild.check import Found
from goldenami.rebuild.record_model import Record
from goldenami.state.runs import Run


@dataclass(frozen=True)
class Outcome:
    """How a rebuild ended well.

    Attributes:
        changes: What the tags of the two images and their bases say differently.
        inside: What is in them differently; None where there was no image before.
        removed: What was tidied up.
        untold: The places that could not be told, with the reason.
    """

    record: Record
    found: Found
    image: Image | None
    run: Run
    changes: tuple[Change, ...] = ()
    inside: Comparison | None = None
    removed: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether there was no reason for it."""
        return self.record.state == "unchanged"
