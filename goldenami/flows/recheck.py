"""`invoke verify`: hold an AMI that exists against the second gate again."""

from __future__ import annotations

from goldenami.flows import access, provenance, sweep
from goldenami.flows import verify as gate
from goldenami.flows.shop import Shop
from goldenami.values.errors import UsageError
from goldenami.values.images import Image
from goldenami.walls import runs
from goldenami.walls.aws import images


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
    with runs.lock(shop.build / "bake.lock", "a bake is running here; waiting for it", shop.progress.say):
        run = runs.new(shop.build, shop.clock.now())
        run.record(state="running", started=shop.clock.now().isoformat(), ami=ami)
        shop.progress.log_to(run.folder / "bake.log")
        try:
            gate.verify(shop, run, image, profile=access.ensure_profile(shop), clean=clean)
        except BaseException as error:
            provenance.close(shop, run, error)
            raise
        sweep.after_run(shop, run.id)
        run.record(state="finished")
    return images.get(shop.aws, ami) or image
