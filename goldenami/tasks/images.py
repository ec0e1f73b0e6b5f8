"""The life of images: list, compare, carry elsewhere, mark as bad, let go; and what dead runs left."""

from __future__ import annotations

from pathlib import Path

from goldenami.tasks.runner import ContextFactory, print_status, recipe_task


@recipe_task()
def images(opened: ContextFactory, json: bool = False) -> None:
    """List the recipe's AMIs, newest version first: status, layers, and which one is the candidate."""
    from goldenami.images import catalog
    from goldenami.images import report as images_report

    print(images_report.images(catalog.list_images(opened()), as_json=json))


@recipe_task(
    a="the image before: an AMI's id, a version, running or candidate",
    b="the image after",
    advisories="a folder of advisories in the OSV format: also say which vulnerabilities are fixed or new",
    boot="launch an image about which nothing was written down, read what is in it, and terminate it",
    markdown="print Markdown",
)
def diff(
    opened: ContextFactory,
    a: str,
    b: str,
    advisories: str = "",
    boot: bool = False,
    markdown: bool = False,
    json: bool = False,
) -> None:
    """Say what image B has differently from A: packages, Go, PostgreSQL, units, ports, users, setuid files, size.

    Each is an AMI's id, a version, `running` (in production) or `candidate`: ./invoke diff running candidate
    """
    from goldenami.images import diff as images_diff
    from goldenami.images import diff_report

    ctx = opened()
    found = images_diff.diff(ctx, a, b, advisories=Path(advisories) if advisories else None, boot=boot)
    print((diff_report.facts if json else diff_report.markdown if markdown else diff_report.page)(ctx, found))


@recipe_task(
    ami="the AMI to copy, by its id",
    version="the AMI to copy, by its version, like v1.2",
    candidate="copy the newest verified AMI",
    to="only to these regions, like us-east-1,eu-west-1 (default: the recipe's [[copies]])",
    plan="only say what is still to be done",
)
def copy(
    opened: ContextFactory,
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
    from goldenami.images import copy as images_copy
    from goldenami.images import report as images_report
    from goldenami.images.model import ImageSelector

    ctx = opened()
    selector = ImageSelector(ami=ami, version=version, candidate=candidate)
    regions = [region.strip() for region in to.split(",") if region.strip()]
    found = images_copy.preflight(ctx, selector, regions) if plan else images_copy.copy(ctx, selector, regions)
    print(images_report.copied(found, plan_only=plan, as_json=json))


@recipe_task(plan="only say what would be done")
def prune(opened: ContextFactory, plan: bool = False, json: bool = False) -> None:
    """Let old images go: deprecate, after the grace deregister and delete their snapshots; each only if nothing names it.

    The policy is [retention] in the recipe. An image stays in any case while an instance, a launch template, a group, a refresh,
    a parameter, another image or another account has it, or a rollback may need it; each keep and each delete says why. All
    of that is looked at again right before each delete.
    """
    from goldenami.images import prune as images_prune
    from goldenami.images import report as images_report

    ctx = opened()
    result = images_prune.prune(ctx, plan_only=plan)
    print(images_report.pruned(ctx, result, plan_only=plan, as_json=json))
    print_status(images_report.summary(result))


@recipe_task(ami="the bad image's id", why="a word for the others", plan="only say what would be marked")
def retire(opened: ContextFactory, ami: str, why: str = "", plan: bool = False, json: bool = False) -> None:
    """Mark a bad image, and all that was made from it: promote, rollback, deploy and a new fleet refuse them for ever.

    What runs of it goes on (`rollback` takes the fleet off it). Where it is the candidate, the newest good image becomes it.
    """
    from goldenami.errors import UsageError
    from goldenami.images import report as images_report
    from goldenami.images import retire as images_retire

    if not why and not plan:
        raise UsageError("say why it is bad: --why …", next=f"./invoke retire --ami {ami} --why 'leaks memory'")
    print(images_report.retired(images_retire.retire(opened(), ami, why, plan_only=plan), plan_only=plan, as_json=json))


@recipe_task(
    run="also clean up after this run, whoever started it",
    plan="only list",
)
def sweep(opened: ContextFactory, run: str = "", plan: bool = False, json: bool = False) -> None:
    """Remove what dead runs left: instances, volumes, snapshots, keys, security groups; and useless template versions.

    Things are found by the run id in their tags. Runs of other people may be alive; theirs are listed and kept,
    unless named with --run or older than any run lives. Of the fleet's launch template those versions go that nothing launches
    and no rollback needs: each holds its image against prune.
    """
    from goldenami.bake import cleanup
    from goldenami.images import report as images_report
    from goldenami.images import template_versions

    ctx = opened()
    found = cleanup.sweep(ctx, run_ids=frozenset({run} - {""}), plan_only=plan)
    print(images_report.swept(found, template_versions.trim(ctx, plan_only=plan), plan_only=plan, as_json=json))
