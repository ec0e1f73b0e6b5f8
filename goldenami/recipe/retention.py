"""The recipe's section [retention]: the retention policy of `prune`."""

from __future__ import annotations

from goldenami.recipe.fields import Section, field


class Retention(Section):
    """The retention policy of `prune`. Images in use are always kept."""

    verified: int = field(
        5,
        description="Number of newest verified images to keep.",
        expected="a number from 1 to 1000",
        example=5,
        ge=1,
        le=1000,
    )
    months: int = field(
        6,
        description="Number of latest months with verified images whose newest image is kept.",
        expected="a number from 0 to 120",
        example=6,
        ge=0,
        le=120,
    )
    rollbacks: int = field(
        3,
        description="Number of former production images to keep for `rollback`.",
        expected="a number from 1 to 100",
        example=3,
        ge=1,
        le=100,
    )
    minimum_age_days: int = field(
        7,
        description="Minimum age in days before an image is deprecated.",
        expected="a number of days from 0 to 3650",
        example=7,
        ge=0,
        le=3650,
    )
    grace_days: int = field(
        14,
        description="Days between an image's deprecation and its deregistration.",
        expected="a number of days from 0 to 365",
        example=14,
        ge=0,
        le=365,
    )
    max_per_run: int = field(
        20,
        description="Maximum number of images that one run deprecates, and that it deregisters.",
        expected="a number from 1 to 1000",
        example=20,
        ge=1,
        le=1000,
    )
