"""Records in Parameter Store: dataclasses as JSON, saved before each step so that a crash can be recovered from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from goldenami.aws import parameters
from goldenami.context import Context

Record = TypeVar("Record")  # a dataclass


def load(ctx: Context, name: str, kind: type[Record]) -> Record | None:
    """Return the record in a parameter; None if there is no such parameter, or it holds anything else."""
    parameter = parameters.get(ctx.aws, name)
    return parse(parameter.value, kind) if parameter else None


def save(ctx: Context, name: str, record: Record) -> Record:
    """Write a record to a parameter, and return it."""
    parameters.overwrite(ctx.aws, name, dump(record))
    return record


def clear(ctx: Context, name: str) -> None:
    """Delete a record."""
    parameters.delete(ctx.aws, name)


def dump(record: Any) -> str:
    """Return a record as JSON."""
    return json.dumps(asdict(record), ensure_ascii=False)


def parse(text: str, kind: type[Record]) -> Record | None:
    """Return the record in a JSON text, without the keys that it does not know; None if the text holds anything else."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError:
        return None
