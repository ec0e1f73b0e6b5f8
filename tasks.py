"""goldenami: bake golden AMIs with Packer and carry them safely to the fleet that serves your users."""

# Imports of the package stand inside the tasks, so that `--list` and `--help` answer at once.
from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import inspect
import json as jsonlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, Exit, task

if TYPE_CHECKING:
    from goldenami.flows.shop import Shop

ROOT = Path(__file__).resolve().parent

# The interpreter's last collection would go through every model of boto3 once more: a quarter of a second a command.
atexit.register(gc.freeze)


def command(body: Callable[..., None]) -> Callable[..., None]:
    """End every failure the same way: one sentence, the state, the next command, a documented exit code."""

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        from goldenami.values.errors import GoldenError
        from goldenami.walls.shell import terminate_as_interrupt

        try:
            with terminate_as_interrupt():
                body(*args, **kwargs)
        except Exit:
            raise
        except GoldenError as error:
            raise Exit(f"\nerror: {error}", error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit(
                "\ninterrupted; what it had started is cleaned up. Next: the same command goes on", 130
            ) from None
        except Exception as error:
            from goldenami.walls.aws.errors import explain

            known = explain(error)
            if known:
                raise Exit(f"\nerror: {known}", known.exit_code) from None
            if os.environ.get("GOLDENAMI_DEBUG"):
                raise
            told = f"{type(error).__name__}: {error}"
            raise Exit(f"\nerror: unexpected: {told}\nNext: GOLDENAMI_DEBUG=1 shows where it happened", 1) from None

    return run


def open_shop(recipe: str, target: str) -> Shop:
    """Put together what a flow works with; the local target's cloud is started on demand."""
    from goldenami.flows.shop import Shop
    from goldenami.walls.aws.connection import Connection
    from goldenami.walls.clock import SystemClock
    from goldenami.walls.progress import Progress
    from goldenami.walls.recipes import load

    read = load(Path(recipe) if recipe else ROOT / "golden.toml")
    name = target or read.selected
    chosen = read.target(name)
    clock = SystemClock()
    progress = Progress(clock)
    aws = Connection(chosen.region, profile=chosen.profile or None, endpoint_url=chosen.endpoint_url or None)
    if name == "local" and not chosen.endpoint_url:
        cloud = cloud_up(progress.detail)
        aws = Connection(cloud.region, endpoint_url=cloud.endpoint, keys=(cloud.access_key, cloud.secret_key))
    return Shop(ROOT, read, chosen, aws, clock, progress)


def cloud_up(log: Callable[[str], None]) -> Any:
    """Start the embedded cloud, or find it running."""
    from localcloud import control

    with cloud_errors():
        return control.up(log=log)


@contextlib.contextmanager
def cloud_errors() -> Iterator[None]:
    """Tell what the embedded cloud refuses as AWS's refusals are told."""
    from goldenami.values.errors import AwsError
    from localcloud.errors import CloudError

    try:
        yield
    except CloudError as error:
        raise AwsError(f"the local cloud: {error}", next="./invoke local.status") from None


Opened = Callable[[], "Shop"]  # opens the recipe and its target


def say(text: str) -> None:
    """Tell people something: stderr, so that stdout holds results alone."""
    print(text, file=sys.stderr)


_WHERE = {
    "recipe": "the recipe file (default: golden.toml)",
    "target": "local or aws (default: what the recipe says)",
}


def operation(name: str | None = None, **options: str) -> Callable[[Callable[..., None]], Any]:
    """Declare a task that works on the recipe: it also takes --recipe and --target, and its body gets what opens both.

    Args:
        name: The task's name, where it is not the function's.
        options: What each of its own options means.
    """

    def declare(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(_: Context, recipe: str = "", target: str = "", **given: Any) -> None:
            body(functools.partial(open_shop, recipe, target), **given)

        own = list(inspect.signature(body).parameters.values())[1:]
        context, *where = list(inspect.signature(run, follow_wrapped=False).parameters.values())[:3]
        needed = [p for p in own if p.default is p.empty]
        optional = [p for p in own if p.default is not p.empty]
        run.__signature__ = inspect.Signature([context, *needed, *where, *optional])  # type: ignore[attr-defined]
        told = {**_WHERE, **({"json": "print JSON"} if any(p.name == "json" for p in own) else {}), **options}
        return task(name=name, help=told)(command(run))

    return declare


@operation(
    bump="build a new version: minor, major or patch",
    version="build this very version, like v2.0",
    fresh="build both layers even if nothing changed",
    clean="remove an AMI that fails its gate, instead of keeping it marked failed",
    plan="say what would be done, and stop",
)
def bake(
    opened: Opened,
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
    from goldenami.flows import bake as flow
    from goldenami.flows import telling
    from goldenami.flows.planning import Options

    options = Options(bump=bump, version=version, fresh=fresh, clean=clean)
    telling.check_options(options)
    shop = opened()
    if plan:
        print(telling.plan(shop, options, as_json=json))
        return
    result = flow.bake(shop, options)
    say(telling.summary(shop, result))
    print(jsonlib.dumps(telling.facts(shop, result), ensure_ascii=False) if json else result.image.id)


@operation()
def render(opened: Opened) -> None:
    """Write what a bake would run to build/RUN/, check it, and stop; prints the folder.

    The folder is complete: `packer build .` in build/RUN/base bakes it by hand (see its README.txt).
    """
    from goldenami.flows import bake as flow
    from goldenami.flows.planning import Options

    print(flow.render_only(opened(), Options()))


@operation(
    ami="the AMI's id",
    clean="remove it if it fails, instead of marking it",
)
def verify(opened: Opened, ami: str, clean: bool = False) -> None:
    """Boot a golden AMI afresh and hold it against the second gate; prints its id.

    The unit is active, the health path is green from outside, no unit failed, versions are as declared, Parameter
    Store is reachable, nothing is left behind. The AMI is then tagged verified, or marked failed.
    """
    from goldenami.flows import recheck

    print(recheck.recheck(opened(), ami, clean=clean).id)


@operation()
def images(opened: Opened, json: bool = False) -> None:
    """List the recipe's AMIs, newest version first: status, layers, and which one is the candidate."""
    from goldenami.flows import catalogue, telling

    print(telling.images(catalogue.catalogue(opened()), as_json=json))


@operation(
    if_needed="only for a reason: a newer source AMI, the recipe, the application, package updates, age",
    plan="say what would be done and why, and stop",
)
def rebuild(opened: Opened, if_needed: bool = False, plan: bool = False, json: bool = False) -> None:
    """Bake the image afresh, as every month: updates, both gates, what changed, a word to the team; prints its id.

    Both layers are baked anew and the image is published as the candidate. It goes to the fleet only where the recipe says
    auto_promote under [rebuild]. With --if-needed and without a reason, "nothing changed" is recorded, which is a success.
    One at a time, on whatever machine; one that ended in the middle is gone on with by the next. ./invoke schedule.install
    runs it every month.

    Exit codes: 0 done or nothing to do, 2 recipe or usage, 3 a tool is missing, 4 the build failed, 5 a gate refused the
    image or the promotion was refused or taken back, 6 AWS refused, 7 another rebuild (or promotion) is at it, 130
    interrupted (the next one goes on).
    """
    from goldenami.flows import due, rebuild_report
    from goldenami.flows import rebuild as flow

    shop = opened()
    if plan:
        print(rebuild_report.page(shop, due.look(shop), if_needed=if_needed, as_json=json))
        return
    outcome = flow.rebuild(shop, if_needed=if_needed)
    say(rebuild_report.summary(outcome))
    print(rebuild_report.facts(shop, outcome) if json else outcome.image.id if outcome.image else "")


@operation(
    text="what to say",
    failure="it is about a failure",
    unless_told="say nothing where the rebuild of this systemd invocation has told of its end itself",
)
def notify(opened: Opened, text: str, failure: bool = False, unless_told: str = "", json: bool = False) -> None:
    """Tell the team something at every place that [notify] names: to try them, and for the schedule's own failures.

    Exits with 1 when a place could not be told.
    """
    from goldenami.flows import rebuild_report

    told = rebuild_report.tell(opened(), text, failure=failure, unless_told=unless_told)
    print(
        jsonlib.dumps({"told": told.places, "failed": told.failed}) if json else "\n".join(told.places) or "told nobody"
    )
    if told.failed:
        raise Exit(code=1)


@operation()
def cost(opened: Opened, json: bool = False) -> None:
    """Say what the fleet costs in a month, with Docker and without, and what bakes and promotions have cost.

    A calculation from the recipe, with prices of the AWS Price List where these credentials may ask it, and of a dated table
    otherwise; it says which.
    """
    from goldenami.flows import cost as flow

    print(flow.tell(flow.calculate(opened()), as_json=json))


_MANAGER = {
    "user": "your own service manager instead of the system's (no root; runs while you are logged in, or linger)",
    "run_as": "the account that the service runs as (default: the owner of the checkout)",
}


@operation("install", **_MANAGER, plan="print the files, and stop")
def schedule_install(
    opened: Opened, user: bool = False, run_as: str = "", plan: bool = False, json: bool = False
) -> None:
    """Let this machine's systemd rebuild the image every month, at the time of the recipe's [schedule].

    Puts the units of systemd/ in place as they are, with drop-ins that say where this checkout is, and starts the timer. It
    needs `target = "aws"`: the service is confined, and cannot boot machines of the local cloud.
    """
    from goldenami.flows import schedule as flow
    from goldenami.flows import schedule_telling

    shop = opened()
    where = flow.place(user=user, run_as=run_as, root=ROOT)
    if plan:
        print(schedule_telling.written(flow.files(shop, where), as_json=json))
        return
    print(schedule_telling.state(flow.install(shop, where), as_json=json))


@operation("status", user=_MANAGER["user"])
def schedule_status(opened: Opened, user: bool = False, json: bool = False) -> None:
    """Say whether this machine rebuilds the image every month, when next, and how the last time ended."""
    from goldenami.flows import schedule as flow
    from goldenami.flows import schedule_telling

    print(schedule_telling.state(flow.status(opened(), flow.place(user=user, root=ROOT)), as_json=json))


@operation("remove", user=_MANAGER["user"])
def schedule_remove(opened: Opened, user: bool = False, json: bool = False) -> None:
    """Let this machine rebuild the image no more."""
    from goldenami.flows import schedule as flow
    from goldenami.flows import schedule_telling

    print(schedule_telling.removed(flow.remove(opened(), flow.place(user=user, root=ROOT)), as_json=json))


@operation(
    "aws", plan="print the parts and how they should be, and stop", apply="make or correct them", remove="remove them"
)
def schedule_aws(
    opened: Opened, plan: bool = False, apply: bool = False, remove: bool = False, json: bool = False
) -> None:
    """Rebuild the image every month without a machine of your own: EventBridge Scheduler starts CodeBuild.

    CodeBuild checks out [schedule] repository and runs the same task with a role that may do that and nothing else. What is
    there already and right is left alone. Without --apply or --remove it only tells, as with --plan.
    """
    from goldenami.flows import schedule_aws as flow
    from goldenami.flows import schedule_telling

    if sum((plan, apply, remove)) > 1:
        raise Exit("error: --plan, --apply and --remove exclude each other", 2)
    shop = opened()
    if remove:
        print(schedule_telling.removed(flow.remove(shop), as_json=json))
    else:
        print(flow.tell(flow.apply(shop) if apply else flow.look(shop), as_json=json))


@operation(
    run="also clean up after this run, whoever started it",
    plan="only list",
)
def sweep(opened: Opened, run: str = "", plan: bool = False, json: bool = False) -> None:
    """Remove what dead runs left: instances, volumes, snapshots, keys, security groups; and useless template versions.

    Things are found by the run id in their tags. Runs of other people may be alive; theirs are listed and kept,
    unless named with --run or older than any run lives. Of the fleet's launch template those versions go that nothing launches
    and no rollback needs: each holds its image against prune.
    """
    from goldenami.flows import sweep as flow
    from goldenami.flows import telling, trim

    shop = opened()
    found = flow.sweep(shop, run_ids=frozenset({run} - {""}), plan_only=plan)
    print(telling.swept(found, trim.trim(shop, plan_only=plan), plan_only=plan, as_json=json))


@operation(plan="only say what would be done")
def prune(opened: Opened, plan: bool = False, json: bool = False) -> None:
    """Let old images go: deprecate, after the grace deregister and delete their snapshots; each only if nothing names it.

    The policy is [keep] in the recipe. An image stays in any case while an instance, a launch template, a group, a refresh,
    a parameter, another image or another account has it, or a rollback may need it; each keep and each delete says why. All
    of that is looked at again right before each delete.
    """
    from goldenami.flows import image_telling
    from goldenami.flows import prune as flow

    shop = opened()
    result = flow.prune(shop, plan_only=plan)
    print(image_telling.pruned(shop, result, plan_only=plan, as_json=json))
    say(image_telling.summary(result))


@operation(ami="the bad image's id", why="a word for the others", plan="only say what would be marked")
def retire(opened: Opened, ami: str, why: str = "", plan: bool = False, json: bool = False) -> None:
    """Mark a bad image, and all that was made from it: promote, rollback, deploy and a new fleet refuse them for ever.

    What runs of it goes on (`rollback` takes the fleet off it). Where it is the candidate, the newest good image becomes it.
    """
    from goldenami.flows import image_telling
    from goldenami.flows import retire as flow
    from goldenami.values.errors import UsageError

    if not why and not plan:
        raise UsageError("say why it is bad: --why …", next=f"./invoke retire --ami {ami} --why 'leaks memory'")
    print(image_telling.retired(flow.retire(opened(), ami, why, plan_only=plan), plan_only=plan, as_json=json))


@operation(
    ami="the AMI to copy, by its id",
    version="the AMI to copy, by its version, like v1.2",
    candidate="copy the newest verified AMI",
    to="only to these regions, like us-east-1,eu-west-1 (default: the recipe's [[copies]])",
    plan="only say what is still to be done",
)
def copy(
    opened: Opened,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    to: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Carry a verified image to other regions and accounts; prints each place with the copy's id.

    Encrypted with the key of each place, with its tags, requiring IMDSv2, shared as the recipe says, and published there as the
    candidate. Several at once; interrupted at any moment, the same command goes on.
    """
    from goldenami.flows import copy as flow
    from goldenami.flows import copy_telling
    from goldenami.flows.choosing import Options

    shop = opened()
    options = Options(ami=ami, version=version, candidate=candidate)
    regions = [region.strip() for region in to.split(",") if region.strip()]
    found = flow.look(shop, options, regions) if plan else flow.copy(shop, options, regions)
    print(copy_telling.copied(found, plan_only=plan, as_json=json))


@operation(
    a="the image before: an AMI's id, a version, running or candidate",
    b="the image after",
    advisories="a folder of advisories in the OSV format: also say which vulnerabilities are fixed or new",
    boot="launch an image about which nothing was written down, read what is in it, and terminate it",
    markdown="print Markdown",
)
def diff(
    opened: Opened, a: str, b: str, advisories: str = "", boot: bool = False, markdown: bool = False, json: bool = False
) -> None:
    """Say what image B has differently from A: packages, Go, PostgreSQL, units, ports, users, setuid files, size.

    Each is an AMI's id, a version, `running` (in production) or `candidate`: ./invoke diff running candidate
    """
    from goldenami.flows import diff as flow
    from goldenami.flows import diff_telling

    shop = opened()
    found = flow.diff(shop, a, b, advisories=Path(advisories) if advisories else None, boot=boot)
    print((diff_telling.facts if json else diff_telling.markdown if markdown else diff_telling.page)(shop, found))


@operation()
def doctor(opened: Opened, json: bool = False) -> None:
    """Check tools, versions, credentials, permissions, KVM, disk and ports; say how to mend each.

    Exits with 3 when something must be mended before a bake can work.
    """
    from goldenami.flows import doctor as flow
    from goldenami.flows import telling

    findings = flow.examine(opened())
    print(telling.findings(findings, as_json=json))
    if any(finding.result == "fail" for finding in findings):
        raise Exit(code=3)


_IMAGE = {
    "ami": "the AMI to promote, by its id",
    "version": "the AMI to promote, by its version, like v1.2",
    "candidate": "promote the newest verified AMI",
}


@operation(
    canary="percent of the instances that go first (default: the recipe's)",
    watch="how long they are watched: 90s, 5m, 1h (default: the recipe's)",
    unverified="carry an image that has not passed its gates",
    why="a word for the ledger",
    regions="and then to the fleets there, one after the other: us-east-1,eu-west-1 (copy carries the image there first)",
    plan="print the preflight page, and stop",
    **_IMAGE,
)
def promote(
    opened: Opened,
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
    from goldenami.flows import preflight_telling, promote_telling
    from goldenami.flows import regions as flow
    from goldenami.flows.choosing import Options
    from goldenami.values.durations import percent, seconds

    options = Options(
        ami=ami,
        version=version,
        candidate=candidate,
        canary=percent(canary) if canary else None,
        watch=seconds(watch) if watch else None,
        unverified=unverified,
        why=why,
    )
    route = flow.stops(opened(), options, [region.strip() for region in regions.split(",") if region.strip()])
    seen = []
    for stop, found in flow.preflights(route):
        (print if plan else say)(preflight_telling.page(stop.shop, found, as_json=json and plan))
        seen.append((stop, found))
    if plan:
        return
    for stop, result in flow.in_turn(seen):
        say(promote_telling.summary(stop.shop, result))
        print(promote_telling.facts(stop.shop, result) if json else result.image.id)


@operation(
    to="the version to go back to (default: the previous good one)",
    ami="the AMI to go back to, by its id",
    watch="how long to watch: 90s, 5m",
    why="a word for the ledger",
    plan="print what would be done, and stop",
)
def rollback(
    opened: Opened, to: str = "", ami: str = "", watch: str = "", why: str = "", plan: bool = False, json: bool = False
) -> None:
    """Go back to the previous known-good image, by the same path as a promotion; prints its id.

    Takes back a refresh that is under way, also one whose promotion has died; repairs it when pointer, template and group
    disagree. Works long after a promotion has finished.
    """
    from goldenami.flows import preflight_telling, promote_telling
    from goldenami.flows import rollback as flow
    from goldenami.values.durations import seconds

    options = flow.Options(to=to, ami=ami, watch=seconds(watch) if watch else None, why=why)
    shop = opened()
    found = flow.look(shop, options)
    (print if plan else say)(preflight_telling.way_back(shop, found, as_json=json and plan))
    if plan:
        return
    result = flow.rollback(shop, found, options)
    say(promote_telling.summary(shop, result))
    print(promote_telling.facts(shop, result) if json else result.image.id)


@operation()
def status(opened: Opened, json: bool = False) -> None:
    """One screen about the fleet: pointer, template, group, instances, what does not agree, what was promoted."""
    from goldenami.flows import status as flow

    shop = opened()
    print(flow.tell(shop, flow.read(shop), as_json=json))


@operation(
    watch="how long to watch the new instance: 90s, 5m",
    **_IMAGE,
)
def deploy(
    opened: Opened, ami: str = "", version: str = "", candidate: bool = False, watch: str = "", json: bool = False
) -> None:
    """Without a group: launch an instance of an AMI, wait until it is well, register it, terminate the old; prints its id.

    The instance goes behind the balancer where there is one. When it is not well it is terminated, and the old one serves on.
    """
    from goldenami.flows import deploy as flow
    from goldenami.flows import machine_telling
    from goldenami.flows.choosing import Options
    from goldenami.values.durations import seconds

    options = Options(ami=ami, version=version, candidate=candidate, watch=seconds(watch) if watch else 0)
    done = flow.deploy(opened(), options)
    say(machine_telling.deployed(done))
    print(machine_telling.deployed_facts(done) if json else done.machine.id)


@operation(
    ref="a branch, tag or commit (default: the recipe's)",
    instance="only this one",
    key="the private key's file, where only SSH reaches it",
)
def update(opened: Opened, ref: str = "", instance: str = "", key: str = "") -> None:
    """Update the application on the instances, in place: fetch, build, restart, health; back to what was when that fails.

    Through Run Command ([fleet] run_command), else SSH (key_name). The instances are marked as drifted from their image;
    what should last needs a bake and a promotion.
    """
    from goldenami.flows import machine_telling
    from goldenami.flows import update as flow

    print(machine_telling.updated(flow.update(opened(), ref, instance, key)))


@operation()
def instances(opened: Opened, json: bool = False) -> None:
    """List the fleet's instances: state, image, version, health, drift."""
    from goldenami.flows import machines

    print(machines.tell(machines.every(opened()), as_json=json))


@operation(instance="which one (default: the only one)")
def console(opened: Opened, instance: str = "") -> None:
    """Print what an instance wrote on its console, also for an hour after it is gone."""
    from goldenami.flows import machines

    print(machines.console(opened(), instance))


@operation(
    instance="which one (default: the only one)",
    lines="how many lines to begin with",
    follow="go on until interrupted",
    key="the private key's file, where only SSH reaches it",
)
def logs(opened: Opened, instance: str = "", lines: int = 100, follow: bool = False, key: str = "") -> None:
    """Print the service's journal of an instance, through Run Command or SSH."""
    from goldenami.flows import machines

    machines.logs(opened(), instance, lines, follow=follow, show=lambda text: print(text, flush=True), key=key)


@operation(
    instance="which one (default: the only one)",
    key="the private key's file",
    run="a command to run instead of a shell",
)
def ssh(opened: Opened, instance: str = "", key: str = "", run: str = "") -> None:
    """Log in to an instance (needs key_name under [fleet])."""
    from goldenami.flows import machines

    raise Exit(code=machines.ssh(opened(), instance, key, run))


@operation(
    instance="which one",
    decrement="let the group's size go down with it, so that it is not replaced",
    force="even if it is the last one that serves",
    lose_data="even if its rows cannot be backed up: they are lost",
)
def terminate(
    opened: Opened, instance: str, decrement: bool = False, force: bool = False, lose_data: bool = False
) -> None:
    """Terminate an instance of the fleet; the group launches another one. Prints its id.

    Rows that it holds are backed up first; `./invoke db.restore` puts them on the new one.
    """
    from goldenami.flows import machines

    print(machines.terminate(opened(), instance, decrement=decrement, force=force, lose_data=lose_data).id)


@operation(
    name="policy",
    task="the task, like promote",
)
def iam_policy(opened: Opened, task: str) -> None:
    """Print the least-privilege IAM policy of a task, as JSON."""
    from goldenami.flows import machine_telling

    print(machine_telling.policy(opened(), task))


@operation(
    name="create",
    ami="launch a new fleet from this AMI",
    plan="only list",
)
def fleet_create(opened: Opened, ami: str = "", plan: bool = False, json: bool = False) -> None:
    """Make the fleet, or correct it: launch template, Auto Scaling group, balancer, role; prints its address.

    Everything is found again by its name, so repeating it changes nothing. The first image of a new fleet is production's,
    else the candidate, which becomes production once the fleet serves it. A fleet that exists keeps its image.
    """
    from goldenami.flows import fleet, fleet_telling

    shop = opened()
    if plan:
        print(fleet_telling.parts(fleet.look(shop), "create", as_json=json))
        return
    made = fleet.create(shop, ami)
    say(fleet_telling.created(shop, made))
    print(fleet_telling.facts(shop, made) if json else made.address)


@operation(name="show")
def fleet_show(opened: Opened, json: bool = False) -> None:
    """List the parts of the fleet, and which of them are there."""
    from goldenami.flows import fleet, fleet_telling

    print(fleet_telling.parts(fleet.look(opened()), "show", as_json=json))


@operation(
    name="destroy",
    plan="only list",
    yes="really do it",
    lose_data="even if rows on its instances cannot be backed up: they are lost",
)
def fleet_destroy(
    opened: Opened, plan: bool = False, yes: bool = False, lose_data: bool = False, json: bool = False
) -> None:
    """Take the fleet down: users are not served any more. Images, parameters and backups stay.

    Rows that its instances hold are backed up first.
    """
    from goldenami.flows import fleet, fleet_telling

    shop = opened()
    if plan or not yes:
        print(fleet_telling.parts(fleet.look(shop), "destroy", as_json=json))
        if not plan:
            raise Exit("error: this ends the service\nNext: ./invoke fleet.destroy --yes", 2)
        return
    print(fleet_telling.removed(fleet.destroy(shop, lose_data=lose_data), as_json=json))


@task(
    help={
        "e2e": "only what boots machines",
        "quick": "leave out what boots machines",
        "long": "also the many cases that a few stand for",
        "k": "only tests that match",
    }
)
@command
def test(_: Context, e2e: bool = False, quick: bool = False, long: bool = False, k: str = "") -> None:
    """Run the linters and the tests, from quoting to real bakes and promotions on the local cloud."""
    from goldenami.flows import selftest

    raise Exit(code=selftest.run(ROOT, e2e=e2e, quick=quick, long=long, keyword=k))


@task
@command
def docs(_: Context) -> None:
    """Write the generated pages: the references of the recipe and of the tasks, the policies, the README's list of tasks."""
    from goldenami.flows import selftest

    for page in selftest.write_docs(ROOT):
        say(f"wrote {page}")


@task(name="up")
@command
def local_up(_: Context) -> None:
    """Start the embedded cloud (every task that needs it does so by itself); prints its endpoint."""
    print(cloud_up(say).endpoint)


@task(name="down")
@command
def local_down(_: Context) -> None:
    """Stop the embedded cloud and its machines; images, parameters and disks stay."""
    from localcloud import control

    with cloud_errors():
        control.down()


@task(name="status", help={"json": "print JSON"})
@command
def local_status(_: Context, json: bool = False) -> None:
    """Say whether the embedded cloud runs, where, and what is in it."""
    from localcloud import __main__ as cloud

    raise Exit(code=cloud.run("status", as_json=json))


@task(name="reset", help={"yes": "really do it"})
@command
def local_reset(_: Context, yes: bool = False) -> None:
    """Stop the embedded cloud and delete all that is in it: machines, images, parameters."""
    from localcloud import control

    if not yes:
        raise Exit(
            "error: this deletes every local image, machine and parameter\nNext: ./invoke local.reset --yes",
            2,
        )
    with cloud_errors():
        control.reset()


_INSTANCE = "which instance (default: the only one)"


@operation(
    "backup",
    instance=_INSTANCE,
    folder="also write the backup to this folder",
    own="the database on the instance itself, although the recipe says that data lives elsewhere",
    why="a word for the manifest",
)
def db_backup(
    opened: Opened, instance: str = "", folder: str = "", own: bool = False, why: str = "", json: bool = False
) -> None:
    """Back up the database to the bucket, from one snapshot, while it serves; prints the backup's id.

    Rows, roles, and a fingerprint of both; the manifest comes last, so half a backup is none.
    """
    from goldenami.flows import database, database_telling

    made = database.save(opened(), instance, folder, own=own, why=why)
    print(database_telling.one(made, as_json=json))


@operation("list")
def db_list(opened: Opened, json: bool = False) -> None:
    """List the backups, the oldest first."""
    from goldenami.flows import backup, database_telling

    print(database_telling.listed(backup.every(opened()), as_json=json))


@operation("verify", backup="the backup's id (default: the newest)")
def db_verify(opened: Opened, backup: str = "") -> None:
    """Read a backup whole and hold it against its manifest; prints its id."""
    from goldenami.flows import backup as flow

    shop = opened()
    found = flow.get(shop, backup)
    flow.verify(shop, found)
    say(f"{found.id} is whole: {found.fingerprint.rows} row(s), {found.size} bytes")
    print(found.id)


@operation(
    "restore",
    backup="the backup's id (default: the newest)",
    folder="take the backup from this folder",
    instance=_INSTANCE,
    replace="put it in the place of rows that are there, which are backed up first",
)
def db_restore(
    opened: Opened, backup: str = "", folder: str = "", instance: str = "", replace: bool = False, json: bool = False
) -> None:
    """Restore a backup, compare every table with its manifest, and only then let anybody write; prints its id.

    A damaged backup, or one of another database, is refused before anything is touched. On failure what was there serves on.
    """
    from goldenami.flows import database, database_telling

    done = database.restore(opened(), backup, folder, instance, replace=replace)
    print(database_telling.one(done, as_json=json))


@operation(
    "migrate",
    to="the new home: rds, volume or instance, as [database] mode has it",
    host="the server's host name, NAME or NAME:PORT (default: what the parameter says)",
    ami="the image that looks for its data there, by its id (default: the candidate)",
    version="the image, by its version, like v1.2",
    watch="how long the new instance is watched: 90s, 5m, 1h (default: the recipe's)",
    create="make the server (an RDS DB instance) where it is missing",
    replace="rows that the new home holds may be replaced, after a backup of them",
    why="a word for the ledger",
    plan="say what is where and what would be done, and stop",
)
def db_migrate(
    opened: Opened,
    to: str,
    host: str = "",
    ami: str = "",
    version: str = "",
    watch: str = "",
    create: bool = False,
    replace: bool = False,
    why: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Move the data to another home: from the instance to a server elsewhere, say; prints the image's id.

    Set `mode` under [database] and bake first. A new instance has to be healthy in the new home; then writes stop, every row is
    carried over and compared, and it takes the traffic. Whatever fails before that leaves the old instance as it was; whatever
    fails while it is watched carries today's rows back. Killed at any moment, the same command goes on, or goes back.

    Exit codes: 0 done, 2 usage, 5 refused or taken back, 6 AWS refused, 7 somebody else is changing the fleet, 130 interrupted.
    """
    from goldenami.flows import migrate as flow
    from goldenami.flows import migrate_telling, promote_telling
    from goldenami.flows.choosing import Options
    from goldenami.values.durations import seconds

    wanted = Options(
        ami=ami, version=version, candidate=not (ami or version), watch=seconds(watch) if watch else None, why=why
    )
    options, shop = flow.Options(to, wanted, host, replace, create), opened()
    (print if plan else say)(migrate_telling.page(shop, flow.look(shop, options), as_json=json and plan))
    if plan:
        return
    result = flow.migrate(shop, options)
    say(migrate_telling.summary(shop, result))
    print(promote_telling.facts(shop, result) if json else result.image.id)


@functools.cache
def described() -> list[dict[str, Any]]:
    """Every task with its options, for the reference. (Kept, since Invoke tells what an option means only once.)"""
    return [
        {
            "name": name,
            "doc": namespace[name].__doc__,
            "options": [
                {
                    "flags": [f"--{argument.name.replace('_', '-')}"],
                    "means": argument.help,
                    "default": argument.default,
                    "needed": argument.positional and argument.default is None,
                }
                for argument in namespace[name].get_arguments()
            ],
        }
        for name in sorted(namespace.task_names, key=lambda name: ("." in name, name))
    ]


local = Collection("local")
for _task in (local_up, local_down, local_status, local_reset):
    local.add_task(_task)
db = Collection("db")
for _task in (db_backup, db_list, db_verify, db_restore, db_migrate):
    db.add_task(_task)
fleet = Collection("fleet")
for _task in (fleet_create, fleet_show, fleet_destroy):
    fleet.add_task(_task)
iam = Collection("iam")
iam.add_task(iam_policy)
schedule = Collection("schedule")
for _task in (schedule_install, schedule_status, schedule_remove, schedule_aws):
    schedule.add_task(_task)
_OPERATE = (promote, rollback, status, deploy, update, instances, console, logs, ssh, terminate)
_IMAGES = (bake, rebuild, notify, cost, render, verify, images, diff, copy, prune, retire, sweep, doctor, test, docs)
namespace = Collection(*_IMAGES, *_OPERATE, db, fleet, iam, local, schedule)
