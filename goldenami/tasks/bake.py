"""Tasks that create images: bake, render, verify, rebuild, notify."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_report, recipe_task


@recipe_task(
    bump="build a new version: minor, major or patch",
    version="build this version, such as v2.0",
    fresh="build both layers even if nothing changed",
    clean="delete an AMI that fails its gate instead of keeping it marked as failed",
    plan="print what would be done, and exit",
)
def bake(
    open_context: ContextFactory,
    bump: str = "",
    version: str = "",
    fresh: bool = False,
    clean: bool = False,
    plan: bool = False,
    json: bool = False,
) -> None:
    """Bake the recipe into a verified golden AMI. Prints the AMI id.

    Bakes the base layer (system, Go, PostgreSQL) and the app layer (source, build, service), each as an AMI and only if
    one of its inputs changed. The image must pass a gate while it bakes and another one after a fresh boot. It is then
    tagged as verified and published as the candidate for promotion. If interrupted, run the same command to continue.

    Exit codes: 0 done, 1 unexpected error, 2 recipe or usage error, 3 missing tool, 4 build failed, 5 gate failed, 6 AWS
    error, 130 interrupted.
    """
    from goldenami.bake import bake, preflight, report
    from goldenami.bake.model import BakeOptions

    options = BakeOptions(bump=bump, version=version, fresh=fresh, clean=clean)
    options.check()
    ctx = open_context()
    if plan:
        print_report(report.plan(*preflight.plan_layers(ctx, preflight.preflight(ctx), options)), json=json)
    else:
        print_report(report.baked(ctx, bake.bake(ctx, options)), json=json)


@recipe_task()
def render(open_context: ContextFactory) -> None:
    """Write the files of a bake to build/RUN/ and check them, without baking. Prints the folder.

    The folder is complete: run `packer build .` in build/RUN/base to bake it manually (see its README.txt).
    """
    from goldenami.bake import bake
    from goldenami.bake.model import BakeOptions

    print(bake.render_only(open_context(), BakeOptions()))


@recipe_task(ami="id of the AMI", clean="delete the AMI if it fails instead of marking it")
def verify(open_context: ContextFactory, ami: str, clean: bool = False) -> None:
    """Boot a golden AMI and run the boot gate again. Prints the AMI id.

    Checks that the service is active and healthy from outside, no unit failed, versions match the recipe, Parameter Store
    is reachable, and no secrets or build files are left. The AMI is then tagged as verified, or marked as failed.
    """
    from goldenami.bake import verify

    print(verify.recheck(open_context(), ami, clean=clean).id)


@recipe_task(
    if_needed="only if there is a reason: newer source AMI, changed recipe or application, package updates, age",
    plan="print what would be done and why, and exit",
)
def rebuild(open_context: ContextFactory, if_needed: bool = False, plan: bool = False, json: bool = False) -> None:
    """Bake the image from scratch, as in the monthly schedule: package updates, both gates, report. Prints the AMI id.

    Bakes both layers and publishes the image as the candidate, then sends a notification. The image is promoted only with
    auto_promote under [rebuild]. With --if-needed and no reason, "nothing changed" is recorded, which counts as success. Only
    one rebuild runs at a time, on any machine; the next one continues an interrupted one. `./invoke schedule.install` runs
    it every month.

    Exit codes: 0 done or no changes, 2 recipe or usage error, 3 missing tool, 4 build failed, 5 gate failed, or promotion
    refused or rolled back, 6 AWS error, 7 another rebuild (or promotion) is running, 130 interrupted (the next one continues).
    """
    from goldenami.rebuild import check, rebuild, report

    ctx = open_context()
    if plan:
        print_report(report.plan(ctx, check.check(ctx), if_needed=if_needed), json=json)
    else:
        print_report(report.rebuilt(ctx, rebuild.rebuild(ctx, if_needed=if_needed)), json=json)


@recipe_task(
    text="the message",
    failure="mark the message as a failure",
    unless_notified="send nothing if the rebuild of this systemd invocation has sent its own notification",
)
def notify(
    open_context: ContextFactory, text: str, failure: bool = False, unless_notified: str = "", json: bool = False
) -> None:
    """Send a message to every destination under [notify]. Use it to test them; the schedule uses it to report failures.

    Exits with 1 if a destination failed.
    """
    from goldenami.rebuild import notify
    from goldenami.text import Report

    delivery = notify.notify_result(open_context(), text, failure=failure, unless_notified=unless_notified)
    facts = {"notified": delivery.notified, "notify_failed": delivery.failed}
    print_report(Report(facts, "\n".join(delivery.notified) or "no destination was notified"), json=json)
    if delivery.failed:
        raise Exit(code=1)
