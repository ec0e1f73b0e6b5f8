"""The units of the monthly rebuild on a machine: which files there are, and where systemd looks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from goldenami.rebuild.schedule_aws_plan import ScheduleResource

SERVICE, TIMER, FAILED = "goldenami-rebuild@.service", "goldenami-rebuild@.timer", "goldenami-rebuild-failed@.service"
UNITS = (SERVICE, TIMER, FAILED)
DROP_IN = "checkout.conf"


@dataclass(frozen=True)
class Units:
    """The units of one image.

    Attributes:
        image: Its name, which the unit files have as `%i`.
        folder: Where systemd looks for them.
    """

    image: str
    folder: PurePosixPath

    @property
    def timer(self) -> str:
        """The image's timer."""
        return TIMER.replace("@.", f"@{self.image}.")

    @property
    def service(self) -> str:
        """The image's service."""
        return SERVICE.replace("@.", f"@{self.image}.")

    def unit(self, file: str) -> PurePosixPath:
        """Where one of the unit files goes; every image of the machine shares it."""
        return self.folder / file

    def drop_in(self, file: str) -> PurePosixPath:
        """Where the image's own words to a unit go."""
        return self.folder / f"{file.replace('@.', f'@{self.image}.')}.d" / DROP_IN


AppliedResource = Literal["missing", "differs", "there"]


@dataclass(frozen=True)
class ResourceDiff:
    """A part, and whether it is there as it should be."""

    resource: ScheduleResource
    change: AppliedResource


@dataclass(frozen=True)
class ScheduleLocation:
    """Where the units go, and as whom the rebuild runs.

    Attributes:
        folder: systemd's folder.
        user: The account; empty for the caller's own service manager (`--user`).
    """

    folder: Path
    user: str

    @property
    def systemctl(self) -> list[str]:
        """How its service manager is asked."""
        return ["systemctl"] if self.user else ["systemctl", "--user"]


@dataclass(frozen=True)
class ScheduleStatus:
    """What this machine knows of the schedule.

    Attributes:
        stale: Files that are otherwise than the recipe wants them now.
        missing: Files that are not there.
        active: Whether the timer counts.
        next: When it goes off next, as systemd says it; empty when it does not.
        last: When it went off last.
        result: How the last rebuild ended, in systemd's words, with the exit code.
    """

    units: Units
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    active: bool
    next: str = ""
    last: str = ""
    result: str = ""
