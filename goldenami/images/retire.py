"""Retire a bad image and all images made from it, so that none is promoted again."""

from __future__ import annotations

from goldenami.aws import images, parameters
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.catalog import read_pointer
from goldenami.images.model import RetireResult
from goldenami.images.retire_plan import plan
from goldenami.model.image import RETIRED, is_managed


def retire(ctx: Context, ami: str, why: str, *, plan_only: bool = False) -> RetireResult:
    """Tag an image as retired, permanently. Its instances keep running until a `rollback`."""
    owned = images.list_owned(ctx.aws)
    image = next((image for image in owned if image.id == ami), None)
    if image is None or not is_managed(image.name, ctx.name):
        raise UsageError(f"{ctx.name} has no image {ami} in {ctx.aws.region}", next="./invoke images")
    candidate, production = (read_pointer(ctx.aws, name) for name in (ctx.candidate, ctx.names.production))
    decision = plan(image, owned, ctx.name, candidate=candidate, production=production)
    if plan_only:
        return RetireResult(image, decision)
    for bad in decision.images:
        reason = why if bad.id == ami else f"made from {ami}: {why}"
        images.tag(ctx.aws, [bad.id], {RETIRED: f"{ctx.clock.now():%Y-%m-%d} {reason}"[:255]})
        ctx.progress.detail(f"retired {bad.name} ({bad.id})")
    if decision.candidate is not None:
        parameters.publish_ami(ctx.aws, ctx.clock, ctx.candidate, decision.candidate.id, f"{ami} was retired: {why}")
    return RetireResult(image, decision)
