"""The monthly rebuild by itself: on this machine with systemd, or in the account."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ROOT, Opened, operation

_MANAGER = {
    "user": "your own service manager instead of the system's (no root; runs while you are logged in, or linger)",
    "run_as": "the account that the service runs as (default: the owner of the checkout)",
}


@operation(**_MANAGER, plan="print the files, and stop")
def install(opened: Opened, user: bool = False, run_as: str = "", plan: bool = False, json: bool = False) -> None:
    """Let this machine's systemd rebuild the image every month, at the time of the recipe's [schedule].

    Puts the units of systemd/ in place as they are, with drop-ins that say where this checkout is, and starts the timer. It
    needs `target = "aws"`: the service is confined, and cannot boot machines of the local cloud.
    """
    from goldenami.rebuild import schedule_report as schedule_telling
    from goldenami.rebuild import schedule_systemd as flow

    shop = opened()
    where = flow.place(user=user, run_as=run_as, root=ROOT)
    if plan:
        print(schedule_telling.written(flow.files(shop, where), as_json=json))
        return
    print(schedule_telling.state(flow.install(shop, where), as_json=json))


@operation(user=_MANAGER["user"])
def status(opened: Opened, user: bool = False, json: bool = False) -> None:
    """Say whether this machine rebuilds the image every month, when next, and how the last time ended."""
    from goldenami.rebuild import schedule_report as schedule_telling
    from goldenami.rebuild import schedule_systemd as flow

    print(schedule_telling.state(flow.status(opened(), flow.place(user=user, root=ROOT)), as_json=json))


@operation(user=_MANAGER["user"])
def remove(opened: Opened, user: bool = False, json: bool = False) -> None:
    """Let this machine rebuild the image no more."""
    from goldenami.rebuild import schedule_report as schedule_telling
    from goldenami.rebuild import schedule_systemd as flow

    print(schedule_telling.removed(flow.remove(opened(), flow.place(user=user, root=ROOT)), as_json=json))


@operation(plan="print the parts and how they should be, and stop", apply="make or correct them", remove="remove them")
def aws(opened: Opened, plan: bool = False, apply: bool = False, remove: bool = False, json: bool = False) -> None:
    """Rebuild the image every month without a machine of your own: EventBridge Scheduler starts CodeBuild.

    CodeBuild checks out [schedule] repository and runs the same task with a role that may do that and nothing else. What is
    there already and right is left alone. Without --apply or --remove it only tells, as with --plan.
    """
    from goldenami.rebuild import schedule_aws as flow
    from goldenami.rebuild import schedule_report as schedule_telling

    if sum((plan, apply, remove)) > 1:
        raise Exit("error: --plan, --apply and --remove exclude each other", 2)
    shop = opened()
    if remove:
        print(schedule_telling.removed(flow.remove(shop), as_json=json))
    else:
        print(flow.tell(flow.apply(shop) if apply else flow.look(shop), as_json=json))
