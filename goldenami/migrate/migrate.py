"""`invoke db.migrate`: data gets another home; look at both → plan → the new instance beside the old → rows → traffic; or back.

On the way it is a promotion: what replaces the instance (flows/replacing.py) carries the rows, and is told where to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.database import agent, guard, rds, recovery, transfer
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
    """Look at both homes and decide; nothing is changed.

    Raises:
        UsageError: The command line does not name a home or an image.
    """
    if options.to not in MODES:
        raise UsageError(f"'{options.to}' is no home for data; expected one of {', '.join(MODES)}", next="docs/data.md")
    wanted = replace(request.build_request(ctx, options.image), transfers_data=True, traffic=(), canary=100)
    if transfer.load(ctx) is not None:
        return MigrationPreflight(
            promote.decide(ctx, wanted, describe.describe_fleet(ctx)), MigrationSurvey(options.to, ()), unfinished=True
        )
    image, fleet_state = wanted.image, describe.describe_fleet(ctx)
    group = fleet_state.group
    assert image is not None
    members = [m.id for m in group.members if not m.lifecycle.startswith(("Terminat", "Detach"))] if group else []
    homes = _survey(ctx, options, members)
    if homes.there:
        found = promote.decide(ctx, wanted, fleet_state)
        return MigrationPreflight(found, homes, found.plan.blockers, found.plan.warnings)
    parameter = ctx.recipe.database.host_parameter
    step = migrate_plan.storage_change(homes, parameter, _survey_instance(ctx, parameter), replace=options.replace)
    found = promote.decide(ctx, replace(wanted, storage_change=step), fleet_state)
    against = [*found.plan.blockers, *migrate_plan.blockers(ctx.recipe, image, homes, replace=options.replace)]
    told = [*found.plan.warnings, *migrate_plan.warnings(image, homes, replace=options.replace)]
    return MigrationPreflight(found, homes, tuple(against), tuple(told))


def migrate(ctx: Context, options: MigrateOptions) -> PromoteResult:
    """Move the data, and the fleet to the image that looks for it there.

    Raises:
        UsageError: The command line does not name a home or an image; or the data is there already.
        GateError: It is refused, or has failed; then the instance before serves, with every row.
        BusyError: Somebody else is changing the fleet.
        AwsError: AWS refused.
    """
    why = options.image.why or f"db.migrate --to {options.to}"
    if recovery.has_unfinished(ctx):
        with runs.record_run(ctx, "migration", why=why) as run, lock.acquire(ctx, run.id, why):
            recovery.recover(ctx)
    found = preflight(ctx, options)
    if found.survey.there:
        return _commit(ctx, found, why)
    raise_if_blocked(found)
    if options.create:
        options = replace(options, host=rds.ensure_db_instance(ctx), create=False)
        found = preflight(ctx, options)
        raise_if_blocked(found)

    def again(ctx: Context, _instances: Sequence[str], _image: Image) -> None:
        raise_if_blocked(preflight(ctx, options))  # what was true before the claim was ours may not be any more

    return promote.run(ctx, found.preflight, why, again)


def raise_if_blocked(found: MigrationPreflight) -> None:
    """Stop here when there is any reason against it.

    Raises:
        GateError: With every reason.
    """
    if found.blockers:
        reasons = "; ".join(found.blockers)
        raise GateError(
            reasons, state="Nothing was changed.", next=f"./invoke db.migrate --to {found.survey.mode} --plan"
        )


def _commit(ctx: Context, found: MigrationPreflight, why: str) -> PromoteResult:
    """The rows are there. What one that died has left to be committed is; another image is a promotion's matter."""
    if found.preflight.plan.refresh_preferences is not None:
        raise UsageError(
            f"the data lives in {found.survey.mode} already",
            state="Nothing was changed.",
            next="./invoke promote --candidate",
        )
    return promote.run(ctx, found.preflight, why)


def _survey(ctx: Context, options: MigrateOptions, members: Sequence[str]) -> MigrationSurvey:
    """Both homes, as the instance that serves sees them: a server elsewhere lets in nobody else."""
    with ctx.progress.phase("looking at both homes"):
        kept = tuple(guard.inspect_instances(ctx, members))
        homes = MigrationSurvey(options.to, kept)
        if homes.there or len(kept) != 1 or not kept[0].reachable:
            return homes
        one = kept[0].instance
        source = migrate_plan.survey(agent.run(ctx, one, "survey"))
        if options.to != "rds" or ctx.recipe.database.mode != "rds":
            return replace(homes, source=source)
        there = rds.find_db_instance(ctx) if options.create else None
        if options.create and (there is None or there.status != "available"):
            return replace(homes, source=source, created=ctx.names.database)
        host = (
            options.host
            or (there.endpoint if there else "")
            or _survey_instance(ctx, ctx.recipe.database.host_parameter)
        )
        homes = replace(homes, source=source, host=host)
        if not host:
            return homes
        try:
            return replace(
                homes, target=migrate_plan.survey(agent.run(ctx, one, "survey", storage_mode="rds", host=host))
            )
        except GoldenError as error:
            return replace(homes, closed=error.message)


def _survey_instance(ctx: Context, parameter: str) -> str:
    found = parameters.get(ctx.aws, parameter) if parameter else None
    return found.value if found else ""
