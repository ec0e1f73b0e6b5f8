"""Timeline of a rollout, and the deployment checklist made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """An event of a rollout.

    Attributes:
        at: ISO 8601, UTC.
        subject: Id of the instance or instance refresh.
    """

    at: str
    kind: str
    text: str
    subject: str = ""


@dataclass
class Timeline:
    """Events in chronological order."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Append an event."""
        self.events.append(event)

    def first(self, kind: str) -> Event | None:
        """Return the first event of a kind, or None."""
        return next((event for event in self.events if event.kind == kind), None)


@dataclass(frozen=True)
class Item:
    """A line of the checklist: passed, failed, or (None) not reached; the detail is the event that shows it."""

    title: str
    ok: bool | None
    detail: str = ""


# Each line of the deployment checklist, and the kind of event that shows it.
CHECKLIST: tuple[tuple[str, str], ...] = (
    ("Test instance launched from the new AMI", "launched"),
    ("Health check passed", "healthy"),
    ("Part of the traffic shifted (canary)", "canary"),
    ("Logs monitored", "watched"),
    ("All traffic shifted", "shifted"),
    ("Old instances terminated", "terminated"),
)


def checklist(timeline: Timeline, *, passed: bool) -> list[Item]:
    """Return the checklist; in a failed promotion the first line that was not reached has failed."""
    items: list[Item] = []
    failed = passed
    for title, kind in CHECKLIST:
        event = timeline.first(kind)
        if event is not None:
            items.append(Item(title, True, event.text))
        else:
            items.append(Item(title, None if failed else False))
            failed = True
    return items


def seconds_between(start: str, end: str) -> float:
    """Return the seconds between two ISO 8601 times."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def markdown(title: str, facts: Sequence[tuple[str, str]], timeline: Timeline, items: Sequence[Item]) -> str:
    """Return the report as Markdown."""
    marks = {True: "[x]", False: "[ ] **FAILED**:", None: "[ ] (not reached)"}
    lines = [f"# {title}", "", *(f"- {name}: {value}" for name, value in facts)]
    lines += ["", "## Deployment checklist", ""]
    lines += [f"- {marks[item.ok]} {item.title}" + (f": {item.detail}" if item.detail else "") for item in items]
    lines += ["", "## Timeline", "", "| elapsed | event |", "|---|---|"]
    start = timeline.events[0].at if timeline.events else ""
    for event in timeline.events:
        text = event.text.replace("|", "\\|")
        lines.append(f"| {seconds_between(start, event.at):.0f} s | {text} |")
    return "\n".join(lines) + "\n"


def as_json(
    facts: Sequence[tuple[str, str]], timeline: Timeline, items: Sequence[Item], *, passed: bool
) -> dict[str, Any]:
    """Return the report as JSON data."""
    return {
        "facts": dict(facts),
        "passed": passed,
        "checklist": [asdict(item) for item in items],
        "timeline": [asdict(event) for event in timeline.events],
    }
