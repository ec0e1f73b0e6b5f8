"""Problems of a recipe as sentences: the key, the expected value and the given one; secrets are never shown."""

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

KeyPath = tuple[str | int, ...]

# Names under which people keep secrets; their values are never shown.
SECRET_NAME = re.compile(r"(?i)pass(word|wd|phrase)?|secret|token|credential|api_?key|access_?key|private_?key")

# Keys of earlier versions, and what makes them superfluous.
REMOVED_KEYS: Mapping[KeyPath, str] = {
    ("database", "seeded"): "no longer needed, remove it: a bake records which rows the schema creates, in every table"
}


@dataclass(frozen=True)
class Problem:
    """A problem of a recipe.

    Attributes:
        path: The key, from the top of the recipe: `("app", "port")`.
        expected: In words that follow "expected".
        got: In words that follow "got".
        sentence: A whole sentence instead of `expected` and `got`.
        is_section: True if the path is that of a section.
    """

    path: KeyPath
    expected: str = ""
    got: str = ""
    sentence: str = ""
    is_section: bool = False

    def line(self, file: str) -> str:
        """Return the problem as a line of the error message."""
        where = format_path(self.path, is_section=self.is_section)
        return f"{file}: {where}: {self.sentence or f'expected {self.expected}, got {self.got}'}"


def format_path(path: KeyPath, *, is_section: bool = False) -> str:
    """Return a path as the file spells it: `[app] port`, `[[parameters]] number 2, name`, `[app]`."""
    parts = [part if isinstance(part, int) else _quote_if_needed(part) for part in path if part != "[key]"]
    if parts[0] == "parameters":
        head = "[[parameters]]" + (f" number {int(parts[1]) + 1}" if len(parts) > 1 else "")
        return ", ".join([head, *(str(part) for part in parts[2:])])
    items = [f"item {part + 1}" for part in parts if isinstance(part, int)]
    names = [str(part) for part in parts if not isinstance(part, int)]
    table, name = ".".join(names[:-1]), names[-1]
    if is_section:
        table, name = ".".join(names), ""
    key = f"[{table}] {name}".rstrip() if table else name
    return ", ".join([key, *items])


def _quote_if_needed(name: str) -> str:
    return name if re.fullmatch(r"[^\s\"\x00-\x1f]+", name) else json.dumps(name, ensure_ascii=False)


def format_value(value: object, path: KeyPath = ()) -> str:
    """Return a value as TOML, shortened; a value that may be a secret is not shown."""
    inside_values = "environment" in path or (path[:1] == ("parameters",) and path[-1:] == ("value",))
    if inside_values or any(isinstance(part, str) and SECRET_NAME.search(part) for part in path[-1:]):
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
    """Return every problem that pydantic reports, in the order of the model's keys."""
    return [_explain(model, details) for details in error.errors()]


def _explain(model: type[BaseModel], details: Any) -> Problem:
    path: KeyPath = tuple(details["loc"])
    kind: str = details["type"]
    owner, field = find_field(model, path)
    if kind == "extra_forbidden":
        return Problem(path, sentence=REMOVED_KEYS.get(path) or _unknown_key(model, owner, str(path[-1])))
    expected = _expected(details, field)
    is_section = field is not None and section_of(field) is not None
    if kind == "missing":
        return Problem(path, "this section" if is_section else expected, "nothing", is_section=is_section)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(path, "a section", format_value(details["input"], path), is_section=True)
    if path[-1:] == ("[key]",):
        return Problem(path, sentence="not a name that is allowed here; expected letters, digits and _")
    if kind in ("string_type", "tuple_type", "list_type") and field is not None:
        expected = {"string_type": "a string in quotes", "tuple_type": "a list", "list_type": "a list"}[kind]
        expected = expected if isinstance(path[-1], int) else f"{expected}: {_expected(details, field)}"
    got = format_value(details["input"], path)
    if kind == "literal_error" and isinstance(details["input"], str):
        allowed = re.findall(r"'([^']+)'", details["ctx"]["expected"])
        similar = difflib.get_close_matches(details["input"], allowed, 1)
        got += f'; did you mean "{similar[0]}"?' if similar else ""
    return Problem(path, expected, got)


def _expected(details: Any, field: FieldInfo | None) -> str:
    # A validator that states its own expectation comes before the key's general one.
    message = str(details.get("ctx", {}).get("error", "")) if details["type"] == "value_error" else ""
    if message and not message.startswith("'"):  # not the wording of ipaddress or urllib
        return message
    extra = field.json_schema_extra if field is not None else None
    if isinstance(extra, Mapping) and "expected" in extra:
        return str(extra["expected"])
    return str(details["msg"])


def _unknown_key(model: type[BaseModel], owner: type[BaseModel] | None, name: str) -> str:
    known = key_names(owner) if owner else []
    similar = difflib.get_close_matches(name, known, 1, cutoff=0.6)
    if similar:
        return f"unknown key; did you mean {similar[0]}?"
    elsewhere = [
        format_path(path, is_section=bool(section_of(field))) for path, field in walk(model) if path[-1] == name
    ]
    if elsewhere:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; expected one of {', '.join(known)}"


def key_names(model: type[BaseModel]) -> list[str]:
    """Return the names of a section's keys, as the recipe writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of the section in a field (for a list of sections: of its items), or None for a plain value."""
    pending: list[Any] = [field.annotation]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and issubclass(kind, BaseModel):
            return kind
        pending.extend(typing.get_args(kind))
    return None


def find_field(model: type[BaseModel], path: KeyPath) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Return the section that holds a path, and the field of its key (None for an unknown key)."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for step in path:
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


def walk(model: type[BaseModel], start: KeyPath = ()) -> Iterable[tuple[KeyPath, FieldInfo]]:
    """Yield every key of a model with its path, sections before their keys."""
    for name, field in model.model_fields.items():
        path = (*start, field.alias or name)
        yield path, field
        inner = section_of(field)
        if inner is not None:
            yield from walk(inner, path)
