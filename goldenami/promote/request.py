"""Build a rollout request from the recipe, the command line and the image."""

from __future__ import annotations

from goldenami.aws import auto_scaling, images
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.catalog import resolve_ami
from goldenami.images.model import PromoteOptions
from goldenami.infra import launch_template_plan
from goldenami.model.image import Image
from goldenami.rollout.request_model import RolloutRequest


def build_request(ctx: Context, options: PromoteOptions) -> RolloutRequest:
    """What the command line asks for, with the recipe's own for what it leaves out.

    Raises:
        UsageError: It names no image, more than one, or one that is not there.
    """
    recipe = ctx.recipe
    ami = resolve_ami(ctx, options)
    image = images.get(ctx.aws, ami)
    if image is None:
        raise UsageError(f"there is no AMI {ami} in {ctx.aws.region}", next="./invoke images")
    return RolloutRequest(
        ami=ami,
        image=image,
        overrides=launch_template_plan.version_overrides(recipe, image),
        canary=recipe.promote.canary if options.canary is None else options.canary,
        watch=recipe.promote.watch_seconds if options.watch is None else options.watch,
        warmup=recipe.fleet.instance_warmup,
        unverified=options.unverified,
        alarms=recipe.promote.alarms,
        # A canary that is asked for by its size is a part of the fleet, not a share of the requests.
        traffic=recipe.promote.traffic if options.canary is None and not recipe.database.on_instance else (),
        transfers_data=recipe.database.on_instance,
        storage_mode=recipe.database.mode,
    )


def check_storage_mode(ctx: Context, image: Image) -> None:
    """A new fleet must find its data where the recipe says; one that exists is moved by db.migrate.

    Raises:
        UsageError: The image looks for it elsewhere.
    """
    mode = ctx.recipe.database.mode
    if image.storage_mode in ("", mode) or auto_scaling.get(ctx.aws, ctx.names.group) is not None:
        return
    raise UsageError(
        f'{image.name} ({image.id}) keeps its data in mode "{image.storage_mode}", and the recipe says "{mode}"',
        state="Nothing was changed.",
        next=f'set mode = "{image.storage_mode}" under [database] in golden.toml, then ./invoke fleet.create',
    )
