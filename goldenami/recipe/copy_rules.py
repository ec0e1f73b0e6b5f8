"""What must hold between the keys of the recipe's [[copies]] sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from goldenami.recipe.problems import Place, Problem

if TYPE_CHECKING:
    from goldenami.recipe.recipe import Recipe


def copies(recipe: Recipe) -> Iterator[Problem]:
    """Each place once; keys and shares only where AWS can honour them."""
    encrypted = recipe.image.root_volume.encrypted
    seen: set[tuple[str, str]] = set()
    for number, copy in enumerate(recipe.copies):
        at: Place = ("copies", number)
        if (copy.region, copy.profile) in seen:
            yield Problem((*at, "region"), "each region once for an account", f'"{copy.region}" a second time')
        seen.add((copy.region, copy.profile))
        if copy.kms_key_id and not encrypted:
            got = "one, while [image.root_volume] encrypted is false"
            yield Problem((*at, "kms_key_id"), "none", got, (("image", "root_volume", "encrypted"),))
        if copy.share_with and encrypted and not copy.kms_key_id:
            # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modifying-snapshot-permissions.html
            got = "none; what the account's own default key encrypts cannot be shared"
            yield Problem((*at, "kms_key_id"), "a KMS key of yours with share_with", got, ((*at, "share_with"),))
