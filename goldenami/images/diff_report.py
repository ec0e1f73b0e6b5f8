"""Turn what two images have differently into what the task prints: a table, Markdown, or JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

from goldenami.context import Context
from goldenami.images.model import DiffResult
from goldenami.model.image import Image
from goldenami.text import table

_SIGN = {"added": "+", "removed": "-", "changed": "~", "new": "!", "fixed": "✓"}


def facts(ctx: Context, found: DiffResult) -> str:
    """For scripts."""
    return json.dumps(
        {
            "before": _facts(ctx, found.before),
            "after": _facts(ctx, found.after),
            "tags": [asdict(change) for change in found.tags],
            **found.contents.facts(),
        },
        ensure_ascii=False,
    )


def page(ctx: Context, found: DiffResult) -> str:
    """For people at a terminal."""
    lines = [
        f"{_vulnerability(ctx, found.before)} → {_vulnerability(ctx, found.after)}",
        *(c.line() for c in found.tags),
    ]
    rows = _rows(found)
    if rows:
        lines += ["", table(["", "KIND", "NAME", "BEFORE", "AFTER"], rows)]
    return "\n".join([*lines, "", *_end(found)])


def markdown(ctx: Context, found: DiffResult) -> str:
    """For a pull request, a ticket or a wiki."""
    lines = [f"# {_vulnerability(ctx, found.before)} → {_vulnerability(ctx, found.after)}", ""]
    lines += [f"- {change.line()}" for change in found.tags]
    rows = _rows(found)
    if rows:
        lines += ["", "| | kind | name | before | after |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", *_end(found)])


def _rows(found: DiffResult) -> list[list[str]]:
    rows = [[_SIGN[d.what], d.kind, d.name, d.before, d.after] for d in found.contents.differences]
    rows += [
        [_SIGN[v.what], "vulnerability", v.id, f"{'fixed' if v.what == 'fixed' else ''}", f"{', '.join(v.packages)}"]
        for v in found.contents.vulnerabilities
    ]
    return rows


def _end(found: DiffResult) -> list[str]:
    number = Counter(difference.kind for difference in found.contents.differences)
    told = ", ".join(f"{count} {kind}(s)" for kind, count in number.items())
    weak = Counter(vulnerability.what for vulnerability in found.contents.vulnerabilities)
    ends = [told or ("no differences inside" if not found.contents.missing else "")]
    if weak or found.contents.remaining:
        ends.append(f"vulnerabilities: {weak['fixed']} fixed, {weak['new']} new, {found.contents.remaining} in both")
    return [line for line in [*ends, *(f"note: {missing}" for missing in found.contents.missing)] if line]


def _vulnerability(ctx: Context, image: Image) -> str:
    return f"{image.version(ctx.name) or image.name} ({image.id})"


def _facts(ctx: Context, image: Image) -> dict[str, str]:
    return {"id": image.id, "name": image.name, "version": str(image.version(ctx.name) or "")}
