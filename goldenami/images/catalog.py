"""Which image is meant, and how carefully it is to be carried: the command line over the recipe."""

from __future__ import annotations

import re
from dataclasses import dataclass

from goldenami.aws import auto_scaling as groups
from goldenami.aws import images, parameters
from goldenami.context import Shop
from goldenami.errors import UsageError
from goldenami.infra import launch_template_plan as data
from goldenami.model.image import Image
from goldenami.model.version import ami_name, parse
from goldenami.rollout.request_model import Wish


@dataclass(frozen=True)
class Options:
    """What the command line asks for: which image, and how carefully."""

    ami: str = ""
    version: str = ""
    candidate: bool = False
    canary: int | None = None
    watch: int | None = None
    unverified: bool = False
    why: str = ""


def wish(shop: Shop, options: Options) -> Wish:
    """What the command line asks for, with the recipe's own for what it leaves out.

    Raises:
        UsageError: It names no image, more than one, or one that is not there.
    """
    recipe = shop.recipe
    ami = find(shop, options)
    image = images.get(shop.aws, ami)
    if image is None:
        raise UsageError(f"there is no AMI {ami} in {shop.aws.region}", next="./invoke images")
    return Wish(
        ami=ami,
        image=image,
        overrides=data.overrides(recipe, image),
        canary=recipe.promote.canary if options.canary is None else options.canary,
        watch=recipe.promote.watch_seconds if options.watch is None else options.watch,
        warmup=recipe.fleet.warmup,
        unverified=options.unverified,
        alarms=recipe.promote.alarms,
        # A canary that is asked for by its size is a part of the fleet, not a share of the requests.
        traffic=recipe.promote.traffic if options.canary is None and not recipe.database.on_instance else (),
        carried=recipe.database.on_instance,
        home=recipe.database.mode,
    )


def find(shop: Shop, options: Options) -> str:
    """The id of the AMI that the command line means.

    Raises:
        UsageError: It names none, more than one, or one that is not there.
    """
    given = [bool(options.ami), bool(options.version), options.candidate]
    if sum(given) != 1:
        raise UsageError("name one image: --ami ami-…, --version v1.2 or --candidate", next="./invoke images")
    if options.ami:
        if not re.fullmatch(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})", options.ami):
            raise UsageError(f"'{options.ami}' is not an AMI id", next="./invoke images")
        return options.ami
    if options.version:
        return by_version(shop, options.version).id
    pointer = parameters.get(shop.aws, shop.candidate)
    if pointer is None:
        raise UsageError("there is no candidate", next="./invoke bake")
    return pointer.value


def by_version(shop: Shop, version: str) -> Image:
    """The golden AMI of a version.

    Raises:
        UsageError: There is none.
    """
    name = ami_name(shop.name, parse(version))
    found = [image for image in images.of_family(shop.aws, shop.name) if image.name == name]
    if not found:
        raise UsageError(f"there is no {name}", next="./invoke images")
    return found[0]


def refuse_other_home(shop: Shop, image: Image) -> None:
    """A new fleet must find its data where the recipe says; one that exists is moved by db.migrate.

    Raises:
        UsageError: The image looks for it elsewhere.
    """
    mode = shop.recipe.database.mode
    if image.home in ("", mode) or groups.get(shop.aws, shop.names.group) is not None:
        return
    raise UsageError(
        f'{image.name} ({image.id}) keeps its data in mode "{image.home}", and the recipe says "{mode}"',
        state="Nothing was changed.",
        next=f'set mode = "{image.home}" under [database] in golden.toml, then ./invoke fleet.create',
    )
