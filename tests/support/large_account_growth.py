"""A grown account of any size, always the same for the same numbers: years of images, and references of every kind in it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.support.image_references import CANDIDATE, PARAMETER, PRODUCTION, WAYS, name_it
from tests.support.large_account import Estate, ami

OURS = 0.8  # of the images; the others are somebody else's


def grown(
    images: int,
    snapshots: int,
    templates: int,
    versions: int,
    *,
    each_way: int = 5,
    deprecated: Mapping[str, Any] | None = None,
    wrong: list[str] | None = None,
    seed: int = 1,
) -> Estate:
    """Build one.

    Args:
        images: How many AMIs.
        snapshots: How many snapshots there are in the end; some of them are shared by two images.
        templates: How many launch templates.
        versions: How many versions each of them has. They name images of the account at random, old ones too.
        each_way: How many images are named by nothing but this, for each way to name one.
        deprecated: Facts of an image that has been deprecated for long; every image gets them.
        wrong: Where deletes of what is needed are noted, instead of failing.
        seed: Another number is another account.
    """
    dice = random.Random(seed)
    estate = Estate(check=False, wrong=wrong)
    ours = []
    for number in range(1, images + 1):
        behind = [number * 16 + disk for disk in range(snapshots // images)]
        if number > 1 and number % 50 == 0:
            behind[-1] = (number - 1) * 16  # shared with the image before
        mine = dice.random() < OURS
        estate.image(
            number,
            days=60 + dice.random() * 1000,
            name="" if mine else f"somebody-s-{number}",
            layer="base" if mine and dice.random() < 0.1 else "app",
            verified=dice.random() < 0.8,
            snapshots=behind,
            **(deprecated or {}),
        )
        if mine:
            ours.append(ami(number))
    for orphan in range(snapshots - len(estate.snapshots)):
        estate.snapshots[f"snap-f{orphan:016x}"] = {}
    dice.shuffle(ours)
    named, free = ours[: len(ours) // 2], iter(ours[len(ours) // 2 :])
    for number in range(templates):
        identity = estate.template(*(dice.choice(named) for _ in range(versions)))
        if number % 3 == 0:
            launch = {
                "LaunchTemplateId": identity,
                "LaunchTemplateName": f"template-{number}",
                "Version": str(versions),
            }
            estate.group(LaunchTemplate=launch)
    for _ in range(images // 5):
        estate.instance(dice.choice(named), dice.choice(["running", "running", "stopped"]))
    for number in range(images // 10):
        estate.parameter(f"/app/{number}", *["text"] * dice.choice([1, 1, 3]))
    for way in sorted(set(WAYS) - set(PARAMETER) - {"candidate"}):
        for _ in range(each_way):
            name_it(estate, way, next(free))
    past = [one for one in ours if estate.images[one]["Name"].startswith("guestbook-golden-")][-9:]
    for one in past:
        estate.images[one]["Tags"]["goldenami:verified"] = "2026"
    estate.parameter(PRODUCTION, *past[:8])
    estate.parameter(CANDIDATE, *past)
    for one in (*past[-5:], past[7]):  # the candidate, production, and three to go back to
        estate.needs(one, "a pointer or a rollback")
    return estate
