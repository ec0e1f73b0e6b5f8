"""Turn what the flows return into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from goldenami.bake import preflight as planning
from goldenami.bake.bake import Result
from goldenami.bake.cleanup import Swept
from goldenami.bake.plan import LayerPlan
from goldenami.bake.preflight import Options
from goldenami.context import Shop
from goldenami.dev.doctor import Finding
from goldenami.errors import UsageError
from goldenami.images.catalogue import Entry
from goldenami.images.template_versions import Trimmed
from goldenami.model.version import parse
from goldenami.summary import pairs, seconds, table


def check_options(options: Options) -> None:
    """Refuse options that cannot be meant, before anything is started.

    Raises:
        UsageError: An unknown --bump, a malformed --version, or both at once.
    """
    if options.bump not in ("", "minor", "major", "patch"):
        raise UsageError(f"--bump {options.bump} is unknown; expected minor, major or patch")
    if options.version:
        parse(options.version)
        if options.bump:
            raise UsageError("--bump and --version exclude each other")


def plan(shop: Shop, options: Options, *, as_json: bool) -> str:
    """What a bake would do about each layer, and why."""
    base, app = planning.plan(shop, planning.look(shop), options)
    app = app or LayerPlan("app", "", "build", "its base layer is built anew")
    if as_json:
        return json.dumps({layer.layer: _layer(layer) for layer in (base, app)}, ensure_ascii=False)
    rows = [[p.layer, p.action, p.reason, f"{p.image.name} ({p.image.id})" if p.image else ""] for p in (base, app)]
    return table(["LAYER", "ACTION", "WHY", "IMAGE"], rows)


def summary(shop: Shop, result: Result) -> str:
    """The end of a bake: what there is now, where to look, and what to do next."""
    image = result.image
    facts = {
        "image": f"{image.name}",
        "id": image.id,
        "version": str(result.version),
        "base layer": _told(result.base),
        "app layer": _told(result.app),
        "size": f"{image.size_gib} GiB root volume",
        "candidate": shop.candidate,
    }
    if result.run is not None:
        facts["phases"] = ", ".join(f"{name} {seconds(took)}" for name, took in shop.progress.phases.items())
        facts["report"] = str(result.run.folder / "report.md")
        facts["logs"] = str(result.run.folder)
    facts["next"] = "./invoke images"
    title = "unchanged; nothing was launched" if result.unchanged else "baked and verified"
    return f"\n{title}\n{pairs(facts)}\n"


def facts(shop: Shop, result: Result) -> dict[str, Any]:
    """The result of a bake for scripts."""
    return {
        "ami": result.image.id,
        "name": result.image.name,
        "version": str(result.version),
        "unchanged": result.unchanged,
        "layers": {layer.layer: _layer(layer) for layer in (result.base, result.app)},
        "run": result.run.id if result.run else None,
        "folder": str(result.run.folder) if result.run else None,
        "phases_seconds": shop.progress.phases,
    }


def images(entries: list[Entry], *, as_json: bool) -> str:
    """The list of AMIs."""
    if as_json:
        rows = [
            {**asdict(e.image), "version": str(e.version or ""), "status": e.status, "candidate": e.candidate}
            for e in entries
        ]
        return json.dumps(rows, ensure_ascii=False, default=dict)
    if not entries:
        return "no images yet; ./invoke bake makes one"
    return table(
        ["VERSION", "ID", "STATUS", "CREATED", "SIZE", "NAME"],
        [
            [
                str(e.version or "-"),
                e.image.id,
                e.status + (" (candidate)" if e.candidate else ""),
                e.image.created[:16].replace("T", " "),
                f"{e.image.size_gib} GiB",
                e.image.name,
            ]
            for e in entries
        ],
    )


def swept(found: Swept, trimmed: Trimmed, *, plan_only: bool, as_json: bool) -> str:
    """What a sweep removed (or would remove) and what it left alone."""
    versions = {judged.version.number: judged.reason for judged in trimmed.versions}
    if as_json:
        told = {"removed": [asdict(i) for i in found.removable], "kept": [asdict(i) for i in found.kept]}
        return json.dumps({**told, "template_versions": versions, "busy": trimmed.busy}, ensure_ascii=False)
    done = "would remove" if plan_only else "removed"
    rows = [[done, i.kind, i.id, i.run_id, i.detail] for i in found.removable]
    rows += [["kept (may be alive)", i.kind, i.id, i.run_id, i.detail] for i in found.kept]
    word = "kept (busy)" if trimmed.busy else done
    rows += [
        [word, "template version", str(n), "", trimmed.busy or "of no use any more"]
        for n in versions
        if not versions[n]
    ]
    return table(["", "KIND", "ID", "RUN", "DETAIL"], rows) if rows else "nothing was left behind"


def findings(found: list[Finding], *, as_json: bool) -> str:
    """What the doctor found."""
    if as_json:
        return json.dumps([asdict(finding) for finding in found], ensure_ascii=False)
    rows = [[f.result, f.name, f.detail + (f" -> {f.mend}" if f.mend else "")] for f in found]
    return table(["", "WHAT", "SEEN"], rows)


def _told(layer: LayerPlan) -> str:
    name = f" {layer.image.name} ({layer.image.id})" if layer.image else ""
    return f"{ {'build': 'built', 'reuse': 'reused', 'adopt': 'adopted'}[layer.action] }{name}: {layer.reason}"


def _layer(layer: LayerPlan) -> dict[str, Any]:
    image = layer.image.id if layer.image else None
    return {"action": layer.action, "reason": layer.reason, "fingerprint": layer.fingerprint, "ami": image}
