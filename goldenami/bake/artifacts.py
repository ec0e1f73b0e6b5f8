"""Files of a run: the manifest, the software bill of materials, the report of the gates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from goldenami.bake import cleanup, inventory, layer as bake_layer
from goldenami.bake.check_report import Check, gate_report
from goldenami.bake.plan import LayerPlan
from goldenami.context import Context
from goldenami.model.image import Image
from goldenami.model.inventory import Package
from goldenami.model.version import Version
from goldenami.state.runs import Run, write_json, write_text
from goldenami.text import Report
from goldenami.tools import sbom


def write_manifest(
    ctx: Context,
    run: Run,
    image: Image,
    version: Version,
    base: Image,
    plans: Sequence[LayerPlan],
    checks: Sequence[Check],
) -> None:
    """Write manifest.json, report.md and report.json, and save the image's inventory for the team."""
    packages, facts = _packages(run), _facts(run)
    manifest = {
        "run": run.id,
        "recipe": ctx.recipe.path.name,
        "image": {"id": image.id, "name": image.name, "version": str(version), "created": image.created},
        "base": {"id": base.id, "name": base.name, "fingerprint": base.fingerprint},
        "layers": {p.layer: {"action": p.action, "reason": p.reason, "fingerprint": p.fingerprint} for p in plans},
        "snapshots": list(image.snapshots),
        "root_volume_gib": image.size_gib,
        "tags": dict(image.tags),
        "machine": facts,
        "packages": [asdict(package) for package in packages],
        "phases_seconds": ctx.progress.phases,
        "region": ctx.aws.region,
    }
    write_json(run.folder / "manifest.json", manifest)
    inventory.save(ctx, image, facts, packages)
    contents = f", sbom.cdx.json ({len(packages)} packages)" if packages else "; no packages recorded in this run"
    complete = [*checks, Check("provenance", True, f"manifest.json{contents}", "account")]
    summary = [
        ("Image", f"{image.name} ({image.id})"),
        ("Version", str(version)),
        ("Base layer", f"{base.name} ({base.id}), {plans[0].action}"),
        ("App layer", f"{plans[1].action}: {plans[1].reason}"),
        ("Run", run.id),
    ]
    _write_report(run, gate_report(image.name, summary, complete))


def write_sbom(ctx: Context, run: Run, name: str, version: Version) -> None:
    """Write sbom.cdx.json, the software bill of materials of the AMI with this name."""
    if packages := _packages(run):
        text = sbom.render(name, version.tag, ctx.recipe.image.family, packages)
        write_text(run.folder / "sbom.cdx.json", text + "\n")


def close_run(ctx: Context, run: Run, failure: str) -> None:
    """Close a run: write the report of its failure, if any, and delete its resources that are not part of an AMI.

    If this is interrupted, the run stays marked as running, and the next bake deletes the resources.
    """
    if failure:
        write_failure(run, ctx.name, failure.splitlines()[0])
    cleanup.after_run(ctx, run.id)


def write_failure(run: Run, title: str, reason: str) -> None:
    """Write the report of a run that failed, with the checks that it completed."""
    boot = [Check(**check) for check in run.facts().get("boot_checks", [])]
    checks = [*bake_layer.load_checks(run, "base"), *bake_layer.load_checks(run, "app"), *boot]
    summary = [("Image", title), ("Result", f"failed: {reason}"), ("Run", run.id)]
    _write_report(run, gate_report(title, summary, checks, passed=False))


def _write_report(run: Run, report: Report) -> None:
    write_text(run.folder / "report.md", report.text)
    write_json(run.folder / "report.json", report.facts)


def _packages(run: Run) -> list[Package]:
    for layer in ("app", "base"):
        path = run.folder / layer / "report" / "packages.tsv"
        if path.exists():
            return sbom.read(path.read_text(encoding="utf-8"))
    return []


def _facts(run: Run) -> dict[str, Any]:
    path = run.folder / "app" / "report" / "inventory.json"
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return facts
