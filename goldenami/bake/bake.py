"""Bake: recipe → base AMI → golden AMI → boot gate → candidate parameter. A repeated bake does only what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import artifacts, cleanup, environment, layer as bake_layer, preflight, verify
from goldenami.bake.check_report import Check
from goldenami.bake.layer import BakedLayer
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

_UNKNOWN_AMI = "ami-00000000000000000"  # for rendering, while the base AMI does not exist


def bake(ctx: Context, options: BakeOptions) -> BakeResult:
    """Bake the golden AMI of the recipe, and publish it as the candidate; raise GateError if the image failed a gate."""
    with environment.bake_lock(ctx) as lock:
        current = preflight.preflight(ctx)
        base, app = preflight.plan_layers(ctx, current, options)
        cleanup.after_crashed_runs(ctx)
        if app and app.action == "reuse" and app.image:
            publish(ctx, app.image)
            return BakeResult(app.image, preflight.image_version(ctx, app.image), base, app, run=None)
        with runs.record_run(ctx, "bake", on_end=partial(artifacts.close_run, ctx), recipe=str(ctx.recipe.path)) as run:
            return _run(ctx, run, current, base, options, lock)


def publish(ctx: Context, image: Image) -> int:
    """Set the candidate parameter to the AMI; return the parameter's version."""
    return parameters.publish_ami(ctx.aws, ctx.clock, ctx.candidate, image.id)


def _run(ctx: Context, run: Run, current: BakeInputs, base: LayerPlan, options: BakeOptions, lock: int) -> BakeResult:
    role.ensure_parameters(ctx)
    profile = environment.ensure_profile(ctx)
    baked_base = _bake_base(ctx, run, current, base, profile, lock)
    app = preflight.plan_app_layer(ctx, current, baked_base.image.id, options)
    version = preflight.reserve_version(ctx, run, current, app, options)
    name = ami_name(ctx.name, version)
    inputs = _inputs(ctx, run, current, app, baked_base.image.id, profile, name, version)
    baked = _build(ctx, run, inputs, current.source, lock) if app.image is None else _adopt(ctx, app, inputs)
    with ThreadPoolExecutor() as pool:  # the boot gate waits for its instance meanwhile
        sbom = pool.submit(artifacts.write_sbom, ctx, run, baked.image.name, version)
        boot_checks = verify.verify(ctx, run, baked.image, profile=profile, clean=options.clean)
        sbom.result()
    publish(ctx, baked.image)
    image = images.get(ctx.aws, baked.image.id) or baked.image
    checks = [*baked_base.checks, *baked.checks, *boot_checks]
    artifacts.write_manifest(ctx, run, image, version, baked_base.image, (base, app), checks)
    return BakeResult(image, version, replace(base, image=baked_base.image), app, run)


def _bake_base(ctx: Context, run: Run, current: BakeInputs, base: LayerPlan, profile: str, lock: int) -> BakedLayer:
    name = base.image.name if base.image else base_name(ctx.name, base.fingerprint, run.id)
    inputs = _inputs(ctx, run, current, base, current.source_ami, profile, name)
    if base.image is None:
        return _build(ctx, run, inputs, current.source, lock)
    if base.action == "adopt":
        return _adopt(ctx, base, inputs)
    ctx.progress.info(f"base layer unchanged: {base.image.name} ({base.image.id})")
    return BakedLayer(base.image, _earlier_checks(ctx, base))


def _build(ctx: Context, run: Run, inputs: LayerInputs, source: Source, lock: int) -> BakedLayer:
    folder = run.folder / inputs.layer
    bake_layer.prepare(ctx, inputs, source, folder)
    groups = environment.ensure_builder_group(ctx, run)
    try:
        return bake_layer.bake(ctx, inputs, folder, groups, ctx.aws.environment(), lock)
    finally:
        bake_layer.delete_ssh_key(folder)


def _adopt(ctx: Context, layer: LayerPlan, inputs: LayerInputs) -> BakedLayer:
    assert layer.image is not None
    ctx.progress.info(f"adopting {layer.image.name} ({layer.image.id}): {layer.reason}")
    return BakedLayer(bake_layer.finalize(ctx, layer.image.id, inputs.tags), _earlier_checks(ctx, layer))


def _earlier_checks(ctx: Context, layer: LayerPlan) -> tuple[Check, ...]:
    """Return the checks that the layer passed when this checkout baked it."""
    run_id = layer.run_id(ctx.name)
    return tuple(bake_layer.load_checks(Run(run_id, ctx.build / run_id), layer.layer)) if run_id else ()


def _inputs(
    ctx: Context,
    run: Run,
    current: BakeInputs,
    layer: LayerPlan,
    source_ami: str,
    profile: str,
    name: str,
    version: Version | None = None,
) -> LayerInputs:
    recipe, commit = ctx.recipe, current.source.commit
    tags = {
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
        tags |= {"Version": version.tag, model_image.COMMIT: commit, model_image.STORAGE_MODE: recipe.database.mode}
    return LayerInputs(
        recipe=recipe,
        target=ctx.target,
        layer=layer.layer,
        packer_version=current.packer_version,
        source_ami=source_ami,
        app_commit=commit,
        ami_name=name,
        version=str(version) if version else "",
        run_id=run.id,
        tags=tags,
        region=ctx.aws.region,
        endpoint_url=ctx.aws.endpoint_url,
        instance_profile=profile,
        fingerprint=layer.fingerprint,
    )


def render_only(ctx: Context, options: BakeOptions) -> Path:
    """Render and validate the folders of both layers as a bake would, without launching anything (`invoke render`)."""
    current = preflight.preflight(ctx)
    base = preflight.plan_base_layer(ctx, current, options)
    run = runs.create(ctx.build, ctx.clock.now())
    profile = ctx.target.iam_instance_profile or f"{ctx.name}-bake"
    base_ami = base.image.id if base.image else _UNKNOWN_AMI
    app = preflight.plan_app_layer(ctx, current, base_ami, options)
    version = preflight.next_version(ctx, current, options)
    name = base_name(ctx.name, base.fingerprint, run.id)
    for inputs in (
        _inputs(ctx, run, current, base, current.source_ami, profile, name),
        _inputs(ctx, run, current, app, base_ami, profile, ami_name(ctx.name, version), version),
    ):
        folder = run.folder / inputs.layer
        bake_layer.prepare(ctx, inputs, current.source, folder)
        packer.validate(folder, current.packer_version, ctx.aws.environment())
    run.record(state="rendered")
    return run.folder
