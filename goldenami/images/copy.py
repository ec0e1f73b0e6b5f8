"""`invoke copy`: carry a verified image to other regions and accounts, several at once, each one whole or taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from goldenami.aws import image_copies as copies
from goldenami.aws import images, parameters
from goldenami.aws.errors import explain
from goldenami.aws.session import Connection
from goldenami.context import Shop
from goldenami.errors import AwsError, GateError, GoldenError, UsageError
from goldenami.images import catalog as choosing
from goldenami.images.catalog import Options
from goldenami.images.copy_plan import Copy, Seen, carried, conflict, note, place, remaining, token
from goldenami.model.image import VERIFIED, Image
from goldenami.tools.clock import attempts

# EC2 lets twenty snapshots be copied to a region at once; AWS throttles long before that.
AT_ONCE = 5
PATIENCE = 4 * 3600.0


@dataclass(frozen=True)
class Journey:
    """A copy on its way.

    Attributes:
        aws: The destination.
        account: The destination's account, where it is another one; else empty.
        steps: What is still to be done.
        former: The id of a failed copy that was removed.
    """

    copy: Copy
    aws: Connection
    account: str
    seen: Seen
    steps: tuple[str, ...]
    former: str = ""


@dataclass(frozen=True)
class Copied:
    """The original, and each place with how it stands there."""

    source: Image
    journeys: tuple[Journey, ...]


def look(shop: Shop, options: Options, regions: Sequence[str] = ()) -> Copied:
    """Read how far each copy is; nothing is changed.

    Raises:
        UsageError: There is no such image, or nowhere to copy it to.
        GateError: The image has not passed its gates, or was retired.
        AwsError: An image of this name is there already that is no copy of this one.
    """
    source = images.get(shop.aws, choosing.find(shop, options))
    if source is None or source.version(shop.name) is None:
        raise UsageError(f"there is no such golden AMI of {shop.name} in {shop.aws.region}", next="./invoke images")
    if source.state != "available" or not source.verified:
        why = f"was retired ({source.retired})" if source.retired else "has not passed its gates"
        raise GateError(f"{source.name} ({source.id}) {why}", state="Nothing was copied.", next="./invoke images")
    wanted = destinations(shop, regions)
    return Copied(source, tuple(_looked(shop, source, copy) for copy in wanted))


def copy(shop: Shop, options: Options, regions: Sequence[str] = ()) -> Copied:
    """Carry an image to each place, as far as it is not there yet; safe to repeat after any interruption.

    Raises:
        AwsError: Some copies failed; the others are done.
    """
    found = look(shop, options, regions)
    waiting, under_way, done = list(found.journeys), list[Journey](), list[Journey]()
    failed: dict[str, str] = {}
    for _ in attempts(shop.clock, timeout=PATIENCE, every=10):
        while waiting and len(under_way) < AT_ONCE:
            _carry(shop, found.source, waiting.pop(0), under_way, done, failed)
        for journey in list(under_way):
            under_way.remove(journey)
            _carry(shop, found.source, _looked(shop, found.source, journey.copy, journey), under_way, done, failed)
        if not waiting and not under_way:
            break
    failed |= {place(journey.copy): "it is still pending" for journey in [*waiting, *under_way]}
    if failed:
        raise AwsError(
            "; ".join(f"{where}: {why}" for where, why in failed.items()),
            state=f"Done: {', '.join(place(journey.copy) for journey in done) or 'none'}.",
            next="the same command goes on",
        )
    return Copied(found.source, tuple(done))


def destinations(shop: Shop, regions: Sequence[str]) -> tuple[Copy, ...]:
    """The places that are asked for: the recipe's, or these regions (as the recipe has them, if it has them)."""
    known = shop.recipe.copies
    if regions:
        listed = {region: [copy for copy in known if copy.region == region] for region in regions}
        known = tuple(copy for region, found in listed.items() for copy in found or [Copy(region=region)])
    here = [copy for copy in known if copy.region == shop.aws.region and not copy.profile]
    if here or not known:
        why = f"the image is in {shop.aws.region} already" if here else "the recipe names no place to copy to"
        raise UsageError(why, next="add a [[copies]] section with a region, or give --to us-east-1")
    return known


def _carry(
    shop: Shop,
    source: Image,
    journey: Journey,
    under_way: list[Journey],
    done: list[Journey],
    failed: dict[str, str],
) -> None:
    """Go on with a copy as far as it goes now. A failure of one does not stop the others."""
    where = place(journey.copy)
    try:
        while journey.steps:
            step = journey.steps[0]
            if step == "wait" and (journey.seen.image is None or journey.seen.image.state != "available"):
                under_way.append(journey)
                return
            shop.progress.detail(f"{where}: {step}")
            journey = _step(shop, source, journey, step)
        done.append(journey)
    except Exception as error:
        known = error if isinstance(error, GoldenError) else explain(error)
        if known is None:
            raise
        failed[where] = known.message


def _step(shop: Shop, source: Image, journey: Journey, step: str) -> Journey:
    """Do one step of a copy."""
    aws, image, former = journey.aws, journey.seen.image, journey.former
    if step == "allow":
        copies.share(shop.aws, source, journey.account)
    elif step == "copy":
        ami = copies.start(
            aws,
            source,
            shop.aws.region,
            encrypted=source.encrypted or shop.recipe.image.root_volume.encrypted,
            kms_key=journey.copy.kms_key_id,
            token=token(source, journey.copy, former),
            tags={name: value for name, value in carried(source).items() if name != VERIFIED},
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
        _finish(shop, source, journey, image, step)
    seen = replace(journey.seen, image=image)
    return replace(journey, seen=seen, steps=journey.steps[1:], former=former)


def _finish(shop: Shop, source: Image, journey: Journey, image: Image, step: str) -> None:
    word, _, account = step.partition(" ")
    if word == "protect":
        images.require_imdsv2(journey.aws, image.id)
    elif word == "share":
        copies.share(journey.aws, image, account)
    elif word == "tag":
        images.tag(journey.aws, [image.id], carried(source))
        images.tag(journey.aws, image.snapshots, {n: v for n, v in carried(source).items() if n != VERIFIED})
    elif word == "publish":
        parameters.publish_ami(journey.aws, shop.clock, shop.candidate, image.id, f"copy of {source.id}")
    elif word == "note":
        images.tag(shop.aws, [source.id], {note(journey.copy): image.id})


def _looked(shop: Shop, source: Image, copy: Copy, before: Journey | None = None) -> Journey:
    aws = before.aws if before else copies.elsewhere(shop.aws, copy.region, copy.profile)
    account = before.account if before else _other_account(shop, aws, copy)
    named = [image for image in images.of_family(aws, shop.name) if image.name == source.name]
    image = next(iter(named), None) or (before.seen.image if before else None)
    if named and conflict(source, named[0]):
        raise AwsError(
            f"{place(copy)} has {source.name} ({named[0].id}) already, and that is no copy of {source.id}",
            state="Nothing was copied there.",
            next=f"aws ec2 describe-images --region {copy.region} --image-ids {named[0].id}",
        )
    pointer = parameters.get(aws, shop.candidate)
    seen = Seen(
        image=image,
        shared=frozenset(images.shared_with(aws, image.id)) if image else frozenset(),
        candidate=pointer.value if pointer else "",
        allowed=not account or account in images.shared_with(shop.aws, source.id),
        noted=source.tags.get(note(copy), ""),
    )
    return Journey(copy, aws, account, seen, remaining(source, copy, seen), before.former if before else "")


def _other_account(shop: Shop, aws: Connection, copy: Copy) -> str:
    if not copy.profile:
        return ""
    there = copies.account(aws)
    return "" if there == copies.account(shop.aws) else there
