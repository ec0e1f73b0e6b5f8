"""Bake: recipe → base AMI → golden AMI → both gates → the candidate parameter. Repeating it does only what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import artifacts, cleanup, environment, preflight, verify
from goldenami.bake import layer as bake_layer
from goldenami.bake.check_report import Check
from goldenami.bake.model import BakeOptions, BakeResult, LayerInputs
from goldenami.bake.plan import LayerPlan
from goldenami.bake.preflight import BakeInputs
from goldenami.bake.source import Source
from goldenami.context import Context
from goldenami.infra import role
from goldenami.model import image as model_image
from goldenami.model.image import Image, base_name
from goldenami.model.version import Version, ami_name
from goldenami.state import runs
from goldenami.state.runs import Run
from goldenami.tools import packer


def bake(ctx: Context, options: BakeOptions) -> BakeResult:
    """Bring the recipe's golden AMI about.

    Raises:
        UsageError: The version asked for is taken.
        GateError: The image failed a gate; it is not published.
        BuildError: Packer failed.
        AwsError: AWS refused.
    """
    waiting = "another bake is running here (or its Packer is still cleaning up); waiting for it"
    with runs.lock(ctx.build / "bake.lock", waiting, ctx.progress.info) as lock:
        known = preflight.preflight(ctx)
        base, app = preflight.plan_layers(ctx, known, options)
        cleanup.after_crashed_runs(ctx)
        if app and app.action == "reuse" and app.image:
            publish(ctx, app.image)
            return BakeResult(app.image, preflight.image_version(ctx, app.image), base, app, run=None)
        closing = partial(artifacts.write_run, ctx)
        with runs.record_run(ctx, "bake", on_end=closing, recipe=str(ctx.recipe.path)) as run:
            return _run(ctx, run, known, base, options, lock)


def publish(ctx: Context, image: Image) -> int:
    """Make the AMI the candidate for promotion; returns the parameter's version."""
    return parameters.publish_ami(ctx.aws, ctx.clock, ctx.candidate, image.id)


def _run(ctx: Context, run: Run, known: BakeInputs, base: LayerPlan, options: BakeOptions, lock: int) -> BakeResult:
    role.ensure_parameters(ctx)
    profile = environment.ensure_profile(ctx)
    base_image, checks = _base_layer(ctx, run, known, base, profile, lock)
    app = preflight.plan_app_layer(ctx, known, base_image.id, options)
    version = preflight.reserve_version(ctx, run, known, app, options)
    inputs = _inputs(ctx, run, known, app, base_image.id, profile, ami_name(ctx.name, version), version)
    baked = _build(ctx, run, inputs, known.source, lock) if app.image is None else _adopt(ctx, app, inputs)
    checks += baked.checks
    with ThreadPoolExecutor() as pool:  # while the boot gate waits for its machine
        bill = pool.submit(artifacts.write_sbom, ctx, run, baked.image.name, version)
        checks += verify.verify(ctx, run, baked.image, profile=profile, clean=options.clean)
        bill.result()
    publish(ctx, baked.image)
    image = images.get(ctx.aws, baked.image.id) or baked.image
    artifacts.write_manifest(ctx, run, image, version, base_image, (base, app), checks)
    return BakeResult(image, version, replace(base, image=base_image), app, run)


def _base_layer(
    ctx: Context, run: Run, known: BakeInputs, base: LayerPlan, profile: str, lock: int
) -> tuple[Image, list[Check]]:
    name = base.image.name if base.image else base_name(ctx.name, base.fingerprint, run.id)
    inputs = _inputs(ctx, run, known, base, known.source_ami, profile, name, None)
    if base.image is None:
        baked = _build(ctx, run, inputs, known.source, lock)
    elif base.action == "adopt":
        baked = _adopt(ctx, base, inputs)
    else:
        ctx.progress.info(f"base layer unchanged: {base.image.name} ({base.image.id})")
        baked = bake_layer.BakedLayer(base.image, _reuse_render_checks(ctx, base))
    return baked.image, list(baked.checks)


def _build(ctx: Context, run: Run, inputs: LayerInputs, source: Source, lock: int) -> bake_layer.BakedLayer:
    folder = run.folder / inputs.layer
    bake_layer.prepare(ctx, inputs, source, folder)
    groups = environment.ensure_builder_group(ctx, run)
    try:
        return bake_layer.bake(ctx, inputs, folder, groups, ctx.aws.environment(), lock)
    finally:
        bake_layer.delete_ssh_key(folder)


def _adopt(ctx: Context, layer: LayerPlan, inputs: LayerInputs) -> bake_layer.BakedLayer:
    """Take over the AMI of an interrupted run."""
    assert layer.image is not None
    ctx.progress.info(f"adopting {layer.image.name} ({layer.image.id}): {layer.reason}")
    image = bake_layer.finalize(ctx, layer.image.id, inputs.tags)
    return bake_layer.BakedLayer(image, _reuse_render_checks(ctx, layer))


def _reuse_render_checks(ctx: Context, layer: LayerPlan) -> tuple[Check, ...]:
    """The checks that a layer's AMI passed inside when it was baked, where that was in this checkout."""
    run_id = layer.run_id(ctx.name)
    return tuple(bake_layer.load_checks(Run(run_id, ctx.build / run_id), layer.layer)) if run_id else ()


def _inputs(
    ctx: Context,
    run: Run,
    known: BakeInputs,
    layer: LayerPlan,
    source_ami: str,
    profile: str,
    name: str,
    version: Version | None,
) -> LayerInputs:
    recipe, commit = ctx.recipe, known.source.commit
    given = {
        **recipe.tags,
        "Name": name,
        "Environment": recipe.image.environment,
        "Created": f"{ctx.clock.now():%Y-%m-%d}",
        "Go": recipe.runtime.go.version,
        "PostgreSQL": str(recipe.runtime.postgresql.version),
        model_image.RUN: run.id,
        model_image.IMAGE: ctx.name,
        model_image.LAYER: layer.layer,
        model_image.FAMILY: recipe.image.family,
        model_image.FINGERPRINT: layer.fingerprint,
        model_image.SOURCE_AMI: source_ami,
    }
    if version:
        given |= {"Version": version.tag, model_image.COMMIT: commit, model_image.STORAGE_MODE: recipe.database.mode}
    return LayerInputs(
        recipe=recipe,
        target=ctx.target,
        layer=layer.layer,
        packer_version=known.packer_version,
        source_ami=source_ami,
        app_commit=commit,
        ami_name=name,
        version=str(version) if version else "",
        run_id=run.id,
        tags=given,
        region=ctx.aws.region,
        endpoint_url=ctx.aws.endpoint_url,
        instance_profile=profile,
        fingerprint=layer.fingerprint,
    )


def render_only(ctx: Context, options: BakeOptions) -> Path:
    """`invoke render`: write and check both layers' folders as a bake would, and launch nothing.

    Returns:
        The run's folder.
    """
    known = preflight.preflight(ctx)
    base = preflight.plan_base_layer(ctx, known, options)
    run = runs.create(ctx.build, ctx.clock.now())
    profile = ctx.target.iam_instance_profile or f"{ctx.name}-bake"
    # Where the base AMI is still to be made, its id is not known yet.
    base_ami = base.image.id if base.image else "ami-00000000000000000"
    app = preflight.plan_app_layer(ctx, known, base_ami, options)
    version = preflight.next_version(ctx, known, options)
    title = base_name(ctx.name, base.fingerprint, run.id)
    for inputs in (
        _inputs(ctx, run, known, base, known.source_ami, profile, title, None),
        _inputs(ctx, run, known, app, base_ami, profile, ami_name(ctx.name, version), version),
    ):
        bake_layer.prepare(ctx, inputs, known.source, run.folder / inputs.layer)
        packer.validate(run.folder / inputs.layer, known.packer_version, ctx.aws.environment())
    run.record(state="rendered")
    return run.folder
