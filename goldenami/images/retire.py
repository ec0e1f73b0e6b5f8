"""`invoke retire`: mark a bad image, and all that was made from it, so that nothing carries it to the fleet any more."""

from __future__ import annotations

from goldenami.aws import images, parameters
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.model import RetireResult
from goldenami.images.retire_plan import plan
from goldenami.model.image import RETIRED, is_managed


def retire(ctx: Context, ami: str, why: str, *, plan_only: bool = False) -> RetireResult:
    """Mark an image as bad for ever. Instances that run it go on; `rollback` takes them off it.

    Args:
        shop: Where.
        ami: The image.
        why: A word for the others; it stands in the image's tag.
        plan_only: Only look.

    Raises:
        UsageError: There is no such image of this recipe.
    """
    owned = images.list_owned(ctx.aws)
    image = next((one for one in owned if one.id == ami), None)
    if image is None or not is_managed(image.name, ctx.name):
        raise UsageError(f"there is no AMI {ami} of {ctx.name} in {ctx.aws.region}", next="./invoke images")
    candidate = parameters.get(ctx.aws, ctx.candidate)
    production = parameters.get(ctx.aws, ctx.names.production)
    decided = plan(
        image,
        owned,
        ctx.name,
        candidate=candidate.value if candidate else "",
        production=production.value if production else "",
    )
    if plan_only:
        return RetireResult(image, decided)
    for bad in decided.images:
        told = why if bad.id == ami else f"made from {ami}: {why}"
        images.tag(ctx.aws, [bad.id], {RETIRED: f"{ctx.clock.now():%Y-%m-%d} {told}"[:255]})
        ctx.progress.detail(f"retired {bad.name} ({bad.id})")
    if decided.candidate is not None:
        parameters.publish_ami(ctx.aws, ctx.clock, ctx.candidate, decided.candidate.id, f"{ami} was retired: {why}")
    return RetireResult(image, decided)
