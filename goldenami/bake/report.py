"""Turn what the flows return into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from typing import Any

from goldenami.bake.model import BakeOptions, BakeResult
from goldenami.bake.plan import LayerPlan
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.model.version import parse
from goldenami.text import pairs, seconds, table


def check_options(options: BakeOptions) -> None:
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


def plan_text(base: LayerPlan, app: LayerPlan | None, *, as_json: bool) -> str:
    """What a bake would do about each layer, and why."""
    app = app or LayerPlan("app", "", "build", "its base layer is built anew")
    if as_json:
        return json.dumps({layer.layer: _layer(layer) for layer in (base, app)}, ensure_ascii=False)
    rows = [[p.layer, p.action, p.reason, f"{p.image.name} ({p.image.id})" if p.image else ""] for p in (base, app)]
    return table(["LAYER", "ACTION", "WHY", "IMAGE"], rows)


def summary(ctx: Context, result: BakeResult) -> str:
    """The end of a bake: what there is now, where to look, and what to do next."""
    image = result.image
    facts = {
        "image": f"{image.name}",
        "id": image.id,
        "version": str(result.version),
        "base layer": _layer_summary(result.base),
        "app layer": _layer_summary(result.app),
        "size": f"{image.size_gib} GiB root volume",
        "candidate": ctx.candidate,
    }
    if result.run is not None:
        facts["phases"] = ", ".join(f"{name} {seconds(took)}" for name, took in ctx.progress.phases.items())
        facts["report"] = str(result.run.folder / "report.md")
        facts["logs"] = str(result.run.folder)
    facts["next"] = "./invoke images"
    title = "unchanged; nothing was launched" if result.unchanged else "baked and verified"
    return f"\n{title}\n{pairs(facts)}\n"


def facts(ctx: Context, result: BakeResult) -> dict[str, Any]:
    """The result of a bake for scripts."""
    return {
        "ami": result.image.id,
        "name": result.image.name,
        "version": str(result.version),
        "unchanged": result.unchanged,
        "layers": {layer.layer: _layer(layer) for layer in (result.base, result.app)},
        "run": result.run.id if result.run else None,
        "folder": str(result.run.folder) if result.run else None,
        "phases_seconds": ctx.progress.phases,
    }


def _layer_summary(layer: LayerPlan) -> str:
    name = f" {layer.image.name} ({layer.image.id})" if layer.image else ""
    return f"{ {'build': 'built', 'reuse': 'reused', 'adopt': 'adopted'}[layer.action] }{name}: {layer.reason}"


def _layer(layer: LayerPlan) -> dict[str, Any]:
    image = layer.image.id if layer.image else None
    return {"action": layer.action, "reason": layer.reason, "fingerprint": layer.fingerprint, "ami": image}
