"""A rollout request: the image to roll out, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.database.release_plan import SchemaChange
from goldenami.database.switchover_model import StorageChange
from goldenami.model.image import Image, Platform


@dataclass(frozen=True)
class RolloutRequest:
    """Request to roll out an image.

    Attributes:
        image: The AMI; None if it does not exist.
        overrides: Launch template data of the new version, over its source's.
        canary: Percent of the instances that are replaced first.
        watch: Seconds that they are monitored.
        warmup: Seconds before a new instance counts as in service.
        unverified: Accept an image that is not verified.
        alarms: CloudWatch alarms that fail the rollout.
        traffic: Percent of the requests that a canary group receives first, step by step; empty without a traffic shift.
        transfers_data: True if the instance has the database, whose data is transferred to the one that replaces it.
        storage_mode: The recipe's storage mode.
        current_storage_mode: The storage mode of the running image; empty if unknown.
        current_platform: Distribution and architecture of the running image.
        schema: How the image's migrations differ from those of the database; None without a release step in the recipe.
        schema_newer: Accept a database with migrations that the image lacks.
        rehearse: Run the release step on a copy of the data first.
        storage_change: The change of the storage mode; None without one.
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
    schema: SchemaChange | None = None
    schema_newer: bool = False
    rehearse: bool = True
    storage_change: StorageChange | None = None
