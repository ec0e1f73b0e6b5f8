"""The section of the recipe about old images: which are kept, and how carefully the others go."""

from __future__ import annotations

from goldenami.recipe.fields import Section, field


class Retention(Section):
    """Which images `invoke prune` keeps. What anything in the account still names is kept in any case."""

    verified: int = field(
        5,
        description="How many of the newest verified images are kept.",
        expected="a number from 1 to 1000",
        example=5,
        ge=1,
        le=1000,
    )
    months: int = field(
        6,
        description="For how many of the latest months that have verified images the newest one of the month is kept.",
        expected="a number from 0 to 120",
        example=6,
        ge=0,
        le=120,
    )
    rollbacks: int = field(
        3,
        description="How many of the good images that were in production before are kept, so that `rollback` finds them.",
        expected="a number from 1 to 100",
        example=3,
        ge=1,
        le=100,
    )
    minimum_age_days: int = field(
        7,
        description="No image goes that is younger than so many days.",
        expected="a number of days from 0 to 3650",
        example=7,
        ge=0,
        le=3650,
    )
    grace_days: int = field(
        14,
        description="Days between an image's deprecation, which warns whoever still uses it, and its deregistration.",
        expected="a number of days from 0 to 365",
        example=14,
        ge=0,
        le=365,
    )
    per_run: int = field(
        20,
        description="How many images one run deprecates, and how many it deregisters, at most.",
        expected="a number from 1 to 1000",
        example=20,
        ge=1,
        le=1000,
    )
