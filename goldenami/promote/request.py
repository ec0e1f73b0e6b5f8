"""Build a rollout request from the recipe, the command line and the image."""

from __future__ import annotations

from goldenami.aws import auto_scaling, images
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.catalog import resolve_ami
from goldenami.infra import launch_template_plan
from goldenami.model.image import Image
from goldenami.promote.model import PromoteOptions
from goldenami.rollout.request_model import RolloutRequest


def build_request(ctx: Context, options: PromoteOptions) -> RolloutRequest:
    """Return the request of the command line, with the recipe's values as defaults.

    Raises:
        UsageError: The options select no image, several, or one that does not exist.
    """
    recipe = ctx.recipe
    ami = resolve_ami(ctx, options.selector)
    image = images.get(ctx.aws, ami)
    if image is None:
        raise UsageError(f"{ami} does not exist in {ctx.aws.region}", next="./invoke images")
    return RolloutRequest(
        ami=ami,
        image=image,
        overrides=launch_template_plan.version_overrides(recipe, image),
        canary=recipe.promote.canary if options.canary is None else options.canary,
        watch=recipe.promote.watch_seconds if options.watch is None else options.watch,
        warmup=recipe.fleet.instance_warmup,
        unverified=options.unverified,
        schema_newer=options.schema_newer,
        rehearse=options.rehearse and recipe.release.rehearsal,
        alarms=recipe.promote.alarms,
        # A canary size given explicitly means a part of the fleet, not a share of the traffic.
        traffic=recipe.promote.traffic if options.canary is None and not recipe.database.on_instance else (),
        transfers_data=recipe.database.on_instance,
        storage_mode=recipe.database.mode,
    )


def check_storage_mode(ctx: Context, image: Image) -> None:
    """Check that a new fleet's image and the recipe use the same storage mode; db.migrate changes it for an existing one.

    Raises:
        UsageError: They differ.
    """
    mode = ctx.recipe.database.mode
    if image.storage_mode in ("", mode) or auto_scaling.get(ctx.aws, ctx.names.group) is not None:
        return
    raise UsageError(
        f'{image.name} ({image.id}) uses storage mode "{image.storage_mode}", the recipe "{mode}"',
        state="No changes were made.",
        next=f'set mode = "{image.storage_mode}" under [database] in golden.toml, then ./invoke fleet.create',
    )
