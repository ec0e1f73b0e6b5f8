"""The fleet's parts: make them, list them, take them down; and what each task needs to be allowed."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_status, recipe_task


@recipe_task(
    ami="launch a new fleet from this AMI",
    plan="only list",
)
def create(opened: ContextFactory, ami: str = "", plan: bool = False, json: bool = False) -> None:
    """Make the fleet, or correct it: launch template, Auto Scaling group, balancer, role; prints its address.

    Everything is found again by its name, so repeating it changes nothing. The first image of a new fleet is production's,
    else the candidate, which becomes production once the fleet serves it. A fleet that exists keeps its image.
    """
    from goldenami.fleet import create as fleet_create
    from goldenami.fleet import describe
    from goldenami.fleet import report as fleet_report

    ctx = opened()
    if plan:
        print(fleet_report.resources(describe.list_resources(ctx), "create", as_json=json))
        return
    made = fleet_create.create(ctx, ami)
    print_status(fleet_report.created(ctx, made))
    print(fleet_report.facts(ctx, made) if json else made.address)


@recipe_task()
def show(opened: ContextFactory, json: bool = False) -> None:
    """List the parts of the fleet, and which of them are there."""
    from goldenami.fleet import describe
    from goldenami.fleet import report as fleet_report

    print(fleet_report.resources(describe.list_resources(opened()), "show", as_json=json))


@recipe_task(
    plan="only list",
    yes="really do it",
    lose_data="even if rows on its instances cannot be backed up: they are lost",
)
def destroy(
    opened: ContextFactory, plan: bool = False, yes: bool = False, lose_data: bool = False, json: bool = False
) -> None:
    """Take the fleet down: users are not served any more. Images, parameters and backups stay.

    Rows that its instances hold are backed up first.
    """
    from goldenami.fleet import describe
    from goldenami.fleet import destroy as fleet_destroy
    from goldenami.fleet import report as fleet_report

    ctx = opened()
    if plan or not yes:
        print(fleet_report.resources(describe.list_resources(ctx), "destroy", as_json=json))
        if not plan:
            raise Exit("error: this ends the service\nNext: ./invoke fleet.destroy --yes", 2)
        return
    print(fleet_report.destroyed(fleet_destroy.destroy(ctx, lose_data=lose_data), as_json=json))


@recipe_task(
    task="the task, like promote",
)
def policy(opened: ContextFactory, task: str) -> None:
    """Print the least-privilege IAM policy of a task, as JSON."""
    import json

    from goldenami.aws import session
    from goldenami.iam import task_policies
    from goldenami.iam.statements import PolicyScope

    ctx = opened()
    account, _ = session.caller_identity(ctx.aws)
    print(json.dumps(task_policies.policy(task, PolicyScope(ctx.aws.region, account, ctx.recipe)), indent=2))
