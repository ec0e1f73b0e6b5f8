"""The schedule of the rebuild: its systemd units, and the state of its units and AWS resources."""

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
    """The systemd units of one image in systemd's folder; the name of the image is `%i` in the unit files."""

    image: str
    folder: PurePosixPath

    @property
    def timer(self) -> str:
        """Name of the image's timer."""
        return TIMER.replace("@.", f"@{self.image}.")

    @property
    def service(self) -> str:
        """Name of the image's service."""
        return SERVICE.replace("@.", f"@{self.image}.")

    def unit(self, file: str) -> PurePosixPath:
        """Return the path of a unit file, which all images of the machine share."""
        return self.folder / file

    def drop_in(self, file: str) -> PurePosixPath:
        """Return the path of the image's drop-in of a unit."""
        return self.folder / f"{file.replace('@.', f'@{self.image}.')}.d" / DROP_IN


ResourceChange = Literal["missing", "differs", "unchanged"]


@dataclass(frozen=True)
class ResourceDiff:
    """A resource, and how the current one differs from it."""

    resource: ScheduleResource
    change: ResourceChange


@dataclass(frozen=True)
class ScheduleLocation:
    """Where the units are installed, and as which user the rebuild runs.

    Attributes:
        folder: systemd's folder.
        user: The user; empty for the caller's own service manager (`--user`).
    """

    folder: Path
    user: str

    @property
    def systemctl(self) -> list[str]:
        """Command of the service manager."""
        return ["systemctl"] if self.user else ["systemctl", "--user"]


@dataclass(frozen=True)
class ScheduleStatus:
    """State of the schedule on this machine.

    Attributes:
        stale: Files that differ from the recipe.
        missing: Files that do not exist.
        active: True if the timer is active.
        next: Next time of the timer, as formatted by systemd; empty if there is none.
        last: Last time of the timer.
        result: systemd's result of the last rebuild, with the exit code.
    """

    units: Units
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    active: bool
    next: str = ""
    last: str = ""
    result: str = ""
