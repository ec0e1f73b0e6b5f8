"""Copy a verified image to other regions and accounts, several at once; an interrupted copy is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from goldenami.aws import image_copies, images, parameters
from goldenami.aws.errors import explain
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, GoldenError, UsageError
from goldenami.images import catalog, copy_plan
from goldenami.images.copy_plan import CopyState, copied_tags, destination_name, remaining_steps, source_tag, token
from goldenami.images.model import CopyResult, CopyStatus, ImageSelector
from goldenami.model.image import VERIFIED, Image
from goldenami.recipe.image import CopyTarget
from goldenami.tools.clock import poll

# EC2 allows twenty concurrent snapshot copies to a region; AWS throttles long before that.
MAX_CONCURRENT_COPIES = 5
COPY_TIMEOUT = 4 * 3600.0  # seconds


@dataclass(frozen=True)
class CopyProgress(CopyStatus):
    """A copy in progress; `failed_ami` is the id of a failed copy that was deleted."""

    aws: AwsSession
    failed_ami: str = ""


def preflight(ctx: Context, selector: ImageSelector, regions: Sequence[str] = ()) -> CopyResult:
    """Read the state of each copy; nothing is changed.

    Raises:
        GateError: The image has not passed its gates, or was retired.
        AwsError: A destination has an image of this name that is not a copy of this one.
    """
    return CopyResult(*_preflight(ctx, selector, regions))


def _preflight(ctx: Context, selector: ImageSelector, regions: Sequence[str]) -> tuple[Image, tuple[CopyProgress, ...]]:
    source = images.get(ctx.aws, catalog.resolve_ami(ctx, selector))
    if source is None or source.version(ctx.name) is None:
        raise UsageError(f"{ctx.name} has no such golden AMI in {ctx.aws.region}", next="./invoke images")
    if source.state != "available" or not source.verified:
        reason = f"was retired ({source.retired})" if source.retired else "has not passed its gates"
        raise GateError(f"{source.name} ({source.id}) {reason}", state="Nothing was copied.", next="./invoke images")
    return source, tuple(_read_state(ctx, source, copy) for copy in destinations(ctx, regions))


def copy(ctx: Context, selector: ImageSelector, regions: Sequence[str] = ()) -> CopyResult:
    """Copy an image to each destination. Idempotent, and resumes after an interruption at any point."""
    source, copies = _preflight(ctx, selector, regions)
    waiting, pending, complete = list(copies), list[CopyProgress](), list[CopyProgress]()
    failed: dict[str, str] = {}
    for _ in poll(ctx.clock, timeout=COPY_TIMEOUT, every=10):
        while waiting and len(pending) < MAX_CONCURRENT_COPIES:
            _advance(ctx, source, waiting.pop(0), pending, complete, failed)
        for progress in list(pending):
            pending.remove(progress)
            current = _read_state(ctx, source, progress.copy, progress)
            _advance(ctx, source, current, pending, complete, failed)
        if not waiting and not pending:
            break
    failed |= {destination_name(progress.copy): "still pending" for progress in [*waiting, *pending]}
    if failed:
        raise AwsError(
            "; ".join(f"{destination}: {reason}" for destination, reason in failed.items()),
            state=f"Complete: {', '.join(destination_name(progress.copy) for progress in complete) or 'none'}.",
            next="the same command resumes",
        )
    return CopyResult(source, tuple(complete))


def destinations(ctx: Context, regions: Sequence[str]) -> tuple[CopyTarget, ...]:
    """Return the destinations: the recipe's, or the given regions, with the recipe's settings for them if it has any."""
    targets = ctx.recipe.copies
    if regions:
        by_region = {region: [copy for copy in targets if copy.region == region] for region in regions}
        targets = tuple(c for region, copies in by_region.items() for c in copies or [CopyTarget(region=region)])
    same = [copy for copy in targets if copy.region == ctx.aws.region and not copy.profile]
    if same or not targets:
        reason = f"the image is already in {ctx.aws.region}" if same else "the recipe has no destination to copy to"
        raise UsageError(reason, next="add a [[copies]] section with a region, or give --to us-east-1")
    return targets


def _advance(
    ctx: Context,
    source: Image,
    progress: CopyProgress,
    pending: list[CopyProgress],
    complete: list[CopyProgress],
    failed: dict[str, str],
) -> None:
    """Run the steps of a copy that need not wait. A failed copy does not stop the others."""
    destination = destination_name(progress.copy)
    try:
        while progress.steps:
            step, image = progress.steps[0], progress.state.image
            if step == "wait" and (image is None or image.state != "available"):
                pending.append(progress)
                return
            ctx.progress.detail(f"{destination}: {step}")
            progress = _run_step(ctx, source, progress, step)
        complete.append(progress)
    except Exception as error:
        known = error if isinstance(error, GoldenError) else explain(error)
        if known is None:
            raise
        failed[destination] = known.message


def _run_step(ctx: Context, source: Image, progress: CopyProgress, step: str) -> CopyProgress:
    aws, image, failed_ami = progress.aws, progress.state.image, progress.failed_ami
    if step == "allow":
        image_copies.share(ctx.aws, source, progress.account)
    elif step == "copy":
        ami = image_copies.start_copy(
            aws,
            source,
            ctx.aws.region,
            encrypted=source.encrypted or ctx.recipe.image.root_volume.encrypted,
            kms_key=progress.copy.kms_key_id,
            token=token(source, progress.copy, failed_ami),
            tags=_unverified(copied_tags(source)),
        )
        if ami is None:
            raise AwsError(f"the name {source.name} is taken by an image that EC2 does not list yet")
        image = images.get(aws, ami) or Image(ami, source.name, "pending", source.architecture, "")
    elif step == "remove":
        assert image is not None
        images.remove(aws, image)
        failed_ami, image = image.id, None
    elif step != "wait":
        assert image is not None
        _complete(ctx, source, progress, image, step)
    state = replace(progress.state, image=image)
    return replace(progress, state=state, steps=progress.steps[1:], failed_ami=failed_ami)


def _complete(ctx: Context, source: Image, progress: CopyProgress, image: Image, step: str) -> None:
    name, _, account = step.partition(" ")
    if name == "protect":
        images.require_imdsv2(progress.aws, image.id)
    elif name == "share":
        image_copies.share(progress.aws, image, account)
    elif name == "tag":
        images.tag(progress.aws, [image.id], copied_tags(source))
        images.tag(progress.aws, image.snapshots, _unverified(copied_tags(source)))
    elif name == "publish":
        parameters.publish_ami(progress.aws, ctx.clock, ctx.candidate, image.id, f"copy of {source.id}")
    elif name == "record":
        images.tag(ctx.aws, [source.id], {source_tag(progress.copy): image.id})


def _unverified(tags: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name != VERIFIED}


def _read_state(ctx: Context, source: Image, copy: CopyTarget, before: CopyProgress | None = None) -> CopyProgress:
    aws = before.aws if before else image_copies.in_region(ctx.aws, copy.region, copy.profile)
    account = before.account if before else _other_account(ctx, aws, copy)
    existing = next((image for image in images.list_family(aws, ctx.name) if image.name == source.name), None)
    if existing and copy_plan.is_foreign(source, existing):
        raise AwsError(
            f"{destination_name(copy)} already has {source.name} ({existing.id}), which is not a copy of {source.id}",
            state="Nothing was copied there.",
            next=f"aws ec2 describe-images --region {copy.region} --image-ids {existing.id}",
        )
    image = existing or (before.state.image if before else None)
    state = CopyState(
        image=image,
        shared=frozenset(images.shared_with(aws, image.id)) if image else frozenset(),
        candidate=catalog.read_pointer(aws, ctx.candidate),
        allowed=not account or account in images.shared_with(ctx.aws, source.id),
        recorded=source.tags.get(source_tag(copy), ""),
    )
    steps = remaining_steps(source, copy, state)
    return CopyProgress(copy, account, state, steps, aws, before.failed_ami if before else "")


def _other_account(ctx: Context, aws: AwsSession, copy: CopyTarget) -> str:
    if not copy.profile:
        return ""
    return "" if aws.account == ctx.aws.account else aws.account
