"""Images and the fleet: promote, rollback, deploy, update; how it stands and what it costs."""

from __future__ import annotations

from goldenami.tasks.runner import ContextFactory, print_status, recipe_task

_IMAGE = {
    "ami": "the AMI to promote, by its id",
    "version": "the AMI to promote, by its version, like v1.2",
    "candidate": "promote the newest verified AMI",
}


@recipe_task(
    canary="percent of the instances that go first (default: the recipe's)",
    watch="how long they are watched: 90s, 5m, 1h (default: the recipe's)",
    unverified="carry an image that has not passed its gates",
    why="a word for the ledger",
    regions="and then to the fleets there, one after the other: us-east-1,eu-west-1 (copy carries the image there first)",
    plan="print the preflight page, and stop",
    **_IMAGE,
)
def promote(
    opened: ContextFactory,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    canary: str = "",
    watch: str = "",
    unverified: bool = False,
    why: str = "",
    regions: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Carry a verified AMI to the fleet, canary first, and back by itself when it is bad; prints its id.

    A numbered launch-template version with the literal AMI; an instance refresh that launches before it terminates; a
    health gate on the canary. Only when the whole fleet serves it does the template's default version change, and last the
    production parameter. Killed at any moment, the same command (or rollback) goes on. With --regions, every preflight comes
    first, and no region is begun after one that turned back.

    Exit codes: 0 done, 2 usage, 5 refused by the preflight or rolled back by the gate, 6 AWS refused, 7 somebody else
    is changing the fleet, 130 interrupted (the refresh goes on; promote again to watch it, rollback to take it back).
    """
    from goldenami.images.model import ImageSelector
    from goldenami.promote import preflight_report
    from goldenami.promote import regions as promote_regions
    from goldenami.promote import report as promote_report
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_percent, parse_seconds

    options = PromoteOptions(
        ImageSelector(ami, version, candidate),
        canary=parse_percent(canary) if canary else None,
        watch=parse_seconds(watch) if watch else None,
        unverified=unverified,
        why=why,
    )
    route = promote_regions.plan_regions(
        opened(), options, [region.strip() for region in regions.split(",") if region.strip()]
    )
    seen = []
    for stop, found in promote_regions.preflights(route):
        (print if plan else print_status)(preflight_report.page(stop.ctx, found, as_json=json and plan))
        seen.append((stop, found))
    if plan:
        return
    for stop, result in promote_regions.promote_regions(seen):
        print_status(promote_report.summary(stop.ctx, result))
        print(promote_report.facts(stop.ctx, result) if json else result.image.id)


@recipe_task(
    to="the version to go back to (default: the previous good one)",
    ami="the AMI to go back to, by its id",
    watch="how long to watch: 90s, 5m",
    why="a word for the ledger",
    plan="print what would be done, and stop",
)
def rollback(
    opened: ContextFactory,
    to: str = "",
    ami: str = "",
    watch: str = "",
    why: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Go back to the previous known-good image, by the same path as a promotion; prints its id.

    Takes back a refresh that is under way, also one whose promotion has died; repairs it when pointer, template and group
    disagree. Works long after a promotion has finished.
    """
    from goldenami.promote import model as promote_model
    from goldenami.promote import preflight_report
    from goldenami.promote import report as promote_report
    from goldenami.promote import rollback as promote_rollback
    from goldenami.text import parse_seconds

    options = promote_model.RollbackOptions(to=to, ami=ami, watch=parse_seconds(watch) if watch else None, why=why)
    ctx = opened()
    found = promote_rollback.preflight(ctx, options)
    (print if plan else print_status)(preflight_report.rollback_plan(ctx, found, as_json=json and plan))
    if plan:
        return
    result = promote_rollback.rollback(ctx, found, options)
    print_status(promote_report.summary(ctx, result))
    print(promote_report.facts(ctx, result) if json else result.image.id)


@recipe_task()
def status(opened: ContextFactory, json: bool = False) -> None:
    """One screen about the fleet: pointer, template, group, instances, what does not agree, what was promoted."""
    from goldenami.fleet import describe
    from goldenami.fleet import report as fleet_report

    ctx = opened()
    print(fleet_report.status(ctx, describe.fleet_status(ctx), as_json=json))


@recipe_task(
    watch="how long to watch the new instance: 90s, 5m",
    plan="print what would be done, and stop",
    **_IMAGE,
)
def deploy(
    opened: ContextFactory,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    watch: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Without a group: launch an instance of an AMI, wait until it is well, register it, terminate the old; prints its id.

    The instance goes behind the balancer where there is one. When it is not well it is terminated, and the old one serves on.
    """
    from goldenami.images.model import ImageSelector
    from goldenami.promote import deploy as promote_deploy
    from goldenami.promote import report as promote_report
    from goldenami.promote.model import PromoteOptions
    from goldenami.text import parse_seconds

    options = PromoteOptions(ImageSelector(ami, version, candidate), watch=parse_seconds(watch) if watch else 0)
    ctx = opened()
    if plan:
        print(promote_report.page(ctx, promote_deploy.preflight(ctx, options), as_json=json))
        return
    done = promote_deploy.deploy(ctx, options)
    print_status(promote_report.deployed(done))
    print(promote_report.deployed_facts(done) if json else done.instance.id)


@recipe_task(
    ref="a branch, tag or commit (default: the recipe's)",
    instance="only this one",
    key="the private key's file, where only SSH reaches it",
)
def update(opened: ContextFactory, ref: str = "", instance: str = "", key: str = "") -> None:
    """Update the application on the instances, in place: fetch, build, restart, health; back to what was when that fails.

    Through Run Command ([fleet] run_command), else SSH (key_name). The instances are marked as drifted from their image;
    what should last needs a bake and a promotion.
    """
    from goldenami.fleet import report as fleet_report
    from goldenami.fleet import update as fleet_update

    print(fleet_report.updated(fleet_update.update(opened(), ref, instance, key)))


@recipe_task()
def cost(opened: ContextFactory, json: bool = False) -> None:
    """Say what the fleet costs in a month, with Docker and without, and what bakes and promotions have cost.

    A calculation from the recipe, with prices of the AWS Price List where these credentials may ask it, and of a dated table
    otherwise; it says which.
    """
    from goldenami.cost import cost as cost_cost
    from goldenami.cost import report as cost_report

    print(cost_report.text(cost_cost.calculate(opened()), as_json=json))
