"""Bake: recipe → base AMI → golden AMI → both gates → the candidate parameter. Repeating it does only what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from goldenami.flows import access, layers, provenance, sweep, verify
from goldenami.flows.shop import Shop
from goldenami.values import images as tags
from goldenami.values.errors import UsageError
from goldenami.values.fingerprint import fingerprint
from goldenami.values.images import Image, Layer, base_name
from goldenami.values.plan import Claim, LayerPlan, plan_app, plan_base
from goldenami.values.report import Check
from goldenami.values.versions import Version, ami_name, following, parse
from goldenami.walls import packer, render, runs, source
from goldenami.walls.aws import images, parameters
from goldenami.walls.render import Inputs
from goldenami.walls.runs import Run
from goldenami.walls.source import Source


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    bump: str = ""
    version: str = ""
    fresh: bool = False
    clean: bool = False


@dataclass(frozen=True)
class Known:
    """What was read before anything is decided."""

    source_ami: str
    source: Source
    packer_version: tuple[int, int, int]
    images: tuple[Image, ...]
    claims: tuple[Claim, ...]


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
        known = look(shop)
        base, app = plan(shop, known, options)
        if app and app.action == "reuse" and app.image:
            publish(shop, app.image)
            return Result(app.image, _version(shop, app.image), base, app, run=None)
        sweep.after_dead_runs(shop)
        run = runs.new(shop.build, shop.clock.now())
        run.record(state="running", started=shop.clock.now().isoformat(), recipe=str(shop.recipe.path))
        shop.progress.log_to(run.folder / "bake.log")
        try:
            result = _run(shop, run, known, base, options, lock)
        except BaseException as error:
            reason = str(error) or type(error).__name__
            run.record(state="failed", error=reason)
            provenance.write_failure(run, shop.name, reason.splitlines()[0])
            raise
        finally:
            sweep.after_run(shop, run.id)
        run.record(state="finished", phases=shop.progress.phases)
        return result


def look(shop: Shop) -> Known:
    """Read everything that the plan depends on; nothing is changed."""
    app = shop.recipe.app
    claims = parameters.children(shop.aws, shop.claims)
    return Known(
        source_ami=access.source_ami(shop),
        source=source.resolve(app.source, app.ref, shop.root, is_git=app.is_git),
        packer_version=packer.version(),
        images=tuple(images.of_family(shop.aws, shop.name)),
        claims=tuple(_claim(p.name, p.value) for p in claims),
    )


def plan(shop: Shop, known: Known, options: Options) -> tuple[LayerPlan, LayerPlan | None]:
    """Decide about both layers; about the app layer only where its base exists (its fingerprint holds the base's id)."""
    base = plan_base(shop.name, _fingerprint(shop, known, "base", known.source_ami), known.images, fresh=options.fresh)
    if base.action == "build" or base.image is None:
        return base, None
    return base, _plan_app(shop, known, base.image, options)


def publish(shop: Shop, image: Image) -> int:
    """Make the AMI the candidate for promotion; returns the parameter's version."""
    return parameters.publish_ami(shop.aws, shop.clock, shop.candidate, image.id)


def _run(shop: Shop, run: Run, known: Known, base: LayerPlan, options: Options, lock: int) -> Result:
    access.ensure_parameters(shop)
    profile = access.ensure_profile(shop)
    base_image, base_checks = _base_layer(shop, run, known, base, profile, lock)
    app = _plan_app(shop, known, base_image, options)
    version = _claim_version(shop, run, known, app, options)
    inputs = _inputs(shop, run, known, app, base_image.id, profile, ami_name(shop.name, version), version)
    if app.action == "build":
        baked = _build(shop, run, inputs, known.source, lock)
    else:
        assert app.image is not None
        shop.progress.say(f"adopting {app.image.name} ({app.image.id}): {app.reason}")
        baked = layers.Baked(layers.finish(shop, app.image.id, inputs.tags))
    checks = [*base_checks, *baked.checks]
    checks += verify.verify(shop, run, baked.image, profile=profile, clean=options.clean)
    publish(shop, baked.image)
    image = images.get(shop.aws, baked.image.id) or baked.image
    provenance.write(shop, run, image, version, base_image, (base, app), checks)
    return Result(image, version, replace(base, image=base_image), app, run)


def _base_layer(
    shop: Shop, run: Run, known: Known, base: LayerPlan, profile: str, lock: int
) -> tuple[Image, tuple[Check, ...]]:
    name = base_name(shop.name, base.fingerprint, run.id) if base.image is None else base.image.name
    inputs = _inputs(shop, run, known, base, known.source_ami, profile, name, None)
    if base.action == "build":
        baked = _build(shop, run, inputs, None, lock)
        return baked.image, baked.checks
    assert base.image is not None
    shop.progress.say(f"base layer: {base.reason}, {base.action} {base.image.name} ({base.image.id})")
    if base.action == "adopt":
        return layers.finish(shop, base.image.id, inputs.tags), ()
    return base.image, provenance.checks_of(shop, base.image, "base")


def _build(shop: Shop, run: Run, inputs: Inputs, source: Source | None, lock: int) -> layers.Baked:
    folder = run.folder / inputs.layer
    layers.prepare(inputs, source, folder)
    groups = access.ensure_builder_group(shop, run)
    try:
        return layers.bake(shop, run, inputs, folder, groups, shop.aws.environment(), lock)
    finally:
        layers.forget_key(folder)


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
        tags.FINGERPRINT: layer.fingerprint,
        tags.SOURCE_AMI: source_ami,
    }
    if version:
        given |= {"Version": version.tag, tags.COMMIT: commit}
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


def _plan_app(shop: Shop, known: Known, base_image: Image, options: Options) -> LayerPlan:
    # Only a run of this checkout is known to be dead (we hold the lock), so only its claims can be taken up again.
    ours = {run.id for run in runs.every(shop.build)}
    claims = [claim for claim in known.claims if claim.run_id in ours]
    digest = _fingerprint(shop, known, "app", base_image.id)
    wanted = parse(options.version) if options.version else None
    fresh = options.fresh or bool(options.bump)
    return plan_app(shop.name, digest, known.images, claims, fresh=fresh, wanted=wanted)


def _fingerprint(shop: Shop, known: Known, layer: Layer, source_ami: str) -> str:
    inputs = render.fingerprint_inputs(shop.recipe, layer, source_ami, known.source.commit, shop.target)
    return fingerprint(inputs)


def _claim_version(shop: Shop, run: Run, known: Known, app: LayerPlan, options: Options) -> Version:
    """Reserve the version number: Parameter Store decides between two who want the same one."""
    if app.image is not None:
        return _version(shop, app.image)
    if app.claim is not None:
        return app.claim.version
    taken = {claim.version for claim in known.claims}
    taken |= {v for image in known.images if (v := image.version(shop.name)) is not None}
    claim = json.dumps({"run": run.id, "fingerprint": app.fingerprint})
    if options.version:
        wanted = parse(options.version)
        if wanted in taken or not parameters.create(shop.aws, f"{shop.claims}/{wanted}", claim):
            latest = max(taken)
            raise UsageError(
                f"{wanted} is taken; a version is never used again (the latest is {latest})",
                next="./invoke bake --version with a higher one, or leave it out",
            )
        return wanted
    while True:
        version = following(taken, options.bump or shop.recipe.image.version_policy, shop.clock.now())
        if parameters.create(shop.aws, f"{shop.claims}/{version}", claim):
            return version
        taken.add(version)


def _claim(name: str, value: str) -> Claim:
    facts = json.loads(value)
    return Claim(parse(name.rpartition("/")[2]), facts.get("run", ""), facts.get("fingerprint", ""))


def _version(shop: Shop, image: Image) -> Version:
    found = image.version(shop.name)
    assert found is not None, image.name
    return found


def render_only(shop: Shop, options: Options) -> Path:
    """`invoke render`: write and check both layers' folders as a bake would, and launch nothing.

    Returns:
        The run's folder.
    """
    known = look(shop)
    base = plan_base(shop.name, _fingerprint(shop, known, "base", known.source_ami), known.images, fresh=options.fresh)
    run = runs.new(shop.build, shop.clock.now())
    profile = shop.target.iam_instance_profile or f"{shop.name}-bake"
    base_ami = base.image.id if base.image else "ami-00000000000000000"
    name = base_name(shop.name, base.fingerprint, run.id)
    app = LayerPlan("app", _fingerprint(shop, known, "app", base_ami), "build", "rendered only")
    version = following(
        (c.version for c in known.claims), options.bump or shop.recipe.image.version_policy, shop.clock.now()
    )
    for layer, ami, title, number, code in (
        (base, known.source_ami, name, None, None),
        (app, base_ami, ami_name(shop.name, version), version, known.source),
    ):
        inputs = _inputs(shop, run, known, layer, ami, profile, title, number)
        layers.prepare(inputs, code, run.folder / layer.layer)
        packer.validate(run.folder / layer.layer, known.packer_version, shop.aws.environment())
    run.record(state="rendered")
    return run.folder
