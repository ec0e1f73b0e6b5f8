"""The boot gate: launch an instance of a finished AMI, check it from inside and outside, and tag the AMI verified or failed."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from functools import partial
from pathlib import Path

from goldenami.aws import images, instances
from goldenami.bake import artifacts, environment, render_checks
from goldenami.bake.check_report import Check, failed_checks, parse
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.infra.health import HealthProbe
from goldenami.model.image import FAILED, FINGERPRINT, LAYER, RUN, VERIFIED, Image
from goldenami.model.resources import Instance
from goldenami.recipe.recipe import Recipe
from goldenami.state import runs
from goldenami.state.runs import Run, write_text
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_POLL_INTERVAL = 0.5  # seconds between two probes
_BOOT_TIMEOUT = 600.0  # seconds; EC2 may take minutes to show console output
_REQUIRED_TAGS = (*render_checks.REQUIRED_TAGS, "Version", RUN, LAYER, FINGERPRINT)


def verify(ctx: Context, run: Run, image: Image, *, profile: str, clean: bool = False) -> list[Check]:
    """Boot an AMI and verify it against the gate.

    Args:
        clean: Delete an image that fails, instead of tagging it as failed.

    Raises:
        GateError: A check failed. The AMI is tagged as failed (or deleted), and its console output is kept.
    """
    checks = account_checks(ctx.recipe, image)
    with ctx.progress.phase(f"verify {image.name}"):
        checks += _boot_checks(ctx, run, image, profile)
    failed = failed_checks(checks)
    run.record(boot_checks=[asdict(check) for check in checks])
    if failed:
        raise GateError(
            f"{image.name} ({image.id}) failed the boot gate: {'; '.join(f'{c.name} ({c.detail})' for c in failed)}",
            state=_reject(ctx, image, failed, clean=clean),
            next=f"less {run.folder / 'console.log'}",
        )
    images.tag(ctx.aws, [image.id], {VERIFIED: f"{ctx.clock.now():%Y-%m-%dT%H:%M:%SZ}"})
    if image.failed:
        images.untag(ctx.aws, [image.id], [FAILED])
    return checks


def account_checks(recipe: Recipe, image: Image) -> list[Check]:
    """Return the checks of what EC2 reports about the AMI: its tags, permissions, encryption and metadata service."""
    missing = [name for name in _REQUIRED_TAGS if not image.tags.get(name)]
    encrypted = image.encrypted or not recipe.image.root_volume.encrypted
    return [
        Check("tags-complete", not missing, f"missing: {', '.join(missing) or 'none'}", "account"),
        Check("imdsv2-required", image.imds == "v2.0", f"ImdsSupport is {image.imds or 'not set'}", "account"),
        Check("image-private", not image.public, "public" if image.public else "private", "account"),
        Check("image-encrypted", encrypted, "encrypted" if image.encrypted else "not encrypted", "account"),
    ]


def _boot_checks(ctx: Context, run: Run, image: Image, profile: str) -> list[Check]:
    nonce, port = secrets.token_hex(8), ctx.recipe.app.port
    script = verify_script(ctx.recipe, nonce)
    with environment.temporary_instance(ctx, run, image, "verify", script, profile=profile, port=port) as instance:
        try:
            running = instances.wait_running(ctx.aws, ctx.clock, instance.id)
        except AwsError as error:
            return [Check("boot", False, error.message, "boot")]
        else:
            return _wait_until_healthy(ctx, running, nonce)
        finally:
            write_text(run.folder / "console.log", instances.console_output(ctx.aws, instance.id))


def _wait_until_healthy(ctx: Context, instance: Instance, nonce: str) -> list[Check]:
    """Probe the health check path, and read the instance's own checks from its console output, until both are complete.

    A failed check of its own ends the wait. An instance that passes its own checks must become healthy within the fleet's
    health check grace period. EC2 refreshes the console output of a running instance only occasionally.
    """
    grace_period = ctx.recipe.fleet.health_check_grace_period
    probe = HealthProbe(ctx.recipe, instance.address)
    ctx.progress.detail(f"probing {probe.url}")
    health = Check("boot-health-outside", False, f"no answer from {probe.url}", "boot")
    boot_report: list[Check] = []
    for elapsed in poll(ctx.clock, timeout=_BOOT_TIMEOUT, every=_POLL_INTERVAL):
        if not health.ok:
            health = Check("boot-health-outside", probe.check(), f"{probe.detail} after {elapsed:.0f} s", "boot")
        boot_report = boot_report or _parse_boot_report(instances.console_output(ctx.aws, instance.id), nonce)
        if boot_report and (health.ok or failed_checks(boot_report) or elapsed >= grace_period):
            return [health, *boot_report]
    missing = Check("boot-report", False, "its own checks did not appear in its console output", "boot")
    return [health, *(boot_report or [missing])]


def _parse_boot_report(output: str, nonce: str) -> list[Check]:
    """Return the instance's own checks once they are complete; the nonce distinguishes them from those of an earlier boot.

    The instance prints them repeatedly, as other output may interrupt them: those before the first end mark count.
    """
    text, end, _ = output.partition(f"GOLDEN-VERIFY {nonce} END")
    _, begin, report = text.rpartition(f"GOLDEN-VERIFY {nonce} BEGIN")
    return parse(report.splitlines(), "boot") if begin and end else []


def _reject(ctx: Context, image: Image, failed: list[Check], *, clean: bool) -> str:
    """Tag or delete an image that failed, so that nothing launches it; return the state after that."""
    if clean:
        images.remove(ctx.aws, image)
        return f"{image.id} and its snapshots were deleted; the candidate is unchanged."
    images.tag(ctx.aws, [image.id], {FAILED: ",".join(check.name for check in failed)[:255]})
    return f"{image.id} was tagged as failed; promote refuses it; the candidate is unchanged."


def verify_script(recipe: Recipe, nonce: str, root: Path = ROOT) -> str:
    """Return the user data of the instance that verifies an image: it prints its checks, marked with a nonce."""
    return render_text("verify.sh.j2", {"recipe": recipe, "nonce": nonce}, root)


def recheck(ctx: Context, ami: str, *, clean: bool) -> Image:
    """Verify an existing AMI, and tag it verified or failed.

    Raises:
        UsageError: The AMI does not exist, or is not a golden AMI of this recipe.
        GateError: The AMI failed the gate.
    """
    image = images.get(ctx.aws, ami)
    if image is None:
        raise UsageError(f"{ami} does not exist in {ctx.aws.region}", next="./invoke images")
    if image.version(ctx.name) is None:
        raise UsageError(f"{ami} ({image.name}) is not a golden AMI of {ctx.name}", next="./invoke images")
    with (
        environment.bake_lock(ctx),
        runs.record_run(ctx, "verify", on_end=partial(artifacts.close_run, ctx), ami=ami) as run,
    ):
        verify(ctx, run, image, profile=environment.ensure_profile(ctx), clean=clean)
    return images.get(ctx.aws, ami) or image
