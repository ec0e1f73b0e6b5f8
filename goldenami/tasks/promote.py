"""Tasks that change and describe the fleet in service: promote, rollback, recover, status, deploy, cost."""

from __future__ import annotations

from collections.abc import Sequence

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_report, print_status, recipe_task

_IMAGE = {
    "ami": "id of the AMI to promote",
    "version": "version of the image to promote, such as v1.2",
    "candidate": "promote the newest verified image that was not rolled back",
}
_WATCH = "how long to monitor the new instances: 90s, 5m, 1h (default: the recipe's)"
_WHY = "reason, recorded in the promotion history"
_SCHEMA_NEWER = "accept a database with migrations of a newer image"
_NO_REHEARSAL = "run the release step on the live database without a rehearsal on a copy"


@recipe_task(
    canary="percentage of the instances to replace first (default: the recipe's)",
    watch=_WATCH,
    unverified="promote an image that has not passed its gates",
    schema_newer=_SCHEMA_NEWER,
    no_rehearsal=_NO_REHEARSAL,
    retry="with --candidate: also promote an image that was rolled back before",
    why=_WHY,
    regions="then promote to the fleets in these regions, in order: us-east-1,eu-west-1 (run `copy` first)",
    plan="print the preflight, and exit",
    **_IMAGE,
)
def promote(
    open_context: ContextFactory,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    canary: str = "",
    watch: str = "",
    unverified: bool = False,
    schema_newer: bool = False,
    no_rehearsal: bool = False,
    retry: bool = False,
    why: str = "",
    regions: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Promote a verified AMI to the fleet, canary first; roll back automatically on failure. Prints the AMI id.

    Creates a launch template version with the AMI id and starts an instance refresh that launches new instances before
    terminating old ones. The canary must pass the health gate. The template's default version and the production parameter
    are updated only after the whole fleet is healthy. If interrupted, run the same command (or `rollback`) to continue.
    With `--regions`, all preflight checks run first and the rollout stops at the first region that fails.

    Exit codes: 0 done, 2 usage error, 5 refused by the preflight or rolled back, 6 AWS error, 7 the fleet is locked, 130
    interrupted (the instance refresh continues in AWS).
    """
    from goldenami.images.model import ImageSelector
    from goldenami.promote import preflight_report, regions as promote_regions, report
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_percent, parse_seconds

    options = PromoteOptions(
        ImageSelector(ami, version, candidate, retry),
        canary=parse_percent(canary) if canary else None,
        watch=parse_seconds(watch) if watch else None,
        unverified=unverified,
        schema_newer=schema_newer,
        rehearse=not no_rehearsal,
        why=why,
    )
    others = [region.strip() for region in regions.split(",") if region.strip()]
    ready = []
    for step, preflight in promote_regions.preflights(promote_regions.plan_regions(open_context(), options, others)):
        page = preflight_report.promotion(step.ctx, preflight)
        if plan:
            print_report(page, json=json)
        else:
            print_status(page.text)
        ready.append((step, preflight))
    if not plan:
        for step, result in promote_regions.promote_regions(ready):
            print_report(report.promoted(step.ctx, result), json=json)


@recipe_task(
    to="version to roll back to (default: the previous good one)",
    ami="id of the AMI to roll back to",
    watch=_WATCH,
    schema_newer=_SCHEMA_NEWER,
    no_rehearsal=_NO_REHEARSAL,
    why=_WHY,
    plan="print what would be done, and exit",
)
def rollback(
    open_context: ContextFactory,
    to: str = "",
    ami: str = "",
    watch: str = "",
    schema_newer: bool = False,
    no_rehearsal: bool = False,
    why: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Roll back to the previous known-good image, with the same steps as a promotion. Prints the AMI id.

    Cancels a running instance refresh, also one whose promotion crashed, and repairs drift between the production parameter,
    launch template and group. Also works long after a promotion has finished.
    """
    from goldenami.promote import preflight_report, report, rollback
    from goldenami.promote.model import RollbackOptions
    from goldenami.text import parse_seconds

    options = RollbackOptions(
        to=to,
        ami=ami,
        watch=parse_seconds(watch) if watch else None,
        schema_newer=schema_newer,
        rehearse=not no_rehearsal,
        why=why,
    )
    ctx = open_context()
    preflight = rollback.preflight(ctx, options)
    page = preflight_report.rollback(ctx, preflight)
    if plan:
        print_report(page, json=json)
        return
    print_status(page.text)
    print_report(report.promoted(ctx, rollback.rollback(ctx, preflight, options)), json=json)


@recipe_task(
    ami="id of the AMI of a new instance (default: the one in production, otherwise the newest good one)",
    lose_data="give up rows that cannot be read, and restore the newest backup instead",
    plan="print what would be done, and exit",
)
def recover(
    open_context: ContextFactory, ami: str = "", lose_data: bool = False, plan: bool = False, json: bool = False
) -> None:
    """Bring a fleet back that does not serve: its instance is terminated, stopped or broken, or its disk is lost.

    A stopped instance is started, and its rows are used. Otherwise a new instance takes the old one's address, with the rows
    of the old one if they can still be read, else of the newest backup that is intact (mode instance), or with the data
    volume (mode volume). Also works if the group or the image in production was deleted. Prints the ids of the instances.
    """
    import sys

    from goldenami.fleet import recover, recover_report
    from goldenami.fleet.recover import RecoverOptions

    def confirm(losses: Sequence[str]) -> bool:
        if not sys.stdin.isatty():
            return False
        print_status(f"\nThis gives up {'; '.join(losses)}.")
        return input("Type yes to continue: ").strip() == "yes"

    ctx, options = open_context(), RecoverOptions(ami, lose_data, confirm)
    page = recover_report.preflight(ctx, recover.preflight(ctx, options))
    if plan:
        print_report(page, json=json)
        return
    print_status(page.text)
    print_report(recover_report.recovered(recover.recover(ctx, options)), json=json)


@recipe_task()
def status(open_context: ContextFactory, json: bool = False) -> None:
    """Print whether the fleet serves its users, what is under way, what differs, and the next command; then the details.

    Sends a request to the service, through the load balancer if there is one. If that is not reachable from here, the target
    health counts. During a promotion, shows how far it is.

    Exit codes: 0 serving, 8 degraded (not all instances are in service, requests fail, or writes are stopped), 9 not serving,
    2 usage error, 6 AWS error.
    """
    from goldenami.fleet import describe, report
    from goldenami.fleet.model import EXIT_CODES

    ctx = open_context()
    status = describe.fleet_status(ctx)
    print_report(report.status(ctx, status), json=json)
    if code := EXIT_CODES[status.assessment.state]:
        raise Exit(code=code)


@recipe_task(
    watch="how long to monitor the new instance: 90s, 5m",
    schema_newer=_SCHEMA_NEWER,
    no_rehearsal=_NO_REHEARSAL,
    plan="print what would be done, and exit",
    **_IMAGE,
)
def deploy(
    open_context: ContextFactory,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    watch: str = "",
    schema_newer: bool = False,
    no_rehearsal: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Replace an instance without a group: launch the AMI, wait until healthy, terminate the old. Prints the instance id.

    The new instance is registered with the load balancer if there is one. If it does not become healthy it is terminated, and
    the old one stays in service.
    """
    from goldenami.images.model import ImageSelector
    from goldenami.promote import deploy, report
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_seconds

    options = PromoteOptions(
        ImageSelector(ami, version, candidate),
        watch=parse_seconds(watch) if watch else 0,
        schema_newer=schema_newer,
        rehearse=not no_rehearsal,
    )
    ctx = open_context()
    if plan:
        print_report(report.deploy_preflight(ctx, deploy.preflight(ctx, options)), json=json)
    else:
        print_report(report.deployed(deploy.deploy(ctx, options)), json=json)


@recipe_task()
def cost(open_context: ContextFactory, json: bool = False) -> None:
    """Calculate the monthly cost of the fleet, with and without Docker, and the cost of past bakes and promotions.

    Uses the AWS Price List if the credentials may read it, otherwise a dated price table; the output names the source.
    """
    from goldenami.cost import cost, report

    print_report(report.report(cost.calculate(open_context())), json=json)
