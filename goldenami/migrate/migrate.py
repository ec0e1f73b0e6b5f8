"""Move the database to another storage mode (db.migrate).

A migration is a promotion whose instance replacement transfers the data to the new storage (rollout/replace_instance.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.database import agent, guard, rds, recovery, transfer
from goldenami.database.survey_model import parse_survey
from goldenami.errors import GateError, GoldenError, UsageError
from goldenami.infra import describe
from goldenami.migrate import plan as migrate_plan
from goldenami.migrate.plan import MigrateOptions, MigrationPreflight, MigrationSurvey
from goldenami.model.image import Image
from goldenami.promote import promote, request
from goldenami.promote.model import PromoteResult
from goldenami.state import lock, runs

MODES = ("rds", "volume", "instance")


def preflight(ctx: Context, options: MigrateOptions) -> MigrationPreflight:
    """Inspect both databases and plan the migration. Changes nothing.

    Raises:
        UsageError: The options name no storage mode, or select no image.
    """
    if options.to not in MODES:
        raise UsageError(
            f"'{options.to}' is not a storage mode; expected one of {', '.join(MODES)}", next="docs/data.md"
        )
    rollout_request = request.build_request(ctx, options.promotion)
    rollout_request = replace(rollout_request, transfers_data=True, traffic=(), canary=100)
    image, fleet_state = rollout_request.image, describe.describe_fleet(ctx)
    assert image is not None
    if transfer.load(ctx) is not None:
        promotion = promote.decide(ctx, rollout_request, fleet_state)
        return MigrationPreflight(promotion, MigrationSurvey(options.to, ()), unfinished=True)
    members = fleet_state.group.members if fleet_state.group else ()
    survey = _survey(ctx, options, [m.id for m in members if not m.lifecycle.startswith(("Terminat", "Detach"))])
    if survey.already_migrated:
        promotion = promote.decide(ctx, rollout_request, fleet_state)
        return MigrationPreflight(promotion, survey, promotion.plan.blockers, promotion.plan.warnings)
    parameter = ctx.recipe.database.host_parameter
    change = migrate_plan.storage_change(survey, parameter, _parameter_value(ctx, parameter), replace=options.replace)
    promotion = promote.decide(ctx, replace(rollout_request, storage_change=change), fleet_state)
    return MigrationPreflight(
        promotion,
        survey,
        (*promotion.plan.blockers, *migrate_plan.blockers(ctx.recipe, image, survey, replace=options.replace)),
        (*promotion.plan.warnings, *migrate_plan.warnings(image, survey, replace=options.replace)),
    )


def migrate(ctx: Context, options: MigrateOptions) -> PromoteResult:
    """Move the data, and promote the image that uses the new storage mode.

    Raises:
        UsageError: The options are wrong, or the data is already there.
        GateError: It is blocked or has failed; the previous instance is in service with all data.
        BusyError: Another operation holds the fleet's lock.
        AwsError: An AWS call failed.
    """
    why = options.promotion.why or f"db.migrate --to {options.to}"
    if recovery.has_unfinished(ctx):
        with runs.record_run(ctx, "migration", why=why) as run, lock.acquire(ctx, run.id, why):
            recovery.recover(ctx)
    current = preflight(ctx, options)
    if current.survey.already_migrated:
        return _commit(ctx, current, why)
    raise_if_blocked(current)
    if options.create:
        options = replace(options, host=rds.ensure_db_instance(ctx), create=False)
        current = preflight(ctx, options)
        raise_if_blocked(current)

    def recheck(ctx: Context, _instances: Sequence[str], _image: Image) -> None:
        raise_if_blocked(preflight(ctx, options))  # the databases may have changed before the lock was acquired

    return promote.run(ctx, current.preflight, why, recheck)


def raise_if_blocked(preflight: MigrationPreflight) -> None:
    """Raise if the migration has blockers.

    Raises:
        GateError: With every blocker.
    """
    if preflight.blockers:
        raise GateError(
            "; ".join(preflight.blockers),
            state="No changes were made.",
            next=f"./invoke db.migrate --to {preflight.survey.mode} --plan",
        )


def _commit(ctx: Context, preflight: MigrationPreflight, why: str) -> PromoteResult:
    """Commit an interrupted migration whose data was transferred; another image is promoted by `promote`."""
    if preflight.preflight.plan.refresh_preferences is not None:
        raise UsageError(
            f"cannot migrate: the storage mode is already {preflight.survey.mode}",
            state="No changes were made.",
            next="./invoke promote --candidate",
        )
    return promote.run(ctx, preflight.preflight, why)


def _survey(ctx: Context, options: MigrateOptions, members: Sequence[str]) -> MigrationSurvey:
    """Inspect both databases from the instance in service: an RDS instance accepts no other client."""
    with ctx.progress.phase("inspecting the databases"):
        instances = tuple(guard.inspect_instances(ctx, members))
        survey = MigrationSurvey(options.to, instances)
        if survey.already_migrated or len(instances) != 1 or not instances[0].reachable:
            return survey
        instance = instances[0].instance
        survey = replace(survey, source=parse_survey(agent.run(ctx, instance, "survey")))
        if options.to != "rds" or ctx.recipe.database.mode != "rds":
            return survey
        server = rds.find_db_instance(ctx) if options.create else None
        if options.create and (server is None or server.status != "available"):
            return replace(survey, server_to_create=ctx.names.database)
        host = options.host or (server.endpoint if server else "")
        host = host or _parameter_value(ctx, ctx.recipe.database.host_parameter)
        survey = replace(survey, host=host)
        if not host:
            return survey
        try:
            target = parse_survey(agent.run(ctx, instance, "survey", storage_mode="rds", host=host))
        except GoldenError as error:
            return replace(survey, target_error=error.message)
        return replace(survey, target=target)


def _parameter_value(ctx: Context, parameter: str) -> str:
    current = parameters.get(ctx.aws, parameter) if parameter else None
    return current.value if current else ""
