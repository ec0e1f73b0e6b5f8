"""An account of any size with references of every kind, deterministic for the same arguments."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.support.image_references import CANDIDATE, PARAMETER_OF, PRODUCTION, REFERENCES, add_reference
from tests.support.large_account import LargeAccount, ami

OURS = 0.8  # share of images that belong to the recipe


def grow_account(
    images: int,
    snapshots: int,
    templates: int,
    versions: int,
    *,
    each_way: int = 5,
    deprecated: Mapping[str, Any] | None = None,
    wrong: list[str] | None = None,
    seed: int = 1,
) -> LargeAccount:
    """Create an account.

    Args:
        images: Number of AMIs.
        snapshots: Number of snapshots; some of them are shared by two images.
        templates: Number of launch templates.
        versions: Number of versions of each template, with random images of the account.
        each_way: Number of images per kind of reference that have only this reference.
        deprecated: Attributes of a deprecated image, set on every image.
        wrong: Collects deletions of images in use, which fail otherwise.
        seed: Seed of the random numbers.
    """
    dice = random.Random(seed)
    account = LargeAccount(check=False, wrong=wrong)
    ours = []
    for number in range(1, images + 1):
        behind = [number * 16 + disk for disk in range(snapshots // images)]
        if number > 1 and number % 50 == 0:
            behind[-1] = (number - 1) * 16  # shared with the image before
        mine = dice.random() < OURS
        account.image(
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
    for orphan in range(snapshots - len(account.snapshots)):
        account.snapshots[f"snap-f{orphan:016x}"] = {}
    dice.shuffle(ours)
    named, free = ours[: len(ours) // 2], iter(ours[len(ours) // 2 :])
    for number in range(templates):
        identity = account.template(*(dice.choice(named) for _ in range(versions)))
        if number % 3 == 0:
            launch = {
                "LaunchTemplateId": identity,
                "LaunchTemplateName": f"template-{number}",
                "Version": str(versions),
            }
            account.group(LaunchTemplate=launch)
    for _ in range(images // 5):
        account.instance(dice.choice(named), dice.choice(["running", "running", "stopped"]))
    for number in range(images // 10):
        account.parameter(f"/app/{number}", *["text"] * dice.choice([1, 1, 3]))
    for way in sorted(set(REFERENCES) - set(PARAMETER_OF) - {"candidate"}):
        for _ in range(each_way):
            add_reference(account, way, next(free))
    past = [one for one in ours if account.images[one]["Name"].startswith("guestbook-golden-")][-9:]
    for one in past:
        account.images[one]["Tags"]["goldenami:verified"] = "2026"
    account.parameter(PRODUCTION, *past[:8])
    account.parameter(CANDIDATE, *past)
    for one in (*past[-5:], past[7]):  # the candidate, production, and three to go back to
        account.needs(one, "a pointer or a rollback")
    return account
