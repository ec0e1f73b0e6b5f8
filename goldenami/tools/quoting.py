"""Quote values for the rendered languages: HCL, bash, systemd units, Packer's own templates."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from goldenami.errors import RenderError

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]


def hcl(value: Value) -> str:
    """Return a value as an HCL expression: a string without interpolation, a number, a list or a map.

    Source: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # HCL has JSON's escapes except \b, \f and \/, for which it has \u.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        text = re.sub(r"(\\\\)|\\b|\\f", lambda m: m[1] or {"\\b": "\\u0008", "\\f": "\\u000c"}[m[0]], text)
        # Parsers disagree on a `$` before the escape `$${` ("$$${"); an escaped brace is unambiguous.
        return re.sub(r"(?<=[$%])\{", r"\\u007b", text)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{hcl(name)} = {hcl(inner)}" for name, inner in value.items()) + "}"
    return "[" + ", ".join(hcl(inner) for inner in value) + "]"


def sh(value: str | Sequence[str]) -> str:
    """Return a string as one word of bash, or a list of strings as an array: `(one 'and two')`.

    Raises:
        RenderError: The string has a NUL character, which bash cannot represent.
    """
    if not isinstance(value, str):
        return "(" + " ".join(sh(item) for item in value) + ")"
    if "\0" in value:
        raise RenderError("a value has a NUL character, which bash cannot represent")
    return shlex.quote(value)


def unit(value: str) -> str:
    """Return text as the value of a setting in a systemd unit: one line, with each % escaped.

    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html#Specifiers

    Raises:
        RenderError: The text has a line break, or ends in a backslash, which would join the next line.
    """
    if re.search(r"[\0\n\r]", value) or value.endswith("\\"):
        raise RenderError("a value for a systemd unit has a line break or ends in a backslash")
    return value.replace("%", "%%")


def unit_env(assignment: tuple[str, str]) -> str:
    """Return a variable and its value as one word of `Environment=`, such as `"NAME=the value"`.

    A `$` needs no escape: Environment= does not expand variables.
    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html#Quoting

    Raises:
        RenderError: The value has a control character, which systemd rejects in an environment.
    """
    name, value = assignment
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise RenderError(f"the environment variable {name} has a control character, which systemd rejects")
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
    return f'"{name}=' + "".join(escapes.get(character, character) for character in value) + '"'


def packer_text(value: str) -> str:
    """Escape text for a field that Packer expands with its own `{{ }}` templates, such as tags and descriptions.

    Source: https://developer.hashicorp.com/packer/docs/templates/legacy_json_templates/engine
    """
    return value.replace("{{", '{{"{{"}}')
