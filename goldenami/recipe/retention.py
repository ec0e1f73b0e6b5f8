"""The recipe's section [retention]: the retention policy of `prune`."""

from __future__ import annotations

from goldenami.recipe.fields import Section, number


class Retention(Section):
    """The retention policy of `prune`. Images in use are always kept."""

    verified: int = number(5, 1, 1000, "Number of newest verified images to keep.")
    months: int = number(6, 0, 120, "Number of latest months with verified images whose newest image is kept.")
    rollbacks: int = number(3, 1, 100, "Number of former production images to keep for `rollback`.")
    minimum_age_days: int = number(7, 0, 3650, "Minimum age in days before an image is deprecated.", unit="days")
    grace_days: int = number(14, 0, 365, "Days between an image's deprecation and its deregistration.", unit="days")
    max_per_run: int = number(20, 1, 1000, "Maximum number of images that one run deprecates, and that it deregisters.")
