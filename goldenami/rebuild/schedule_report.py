"""Reports of the rebuild schedule, on a machine and in AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from goldenami.rebuild.schedule_model import ResourceDiff, ScheduleStatus
from goldenami.text import Report, pairs, table


def files(contents: Mapping[Path, str]) -> Report:
    """Return the systemd files to install."""
    facts = {str(path): text for path, text in contents.items()}
    return Report(facts, "\n".join(f"# --- {path}\n{text}" for path, text in facts.items()))


def status(schedule: ScheduleStatus) -> Report:
    """Return the state of the schedule on this machine."""
    units = schedule.units
    facts = {**asdict(schedule), "units": {"timer": units.timer, "service": units.service}}
    if schedule.missing and not schedule.active:
        return Report(facts, "not installed; install it with ./invoke schedule.install")
    outdated = [f"{path} is missing" for path in schedule.missing]
    outdated += [f"{path} is outdated" for path in schedule.stale]
    lines = {
        "timer": f"{units.timer}, {'active' if schedule.active else 'not active'}",
        "next": schedule.next or "unknown",
        "last": schedule.last or "never",
        "last rebuild": schedule.result or "unknown to systemd",
        "files": "; ".join([*outdated, "update them with ./invoke schedule.install"]) if outdated else "up to date",
        "log": f"journalctl -u {units.service}",
    }
    return Report(facts, pairs(lines))


def removed(names: Sequence[str]) -> Report:
    """Return the names of what was deleted."""
    return Report(list(names), "\n".join(f"deleted {name}" for name in names) or "not installed")


def aws(resources: Sequence[ResourceDiff]) -> Report:
    """Return the resources of the schedule in AWS: their status, and their desired configuration."""
    facts = [
        {"kind": r.resource.kind, "name": r.resource.name, "status": r.change, "desired": r.resource.desired}
        for r in resources
    ]
    documents = [
        f"# {r.resource.kind} {r.resource.name}\n{json.dumps(r.resource.desired, indent=2, ensure_ascii=False)}"
        for r in resources
    ]
    rows = [[r.resource.kind, r.resource.name, r.change] for r in resources]
    return Report(facts, "\n\n".join([table(["KIND", "NAME", "STATUS"], rows), *documents]))
