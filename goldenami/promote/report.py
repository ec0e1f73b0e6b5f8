"""Reports of promote, rollback and deploy: preflight of a deployment, results, timeline of a rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from goldenami.context import Context
from goldenami.promote import preflight_report
from goldenami.promote.model import DeployPreflight, DeployResult, PromoteResult
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.timeline_model import Timeline, checklist, seconds_between
from goldenami.text import Report, bullets, markdown, markdown_checklist, markdown_table, numbered, pairs, seconds


def deploy_preflight(ctx: Context, preflight: DeployPreflight) -> Report:
    """Return the preflight of a deployment: current state, differences, steps, blockers."""
    steps = list(deploy_steps(ctx, preflight))
    facts = {
        **preflight_report.facts(ctx, preflight.preflight),
        "steps": steps,
        "blockers": list(preflight.blockers),
        "replaced": [asdict(instance) for instance in preflight.replaced],
        "existing": [asdict(instance) for instance in preflight.existing],
    }
    warnings = [text for text in preflight.preflight.plan.warnings if "no Auto Scaling group" not in text]
    parts = [*preflight_report.overview(ctx, preflight.preflight), "\nSteps", *numbered(steps)]
    parts += [*bullets("Warnings", warnings), *bullets("REFUSED", preflight.blockers)]
    return Report(facts, "\n".join(parts))


def deploy_steps(ctx: Context, preflight: DeployPreflight) -> Iterator[str]:
    """Return the steps of a deployment, in order."""
    request, names, data = preflight.preflight.request, ctx.names, ctx.recipe.database
    yield from preflight_report.launch_template_steps(ctx, preflight.preflight)
    old = ", ".join(instance.id for instance in preflight.replaced)
    yield from preflight_report.schema_steps(preflight.preflight)
    if preflight.existing:
        yield f"continue with {preflight.existing[0].id}, which runs this image: it must become healthy"
    else:
        launch = f"launch one {ctx.recipe.instance.type} from {preflight_report.version_name(preflight.preflight)}"
        yield f"{launch}{f' alongside {old}' if old else ''}; it must become healthy, otherwise it is terminated"
    if request.watch:
        yield f"monitor it for {seconds(request.watch)}"
    if data.on_instance and old:
        how = "back up the database, restore and verify it on the new one"
        if data.on_volume:
            how = "move the volume to the new one"
        yield f"stop writes on {preflight.replaced[0].id}; {how}; if that fails, the old instance resumes with all data"
    elif data.on_volume:
        yield "attach the volume to it"
    yield f"register it with {names.target_group}, if the target group exists"
    if old:
        yield f"terminate {old}"
    yield from preflight_report.release_steps(ctx, preflight.preflight)


def deployed(result: DeployResult) -> Report:
    """Return the result of a deployment."""
    summary = {
        "instance": f"{result.instance.id} ({result.instance.address})",
        "image": f"{result.image.name} ({result.image.id})",
        "replaced": ", ".join(result.replaced) or "nothing",
        "logs": str(result.run.folder),
        "next": "./invoke instances",
    }
    facts = {
        "instance": result.instance.id,
        "address": result.instance.address,
        "ami": result.image.id,
        "replaced": list(result.replaced),
        "run": result.run.id,
    }
    return Report(facts, result.instance.id, f"\ndeployed\n{pairs(summary)}\n")


def promoted(ctx: Context, result: PromoteResult) -> Report:
    """Return the result of a promotion, rollback or migration."""
    image, run, phases = result.image, result.run, ctx.progress.phases
    summary = {
        "image": f"{image.name} ({image.id})",
        "template": f"{ctx.names.launch_template} version {result.version} (default)",
        "pointer": ctx.names.production,
    }
    if run is not None:
        summary["phases"] = ", ".join(f"{name} {seconds(duration)}" for name, duration in phases.items())
        summary["report"] = str(run.folder / "promotion.html")
    summary["next"] = "./invoke status"
    facts = {
        "ami": image.id,
        "name": image.name,
        "version": result.version,
        "refresh": result.refresh,
        "unchanged": run is None,
        "run": run.id if run else None,
        "folder": str(run.folder) if run else None,
        "phases_seconds": phases,
        "timeline": [asdict(event) for event in result.timeline.events],
    }
    title = "promoted" if run else "unchanged: already in production"
    return Report(facts, image.id, f"\n{title}\n{pairs(summary)}\n")


def rollout(preflight: PromotionPreflight, timeline: Timeline, run: str, failure: str) -> Report:
    """Return the report of a rollout that has ended, with its text in Markdown.

    Args:
        preflight: What was planned.
        timeline: What happened.
        run: Id of the run.
        failure: Why it failed; empty if it succeeded.
    """
    image, running, events = preflight.request.image, preflight.running, timeline.events
    name = image.name if image else preflight.request.ami
    title = f"{name}: {'rolled back' if timeline.first('restored') else 'failed' if failure else 'promoted'}"
    elapsed = [seconds_between(events[0].at, event.at) for event in events]
    about = {
        "Image": f"{name} ({preflight.request.ami})",
        "Before": f"{running.name} ({running.id})" if running else "nothing",
        "Result": failure or "in production",
        "Duration": seconds(elapsed[-1] if elapsed else 0.0),
        "Run": run,
    }
    items = checklist(timeline, passed=not failure)
    rows = [[f"{after:.0f} s", event.text] for after, event in zip(elapsed, events, strict=True)]
    facts = {
        "title": title,
        "facts": about,
        "passed": not failure,
        "checklist": [asdict(item) for item in items],
        "timeline": [asdict(event) for event in events],
    }
    sections = {
        "Deployment checklist": markdown_checklist(items),
        "Timeline": markdown_table(["elapsed", "event"], rows),
    }
    return Report(facts, markdown(title, about.items(), sections))


def rollout_page(report: Report) -> Mapping[str, Any]:
    """Return the values for the HTML page of a rollout: its facts, and each event with its place on the time axis."""
    events = report.facts["timeline"]
    elapsed = [seconds_between(events[0]["at"], event["at"]) for event in events]
    rows = [
        {**event, "elapsed": after, "place": 100 * after / elapsed[-1] if elapsed[-1] else 0}
        for after, event in zip(elapsed, events, strict=True)
    ]
    return {**report.facts, "rows": rows}
