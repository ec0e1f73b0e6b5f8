"""The second gate: boot the finished AMI afresh, look at it from inside and outside, and mark it verified or failed."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

from goldenami.aws import images, instances, security_groups, vpc
from goldenami.aws.instances import Launch
from goldenami.aws.security_groups import IngressRule
from goldenami.bake import artifacts, environment
from goldenami.bake.check_report import Check, failed_checks, parse
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.infra import network
from goldenami.infra.health import HealthProbe, health_url
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.model.resources import Instance
from goldenami.recipe.recipe import Recipe
from goldenami.state import runs
from goldenami.state.runs import Run, write_text
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_POLL_INTERVAL = 0.5  # seconds between two looks
_BOOT_TIMEOUT = 600.0  # seconds; EC2 may take minutes to show a console


def verify(ctx: Context, run: Run, image: Image, *, profile: str, clean: bool = False) -> list[Check]:
    """Boot an AMI and hold it against its gate.

    Args:
        shop: Where.
        run: Whose folder keeps the console and in whose name the instance runs.
        image: The AMI; it must be available.
        profile: The instance profile whose role may read the application's parameters.
        clean: Remove an image that fails, instead of marking it.

    Returns:
        Every check of the gate, all passed.

    Raises:
        GateError: A check failed; the AMI is marked failed (or removed), and its console is kept.
    """
    checks = account_checks(ctx.recipe, image)
    with ctx.progress.phase(f"verify {image.name}"):
        checks += _boot_checks(ctx, run, image, profile)
    bad = failed_checks(checks)
    run.record(boot_checks=[c.__dict__ for c in checks])
    if bad:
        state = _reject(ctx, image, bad, clean=clean)
        raise GateError(
            f"{image.name} ({image.id}) did not pass the boot gate: "
            + "; ".join(f"{c.name} ({c.detail})" for c in bad),
            state=state,
            next=f"less {run.folder / 'console.log'}",
        )
    when = ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    images.tag(ctx.aws, [image.id], {model_image.VERIFIED: when})
    if image.failed:
        images.untag(ctx.aws, [image.id], [model_image.FAILED])
    return checks


def account_checks(recipe: Recipe, image: Image) -> list[Check]:
    """What AWS itself says of the AMI: its tags, its privacy, its encryption, its metadata service."""
    wanted = [
        "Name",
        "Version",
        "Environment",
        "Created",
        "Go",
        "PostgreSQL",
        model_image.RUN,
        model_image.LAYER,
        model_image.FINGERPRINT,
    ]
    missing = [name for name in wanted if not image.tags.get(name)]
    encrypted = image.encrypted or not recipe.image.root_volume.encrypted
    return [
        Check("tags-complete", not missing, f"missing: {', '.join(missing) or 'none'}", "account"),
        Check("imdsv2-required", image.imds == "v2.0", f"ImdsSupport is {image.imds or 'not set'}", "account"),
        Check("image-private", not image.public, "public" if image.public else "private", "account"),
        Check("image-encrypted", encrypted, "encrypted" if image.encrypted else "not encrypted", "account"),
    ]


def _boot_checks(ctx: Context, run: Run, image: Image, profile: str) -> list[Check]:
    """Launch, watch, keep the console, and end the instance whatever happens."""
    recipe, target = ctx.recipe, ctx.target
    nonce = secrets.token_hex(8)
    group = security_groups.ensure(
        ctx.aws,
        ctx.clock,
        f"goldenami-{run.id}-verify",
        vpc.subnet_vpc(ctx.aws, target.subnet_id or None),
        [IngressRule(recipe.app.port, cidr) for cidr in network.allowed_networks(target)],
        {model_image.RUN: run.id, model_image.IMAGE: ctx.name},
    )
    wanted = Launch(
        image=image.id,
        type=recipe.instance_type(target),
        user_data=verify_script(recipe, nonce),
        security_groups=[group, *target.security_group_ids],
        tags={"Name": f"{image.name}-verify", model_image.RUN: run.id, model_image.IMAGE: ctx.name},
        token=f"{run.id}-verify-{image.id}"[:64],
        subnet=target.subnet_id or None,
        profile=profile,
    )
    machine: Instance | None = None
    try:
        machine = instances.launch(ctx.aws, ctx.clock, wanted)
        ctx.progress.detail(f"launched {machine.id}")
        try:
            machine = instances.wait_running(ctx.aws, ctx.clock, machine.id)
        except AwsError as error:
            return [Check("boot", False, error.message, "boot")]
        return _wait_until_healthy(ctx, machine, nonce)
    finally:
        if machine:
            _end(ctx, run, machine)
        security_groups.delete(ctx.aws, ctx.clock, group)


def _end(ctx: Context, run: Run, machine: Instance) -> None:
    """Keep the console, and terminate the instance even if there is none to keep."""
    try:
        write_text(run.folder / "console.log", instances.console_output(ctx.aws, machine.id))
    finally:
        instances.terminate(ctx.aws, ctx.clock, machine.id)


def _wait_until_healthy(ctx: Context, machine: Instance, nonce: str) -> list[Check]:
    """Probe the health path from outside, and read the instance's own checks from its console, until both have spoken.

    An instance that finds a fault in itself has failed: there is no need to wait for its health as well. One that finds
    none has to be healthy within the time that the fleet would give it. EC2 refreshes the console of a running instance
    only now and then, so it is read again until the end mark is there.
    """
    grace = ctx.recipe.fleet.health_check_grace_period
    probe = HealthProbe(health_url(ctx.recipe, machine.address))
    ctx.progress.detail(f"probing {probe.url}")
    outside = Check("boot-health-outside", False, f"no answer from {probe.url}", "boot")
    inside: list[Check] = []
    for elapsed in poll(ctx.clock, timeout=_BOOT_TIMEOUT, every=_POLL_INTERVAL):
        if not outside.ok:
            outside = Check("boot-health-outside", probe.check(), f"{probe.detail} after {elapsed:.0f} s", "boot")
        inside = inside or _own_checks(instances.console_output(ctx.aws, machine.id), nonce)
        if inside and (outside.ok or failed_checks(inside) or elapsed >= grace):
            return [outside, *inside]
    return [outside, *(inside or [Check("boot-report", False, "its own checks did not appear on its console", "boot")])]


def _own_checks(console: str, nonce: str) -> list[Check]:
    """The instance's own checks, once all of them are on its console; the nonce tells them from an earlier boot's.

    It says them more than once, as something else may have cut it short: the ones before the first end count.
    """
    said, ended, _ = console.partition(f"GOLDEN-VERIFY {nonce} END")
    _, begun, report = said.rpartition(f"GOLDEN-VERIFY {nonce} BEGIN")
    return parse(report.splitlines(), "boot") if begun and ended else []


def _reject(ctx: Context, image: Image, bad: list[Check], *, clean: bool) -> str:
    """Make sure that nothing launches from an image that failed; say what state that leaves."""
    if clean:
        images.remove(ctx.aws, image)
        return f"{image.id} and its snapshots are removed; the candidate is unchanged."
    images.tag(ctx.aws, [image.id], {model_image.FAILED: ",".join(c.name for c in bad)[:255]})
    return f"{image.id} is kept and marked failed; promote refuses it; the candidate is unchanged."


def verify_script(recipe: Recipe, nonce: str, root: Path = ROOT) -> str:
    """The user data of the instance that proves a finished image: it prints its checks, marked with a nonce, on the console."""
    return render_text("verify.sh.j2", {"recipe": recipe, "nonce": nonce}, root)


def recheck(ctx: Context, ami: str, *, clean: bool) -> Image:
    """Boot the AMI and look at it; it is tagged verified or marked failed.

    Raises:
        UsageError: There is no such AMI, or it is not a golden AMI of this recipe.
        GateError: It did not pass.
    """
    image = images.get(ctx.aws, ami)
    if image is None:
        raise UsageError(f"there is no AMI {ami} in {ctx.aws.region}", next="./invoke images")
    if image.version(ctx.name) is None:
        raise UsageError(f"{ami} ({image.name}) is not a golden AMI of {ctx.name}", next="./invoke images")
    with (
        runs.lock(ctx.build / "bake.lock", "a bake is running here; waiting for it", ctx.progress.info),
        runs.record_run(ctx, "verify", on_end=partial(artifacts.write_run, ctx), ami=ami) as run,
    ):
        verify(ctx, run, image, profile=environment.ensure_profile(ctx), clean=clean)
    return images.get(ctx.aws, ami) or image
