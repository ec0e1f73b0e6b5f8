"""The report of a promotion: the deployment checklist as Markdown, as JSON, and as one HTML page with the timeline."""

from __future__ import annotations

from goldenami.bake import render
from goldenami.promote.plan import Preflight
from goldenami.rollout.timeline_model import Timeline, as_json, checklist, markdown, seconds_between
from goldenami.state.runs import Run, write_json, write_text
from goldenami.summary import seconds


def write(found: Preflight, timeline: Timeline, run: Run, failure: str) -> None:
    """Write promotion.md, promotion.json and promotion.html into the run's folder.

    Args:
        found: What was decided.
        timeline: What happened.
        run: Whose folder.
        failure: Why it failed; empty when it did not.
    """
    failure = failure.partition("\n")[0]
    image, running = found.wish.image, found.running
    name = image.name if image else found.wish.ami
    title = f"{name}: {'rolled back' if timeline.first('restored') else 'failed' if failure else 'promoted'}"
    took = seconds_between(timeline.events[0].at, timeline.events[-1].at) if timeline.events else 0.0
    facts = [
        ("Image", f"{name} ({found.wish.ami})"),
        ("Before", f"{running.name} ({running.id})" if running else "nothing"),
        ("Result", failure or "in production"),
        ("Took", seconds(took)),
        ("Run", run.id),
    ]
    items = checklist(timeline, passed=not failure)
    write_text(run.folder / "promotion.md", markdown(title, facts, timeline, items))
    write_json(run.folder / "promotion.json", as_json(facts, timeline, items, passed=not failure))
    start = timeline.events[0].at if timeline.events else ""
    rows = [
        {
            "elapsed": seconds_between(start, event.at),
            "at": event.at,
            "kind": event.kind,
            "text": event.text,
            "place": 100 * seconds_between(start, event.at) / took if took else 0,
        }
        for event in timeline.events
    ]
    values = {"title": title, "facts": facts, "items": items, "rows": rows, "failed": bool(failure)}
    write_text(run.folder / "promotion.html", render.page("promotion.html.j2", values))
