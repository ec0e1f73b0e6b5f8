"""What the tasks about the schedule print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from goldenami.rebuild.schedule_model import ResourceDiff, ScheduleStatus
from goldenami.text import pairs, table


def installed(files: Mapping[Path, str], *, as_json: bool) -> str:
    """The files as they would be written."""
    if as_json:
        return json.dumps({str(path): text for path, text in files.items()}, ensure_ascii=False)
    return "\n".join(f"# --- {path}\n{text}" for path, text in files.items())


def status(found: ScheduleStatus, *, as_json: bool) -> str:
    """The schedule on this machine."""
    if as_json:
        told = {**asdict(found), "units": {"timer": found.units.timer, "service": found.units.service}}
        return json.dumps(told, ensure_ascii=False)
    if found.missing and not found.active:
        return "not installed; ./invoke schedule.install does it"
    facts = {
        "timer": f"{found.units.timer}, {'active' if found.active else 'not active'}",
        "next": found.next or "unknown",
        "last": found.last or "not yet",
        "last rebuild": found.result or "none that systemd knows of",
        "files": _files(found),
        "log": f"journalctl -u {found.units.service}",
    }
    return pairs(facts)


def _files(found: ScheduleStatus) -> str:
    wrong = [*(f"{path} is missing" for path in found.missing), *(f"{path} is not current" for path in found.stale)]
    return "; ".join(wrong) + "; ./invoke schedule.install writes them" if wrong else "as the recipe wants them"


def removed(gone: Sequence[str], *, as_json: bool) -> str:
    """What was taken away."""
    if as_json:
        return json.dumps(list(gone))
    return "\n".join(f"removed {what}" for what in gone) or "nothing was there"


def applied(seen: Sequence[ResourceDiff], *, as_json: bool) -> str:
    """The parts, and with JSON each document whole."""
    if as_json:
        told = [
            {"kind": s.resource.kind, "name": s.resource.name, "is": s.change, "wanted": s.resource.desired}
            for s in seen
        ]
        return json.dumps(told, ensure_ascii=False)
    documents = [
        f"# {s.resource.kind} {s.resource.name}\n{json.dumps(s.resource.desired, indent=2, ensure_ascii=False)}"
        for s in seen
    ]
    return "\n\n".join(
        [table(["PART", "NAME", ""], [[s.resource.kind, s.resource.name, s.change] for s in seen]), *documents]
    )
