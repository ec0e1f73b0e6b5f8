"""Which image is meant, and how carefully it is to be carried: the command line over the recipe."""

from __future__ import annotations

import re

from goldenami.aws import images, parameters
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images.model import CatalogEntry, ImageSelector
from goldenami.model.image import Image, image_status
from goldenami.model.version import Version, ami_name, parse


def resolve_ami(ctx: Context, selector: ImageSelector) -> str:
    """The id of the AMI that the command line means.

    Raises:
        UsageError: It names none, more than one, or one that is not there.
    """
    given = [bool(selector.ami), bool(selector.version), selector.candidate]
    if sum(given) != 1:
        raise UsageError("name one image: --ami ami-…, --version v1.2 or --candidate", next="./invoke images")
    if selector.ami:
        if not re.fullmatch(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})", selector.ami):
            raise UsageError(f"'{selector.ami}' is not an AMI id", next="./invoke images")
        return selector.ami
    if selector.version:
        return resolve_version(ctx, selector.version).id
    pointer = parameters.get(ctx.aws, ctx.candidate)
    if pointer is None:
        raise UsageError("there is no candidate", next="./invoke bake")
    return pointer.value


def resolve_version(ctx: Context, version: str) -> Image:
    """The golden AMI of a version.

    Raises:
        UsageError: There is none.
    """
    name = ami_name(ctx.name, parse(version))
    found = [image for image in images.list_family(ctx.aws, ctx.name) if image.name == name]
    if not found:
        raise UsageError(f"there is no {name}", next="./invoke images")
    return found[0]


def list_images(ctx: Context) -> list[CatalogEntry]:
    """Every AMI of this recipe's name, golden ones first, newest first."""
    pointer = parameters.get(ctx.aws, ctx.candidate)
    entries = [
        CatalogEntry(image, image.version(ctx.name), image_status(image), bool(pointer and pointer.value == image.id))
        for image in images.list_family(ctx.aws, ctx.name)
    ]
    return sorted(entries, key=lambda e: (e.version or Version(-1, 0), e.image.created), reverse=True)
