"""Tasks that create, list and delete the resources of the fleet, and print IAM policies."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_report, recipe_task


@recipe_task(ami="AMI of a new fleet", plan="list the resources, and exit")
def create(open_context: ContextFactory, ami: str = "", plan: bool = False, json: bool = False) -> None:
    """Create or update the fleet: launch template, Auto Scaling group, load balancer, role. Prints its address.

    Resources are found by name, so repeating the command changes nothing. A new fleet starts with the production image,
    otherwise with the candidate, which is released once the fleet is in service. An existing fleet keeps its image.
    """
    from goldenami.fleet import create, describe, report

    ctx = open_context()
    if plan:
        print_report(report.resources(describe.list_resources(ctx), "create"), json=json)
    else:
        print_report(report.created(ctx, create.create(ctx, ami)), json=json)


@recipe_task()
def show(open_context: ContextFactory, json: bool = False) -> None:
    """List the resources of the fleet, and which of them exist."""
    from goldenami.fleet import describe, report

    print_report(report.resources(describe.list_resources(open_context()), "show"), json=json)


@recipe_task(
    plan="list the resources, and exit",
    yes="confirm the deletion",
    lose_data="delete instances even if their database cannot be backed up (the data will be lost)",
)
def destroy(
    open_context: ContextFactory, plan: bool = False, yes: bool = False, lose_data: bool = False, json: bool = False
) -> None:
    """Delete the fleet, which ends the service. Images, parameters and backups are kept.

    Databases on its instances are backed up first.
    """
    from goldenami.fleet import describe, destroy, report

    ctx = open_context()
    if yes and not plan:
        print_report(report.destroyed(destroy.destroy(ctx, lose_data=lose_data)), json=json)
        return
    print_report(report.resources(describe.list_resources(ctx), "destroy"), json=json)
    if not plan:
        raise Exit("error: this ends the service\nNext: ./invoke fleet.destroy --yes", 2)


@recipe_task(task="name of the task, such as promote")
def policy(open_context: ContextFactory, task: str) -> None:
    """Print the least-privilege IAM policy of a task, as JSON."""
    import json

    from goldenami.iam import task_policies
    from goldenami.iam.statements import PolicyScope

    ctx = open_context()
    print(json.dumps(task_policies.policy(task, PolicyScope(ctx.aws.region, ctx.aws.account, ctx.recipe)), indent=2))
