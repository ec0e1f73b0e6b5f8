"""Reports of a database migration: preflight and result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from goldenami.context import Context
from goldenami.database.survey_model import DatabaseSurvey
from goldenami.migrate import plan as migrate_plan
from goldenami.migrate.plan import MigrationPreflight
from goldenami.promote import report as promote_report
from goldenami.promote.model import PromoteResult
from goldenami.text import Report, bullets, numbered, pairs, seconds

_STORAGE = {"rds": "an external database", "volume": "a data volume", "instance": "the root volume of the instance"}


def preflight(ctx: Context, preflight: MigrationPreflight) -> Report:
    """Return the preflight of a migration: current databases, steps, downtime, blockers."""
    survey, image = preflight.survey, preflight.preflight.request.image
    assert image is not None
    planned = list(steps(ctx, preflight))
    downtime = migrate_plan.estimate_downtime(survey.source.bytes) if survey.source else None
    facts = {
        "to": survey.mode,
        "already_migrated": survey.already_migrated,
        "unfinished": preflight.unfinished,
        "image": image.id,
        "source": asdict(survey.source) if survey.source else None,
        "target": asdict(survey.target) if survey.target else None,
        "host": survey.host,
        "downtime_seconds": None if downtime is None else round(downtime),
        "steps": planned,
        "warnings": list(preflight.warnings),
        "blockers": list(preflight.blockers),
    }
    parts = [
        f"MIGRATE the database of {ctx.name} to {survey.mode}, with {image.name} ({image.id})\n",
        "Current storage",
    ]
    parts += [f"  {i.instance}: {_STORAGE.get(i.storage_mode, i.reason or 'unknown')}" for i in survey.instances]
    parts += [pairs(_facts(survey.source))] if survey.source else []
    parts += [f"\nNew storage: {survey.host}", pairs(_facts(survey.target))] if survey.target else []
    parts += ["\nSteps", *numbered(planned)]
    if downtime is not None and not survey.already_migrated:
        estimate = f"about {seconds(downtime)}, estimated from the size of the database"
        parts += ["\nDowntime", pairs({"no writes for": estimate})]
    parts += [*bullets("Warnings", preflight.warnings), *bullets("REFUSED", preflight.blockers)]
    return Report(facts, "\n".join(parts))


def steps(ctx: Context, preflight: MigrationPreflight) -> Iterator[str]:
    """Return the steps of a migration, in order."""
    survey, change = preflight.survey, preflight.preflight.request.storage_change
    if preflight.unfinished:
        yield (
            "recover from the interrupted operation: complete it if its data was transferred, otherwise roll it back;"
            " then run the preflight again"
        )
        return
    if survey.already_migrated:
        yield f"the database is already in the new storage: release the image that was promoted with it ({ctx.names.production})"
        return
    if survey.server_to_create:
        server = ctx.recipe.database.rds
        yield (
            f"create the DB instance {survey.server_to_create} if it does not exist: {server.instance_class},"
            f" {server.storage_gib} GiB, encrypted, private, with deletion protection, reachable from"
            " the fleet only; store its endpoint in the parameter"
        )
    if change is not None and change.parameter:
        current = change.previous_host or "nothing"
        yield f"set {change.parameter} to {change.host} (now {current}); no instance in service reads it yet"
    yield f"launch a new instance alongside {ctx.names.group}; it must become healthy with the empty new database"
    yield "stop writes; back up the database to the bucket; restore it in the new storage and verify every table"
    yield "open the new instance, add it to the group, send it the traffic, and monitor it alongside the old one"
    yield "terminate the old instance; release the new image; the backup is kept"


def migrated(ctx: Context, result: PromoteResult) -> Report:
    """Return the result of a migration."""
    report = promote_report.promoted(ctx, result)
    lines = [report.summary.rstrip("\n")]
    if transfer := result.timeline.first("canary"):
        lines.append(pairs({"downtime": transfer.text}))
    if not ctx.recipe.database.on_instance:
        lines.append("Next: ./invoke fleet.create sets the group's maximum size to [fleet] max\n")
    return replace(report, summary="\n".join(lines))


def _facts(survey: DatabaseSurvey) -> dict[str, str]:
    return {
        "rows": str(survey.rows) if survey.exact else f"{survey.rows} or more",
        "size": f"{survey.bytes / 1e6:.1f} MB",
        "server": f"PostgreSQL {survey.major}",
        "extensions": ", ".join(survey.extensions) or "none",
        "roles": ", ".join(survey.roles) or "none",
    }
