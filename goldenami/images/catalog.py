"""The recipe's images in EC2: list them, and resolve the one that a command line selects."""

from __future__ import annotations

import re

from goldenami.aws import images, parameters
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.candidate_plan import choose_candidate
from goldenami.images.model import CatalogEntry, ImageSelector
from goldenami.model.image import Image, image_status
from goldenami.model.version import Version, ami_name, parse


def resolve_ami(ctx: Context, selector: ImageSelector) -> str:
    """Return the id of the selected AMI; raise UsageError if not exactly one is selected, or it does not exist."""
    if sum([bool(selector.ami), bool(selector.version), selector.candidate]) != 1:
        raise UsageError("name one image: --ami ami-…, --version v1.2 or --candidate", next="./invoke images")
    if selector.ami:
        if not re.fullmatch(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})", selector.ami):
            raise UsageError(f"'{selector.ami}' is not an AMI id", next="./invoke images")
        return selector.ami
    if selector.version:
        return resolve_version(ctx, selector.version).id
    return resolve_candidate(ctx, retry=selector.retry)


def resolve_candidate(ctx: Context, *, retry: bool = False) -> str:
    """Return the AMI id of the candidate; of one that was rolled back only on `retry`."""
    published = read_pointer(ctx.aws, ctx.candidate)
    if not published:
        raise UsageError("there is no candidate", next="./invoke bake")
    known = images.list_family(ctx.aws, ctx.name)
    candidate = choose_candidate(known, published, ctx.name)
    skipped = candidate.skipped
    if skipped is None or retry:
        return published
    if not candidate.ami:
        raise UsageError(
            f"there is no candidate: {skipped.name} ({skipped.id}) was rolled back ({skipped.rolled_back})",
            state="No changes were made.",
            next="./invoke bake; or ./invoke promote --candidate --retry",
        )
    before = next(image.name for image in known if image.id == candidate.ami)
    ctx.progress.info(
        f"{skipped.name} ({skipped.id}) was rolled back ({skipped.rolled_back}): the candidate is {before}"
        f" ({candidate.ami}); --retry promotes {skipped.name} again"
    )
    return candidate.ami


def resolve_version(ctx: Context, version: str) -> Image:
    """Return the golden AMI of a version."""
    name = ami_name(ctx.name, parse(version))
    image = next((image for image in images.list_family(ctx.aws, ctx.name) if image.name == name), None)
    if image is None:
        raise UsageError(f"{name} does not exist in {ctx.aws.region}", next="./invoke images")
    return image


def list_images(ctx: Context) -> list[CatalogEntry]:
    """Return every AMI of the recipe's name, golden ones first, newest first."""
    known = images.list_family(ctx.aws, ctx.name)
    candidate = choose_candidate(known, read_pointer(ctx.aws, ctx.candidate), ctx.name).ami
    entries = [
        CatalogEntry(image, image.version(ctx.name), image_status(image), image.id == candidate) for image in known
    ]
    return sorted(entries, key=lambda e: (e.version or Version(-1, 0), e.image.created), reverse=True)


def read_pointer(aws: AwsSession, name: str) -> str:
    """Return the AMI id in a parameter (candidate, production), or empty if the parameter does not exist."""
    parameter = parameters.get(aws, name)
    return parameter.value if parameter else ""
