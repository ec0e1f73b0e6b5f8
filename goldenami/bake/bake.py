"""Bake: recipe → base AMI → golden AMI → both gates → the candidate parameter. Repeating it does only what is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import artifacts as provenance
from goldenami.bake import cleanup as sweep
from goldenami.bake import environment as access
from goldenami.bake import layer as layers
from goldenami.bake import preflight as planning
from goldenami.bake import verify
from goldenami.bake.check_report import Check
from goldenami.bake.model import Inputs
from goldenami.bake.plan import LayerPlan
from goldenami.bake.preflight import Known, Options
from goldenami.bake.source import Source
from goldenami.context import Shop
from goldenami.model import image as tags
from goldenami.model.image import Image, base_name
from goldenami.model.version import Version, ami_name
from goldenami.state import logbook, runs
from goldenami.state.runs import Run
from goldenami.tools import packer


@dataclass(frozen=True)
class Result:
    """The golden AMI of a bake, and how it came to be."""

    image: Image
    version: Version
    base: LayerPlan
    app: LayerPlan
    run: Run | None

    @property
    def unchanged(self) -> bool:
        """Whether there was nothing to do."""
        return self.run is None


def bake(shop: Shop, options: Options) -> Result:
    """Bring the recipe's golden AMI about.

    Raises:
        UsageError: The version asked for is taken.
        GateError: The image failed a gate; it is not published.
        BuildError: Packer failed.
        AwsError: AWS refused.
    """
    waiting = "another bake is running here (or its Packer is still cleaning up); waiting for it"
    with runs.lock(shop.build / "bake.lock", waiting, shop.progress.say) as lock:
        known = planning.look(shop)
        base, app = planning.plan(shop, known, options)
        sweep.after_dead_runs(shop)
        if app and app.action == "reuse" and app.image:
            publish(shop, app.image)
            return Result(app.image, planning.version_of(shop, app.image), base, app, run=None)
        closing = partial(provenance.close, shop)
        with logbook.opened(shop, "bake", ended=closing, recipe=str(shop.recipe.path)) as run:
            return _run(shop, run, known, base, options, lock)


def publish(shop: Shop, image: Image) -> int:
    """Make the AMI the candidate for promotion; returns the parameter's version."""
    return parameters.publish_ami(shop.aws, shop.clock, shop.candidate, image.id)


def _run(shop: Shop, run: Run, known: Known, base: LayerPlan, options: Options, lock: int) -> Result:
    access.ensure_parameters(shop)
    profile = access.ensure_profile(shop)
    base_image, checks = _base_layer(shop, run, known, base, profile, lock)
    app = planning.app_layer(shop, known, base_image.id, options)
    version = planning.claim_version(shop, run, known, app, options)
    inputs = _inputs(shop, run, known, app, base_image.id, profile, ami_name(shop.name, version), version)
    baked = _build(shop, run, inputs, known.source, lock) if app.image is None else _adopt(shop, app, inputs)
    checks += baked.checks
    with ThreadPoolExecutor() as pool:  # while the boot gate waits for its machine
        bill = pool.submit(provenance.write_bill, shop, run, baked.image.name, version)
        checks += verify.verify(shop, run, baked.image, profile=profile, clean=options.clean)
        bill.result()
    publish(shop, baked.image)
    image = images.get(shop.aws, baked.image.id) or baked.image
    provenance.write(shop, run, image, version, base_image, (base, app), checks)
    return Result(image, version, replace(base, image=base_image), app, run)


def _base_layer(
    shop: Shop, run: Run, known: Known, base: LayerPlan, profile: str, lock: int
) -> tuple[Image, list[Check]]:
    name = base.image.name if base.image else base_name(shop.name, base.fingerprint, run.id)
    inputs = _inputs(shop, run, known, base, known.source_ami, profile, name, None)
    if base.image is None:
        baked = _build(shop, run, inputs, known.source, lock)
    elif base.action == "adopt":
        baked = _adopt(shop, base, inputs)
    else:
        shop.progress.say(f"base layer unchanged: {base.image.name} ({base.image.id})")
        baked = layers.Baked(base.image, _checked_before(shop, base))
    return baked.image, list(baked.checks)


def _build(shop: Shop, run: Run, inputs: Inputs, source: Source, lock: int) -> layers.Baked:
    folder = run.folder / inputs.layer
    layers.prepare(shop, inputs, source, folder)
    groups = access.ensure_builder_group(shop, run)
    try:
        return layers.bake(shop, inputs, folder, groups, shop.aws.environment(), lock)
    finally:
        layers.forget_key(folder)


def _adopt(shop: Shop, layer: LayerPlan, inputs: Inputs) -> layers.Baked:
    """Take over the AMI of an interrupted run."""
    assert layer.image is not None
    shop.progress.say(f"adopting {layer.image.name} ({layer.image.id}): {layer.reason}")
    image = layers.finish(shop, layer.image.id, inputs.tags)
    return layers.Baked(image, _checked_before(shop, layer))


def _checked_before(shop: Shop, layer: LayerPlan) -> tuple[Check, ...]:
    """The checks that a layer's AMI passed inside when it was baked, where that was in this checkout."""
    run_id = layer.run_id(shop.name)
    return tuple(layers.checks_of(Run(run_id, shop.build / run_id), layer.layer)) if run_id else ()


def _inputs(
    shop: Shop,
    run: Run,
    known: Known,
    layer: LayerPlan,
    source_ami: str,
    profile: str,
    name: str,
    version: Version | None,
) -> Inputs:
    recipe, commit = shop.recipe, known.source.commit
    given = {
        **recipe.tags,
        "Name": name,
        "Environment": recipe.image.environment,
        "Created": f"{shop.clock.now():%Y-%m-%d}",
        "Go": recipe.runtime.go.version,
        "PostgreSQL": str(recipe.runtime.postgresql.version),
        tags.RUN: run.id,
        tags.IMAGE: shop.name,
        tags.LAYER: layer.layer,
        tags.FAMILY: recipe.image.family,
        tags.FINGERPRINT: layer.fingerprint,
        tags.SOURCE_AMI: source_ami,
    }
    if version:
        given |= {"Version": version.tag, tags.COMMIT: commit, tags.HOME: recipe.database.mode}
    return Inputs(
        recipe=recipe,
        target=shop.target,
        layer=layer.layer,
        packer_version=known.packer_version,
        source_ami=source_ami,
        app_commit=commit,
        ami_name=name,
        version=str(version) if version else "",
        run_id=run.id,
        tags=given,
        region=shop.aws.region,
        endpoint_url=shop.aws.endpoint_url,
        instance_profile=profile,
        fingerprint=layer.fingerprint,
    )


def render_only(shop: Shop, options: Options) -> Path:
    """`invoke render`: write and check both layers' folders as a bake would, and launch nothing.

    Returns:
        The run's folder.
    """
    known = planning.look(shop)
    base = planning.base_layer(shop, known, options)
    run = runs.new(shop.build, shop.clock.now())
    profile = shop.target.iam_instance_profile or f"{shop.name}-bake"
    # Where the base AMI is still to be made, its id is not known yet.
    base_ami = base.image.id if base.image else "ami-00000000000000000"
    app = planning.app_layer(shop, known, base_ami, options)
    version = planning.next_version(shop, known, options)
    title = base_name(shop.name, base.fingerprint, run.id)
    for inputs in (
        _inputs(shop, run, known, base, known.source_ami, profile, title, None),
        _inputs(shop, run, known, app, base_ami, profile, ami_name(shop.name, version), version),
    ):
        layers.prepare(shop, inputs, known.source, run.folder / inputs.layer)
        packer.validate(run.folder / inputs.layer, known.packer_version, shop.aws.environment())
    run.record(state="rendered")
    return run.folder
