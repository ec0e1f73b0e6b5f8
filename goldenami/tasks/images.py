"""The life of images: list, compare, carry elsewhere, mark as bad, let go; and what dead runs left."""

from __future__ import annotations

from pathlib import Path

from goldenami.tasks.runner import Opened, operation, say


@operation()
def images(opened: Opened, json: bool = False) -> None:
    """List the recipe's AMIs, newest version first: status, layers, and which one is the candidate."""
    from goldenami.bake import report as telling
    from goldenami.images import catalogue

    print(telling.images(catalogue.catalogue(opened()), as_json=json))


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
    from goldenami.images import diff as flow
    from goldenami.images import diff_report as diff_telling

    shop = opened()
    found = flow.diff(shop, a, b, advisories=Path(advisories) if advisories else None, boot=boot)
    print((diff_telling.facts if json else diff_telling.markdown if markdown else diff_telling.page)(shop, found))


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
    from goldenami.images import copy as flow
    from goldenami.images import copy_telling
    from goldenami.images.catalog import Options

    shop = opened()
    options = Options(ami=ami, version=version, candidate=candidate)
    regions = [region.strip() for region in to.split(",") if region.strip()]
    found = flow.look(shop, options, regions) if plan else flow.copy(shop, options, regions)
    print(copy_telling.copied(found, plan_only=plan, as_json=json))


@operation(plan="only say what would be done")
def prune(opened: Opened, plan: bool = False, json: bool = False) -> None:
    """Let old images go: deprecate, after the grace deregister and delete their snapshots; each only if nothing names it.

    The policy is [keep] in the recipe. An image stays in any case while an instance, a launch template, a group, a refresh,
    a parameter, another image or another account has it, or a rollback may need it; each keep and each delete says why. All
    of that is looked at again right before each delete.
    """
    from goldenami.images import prune as flow
    from goldenami.images import report as image_telling

    shop = opened()
    result = flow.prune(shop, plan_only=plan)
    print(image_telling.pruned(shop, result, plan_only=plan, as_json=json))
    say(image_telling.summary(result))


@operation(ami="the bad image's id", why="a word for the others", plan="only say what would be marked")
def retire(opened: Opened, ami: str, why: str = "", plan: bool = False, json: bool = False) -> None:
    """Mark a bad image, and all that was made from it: promote, rollback, deploy and a new fleet refuse them for ever.

    What runs of it goes on (`rollback` takes the fleet off it). Where it is the candidate, the newest good image becomes it.
    """
    from goldenami.errors import UsageError
    from goldenami.images import report as image_telling
    from goldenami.images import retire as flow

    if not why and not plan:
        raise UsageError("say why it is bad: --why …", next=f"./invoke retire --ami {ami} --why 'leaks memory'")
    print(image_telling.retired(flow.retire(opened(), ami, why, plan_only=plan), plan_only=plan, as_json=json))


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
    from goldenami.bake import cleanup as flow
    from goldenami.bake import report as telling
    from goldenami.images import template_versions as trim

    shop = opened()
    found = flow.sweep(shop, run_ids=frozenset({run} - {""}), plan_only=plan)
    print(telling.swept(found, trim.trim(shop, plan_only=plan), plan_only=plan, as_json=json))
