"""Commit a promotion, and write down who carried what to where: for the team in AWS, for this checkout in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from goldenami.aws import iam_roles as roles
from goldenami.aws import images, parameters
from goldenami.aws import launch_templates as templates
from goldenami.context import Shop
from goldenami.errors import GateError
from goldenami.model.fleet import Scene
from goldenami.model.image import PREFIX, Image
from goldenami.state.runs import Run
from goldenami.tools import host as processes

PROMOTED = PREFIX + "promoted"
PREVIOUS = "previous"  # the label of the parameter's version that was production before
ROLLED_BACK = PREFIX + "rolled-back"


@dataclass(frozen=True)
class Entry:
    """A line of the ledger.

    Attributes:
        when: ISO 8601, UTC.
        by: The operator and the machine.
        arn: Whose credentials.
        result: `promoted`, `rolled back`, `refused` or `failed`.
    """

    when: str
    run: str
    by: str
    arn: str
    came_from: str
    went_to: str
    version: int
    refresh: str
    why: str
    result: str


def entry(shop: Shop, run: str, scene: Scene, ami: str, version: int, refresh: str, why: str, result: str) -> Entry:
    """Today's line."""
    return Entry(
        when=shop.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=run,
        by=f"{processes.user()}@{processes.machine()}",
        arn=roles.caller(shop.aws)[1],
        came_from=scene.pointer.ami if scene.pointer else "",
        went_to=ami,
        version=version,
        refresh=refresh,
        why=why,
        result=result,
    )


def commit(shop: Shop, run: str, scene: Scene, version: int, image: Image, why: str, refresh: str = "") -> Entry:
    """The commit point: the template's default version, then the production parameter, last and checked.

    Safe to repeat: what is as it should be is left alone.
    """
    line = entry(shop, run, scene, image.id, version, refresh, why, "promoted")
    assert scene.template is not None
    if scene.template.default != version:
        templates.set_default(shop.aws, scene.template.id, version)
    note = json.dumps({**asdict(line), "name": image.name}, ensure_ascii=False)
    name = shop.names.production
    parameters.publish_ami(shop.aws, shop.clock, name, image.id, note)
    former = scene.named_before(image.id)
    if former is not None and PREVIOUS not in former.labels:
        parameters.label(shop.aws, name, former.version, PREVIOUS)
    images.tag(shop.aws, [image.id], {PROMOTED: line.when})
    write(shop, line)
    return line


def turned_back(
    shop: Shop,
    run: Run,
    scene: Scene,
    image: Image,
    version: int,
    why: str,
    *,
    state: str,
    kept: Sequence[str],
    refresh: str = "",
) -> GateError:
    """Write down, on the image and in the ledger, that it was not well; the error that says so.

    Args:
        why: What was done, a colon, and what was seen.
        state: What is true now.
        kept: The files that show it.
    """
    reason = why.partition(": ")[2]
    now = shop.clock.now().isoformat(timespec="seconds")
    images.tag(shop.aws, [image.id], {ROLLED_BACK: f"{now} {reason}"[:255]})
    write(shop, entry(shop, run.id, scene, image.id, version, refresh, why, "rolled back"))
    return GateError(
        f"{image.name} ({image.id}) was not well: {reason}",
        state=state,
        next=f"less {kept[0] if kept else run.folder / 'promotion.md'}",
    )


def write(shop: Shop, line: Entry) -> None:
    """Append a line to build/promotions.jsonl."""
    shop.build.mkdir(parents=True, exist_ok=True)
    with book(shop).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")


def book(shop: Shop) -> Path:
    """Where this checkout's lines are."""
    return shop.build / "promotions.jsonl"
