"""Timeline of a rollout, and the deployment checklist made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from goldenami.text import ChecklistItem


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


# The deployment checklist as the team writes it, and the events that show each line.
CHECKLIST: tuple[tuple[str, str], ...] = (
    ("Test instance launched from the new AMI", "launched"),
    ("Health check passed", "healthy"),
    ("Part of the traffic shifted (canary)", "canary"),
    ("Logs monitored", "watched"),
    ("All traffic shifted", "shifted"),
    ("Old instances terminated", "terminated"),
)


NO_CANARY = "no-canary"  # kind of the event that says why no part of the traffic is shifted first


def checklist(timeline: Timeline, *, passed: bool) -> list[ChecklistItem]:
    """Return the deployment checklist. In a failed promotion, the first item that was not reached is the failed one."""
    items: list[ChecklistItem] = []
    failed = passed
    for title, kind in CHECKLIST:
        event = timeline.first(kind)
        if kind == "canary" and (reason := timeline.first(NO_CANARY)):
            items.append(ChecklistItem(f"{title}: not applicable", None, (reason.text,), applicable=False))
        elif event is not None:
            items.append(ChecklistItem(title, True, (event.text,)))
        else:
            items.append(ChecklistItem(title, None if failed else False))
            failed = True
    return items


def seconds_between(start: str, end: str) -> float:
    """Return the seconds between two ISO 8601 times."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
