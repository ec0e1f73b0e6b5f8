"""Report of the gates: the result of each check, and the golden-image checklist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from goldenami.text import ChecklistItem, Report, markdown, markdown_checklist, printable

Gate = Literal["base", "image", "boot", "account"]

_LINE = re.compile(r"CHECK (?P<name>[a-z0-9][a-z0-9_-]*) (?P<result>ok|FAIL)(?: (?P<detail>.*))?$")

# The items of the golden-image checklist, and the checks that prove each one.
CHECKLIST: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("System packages are current", ("packages-current", "git", "install-directory")),
    ("Go version confirmed", ("go-version", "boot-go")),
    ("PostgreSQL configuration confirmed", ("postgresql", "database", "boot-postgresql")),
    ("Application build succeeded", ("app-built",)),
    (
        "systemd service enabled",
        ("unit-enabled", "unit-active", "no-failed-units", "boot-unit-active", "boot-no-failed-units"),
    ),
    ("Health check passed", ("health", "response", "boot-health", "boot-health-outside")),
    ("Parameter Store connected", ("parameter-store", "boot-parameter-store")),
    ("Nothing left behind (keys, secrets, history, logs)", ("hygiene", "boot-clean")),
    ("AMI tags added", ("tags-complete", "imdsv2-required", "image-private", "image-encrypted")),
    ("Documentation updated (manifest, bill of materials, this report)", ("provenance",)),
)


@dataclass(frozen=True)
class Check:
    """Result of one check of a gate."""

    name: str
    ok: bool
    detail: str = ""
    gate: Gate = "image"


def parse(lines: Iterable[str], gate: Gate) -> list[Check]:
    """Return the checks in the output of an instance (`CHECK name ok|FAIL detail`). The last result of a check counts."""
    checks: dict[str, Check] = {}
    for line in lines:
        if match := _LINE.search(line.rstrip()):
            checks[match["name"]] = Check(
                match["name"], match["result"] == "ok", printable(match["detail"] or ""), gate
            )
    return list(checks.values())


def failed_checks(checks: Iterable[Check]) -> list[Check]:
    """Return the checks that failed."""
    return [check for check in checks if not check.ok]


def checklist(checks: Sequence[Check]) -> list[ChecklistItem]:
    """Return the checklist with the result of each item, and an item for checks that belong to no other."""
    items: list[ChecklistItem] = []
    others = {id(check): check for check in checks}
    for title, names in CHECKLIST:
        item_checks = [c for c in checks if c.name in names or any(c.name.startswith(f"{n}-") for n in names)]
        for check in item_checks:
            others.pop(id(check), None)
        items.append(_item(title, item_checks))
    return [*items, _item("Other checks", [*others.values()])] if others else items


def _item(title: str, checks: Sequence[Check]) -> ChecklistItem:
    evidence = (f"{'ok' if c.ok else 'FAIL'} `{c.name}` ({c.gate}) {c.detail}".rstrip() for c in checks)
    return ChecklistItem(title, all(c.ok for c in checks) if checks else None, tuple(evidence))


def gate_report(
    title: str, facts: Sequence[tuple[str, str]], checks: Sequence[Check], *, passed: bool = True
) -> Report:
    """Return the report of the gates; `passed` is False if the image was rejected for another reason than a failed check."""
    items = checklist(checks)
    return Report(
        {
            "facts": dict(facts),
            "passed": passed and not failed_checks(checks),
            "checklist": [asdict(item) for item in items],
            "checks": [asdict(check) for check in checks],
        },
        markdown(title, facts, {"Golden AMI checklist": markdown_checklist(items)}),
    )
