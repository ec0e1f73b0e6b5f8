"""`invoke status`: one screen about the fleet: pointer, template, group, instances, what does not agree, what was promoted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from goldenami.aws import images
from goldenami.aws import load_balancers as balancers
from goldenami.context import Shop
from goldenami.database import freeze as pausing
from goldenami.database import transfer as carrying
from goldenami.fleet import home
from goldenami.infra import describe as scenery
from goldenami.model.fleet import Scene
from goldenami.promote import history as ledger
from goldenami.promote import preflight_report as preflight_telling
from goldenami.promote.rollback_plan import disagreements
from goldenami.state import lock as claims
from goldenami.state.lock_model import Claim
from goldenami.summary import pairs, table

_SHOWN = 8  # promotions


@dataclass(frozen=True)
class Status:
    """What there is to say; `names` tells what an AMI is called."""

    scene: Scene
    disagreements: tuple[str, ...]
    claim: Claim | None
    claim_dead: bool
    address: str
    names: dict[str, str]
    refused: tuple[dict[str, Any], ...]
    data: home.Home | None = None


def read(shop: Shop) -> Status:
    """Read it all; nothing is changed."""
    scene = scenery.read(shop)
    claim = claims.holder(shop)
    balancer = balancers.get(shop.aws, shop.names.balancer)
    return Status(
        scene=scene,
        disagreements=(*disagreements(scene), *_left(shop)),
        claim=claim,
        claim_dead=claim is not None and claims.is_dead(shop, claim),
        address=f"http://{balancer.address}/" if balancer else "",
        names={image.id: image.name for image in images.of_family(shop.aws, shop.name)},
        data=home.find(shop),
        refused=tuple(line for line in _lines(shop) if line.get("result") != "promoted")[-_SHOWN:],
    )


def _left(shop: Shop) -> list[str]:
    """A handover or a pause that nobody goes on with."""
    found, pause = carrying.find(shop), pausing.find(shop)
    told = []
    if found is not None:
        way = f"from {found.source} to {found.target or 'a new instance'}"
        told.append(f"rows are on their way {way}; those that count are on {found.truth}")
    if pause is not None:
        told.append(
            f"writes are stopped on {', '.join(pause.instances)} for {pause.what} (the same command goes on with it once"
            " its run has ended; any other that changes the fleet lets everybody write again)"
        )
    return told


def tell(shop: Shop, found: Status, *, as_json: bool) -> str:
    """One screen, or JSON."""
    scene = found.scene
    history: list[dict[str, Any]] = [
        {
            "version": pointer.version,
            "ami": pointer.ami,
            "name": found.names.get(pointer.ami, ""),
            "when": pointer.modified,
            "labels": list(pointer.labels),
            **{key: _note(pointer.note).get(key, "") for key in ("by", "why", "refresh", "run")},
        }
        for pointer in reversed(scene.history)
    ][:_SHOWN]
    if as_json:
        return json.dumps(
            {
                "now": preflight_telling.now(shop, scene),
                "address": found.address,
                "instances": [asdict(m) for m in scene.group.members] if scene.group else [],
                "disagreements": list(found.disagreements),
                "data": {**found.data.facts, "home": found.data.kind, "name": found.data.name} if found.data else None,
                "claim": asdict(found.claim) | {"dead": found.claim_dead} if found.claim else None,
                "promotions": history,
                "refused": list(found.refused),
            },
            ensure_ascii=False,
            default=dict,
        )
    facts = preflight_telling.now(shop, scene)
    if scene.pointer is not None:
        facts["pointer"] += f" ({found.names.get(scene.pointer.ami, 'not there any more!')})"
    if found.address:
        facts["serves at"] = found.address
    if found.data is not None:
        facts[found.data.kind] = f"{found.data.name}: {found.data.detail or 'none yet'}"
    if found.claim is not None:
        word = "DEAD: the next promote or rollback takes over" if found.claim_dead else "alive"
        facts["in progress"] = f"{found.claim.what}, by {found.claim.who} since {found.claim.since} ({word})"
    parts = [pairs(facts)]
    if scene.group is not None:
        parts += ["", preflight_telling.members(scene)]
    parts += ["", "all parts agree" if not found.disagreements else "PARTS DO NOT AGREE (./invoke rollback repairs)"]
    parts += [f"  - {text}" for text in found.disagreements]
    if history:
        rows = [
            [
                str(h["version"]),
                str(h["when"])[:16],
                str(h["name"] or h["ami"]),
                ",".join(h["labels"]),
                h["by"],
                h["why"],
            ]
            for h in history
        ]
        parts += ["", "promotions", table(["#", "WHEN", "IMAGE", "LABEL", "BY", "WHY"], rows)]
    if found.refused:
        rows = [
            [line["when"][:16], found.names.get(line["went_to"], line["went_to"]), line["why"]]
            for line in found.refused
        ]
        parts += ["", "rolled back (this checkout)", table(["WHEN", "IMAGE", "WHY"], rows)]
    return "\n".join(parts)


def _note(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _lines(shop: Shop) -> list[dict[str, Any]]:
    path = ledger.book(shop)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
