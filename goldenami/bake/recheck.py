"""`invoke verify`: hold an AMI that exists against the second gate again."""

from __future__ import annotations

from functools import partial

from goldenami.aws import images
from goldenami.bake import artifacts as provenance
from goldenami.bake import environment as access
from goldenami.bake import verify as gate
from goldenami.context import Shop
from goldenami.errors import UsageError
from goldenami.model.image import Image
from goldenami.state import logbook, runs


def recheck(shop: Shop, ami: str, *, clean: bool) -> Image:
    """Boot the AMI and look at it; it is tagged verified or marked failed.

    Raises:
        UsageError: There is no such AMI, or it is not a golden AMI of this recipe.
        GateError: It did not pass.
    """
    image = images.get(shop.aws, ami)
    if image is None:
        raise UsageError(f"there is no AMI {ami} in {shop.aws.region}", next="./invoke images")
    if image.version(shop.name) is None:
        raise UsageError(f"{ami} ({image.name}) is not a golden AMI of {shop.name}", next="./invoke images")
    with (
        runs.lock(shop.build / "bake.lock", "a bake is running here; waiting for it", shop.progress.say),
        logbook.opened(shop, "verify", ended=partial(provenance.close, shop), ami=ami) as run,
    ):
        gate.verify(shop, run, image, profile=access.ensure_profile(shop), clean=clean)
    return images.get(shop.aws, ami) or image
