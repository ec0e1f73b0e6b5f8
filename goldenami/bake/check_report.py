"""The report of the gates: each check with its result, and the team's golden-image checklist made from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Gate = Literal["base", "image", "boot", "account"]

_LINE = re.compile(r"CHECK (?P<name>[a-z0-9][a-z0-9_-]*) (?P<result>ok|FAIL)(?: (?P<detail>.*))?$")

# The checklist for a golden AMI, as the team writes it, and the checks that prove each line.
CHECKLIST: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("System packages are current", ("packages-current", "git", "install-directory")),
    ("Go version confirmed", ("go-version", "boot-go")),
    ("PostgreSQL configuration confirmed", ("postgresql", "database", "boot-postgresql")),
    ("Application build succeeded", ("app-built",)),
    (
        "systemd service enabled",
        ("unit-enabled", "unit-active", "no-failed-units", "boot-unit-active", "boot-no-failed-units"),
    ),
    ("Health check passed", ("health", "boot-health", "boot-health-outside")),
    ("Parameter Store connected", ("parameter-store", "boot-parameter-store")),
    ("Nothing left behind (keys, secrets, history, logs)", ("hygiene", "boot-clean")),
    ("AMI tags added", ("tags-complete", "imdsv2-required", "image-private", "image-encrypted")),
    ("Documentation updated (manifest, bill of materials, this report)", ("provenance",)),
)


@dataclass(frozen=True)
class Check:
    """One thing that a gate looked at: what it is called, whether it was so, and what was seen."""

    name: str
    ok: bool
    detail: str = ""
    gate: Gate = "image"


def parse(lines: Iterable[str], gate: Gate) -> list[Check]:
    """Find `CHECK name ok|FAIL detail` in what a machine printed; a check that ran twice counts as it came out last."""
    found: dict[str, Check] = {}
    for line in lines:
        match = _LINE.search(line.rstrip())
        if match:
            found[match["name"]] = Check(match["name"], match["result"] == "ok", match["detail"] or "", gate)
    return list(found.values())


def failed_checks(checks: Iterable[Check]) -> list[Check]:
    """The checks that did not pass."""
    return [check for check in checks if not check.ok]


def checklist(checks: Sequence[Check]) -> list[tuple[str, bool | None, list[Check]]]:
    """The checklist's lines with their result: True, False, or None where nothing looked at it in this run."""
    lines: list[tuple[str, bool | None, list[Check]]] = []
    rest = {id(check): check for check in checks}
    for title, names in CHECKLIST:
        mine = [c for c in checks if c.name in names or any(c.name.startswith(f"{n}-") for n in names)]
        for check in mine:
            rest.pop(id(check), None)
        lines.append((title, all(c.ok for c in mine) if mine else None, mine))
    if rest:
        others = list(rest.values())
        lines.append(("Other checks", all(c.ok for c in others), others))
    return lines


def markdown(title: str, facts: Sequence[tuple[str, str]], checks: Sequence[Check]) -> str:
    """The report for people: the facts, then the checklist with every check under its line."""
    out = [f"# {title}", ""]
    out += [f"- {name}: {value}" for name, value in facts]
    out += ["", "## Golden AMI checklist", ""]
    for line, ok, mine in checklist(checks):
        mark = {True: "[x]", False: "[ ] **FAILED**:", None: "[ ] (not checked in this run)"}[ok]
        out.append(f"- {mark} {line}")
        out += [f"  - {'ok' if c.ok else 'FAIL'} `{c.name}` ({c.gate}) {c.detail}".rstrip() for c in mine]
    return "\n".join(out) + "\n"


def as_json(facts: Sequence[tuple[str, str]], checks: Sequence[Check], *, passed: bool = True) -> dict[str, Any]:
    """The report for scripts."""
    return {
        "facts": dict(facts),
        "passed": passed and not failed_checks(checks),
        "checklist": [
            {"item": title, "ok": ok, "checks": [c.name for c in mine]} for title, ok, mine in checklist(checks)
        ],
        "checks": [asdict(check) for check in checks],
    }
