"""The units of the monthly rebuild on a machine: which files there are, and where systemd looks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

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
