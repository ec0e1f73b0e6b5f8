"""Before a bake: read its inputs, plan each layer, and reserve a version."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from goldenami.aws import images, parameters
from goldenami.bake import environment, render, source
from goldenami.bake.model import BakeOptions, fingerprint
from goldenami.bake.plan import LayerPlan, VersionReservation, plan_app, plan_base
from goldenami.bake.source import Source
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.model.image import Image, Layer
from goldenami.model.version import Version, next_after, parse
from goldenami.state import runs
from goldenami.state.runs import Run
from goldenami.tools import packer


@dataclass(frozen=True)
class BakeInputs:
    """Everything that the plan depends on."""

    source_ami: str
    source: Source
    packer_version: tuple[int, int, int]
    images: tuple[Image, ...]
    reservations: tuple[VersionReservation, ...]

    def taken_versions(self, image_name: str) -> frozenset[Version]:
        """Return the versions that exist or are reserved."""
        existing = {v for image in self.images if (v := image.version(image_name)) is not None}
        return frozenset(existing | {reservation.version for reservation in self.reservations})


def preflight(ctx: Context) -> BakeInputs:
    """Read the inputs of a bake."""
    app = ctx.recipe.app
    dependencies = app.dependencies.files if app.dependencies else ()
    with ThreadPoolExecutor() as pool:  # AWS calls, while git and Packer run
        ami = pool.submit(environment.source_ami, ctx)
        family = pool.submit(images.list_family, ctx.aws, ctx.name)
        reservations = pool.submit(parameters.list_children, ctx.aws, ctx.reservations_path)
        version = pool.submit(packer.version)
        return BakeInputs(
            source=source.resolve(app.source, app.ref, ctx.recipe.folder, is_git=app.is_git, dependencies=dependencies),
            packer_version=version.result(),
            source_ami=ami.result(),
            images=tuple(family.result()),
            reservations=tuple(_reservation(p.name, p.value) for p in reservations.result()),
        )


def plan_layers(ctx: Context, current: BakeInputs, options: BakeOptions) -> tuple[LayerPlan, LayerPlan | None]:
    """Plan both layers; the app layer only if its base exists, whose id is in its fingerprint."""
    base = plan_base_layer(ctx, current, options)
    if base.action == "build" or base.image is None:
        return base, None
    return base, plan_app_layer(ctx, current, base.image.id, options)


def plan_base_layer(ctx: Context, current: BakeInputs, options: BakeOptions) -> LayerPlan:
    """Plan the base layer."""
    digest = layer_fingerprint(ctx, "base", current.source_ami, current.source)
    return plan_base(ctx.name, digest, current.images, fresh=options.fresh, since=options.since)


def plan_app_layer(ctx: Context, current: BakeInputs, base_ami: str, options: BakeOptions) -> LayerPlan:
    """Plan the app layer on a base AMI."""
    # The bake lock proves that the runs of this checkout ended; those of others may still use their reservations.
    run_ids = {run.id for run in runs.list_runs(ctx.build)}
    return plan_app(
        ctx.name,
        layer_fingerprint(ctx, "app", base_ami, current.source),
        current.images,
        [reservation for reservation in current.reservations if reservation.run_id in run_ids],
        fresh=options.fresh or bool(options.bump),
        requested=parse(options.version) if options.version else None,
        since=options.since,
    )


def next_version(
    ctx: Context, current: BakeInputs, options: BakeOptions, lost: frozenset[Version] = frozenset()
) -> Version:
    """Return the version of the next bake: the requested one, else one above all that exist, are reserved, or are in `lost`."""
    if options.version:
        return parse(options.version)
    part = options.bump or ctx.recipe.image.version_policy
    return next_after(current.taken_versions(ctx.name) | lost, part, ctx.clock.now())


def reserve_version(ctx: Context, run: Run, current: BakeInputs, app: LayerPlan, options: BakeOptions) -> Version:
    """Reserve a version by creating its parameter: of two concurrent bakes, only one can; raise UsageError if it is taken."""
    if app.image is not None:
        return image_version(ctx, app.image)
    if app.reservation is not None:
        return app.reservation.version
    taken, lost = current.taken_versions(ctx.name), frozenset[Version]()
    value = json.dumps({"run": run.id, "fingerprint": app.fingerprint})
    while True:
        version = next_version(ctx, current, options, lost)
        if version not in taken and parameters.create(ctx.aws, f"{ctx.reservations_path}/{version}", value):
            return version
        if options.version:
            raise UsageError(
                f"{version} is taken; a version is never reused (the latest is {max(taken | {version})})",
                next="./invoke bake, without --version or with a higher one",
            )
        lost |= {version}


def image_version(ctx: Context, image: Image) -> Version:
    """Return the version of a golden AMI, which always has one."""
    version = image.version(ctx.name)
    assert version is not None, image.name
    return version


def layer_fingerprint(ctx: Context, layer: Layer, source_ami: str, app: Source) -> str:
    """Return the fingerprint of a layer on this AMI, with this source of the application."""
    facts = (ctx.recipe, layer, source_ami, app.commit, ctx.target)
    return fingerprint(render.fingerprint_inputs(*facts, dependencies=app.dependencies))


def _reservation(name: str, value: str) -> VersionReservation:
    facts = json.loads(value)
    return VersionReservation(parse(name.rpartition("/")[2]), facts.get("run", ""), facts.get("fingerprint", ""))
