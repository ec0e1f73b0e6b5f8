"""What `deploy` prints: beforehand what it would do, and in the end what it has done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from goldenami.context import Context
from goldenami.promote import preflight_report
from goldenami.promote.model import DeployPreflight, DeployResult, PromoteResult
from goldenami.text import pairs, seconds


def page(ctx: Context, found: DeployPreflight, *, as_json: bool) -> str:
    """What is, what differs, what would be done, and what forbids it."""
    done = list(steps(ctx, found))
    if as_json:
        told = preflight_report.facts(ctx, found.preflight)
        told |= {"steps": done, "refusals": list(found.blockers)}
        told |= {"replaced": [asdict(one) for one in found.replaced], "there": [asdict(one) for one in found.existing]}
        return json.dumps(told, ensure_ascii=False, default=dict)
    parts = [*preflight_report.about(ctx, found.preflight), "\nwhat will be done"]
    parts += [f"  {number}. {step}" for number, step in enumerate(done, 1)]
    notes = [note for note in found.preflight.plan.warnings if "no Auto Scaling group" not in note]
    return "\n".join([*parts, *preflight_report.verdict(notes, found.blockers)])


def steps(ctx: Context, found: DeployPreflight) -> Iterator[str]:
    """What will be done, in its order."""
    decided, wanted, names, data = found.preflight.plan, found.preflight.request, ctx.names, ctx.recipe.database
    version = f"version {decided.version}" if decided.version else "the new version"
    if found.preflight.fleet_state.template is None:
        yield f"make {names.launch_template} with {wanted.ami} as version 1"
    elif decided.version is None:
        yield f"make a version of {names.launch_template} from version {decided.source}, with {wanted.ami}"
    old = ", ".join(one.id for one in found.replaced)
    if found.existing:
        yield f"go on with {found.existing[0].id}, which runs this image: it has to be healthy"
    else:
        beside = f" beside {old}" if old else ""
        yield f"launch one {ctx.recipe.instance.type} from {version}{beside}; it has to be healthy, else it goes again"
    if wanted.watch:
        yield f"watch it for {seconds(wanted.watch)}"
    if data.on_instance and old:
        how = (
            "bring the volume to the new one"
            if data.on_volume
            else "back its rows up, restore and compare them on the new one"
        )
        yield f"stop writes on {found.replaced[0].id}; {how}; if that fails, it serves on with all of them"
    elif data.on_volume:
        yield "bring the volume to it"
    yield f"put it behind the balancer, where {names.target_group} is there"
    if old:
        yield f"terminate {old}"
    if decided.default:
        yield f"make {version} the default of {names.launch_template}"
    if decided.publish:
        yield f"point {names.production} at {wanted.ami}"


def deployed(done: DeployResult) -> str:
    """The end of `deploy`."""
    told = {
        "instance": f"{done.instance.id} ({done.instance.address})",
        "image": f"{done.image.name} ({done.image.id})",
        "replaced": ", ".join(done.replaced) or "nothing",
        "logs": str(done.run.folder),
        "next": "./invoke instances",
    }
    return f"\ndeployed\n{pairs(told)}\n"


def deployed_facts(done: DeployResult) -> str:
    """The same for scripts."""
    return json.dumps(
        {
            "instance": done.instance.id,
            "address": done.instance.address,
            "ami": done.image.id,
            "replaced": list(done.replaced),
            "run": done.run.id,
        }
    )


def summary(ctx: Context, result: PromoteResult) -> str:
    """The end of a promotion."""
    facts = {
        "image": f"{result.image.name} ({result.image.id})",
        "template": f"{ctx.names.launch_template} version {result.version} (default)",
        "pointer": ctx.names.production,
    }
    if result.run is not None:
        facts["phases"] = ", ".join(f"{name} {seconds(took)}" for name, took in ctx.progress.phases.items())
        facts["report"] = str(result.run.folder / "promotion.html")
    facts["next"] = "./invoke status"
    return f"\n{'promoted' if result.run else 'unchanged: it is in production already'}\n{pairs(facts)}\n"


def facts(ctx: Context, result: PromoteResult) -> str:
    """The same for scripts."""
    told = {
        "ami": result.image.id,
        "name": result.image.name,
        "version": result.version,
        "refresh": result.refresh,
        "unchanged": result.run is None,
        "run": result.run.id if result.run else None,
        "folder": str(result.run.folder) if result.run else None,
        "phases_seconds": ctx.progress.phases,
        "timeline": [asdict(event) for event in result.timeline.events],
    }
    return json.dumps(told, ensure_ascii=False)
