"""Reports of a bake: its plan and its result."""

from __future__ import annotations

from typing import Any

from goldenami.bake.model import BakeResult
from goldenami.bake.plan import LayerPlan
from goldenami.context import Context
from goldenami.text import Report, pairs, seconds, table

_ACTIONS = {"build": "built", "reuse": "reused", "adopt": "adopted"}


def plan(base: LayerPlan, app: LayerPlan | None) -> Report:
    """Return the plan of a bake: the action for each layer, and the reason."""
    layers = (base, app or LayerPlan("app", "", "build", "its base layer is rebuilt"))
    rows = [[p.layer, p.action, p.reason, f"{p.image.name} ({p.image.id})" if p.image else ""] for p in layers]
    return Report({layer.layer: _layer(layer) for layer in layers}, table(["LAYER", "ACTION", "REASON", "IMAGE"], rows))


def baked(ctx: Context, result: BakeResult) -> Report:
    """Return the result of a bake."""
    image, run, phases = result.image, result.run, ctx.progress.phases
    summary = {
        "image": image.name,
        "id": image.id,
        "version": str(result.version),
        "base layer": _layer_summary(result.base),
        "app layer": _layer_summary(result.app),
        "size": f"{image.size_gib} GiB root volume",
        "candidate": ctx.candidate,
    }
    if run is not None:
        summary["phases"] = ", ".join(f"{name} {seconds(duration)}" for name, duration in phases.items())
        summary["report"] = str(run.folder / "report.md")
        summary["logs"] = str(run.folder)
    summary["next"] = "./invoke images"
    facts = {
        "ami": image.id,
        "name": image.name,
        "version": str(result.version),
        "unchanged": result.unchanged,
        "layers": {layer.layer: _layer(layer) for layer in (result.base, result.app)},
        "run": run.id if run else None,
        "folder": str(run.folder) if run else None,
        "phases_seconds": phases,
    }
    title = "unchanged; nothing was launched" if result.unchanged else "baked and verified"
    return Report(facts, image.id, f"\n{title}\n{pairs(summary)}\n")


def _layer_summary(layer: LayerPlan) -> str:
    name = f" {layer.image.name} ({layer.image.id})" if layer.image else ""
    return f"{_ACTIONS[layer.action]}{name}: {layer.reason}"


def _layer(layer: LayerPlan) -> dict[str, Any]:
    image = layer.image.id if layer.image else None
    return {"action": layer.action, "reason": layer.reason, "fingerprint": layer.fingerprint, "ami": image}
