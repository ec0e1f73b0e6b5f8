"""The rules between the keys of the recipe's [[copies]] sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from goldenami.recipe.problems import KeyPath, Problem

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


def check_copies(recipe: Recipe) -> Iterator[Problem]:
    """Yield the problems of [[copies]]: duplicates, and KMS keys and shares that AWS would refuse."""
    encrypted = recipe.image.root_volume.encrypted
    destinations: set[tuple[str, str]] = set()
    for index, copy in enumerate(recipe.copies):
        path: KeyPath = ("copies", index)
        if (copy.region, copy.profile) in destinations:
            yield Problem((*path, "region"), "each region once for an account", f'"{copy.region}" a second time')
        destinations.add((copy.region, copy.profile))
        if copy.kms_key_id and not encrypted:
            yield Problem((*path, "kms_key_id"), "none", "one, while [image.root_volume] encrypted is false")
        if copy.share_with and encrypted and not copy.kms_key_id:
            # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
            got = "none; a snapshot under the account's default key cannot be shared"
            yield Problem((*path, "kms_key_id"), "a KMS key of yours with share_with", got)
