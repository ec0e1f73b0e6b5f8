"""Reference to a run: its id and its folder under build/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Id and folder of a run. Every resource that the run creates has the id in its tags."""

    id: str
    folder: Path
