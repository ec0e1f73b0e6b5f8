"""What happened during a promotion, and the team's deployment checklist made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened: when (ISO 8601, UTC), its kind, a sentence, and what it happened to."""

    at: str
    kind: str
    text: str
    subject: str = ""


@dataclass
class Timeline:
    """The events in their order."""

    events: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Something happened."""
        self.events.append(event)

    def first(self, kind: str) -> Event | None:
        """The first event of a kind."""
        return next((event for event in self.events if event.kind == kind), None)


@dataclass(frozen=True)
class Item:
    """A line of the checklist: done, failed, or (None) not looked at, with what shows it."""

    title: str
    ok: bool | None
    detail: str = ""


# The deployment checklist as the team writes it, and the events that show each line.
CHECKLIST: tuple[tuple[str, str], ...] = (
    ("Test instance launched from the new AMI", "launched"),
    ("Health check passed", "healthy"),
    ("Part of the traffic shifted (canary)", "canary"),
    ("Logs watched", "watched"),
    ("All traffic shifted", "shifted"),
    ("Old instances terminated", "terminated"),
)


def checklist(timeline: Timeline, *, passed: bool) -> list[Item]:
    """The checklist's lines with what shows them; the first that was not reached in a failed promotion is the failed one."""
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
    """Seconds from one ISO 8601 time to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def markdown(title: str, facts: Sequence[tuple[str, str]], timeline: Timeline, items: Sequence[Item]) -> str:
    """The report for people."""
    marks = {True: "[x]", False: "[ ] **FAILED**:", None: "[ ] (not reached)"}
    out = [f"# {title}", "", *(f"- {name}: {value}" for name, value in facts)]
    out += ["", "## Deployment checklist", ""]
    out += [f"- {marks[item.ok]} {item.title}" + (f": {item.detail}" if item.detail else "") for item in items]
    out += ["", "## Timeline", "", "| elapsed | what |", "|---|---|"]
    start = timeline.events[0].at if timeline.events else ""
    for event in timeline.events:
        text = event.text.replace("|", "\\|")
        out.append(f"| {seconds_between(start, event.at):.0f} s | {text} |")
    return "\n".join(out) + "\n"


def as_json(
    facts: Sequence[tuple[str, str]], timeline: Timeline, items: Sequence[Item], *, passed: bool
) -> dict[str, Any]:
    """The report for scripts."""
    return {
        "facts": dict(facts),
        "passed": passed,
        "checklist": [asdict(item) for item in items],
        "timeline": [asdict(event) for event in timeline.events],
    }
