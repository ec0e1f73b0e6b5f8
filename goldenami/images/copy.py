"""`invoke copy`: carry a verified image to other regions and accounts, several at once, each one whole or taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from goldenami.aws import image_copies, images, parameters, session
from goldenami.aws.errors import explain
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, GoldenError, UsageError
from goldenami.images import catalog
from goldenami.images.copy_plan import (
    CopyState,
    conflict,
    copied_tags,
    destination_name,
    remaining_steps,
    source_description,
    token,
)
from goldenami.images.model import CopyResult, CopyStatus, ImageSelector
from goldenami.model.image import VERIFIED, Image
from goldenami.recipe.image import CopyTarget
from goldenami.tools.clock import poll

# EC2 lets twenty snapshots be copied to a region at once; AWS throttles long before that.
MAX_CONCURRENT_COPIES = 5
COPY_TIMEOUT = 4 * 3600.0


@dataclass(frozen=True)
class CopyProgress(CopyStatus):
    """A copy on its way.

    Attributes:
        aws: The destination.
        former: The id of a failed copy that was removed.
    """

    aws: AwsSession
    former: str = ""


def preflight(ctx: Context, selector: ImageSelector, regions: Sequence[str] = ()) -> CopyResult:
    """Read how far each copy is; nothing is changed.

    Raises:
        UsageError: There is no such image, or nowhere to copy it to.
        GateError: The image has not passed its gates, or was retired.
        AwsError: An image of this name is there already that is no copy of this one.
    """
    return CopyResult(*_preflight(ctx, selector, regions))


def _preflight(ctx: Context, selector: ImageSelector, regions: Sequence[str]) -> tuple[Image, tuple[CopyProgress, ...]]:
    source = images.get(ctx.aws, catalog.resolve_ami(ctx, selector))
    if source is None or source.version(ctx.name) is None:
        raise UsageError(f"there is no such golden AMI of {ctx.name} in {ctx.aws.region}", next="./invoke images")
    if source.state != "available" or not source.verified:
        why = f"was retired ({source.retired})" if source.retired else "has not passed its gates"
        raise GateError(f"{source.name} ({source.id}) {why}", state="Nothing was copied.", next="./invoke images")
    wanted = destinations(ctx, regions)
    return source, tuple(_read_state(ctx, source, copy) for copy in wanted)


def copy(ctx: Context, selector: ImageSelector, regions: Sequence[str] = ()) -> CopyResult:
    """Carry an image to each place, as far as it is not there yet; safe to repeat after any interruption.

    Raises:
        AwsError: Some copies failed; the others are done.
    """
    source, copies = _preflight(ctx, selector, regions)
    waiting, under_way, done = list(copies), list[CopyProgress](), list[CopyProgress]()
    failed: dict[str, str] = {}
    for _ in poll(ctx.clock, timeout=COPY_TIMEOUT, every=10):
        while waiting and len(under_way) < MAX_CONCURRENT_COPIES:
            _copy_to_region(ctx, source, waiting.pop(0), under_way, done, failed)
        for journey in list(under_way):
            under_way.remove(journey)
            _copy_to_region(ctx, source, _read_state(ctx, source, journey.copy, journey), under_way, done, failed)
        if not waiting and not under_way:
            break
    failed |= {destination_name(journey.copy): "it is still pending" for journey in [*waiting, *under_way]}
    if failed:
        raise AwsError(
            "; ".join(f"{where}: {why}" for where, why in failed.items()),
            state=f"Done: {', '.join(destination_name(journey.copy) for journey in done) or 'none'}.",
            next="the same command goes on",
        )
    return CopyResult(source, tuple(done))


def destinations(ctx: Context, regions: Sequence[str]) -> tuple[CopyTarget, ...]:
    """The places that are asked for: the recipe's, or these regions (as the recipe has them, if it has them)."""
    known = ctx.recipe.copies
    if regions:
        listed = {region: [copy for copy in known if copy.region == region] for region in regions}
        known = tuple(copy for region, found in listed.items() for copy in found or [CopyTarget(region=region)])
    here = [copy for copy in known if copy.region == ctx.aws.region and not copy.profile]
    if here or not known:
        why = f"the image is in {ctx.aws.region} already" if here else "the recipe names no place to copy to"
        raise UsageError(why, next="add a [[copies]] section with a region, or give --to us-east-1")
    return known


def _copy_to_region(
    ctx: Context,
    source: Image,
    journey: CopyProgress,
    under_way: list[CopyProgress],
    done: list[CopyProgress],
    failed: dict[str, str],
) -> None:
    """Go on with a copy as far as it goes now. A failure of one does not stop the others."""
    where = destination_name(journey.copy)
    try:
        while journey.steps:
            step = journey.steps[0]
            if step == "wait" and (journey.state.image is None or journey.state.image.state != "available"):
                under_way.append(journey)
                return
            ctx.progress.detail(f"{where}: {step}")
            journey = _step(ctx, source, journey, step)
        done.append(journey)
    except Exception as error:
        known = error if isinstance(error, GoldenError) else explain(error)
        if known is None:
            raise
        failed[where] = known.message


def _step(ctx: Context, source: Image, journey: CopyProgress, step: str) -> CopyProgress:
    """Do one step of a copy."""
    aws, image, former = journey.aws, journey.state.image, journey.former
    if step == "allow":
        image_copies.share(ctx.aws, source, journey.account)
    elif step == "copy":
        ami = image_copies.start_copy(
            aws,
            source,
            ctx.aws.region,
            encrypted=source.encrypted or ctx.recipe.image.root_volume.encrypted,
            kms_key=journey.copy.kms_key_id,
            token=token(source, journey.copy, former),
            tags={name: value for name, value in copied_tags(source).items() if name != VERIFIED},
        )
        if ami is None:
            raise AwsError(f"{source.name} is taken there by an image that is not shown yet")
        image = images.get(aws, ami) or Image(ami, source.name, "pending", source.architecture, "")
    elif step == "remove":
        assert image is not None
        images.remove(aws, image)
        former, image = image.id, None
    elif step != "wait":
        assert image is not None
        _finish(ctx, source, journey, image, step)
    seen = replace(journey.state, image=image)
    return replace(journey, state=seen, steps=journey.steps[1:], former=former)


def _finish(ctx: Context, source: Image, journey: CopyProgress, image: Image, step: str) -> None:
    word, _, account = step.partition(" ")
    if word == "protect":
        images.require_imdsv2(journey.aws, image.id)
    elif word == "share":
        image_copies.share(journey.aws, image, account)
    elif word == "tag":
        images.tag(journey.aws, [image.id], copied_tags(source))
        images.tag(journey.aws, image.snapshots, {n: v for n, v in copied_tags(source).items() if n != VERIFIED})
    elif word == "publish":
        parameters.publish_ami(journey.aws, ctx.clock, ctx.candidate, image.id, f"copy of {source.id}")
    elif word == "note":
        images.tag(ctx.aws, [source.id], {source_description(journey.copy): image.id})


def _read_state(ctx: Context, source: Image, copy: CopyTarget, before: CopyProgress | None = None) -> CopyProgress:
    aws = before.aws if before else image_copies.in_region(ctx.aws, copy.region, copy.profile)
    account = before.account if before else _other_account(ctx, aws, copy)
    named = [image for image in images.list_family(aws, ctx.name) if image.name == source.name]
    image = next(iter(named), None) or (before.state.image if before else None)
    if named and conflict(source, named[0]):
        raise AwsError(
            f"{destination_name(copy)} has {source.name} ({named[0].id}) already, and that is no copy of {source.id}",
            state="Nothing was copied there.",
            next=f"aws ec2 describe-images --region {copy.region} --image-ids {named[0].id}",
        )
    pointer = parameters.get(aws, ctx.candidate)
    seen = CopyState(
        image=image,
        shared=frozenset(images.shared_with(aws, image.id)) if image else frozenset(),
        candidate=pointer.value if pointer else "",
        allowed=not account or account in images.shared_with(ctx.aws, source.id),
        recorded=source.tags.get(source_description(copy), ""),
    )
    steps = remaining_steps(source, copy, seen)
    return CopyProgress(copy, account, seen, steps, aws, before.former if before else "")


def _other_account(ctx: Context, aws: AwsSession, copy: CopyTarget) -> str:
    if not copy.profile:
        return ""
    there = session.account_id(aws)
    return "" if there == session.account_id(ctx.aws) else there
