"""Tasks that work on existing images: list, compare, copy, prune, retire, sweep."""

from __future__ import annotations

from pathlib import Path

from goldenami.tasks.runner import ContextFactory, print_report, print_status, recipe_task


@recipe_task()
def images(open_context: ContextFactory, json: bool = False) -> None:
    """List the images of the recipe, newest version first, with status, layers and the candidate."""
    from goldenami.images import catalog, report

    print_report(report.images(catalog.list_images(open_context())), json=json)


@recipe_task(
    a="the first image: AMI id, version, running or candidate",
    b="the second image",
    advisories="folder of advisories in the OSV format: also list fixed and new vulnerabilities",
    boot="launch an image without an inventory to create one",
    markdown="print Markdown",
)
def diff(
    open_context: ContextFactory,
    a: str,
    b: str,
    advisories: str = "",
    boot: bool = False,
    markdown: bool = False,
    json: bool = False,
) -> None:
    """Compare image B with image A: packages, Go, PostgreSQL, units, ports, users, setuid files, seeded tables, size.

    Each is an AMI id, a version, `running` (in production) or `candidate`: ./invoke diff running candidate
    """
    from goldenami.images import diff, diff_report

    ctx = open_context()
    result = diff.diff(ctx, a, b, advisories=Path(advisories) if advisories else None, boot=boot)
    if markdown and not json:
        print(diff_report.markdown_page(ctx, result))
    else:
        print_report(diff_report.report(ctx, result), json=json)


@recipe_task(
    ami="id of the AMI to copy",
    version="version of the image to copy, such as v1.2",
    candidate="copy the newest verified image",
    to="copy only to these regions, such as us-east-1,eu-west-1 (default: the recipe's [[copies]])",
    plan="print the remaining steps, and exit",
)
def copy(
    open_context: ContextFactory,
    ami: str = "",
    version: str = "",
    candidate: bool = False,
    to: str = "",
    plan: bool = False,
    json: bool = False,
) -> None:
    """Copy a verified image to other regions and accounts. Prints each destination with the id of its copy.

    Each copy is encrypted with the key of its destination, keeps its tags, requires IMDSv2, is shared as the recipe says, and
    is published there as the candidate. Copies run concurrently. If interrupted, run the same command to continue.
    """
    from goldenami.images import copy, report
    from goldenami.images.model import ImageSelector

    ctx = open_context()
    selector = ImageSelector(ami=ami, version=version, candidate=candidate)
    regions = [region.strip() for region in to.split(",") if region.strip()]
    result = copy.preflight(ctx, selector, regions) if plan else copy.copy(ctx, selector, regions)
    print_report(report.copied(result, plan_only=plan), json=json)


@recipe_task(plan="print what would be done, and exit")
def prune(open_context: ContextFactory, plan: bool = False, json: bool = False) -> None:
    """Apply the retention policy: deprecate, then deregister old images and their snapshots. Images in use are kept.

    The policy is [retention] in the recipe. An image is deregistered only after its grace period. An image is kept while an
    instance, launch template, group, instance refresh, parameter, another image or another account references it, or a
    rollback may need it. Every decision states its reason, and is checked again immediately before each deletion.
    """
    from goldenami.images import prune, report

    ctx = open_context()
    result = prune.prune(ctx, plan_only=plan)
    print_report(report.pruned(ctx, result, plan_only=plan), json=json)
    print_status(report.prune_summary(result))


@recipe_task(
    ami="id of the bad image", why="reason, recorded on the image", plan="print what would be marked, and exit"
)
def retire(open_context: ContextFactory, ami: str, why: str = "", plan: bool = False, json: bool = False) -> None:
    """Mark a bad image and all images built from it: they can never be promoted, deployed or rolled back to again.

    Running instances are not affected (use `rollback`). If the image is the candidate, the newest good image replaces it.
    """
    from goldenami.errors import UsageError
    from goldenami.images import report, retire

    if not why and not plan:
        raise UsageError("--why is missing", next=f"./invoke retire --ami {ami} --why 'leaks memory'")
    print_report(report.retired(retire.retire(open_context(), ami, why, plan_only=plan), plan_only=plan), json=json)


@recipe_task(
    run="also delete resources of this run, even if another user started it", plan="list the resources, and exit"
)
def sweep(open_context: ContextFactory, run: str = "", plan: bool = False, json: bool = False) -> None:
    """Delete resources left by crashed runs, and unused launch template versions.

    Resources (instances, volumes, snapshots, key pairs, security groups) are found by the run id in their tags. Runs of other
    users may still be active: their resources are kept, unless given with --run or older than any run can be. Launch
    template versions are deleted if nothing launches them and no rollback needs them; each one keeps its image in use.
    """
    from goldenami.bake import cleanup
    from goldenami.images import report, template_versions

    ctx = open_context()
    swept = cleanup.sweep(ctx, run_ids=frozenset({run} - {""}), plan_only=plan)
    print_report(report.swept(swept, template_versions.trim(ctx, plan_only=plan), plan_only=plan), json=json)
