"""Reports of the differences between two images: text, JSON, Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from goldenami.context import Context
from goldenami.images.model import DiffResult
from goldenami.model.image import Image
from goldenami.text import Report, markdown, markdown_table, table

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "new": "!", "fixed": "✓"}
_HEAD = ["", "KIND", "NAME", "BEFORE", "AFTER"]


def report(ctx: Context, result: DiffResult) -> Report:
    """Return the differences as a table."""
    rows = _rows(result)
    lines = [_title(ctx, result), *(change.line() for change in result.tags)]
    lines += ["", table(_HEAD, rows)] if rows else []
    facts = {
        "before": _facts(ctx, result.before),
        "after": _facts(ctx, result.after),
        "tags": [asdict(change) for change in result.tags],
        **result.contents.facts(),
    }
    return Report(facts, "\n".join([*lines, "", *_summary(result)]))


def markdown_page(ctx: Context, result: DiffResult) -> str:
    """Return the differences as Markdown, for a pull request or a ticket."""
    rows = _rows(result)
    contents = [*(markdown_table(_HEAD, rows) if rows else []), "", *_summary(result)]
    tags = [(change.what, f"{change.before or 'none'} → {change.after or 'none'}") for change in result.tags]
    return markdown(_title(ctx, result), tags, {"Contents": contents})


def _rows(result: DiffResult) -> list[list[str]]:
    rows = [[_SIGNS[d.what], d.kind, d.name, d.before, d.after] for d in result.contents.differences]
    return rows + [
        [_SIGNS[v.what], "vulnerability", v.id, "fixed" if v.what == "fixed" else "", ", ".join(v.packages)]
        for v in result.contents.vulnerabilities
    ]


def _summary(result: DiffResult) -> list[str]:
    contents = result.contents
    kinds = Counter(difference.kind for difference in contents.differences)
    vulnerabilities = Counter(vulnerability.what for vulnerability in contents.vulnerabilities)
    lines = [", ".join(f"{number} {kind}(s)" for kind, number in kinds.items())]
    if not kinds and not contents.missing:
        lines = ["no differences in the contents"]
    if vulnerabilities or contents.remaining:
        fixed, new = vulnerabilities["fixed"], vulnerabilities["new"]
        lines.append(f"vulnerabilities: {fixed} fixed, {new} new, {contents.remaining} in both")
    return [line for line in [*lines, *(f"note: {missing}" for missing in contents.missing)] if line]


def _title(ctx: Context, result: DiffResult) -> str:
    before, after = (f"{image.version(ctx.name) or image.name} ({image.id})" for image in (result.before, result.after))
    return f"{before} → {after}"


def _facts(ctx: Context, image: Image) -> dict[str, str]:
    return {"id": image.id, "name": image.name, "version": str(image.version(ctx.name) or "")}
