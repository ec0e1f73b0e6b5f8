"""A run as others refer to it: its id and its folder under build/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and its id; the id is in the tags of every resource that the run creates."""

    id: str
    folder: Path
