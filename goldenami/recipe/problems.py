"""Turn what is wrong with a recipe into sentences: where, what was expected, what was got; never a secret."""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Place = tuple[str | int, ...]

# Names under which people keep secrets; their values are never shown.
SECRET_NAME = re.compile(r"(?i)pass(word|wd|phrase)?|secret|token|credential|api_?key|access_?key|private_?key")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        at: The key, from the top of the recipe: `("app", "port")`.
        expected: In words that follow "expected".
        got: In words that follow "got".
        looks_at: The other keys that it depends on.
        text: A whole sentence instead of expected and got.
        section: Whether the place is a section.
    """

    at: Place
    expected: str = ""
    got: str = ""
    looks_at: tuple[Place, ...] = ()
    text: str = ""
    section: bool = False

    def line(self, file: str) -> str:
        """The problem as a line of the error message."""
        where = spell(self.at, section=self.section)
        return f"{file}: {where}: {self.text or f'expected {self.expected}, got {self.got}'}"


def broken(problem: Problem, wrong: Iterable[Place]) -> bool:
    """Whether a problem between keys rests on a key that is itself wrong, or lies within one, or holds one."""
    rests_on = (problem.at, *problem.looks_at)
    return any(all(a == b for a, b in zip(place, bad, strict=False)) for place in rests_on for bad in wrong)


def spell(at: Place, *, section: bool = False) -> str:
    """A place as an operator finds it in the file: `[app] port`, `[[parameters]] number 2, name`, `[app]`."""
    parts = [part if isinstance(part, int) else _bare(part) for part in at if part != "[key]"]
    if parts[0] == "parameters":
        head = "[[parameters]]" + (f" number {int(parts[1]) + 1}" if len(parts) > 1 else "")
        return ", ".join([head, *(str(part) for part in parts[2:])])
    items = [f"item {part + 1}" for part in parts if isinstance(part, int)]
    names = [str(part) for part in parts if not isinstance(part, int)]
    table, name = ".".join(names[:-1]), names[-1]
    if section:
        table, name = ".".join(names), ""
    spelled = f"[{table}] {name}".rstrip() if table else name
    return ", ".join([spelled, *items])


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[^\s\"\x00-\x1f]+", name) else json.dumps(name, ensure_ascii=False)


def shown(value: object, at: Place = ()) -> str:
    """A value as TOML would write it, shortened, and without anything that may be a secret."""
    inside_values = "environment" in at or (at[:1] == ("parameters",) and at[-1:] == ("value",))
    if inside_values or any(isinstance(part, str) and SECRET_NAME.search(part) for part in at[-1:]):
        return f"{_kind(value)} (not shown)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        text = re.sub(r"://[^/@\s]*@", "://…@", value)
        text = json.dumps(text, ensure_ascii=False)
        return text if len(text) <= 80 else text[:77] + '…"'
    return _kind(value)


def _kind(value: object) -> str:
    kinds: list[tuple[Any, str]] = [
        (bool, "true or false"),
        (str, "a string"),
        (int | float, "a number"),
        (list | tuple, "a list"),
        (dict, "a section"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), f"a {type(value).__name__}")


def explain(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Every problem that pydantic found, as sentences, in the order of the model's keys."""
    return [_explain(model, found) for found in error.errors()]


def _explain(model: type[BaseModel], found: Any) -> Problem:
    at: Place = tuple(found["loc"])
    kind: str = found["type"]
    owner, field = field_at(model, at)
    if kind == "extra_forbidden":
        return Problem(at, text=_unknown(model, owner, str(at[-1])))
    expected = _expected(found, field)
    section = field is not None and section_of(field) is not None
    if kind == "missing":
        return Problem(at, "this section" if section else expected, "nothing", section=section)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(at, "a section", shown(found["input"], at), section=True)
    if at[-1:] == ("[key]",):
        return Problem(at, text="not a name that is allowed here; expected letters, digits and _")
    if kind in ("string_type", "tuple_type", "list_type") and field is not None:
        expected = {"string_type": "a string in quotes", "tuple_type": "a list", "list_type": "a list"}[kind]
        expected = expected if isinstance(at[-1], int) else f"{expected}: {_expected(found, field)}"
    got = shown(found["input"], at)
    if kind == "literal_error" and isinstance(found["input"], str):
        near = difflib.get_close_matches(found["input"], re.findall(r"'([^']+)'", found["ctx"]["expected"]), 1)
        got += f'; did you mean "{near[0]}"?' if near else ""
    return Problem(at, expected, got)


def _expected(found: Any, field: FieldInfo | None) -> str:
    # A rule of ours that says its own expectation goes before the key's general one.
    own = str(found.get("ctx", {}).get("error", "")) if found["type"] == "value_error" else ""
    if own and not own.startswith("'"):  # not ipaddress' or urllib's own wording
        return own
    extra = field.json_schema_extra if field is not None else None
    if isinstance(extra, Mapping) and "expected" in extra:
        return str(extra["expected"])
    return str(found["msg"])


def _unknown(model: type[BaseModel], owner: type[BaseModel] | None, name: str) -> str:
    known = keys(owner) if owner else []
    near = difflib.get_close_matches(name, known, 1, cutoff=0.6)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    homes = [spell(place, section=bool(section_of(field))) for place, field in walk(model) if place[-1] == name]
    if homes:
        return f"unknown key here; did you mean {' or '.join(homes)}?"
    return f"unknown key; expected one of {', '.join(known)}"


def keys(model: type[BaseModel]) -> list[str]:
    """The names of a section's keys, as the recipe writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds (for a list of sections: that of its items), or None for a plain value."""
    pending: list[Any] = [field.annotation]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, BaseModel):
            return kind
        pending.extend(typing.get_args(kind))
    return None


def field_at(model: type[BaseModel], at: Place) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The section that holds a place, and the key there (None for an unknown one)."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for step in at:
        if isinstance(step, int) or step == "[key]":
            continue
        if field is not None:
            inner = section_of(field)
            if inner is None:  # a key within a mapping
                return owner, field
            owner = inner
        assert owner is not None
        field = next((f for name, f in owner.model_fields.items() if (f.alias or name) == step), None)
        if field is None:
            return owner, None
    return owner, field


def walk(model: type[BaseModel], start: Place = ()) -> Iterable[tuple[Place, FieldInfo]]:
    """Every key of a model with its place, sections before what they hold."""
    for name, field in model.model_fields.items():
        place = (*start, field.alias or name)
        yield place, field
        inner = section_of(field)
        if inner is not None:
            yield from walk(inner, place)
