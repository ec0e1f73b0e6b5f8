"""The page before data moves to another home, and the end of it; for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from goldenami.context import Context
from goldenami.migrate import plan as migrate_plan
from goldenami.migrate.plan import DatabaseSurvey, MigrationPreflight
from goldenami.promote import report as promote_report
from goldenami.promote.model import PromoteResult
from goldenami.text import pairs, seconds

_STORAGE = {"rds": "a server elsewhere", "volume": "a volume of its own", "instance": "the instance's own disk"}


def page(ctx: Context, found: MigrationPreflight, *, as_json: bool) -> str:
    """What is where, what will be done, and what forbids it."""
    homes, image = found.survey, found.preflight.request.image
    assert image is not None
    if as_json:
        told = {
            "to": homes.mode,
            "there": homes.already_migrated,
            "unfinished": found.unfinished,
            "image": image.id,
            "source": asdict(homes.source) if homes.source else None,
            "target": asdict(homes.target) if homes.target else None,
            "host": homes.host,
            "window_seconds": round(migrate_plan.estimate_downtime(homes.source.bytes)) if homes.source else None,
            "steps": list(steps(ctx, found)),
            "notes": list(found.warnings),
            "refusals": list(found.blockers),
        }
        return json.dumps(told, ensure_ascii=False)
    parts = [f"MIGRATE the data of {ctx.name} to {homes.mode}, with {image.name} ({image.id})\n", "now"]
    for one in homes.instances:
        parts.append(f"  {one.instance}: {_STORAGE.get(one.storage_mode, one.reason or 'unknown')}")
    if homes.source:
        parts.append(pairs(_facts(homes.source)))
    if homes.target:
        parts += [f"\nthe new home: {homes.host}", pairs(_facts(homes.target))]
    parts.append("\nwhat will be done")
    parts += [f"  {number}. {step}" for number, step in enumerate(steps(ctx, found), 1)]
    if homes.source and not homes.already_migrated:
        window = seconds(migrate_plan.estimate_downtime(homes.source.bytes))
        parts += ["\nmeanwhile", pairs({"nobody can write for": f"about {window}, by the size of the database"})]
    if found.warnings:
        parts += ["\nnotes", *(f"  - {text}" for text in found.warnings)]
    if found.blockers:
        parts += ["\nREFUSED", *(f"  - {text}" for text in found.blockers)]
    return "\n".join(parts)


def steps(ctx: Context, found: MigrationPreflight) -> Iterator[str]:
    """What a migration does, in order."""
    homes, move = found.survey, found.preflight.request.storage_change
    if found.unfinished:
        yield "one that was left half-way is seen to its end: on, once its rows have arrived, else back; then look again"
        return
    if homes.already_migrated:
        yield f"the data lives there already: what was promoted with it is committed ({ctx.names.production})"
        return
    if homes.server_to_create:
        made = ctx.recipe.database.server
        yield (
            f"the DB instance {homes.server_to_create} is made where it is missing: {made.instance_class},"
            f" {made.storage_gib} GiB, encrypted, private, protected from deletion, open to the fleet"
            " alone; its endpoint goes into the parameter"
        )
    if move is not None and move.parameter:
        yield f"{move.parameter} says {move.host} (now {move.previous_host or 'nothing'}); nobody who serves reads it yet"
    yield f"a new instance is launched beside {ctx.names.group}, and has to be healthy against the empty new home"
    yield "writes stop; one backup goes to the bucket; it is restored in the new home, and every table compared"
    yield "the new instance is opened, joins the group, takes the traffic, and is watched beside the old one"
    yield "the old one goes; template and production parameter name the new image; the backup stays"


def summary(ctx: Context, result: PromoteResult) -> str:
    """The end of a migration."""
    told = promote_report.summary(ctx, result)
    rows = next((e.text for e in result.timeline.events if e.kind == "canary"), "")
    grown = (
        "" if ctx.recipe.database.on_instance else "./invoke fleet.create lets the group have [fleet] max instances\n"
    )
    return "\n".join(filter(None, (told.rstrip("\n"), pairs({"window": rows}) if rows else "", grown)))


def _facts(found: DatabaseSurvey) -> dict[str, str]:
    rows = f"{found.rows} or more" if found.rows >= 1000 else str(found.rows)
    return {
        "rows": rows,
        "size": f"{found.bytes / 1e6:.1f} MB",
        "server": f"PostgreSQL {found.major}",
        "extensions": ", ".join(found.extensions) or "none",
        "roles": ", ".join(found.roles) or "none",
    }
