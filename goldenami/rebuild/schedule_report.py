"""What the tasks about the schedule print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from goldenami.rebuild.schedule_systemd import State
from goldenami.summary import pairs


def written(files: Mapping[Path, str], *, as_json: bool) -> str:
    """The files as they would be written."""
    if as_json:
        return json.dumps({str(path): text for path, text in files.items()}, ensure_ascii=False)
    return "\n".join(f"# --- {path}\n{text}" for path, text in files.items())


def state(found: State, *, as_json: bool) -> str:
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


def _files(found: State) -> str:
    wrong = [*(f"{path} is missing" for path in found.missing), *(f"{path} is not current" for path in found.stale)]
    return "; ".join(wrong) + "; ./invoke schedule.install writes them" if wrong else "as the recipe wants them"


def removed(gone: Sequence[str], *, as_json: bool) -> str:
    """What was taken away."""
    if as_json:
        return json.dumps(list(gone))
    return "\n".join(f"removed {what}" for what in gone) or "nothing was there"
