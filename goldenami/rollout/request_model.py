"""What is asked for: which image is to be carried to the fleet, and how carefully."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.database.switchover_model import StorageChange
from goldenami.model.image import Image, Platform


@dataclass(frozen=True)
class RolloutRequest:
    """What is asked for.

    Attributes:
        image: The AMI, or None when there is none of that id.
        overrides: What the template version must say, over what its source says.
        canary: Percent of the instances that are renewed first.
        watch: Seconds that they are watched.
        warmup: Seconds before a new instance counts.
        unverified: Carry an image that has not passed its gates.
        alarms: CloudWatch alarms that roll back.
        traffic: Percent of the requests that a trial beside the fleet takes first, step by step; none: no trial.
        carried: Whether the instance has the database, so that its rows are carried over to the one that replaces it.
        home: Where the recipe says that data lives.
        former: Where the image that runs now keeps them; empty where it does not say.
        written: The distribution and processor of that image, where there is one.
        move: Where the rows go, when they are to get another home.
    """

    ami: str
    image: Image | None
    overrides: Mapping[str, Any]
    canary: int = 25
    watch: int = 300
    warmup: int = 30
    unverified: bool = False
    alarms: tuple[str, ...] = ()
    traffic: tuple[int, ...] = ()
    transfers_data: bool = False
    storage_mode: str = ""
    current_storage_mode: str = ""
    current_platform: Platform | None = None
    storage_change: StorageChange | None = None
