"""From the recipe to a verified golden AMI: bake, render, verify; every month: rebuild, notify."""

from __future__ import annotations

import json as jsonlib

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_status, recipe_task


@recipe_task(
    bump="build a new version: minor, major or patch",
    version="build this very version, like v2.0",
    fresh="build both layers even if nothing changed",
    clean="remove an AMI that fails its gate, instead of keeping it marked failed",
    plan="say what would be done, and stop",
)
def bake(
    opened: ContextFactory,
    bump: str = "",
    version: str = "",
    fresh: bool = False,
    clean: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Bake the recipe into a verified golden AMI; prints its id.

    Bakes the base layer (system, Go, PostgreSQL) and the app layer (source, build, service), each as an AMI and each
    only if something that goes into it changed. The image must pass a gate from the inside while it bakes and another
    on a fresh boot; then it is tagged verified and published as the candidate for promotion. Interrupted at any
    moment, the same command goes on.

    Exit codes: 0 done, 1 unexpected, 2 recipe or usage, 3 a tool is missing, 4 the build failed, 5 a gate refused
    the image, 6 AWS refused, 130 interrupted.
    """
    from goldenami.bake import bake as bake_bake
    from goldenami.bake import preflight
    from goldenami.bake import report as bake_report
    from goldenami.bake.model import BakeOptions

    options = BakeOptions(bump=bump, version=version, fresh=fresh, clean=clean)
    bake_report.check_options(options)
    ctx = opened()
    if plan:
        base, app = preflight.plan_layers(ctx, preflight.preflight(ctx), options)
        print(bake_report.plan_text(base, app, as_json=json))
        return
    result = bake_bake.bake(ctx, options)
    print_status(bake_report.summary(ctx, result))
    print(jsonlib.dumps(bake_report.facts(ctx, result), ensure_ascii=False) if json else result.image.id)


@recipe_task()
def render(opened: ContextFactory) -> None:
    """Write what a bake would run to build/RUN/, check it, and stop; prints the folder.

    The folder is complete: `packer build .` in build/RUN/base bakes it by hand (see its README.txt).
    """
    from goldenami.bake import bake as bake_bake
    from goldenami.bake.model import BakeOptions

    print(bake_bake.render_only(opened(), BakeOptions()))


@recipe_task(
    ami="the AMI's id",
    clean="remove it if it fails, instead of marking it",
)
def verify(opened: ContextFactory, ami: str, clean: bool = False) -> None:
    """Boot a golden AMI afresh and hold it against the second gate; prints its id.

    The unit is active, the health path is green from outside, no unit failed, versions are as declared, Parameter
    Store is reachable, nothing is left behind. The AMI is then tagged verified, or marked failed.
    """
    from goldenami.bake import verify as bake_verify

    print(bake_verify.recheck(opened(), ami, clean=clean).id)


@recipe_task(
    if_needed="only for a reason: a newer source AMI, the recipe, the application, package updates, age",
    plan="say what would be done and why, and stop",
)
def rebuild(opened: ContextFactory, if_needed: bool = False, plan: bool = False, json: bool = False) -> None:
    """Bake the image afresh, as every month: updates, both gates, what changed, a word to the team; prints its id.

    Both layers are baked anew and the image is published as the candidate. It goes to the fleet only where the recipe says
    auto_promote under [rebuild]. With --if-needed and without a reason, "nothing changed" is recorded, which is a success.
    One at a time, on whatever machine; one that ended in the middle is gone on with by the next. ./invoke schedule.install
    runs it every month.

    Exit codes: 0 done or nothing to do, 2 recipe or usage, 3 a tool is missing, 4 the build failed, 5 a gate refused the
    image or the promotion was refused or taken back, 6 AWS refused, 7 another rebuild (or promotion) is at it, 130
    interrupted (the next one goes on).
    """
    from goldenami.rebuild import check
    from goldenami.rebuild import rebuild as rebuild_rebuild
    from goldenami.rebuild import report as rebuild_report

    ctx = opened()
    if plan:
        print(rebuild_report.page(ctx, check.check(ctx), if_needed=if_needed, as_json=json))
        return
    outcome = rebuild_rebuild.rebuild(ctx, if_needed=if_needed)
    print_status(rebuild_report.summary(outcome))
    print(rebuild_report.facts(ctx, outcome) if json else outcome.image.id if outcome.image else "")


@recipe_task(
    text="what to say",
    failure="it is about a failure",
    unless_notified="send nothing if the rebuild of this systemd invocation already sent a notification",
)
def notify(
    opened: ContextFactory, text: str, failure: bool = False, unless_notified: str = "", json: bool = False
) -> None:
    """Tell the team something at every place that [notify] names: to try them, and for the schedule's own failures.

    Exits with 1 when a place could not be told.
    """
    from goldenami.rebuild import notify as rebuild_notify

    told = rebuild_notify.notify_result(opened(), text, failure=failure, unless_notified=unless_notified)
    print(
        jsonlib.dumps({"told": told.notified, "failed": told.failed})
        if json
        else "\n".join(told.notified) or "told nobody"
    )
    if told.failed:
        raise Exit(code=1)
