"""Tasks that schedule the monthly rebuild: on this machine with systemd, or in AWS."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ROOT, ContextFactory, print_report, recipe_task

_MANAGER = {
    "user": "use your own service manager instead of the system's (no root; runs while you are logged in, or with linger)",
    "run_as": "user that runs the service (default: the owner of the checkout)",
}


@recipe_task(**_MANAGER, plan="print the files, and exit")
def install(
    open_context: ContextFactory, user: bool = False, run_as: str = "", plan: bool = False, json: bool = False
) -> None:
    """Schedule the rebuild on this machine with systemd, at the time under [schedule] in the recipe.

    Installs the units of systemd/ unchanged, with drop-ins for the path of this checkout, and starts the timer. Needs
    `target = "aws"`, because the sandboxed service cannot boot machines of the local cloud.
    """
    from goldenami.rebuild import schedule_report, schedule_systemd

    ctx = open_context()
    location = schedule_systemd.location(user=user, run_as=run_as, root=ROOT)
    if plan:
        print_report(schedule_report.files(schedule_systemd.files(ctx, location)), json=json)
    else:
        print_report(schedule_report.status(schedule_systemd.install(ctx, location)), json=json)


@recipe_task(user=_MANAGER["user"])
def status(open_context: ContextFactory, user: bool = False, json: bool = False) -> None:
    """Print the schedule of this machine: whether it is active, the next run, and the result of the last one."""
    from goldenami.rebuild import schedule_report, schedule_systemd

    location = schedule_systemd.location(user=user, root=ROOT)
    print_report(schedule_report.status(schedule_systemd.status(open_context(), location)), json=json)


@recipe_task(user=_MANAGER["user"])
def remove(open_context: ContextFactory, user: bool = False, json: bool = False) -> None:
    """Remove the schedule from this machine."""
    from goldenami.rebuild import schedule_report, schedule_systemd

    location = schedule_systemd.location(user=user, root=ROOT)
    print_report(schedule_report.removed(schedule_systemd.remove(open_context(), location)), json=json)


@recipe_task(
    plan="print the resources and their desired configuration, and exit",
    apply="create or update the resources",
    remove="delete the resources",
)
def aws(
    open_context: ContextFactory, plan: bool = False, apply: bool = False, remove: bool = False, json: bool = False
) -> None:
    """Schedule the rebuild in AWS: EventBridge Scheduler starts a CodeBuild project.

    CodeBuild checks out [schedule] repository and runs `./invoke rebuild` with a least-privilege role. Existing resources
    that match are not changed. Without --apply or --remove, prints the plan.
    """
    from goldenami.rebuild import schedule_aws, schedule_report

    if sum((plan, apply, remove)) > 1:
        raise Exit("error: --plan, --apply and --remove exclude each other", 2)
    ctx = open_context()
    if remove:
        print_report(schedule_report.removed(schedule_aws.remove(ctx)), json=json)
        return
    resources = schedule_aws.apply(ctx) if apply else schedule_aws.preflight(ctx)
    print_report(schedule_report.aws(resources), json=json)
