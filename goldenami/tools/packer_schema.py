"""Check rendered HCL against the attributes that the installed generation of Packer accepts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from goldenami.tools.hcl import Block, Expression

Generation = Literal["1.6", "1.7"]

# Attributes of every provisioner and post-processor.
_META = frozenset(
    {"only", "except", "pause_before", "max_retries", "timeout", "override", "name", "keep_input_artifact"}
)


@cache
def _tables() -> dict[str, dict[str, Any]]:
    with (Path(__file__).with_name("packer_blocks.toml")).open("rb") as file:
        return tomllib.load(file)


def accepted_attributes(block: str, generation: Generation) -> dict[str, str]:
    """Return the attributes of a block and their types (`string`, `map(string)`, `block`, `blocks`, …) in a generation."""
    table = _tables()[block]
    common = {name: kind for name, kind in table.items() if isinstance(kind, str)}
    own: dict[str, str] = table.get(generation, {})
    return common | own


def check(blocks: list[Block], values: Mapping[str, Any], generation: Generation) -> Iterator[str]:
    """Yield what this generation of Packer would reject or misread."""
    types = {b.labels[0]: _type(b.attributes.get("type")) for b in blocks if b.kind == "variable"}
    for name in sorted(set(values) - set(types)):
        yield f"the variable {name} has a value but is not declared"
    for name, kind in types.items():
        if name not in values:
            yield f"the variable {name} has no value"
        elif not _fits(values[name], kind):
            yield f"the variable {name} is declared as {kind}, which its value is not"
    for source in (b for b in blocks if b.kind == "source"):
        yield from _body(source, "builder", types, generation)
    for build in (b for b in blocks if b.kind == "build"):
        for step in build.blocks:
            if step.kind in ("provisioner", "post-processor"):
                yield from _body(step, step.labels[0], types, generation)


def _body(block: Block, table: str, types: Mapping[str, str], generation: Generation) -> Iterator[str]:
    if table not in _tables():
        yield f"{table} is not a block that goldenami knows"
        return
    known = accepted_attributes(table, generation)
    for name, value in block.attributes.items():
        if table in ("shell", "file", "manifest") and name in _META:
            continue
        kind = known.get(name)
        if kind is None or kind.startswith("block"):
            yield f"{table}: Packer {generation} has no attribute {name}"
        elif isinstance(value, Expression):
            variable = value.variable
            if variable is not None and variable not in types:
                yield f"{table}: {name} names the variable {variable}, which is not declared"
            elif variable is not None and types[variable] != kind:
                yield f"{table}: {name} is a {kind}, but the variable {variable} a {types[variable]}"
        elif not _fits(value, kind):
            yield f"{table}: {name} must be a {kind}"
    for inner in block.blocks:
        if not known.get(inner.kind, "").startswith("block"):
            yield f"{table}: Packer {generation} has no block {inner.kind}"
        else:
            yield from _body(inner, inner.kind, types, generation)


def _type(declared: Any) -> str:
    return declared.text.replace(" ", "") if isinstance(declared, Expression) else str(declared)


def _fits(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith("list("):
        return isinstance(value, list) and all(_fits(item, kind[5:-1]) for item in value)
    if kind.startswith("map("):
        return isinstance(value, dict) and all(_fits(item, kind[4:-1]) for item in value.values())
    return False
