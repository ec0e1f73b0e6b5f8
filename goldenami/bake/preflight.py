"""Before a bake: read everything that matters, decide what to do about each layer, and reserve a version number."""

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
    """What was read before anything is decided."""

    source_ami: str
    source: Source
    packer_version: tuple[int, int, int]
    images: tuple[Image, ...]
    reservations: tuple[VersionReservation, ...]


def preflight(ctx: Context) -> BakeInputs:
    """Read everything that the plan depends on; nothing is changed."""
    app = ctx.recipe.app
    named = app.dependencies.files if app.dependencies else ()
    with ThreadPoolExecutor() as pool:  # the account is far away, and git and Packer answer meanwhile
        ami = pool.submit(environment.source_ami, ctx)
        family = pool.submit(images.list_family, ctx.aws, ctx.name)
        claims = pool.submit(parameters.list_children, ctx.aws, ctx.reservations_path)
        version = pool.submit(packer.version)
        return BakeInputs(
            source=source.resolve(app.source, app.ref, ctx.recipe.folder, is_git=app.is_git, dependencies=named),
            packer_version=version.result(),
            source_ami=ami.result(),
            images=tuple(family.result()),
            reservations=tuple(_reservation(p.name, p.value) for p in claims.result()),
        )


def plan_layers(ctx: Context, known: BakeInputs, options: BakeOptions) -> tuple[LayerPlan, LayerPlan | None]:
    """Decide about both layers; about the app layer only where its base exists (its fingerprint holds the base's id)."""
    base = plan_base_layer(ctx, known, options)
    if base.action == "build" or base.image is None:
        return base, None
    return base, plan_app_layer(ctx, known, base.image.id, options)


def plan_base_layer(ctx: Context, known: BakeInputs, options: BakeOptions) -> LayerPlan:
    """Decide about the base layer."""
    digest = layer_fingerprint(ctx, "base", known.source_ami, known.source)
    return plan_base(ctx.name, digest, known.images, fresh=options.fresh, since=options.since)


def plan_app_layer(ctx: Context, known: BakeInputs, base_ami: str, options: BakeOptions) -> LayerPlan:
    """Decide about the app layer on a given base AMI."""
    # Only a run of this checkout is known to be dead (we hold the lock), so only its claims can be taken up again.
    ours = {run.id for run in runs.list_runs(ctx.build)}
    claims = [claim for claim in known.reservations if claim.run_id in ours]
    digest = layer_fingerprint(ctx, "app", base_ami, known.source)
    wanted = parse(options.version) if options.version else None
    fresh = options.fresh or bool(options.bump)
    return plan_app(ctx.name, digest, known.images, claims, fresh=fresh, wanted=wanted, since=options.since)


def next_version(
    ctx: Context, known: BakeInputs, options: BakeOptions, also: frozenset[Version] = frozenset()
) -> Version:
    """The number that a bake would take now, above all that exist, were claimed, or are named in `also`."""
    if options.version:
        return parse(options.version)
    return next_after(
        _taken_versions(ctx, known) | also, options.bump or ctx.recipe.image.version_policy, ctx.clock.now()
    )


def reserve_version(ctx: Context, run: Run, known: BakeInputs, app: LayerPlan, options: BakeOptions) -> Version:
    """Reserve the version number: Parameter Store decides between two who want the same one.

    Raises:
        UsageError: The version that was asked for is taken.
    """
    if app.image is not None:
        return image_version(ctx, app.image)
    if app.reservation is not None:
        return app.reservation.version
    lost: frozenset[Version] = frozenset()
    while True:
        version = next_version(ctx, known, options, lost)
        free = version not in _taken_versions(ctx, known)
        claim = json.dumps({"run": run.id, "fingerprint": app.fingerprint})
        if free and parameters.create(ctx.aws, f"{ctx.reservations_path}/{version}", claim):
            return version
        if options.version:
            latest = max(_taken_versions(ctx, known) | {version})
            raise UsageError(
                f"{version} is taken; a version is never used again (the latest is {latest})",
                next="./invoke bake --version with a higher one, or leave it out",
            )
        lost |= {version}


def image_version(ctx: Context, image: Image) -> Version:
    """The version of a golden AMI, which always has one."""
    found = image.version(ctx.name)
    assert found is not None, image.name
    return found


def _taken_versions(ctx: Context, known: BakeInputs) -> frozenset[Version]:
    named = {v for image in known.images if (v := image.version(ctx.name)) is not None}
    return frozenset(named | {claim.version for claim in known.reservations})


def layer_fingerprint(ctx: Context, layer: Layer, source_ami: str, app: Source) -> str:
    """The digest of all that goes into a layer on this AMI, with this source of the application."""
    inputs = render.fingerprint_inputs(
        ctx.recipe, layer, source_ami, app.commit, ctx.target, dependencies=app.dependencies
    )
    return fingerprint(inputs)


def _reservation(name: str, value: str) -> VersionReservation:
    facts = json.loads(value)
    return VersionReservation(parse(name.rpartition("/")[2]), facts.get("run", ""), facts.get("fingerprint", ""))
