"""Generate the reference of the recipe, docs/recipe.md, from the recipe's model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from goldenami.recipe.fields import words
from goldenami.recipe.os_families import FAMILIES
from goldenami.recipe.problems import section_of
from goldenami.recipe.recipe import Recipe

_HEAD = """\
# The recipe, key by key

`golden.toml` sets what is baked, from which source, and where. The whole file is validated before anything is started. All
wrong keys are reported together; the rules between keys are checked when every key is valid. Keys without a default are
required, and unknown keys are refused.

This page is generated from the model by `./invoke docs`; a test checks that it is current.
"""

_FAMILIES = """
## The operating-system families

| family | login | packages | Go in the distribution | PostgreSQL | source AMI (public parameter) |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the recipe reference, as Markdown."""
    return _HEAD + "".join(_section(Recipe, "", "")) + _FAMILIES + "".join(_families())


def _section(model: type[BaseModel], name: str, description: str, *, repeated: bool = False) -> Iterator[str]:
    sections: list[tuple[str, FieldInfo, type[BaseModel]]] = []
    keys: list[tuple[str, FieldInfo]] = []
    for attribute, field in model.model_fields.items():
        section = section_of(field)
        key = field.alias or attribute
        if section is not None:
            sections.append((f"{name}.{key}".lstrip("."), field, section))
        else:
            keys.append((key, field))
    if keys:
        title = f"`[[{name}]]`" if repeated else f"`[{name}]`" if name else "Top level"
        yield f"\n## {title}\n\n"
        yield f"{description}\n\n" if description else ""
        yield "| key | description | allowed | default | example |\n|---|---|---|---|---|\n"
        for key, field in keys:
            cells = (f"`{key}`", str(field.description), _allowed(field), _default(field), _code(_example(field)))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    for path, field, section in sections:
        yield from _section(section, path, str(field.description), repeated="tuple" in str(field.annotation))


def _families() -> Iterator[str]:
    for family in FAMILIES.values():
        go = words(family.go) if family.go else "moves with its updates"
        parameter = family.ami_parameter("x86_64")
        yield f"| `{family.name}` | `{family.user}` | {family.packages} | {go} |"
        yield f" {words(family.postgresql)} | `{parameter}` |\n"


def _allowed(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["expected"]) if isinstance(extra, Mapping) else ""


def _example(field: FieldInfo) -> Any:
    return (field.examples or [""])[0]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default is None else _code(field.default)


def _code(value: object) -> str:
    return f"`{_toml(value)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    print(page(), end="")
