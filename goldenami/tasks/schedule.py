"""The monthly rebuild by itself: on this machine with systemd, or in the account."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ROOT, ContextFactory, recipe_task

_MANAGER = {
    "user": "your own service manager instead of the system's (no root; runs while you are logged in, or linger)",
    "run_as": "the account that the service runs as (default: the owner of the checkout)",
}


@recipe_task(**_MANAGER, plan="print the files, and stop")
def install(
    opened: ContextFactory, user: bool = False, run_as: str = "", plan: bool = False, json: bool = False
) -> None:
    """Let this machine's systemd rebuild the image every month, at the time of the recipe's [schedule].

    Puts the units of systemd/ in place as they are, with drop-ins that say where this checkout is, and starts the timer. It
    needs `target = "aws"`: the service is confined, and cannot boot machines of the local cloud.
    """
    from goldenami.rebuild import schedule_report, schedule_systemd

    ctx = opened()
    where = schedule_systemd.location(user=user, run_as=run_as, root=ROOT)
    if plan:
        print(schedule_report.installed(schedule_systemd.files(ctx, where), as_json=json))
        return
    print(schedule_report.status(schedule_systemd.install(ctx, where), as_json=json))


@recipe_task(user=_MANAGER["user"])
def status(opened: ContextFactory, user: bool = False, json: bool = False) -> None:
    """Say whether this machine rebuilds the image every month, when next, and how the last time ended."""
    from goldenami.rebuild import schedule_report, schedule_systemd

    print(
        schedule_report.status(
            schedule_systemd.status(opened(), schedule_systemd.location(user=user, root=ROOT)), as_json=json
        )
    )


@recipe_task(user=_MANAGER["user"])
def remove(opened: ContextFactory, user: bool = False, json: bool = False) -> None:
    """Let this machine rebuild the image no more."""
    from goldenami.rebuild import schedule_report, schedule_systemd

    print(
        schedule_report.removed(
            schedule_systemd.remove(opened(), schedule_systemd.location(user=user, root=ROOT)), as_json=json
        )
    )


@recipe_task(
    plan="print the parts and how they should be, and stop", apply="make or correct them", remove="remove them"
)
def aws(
    opened: ContextFactory, plan: bool = False, apply: bool = False, remove: bool = False, json: bool = False
) -> None:
    """Rebuild the image every month without a machine of your own: EventBridge Scheduler starts CodeBuild.

    CodeBuild checks out [schedule] repository and runs the same task with a role that may do that and nothing else. What is
    there already and right is left alone. Without --apply or --remove it only tells, as with --plan.
    """
    from goldenami.rebuild import schedule_aws, schedule_report

    if sum((plan, apply, remove)) > 1:
        raise Exit("error: --plan, --apply and --remove exclude each other", 2)
    ctx = opened()
    if remove:
        print(schedule_report.removed(schedule_aws.remove(ctx), as_json=json))
    else:
        print(schedule_report.applied(schedule_aws.apply(ctx) if apply else schedule_aws.preflight(ctx), as_json=json))
