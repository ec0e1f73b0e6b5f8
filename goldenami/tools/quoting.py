"""Quote values for the languages of what is rendered (HCL, bash, systemd units, Packer's own templates), exactly."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from goldenami.errors import RenderError

Value = str | int | bool | Sequence["Value"] | Mapping[str, "Value"]


def hcl(value: Value) -> str:
    """A value as an HCL expression: a string without any interpolation, a number, a list or a map.

    Source: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#template-expressions
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # JSON's escapes are a part of HCL's, except that HCL has no \b, \f and \/ and knows \u for all of them.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        text = re.sub(r"(\\\\)|\\b|\\f", lambda m: m[1] or {"\\b": "\\u0008", "\\f": "\\u000c"}[m[0]], text)
        # `$${` would do for most, but readers disagree on what stands before it ("$$${"); an escaped brace is clear.
        return re.sub(r"(?<=[$%])\{", r"\\u007b", text)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{hcl(name)} = {hcl(inner)}" for name, inner in value.items()) + "}"
    return "[" + ", ".join(hcl(inner) for inner in value) + "]"


def sh(value: str | Sequence[str]) -> str:
    """A string as one word of bash, or a list of them as an array: `(one 'and two')`.

    Raises:
        RenderError: It holds a NUL, which no shell can carry.
    """
    if not isinstance(value, str):
        return "(" + " ".join(sh(item) for item in value) + ")"
    if "\0" in value:
        raise RenderError("a value holds a NUL character, which bash cannot carry")
    return shlex.quote(value)


def unit(value: str) -> str:
    """Text as the value of a setting in a systemd unit: one line, in which a % stands for itself.

    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html#Specifiers

    Raises:
        RenderError: It holds a line break, or ends in a backslash, which would swallow the next line.
    """
    if re.search(r"[\0\n\r]", value) or value.endswith("\\"):
        raise RenderError("a value for a systemd unit holds a line break or ends in a backslash")
    return value.replace("%", "%%")


def unit_env(assignment: tuple[str, str]) -> str:
    """A variable and its value as one word of `Environment=`, such as `"NAME=the value"`.

    A `$` needs nothing: Environment= does not expand variables.
    Source: https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html#Quoting

    Raises:
        RenderError: It holds a control character, which systemd refuses in an environment.
    """
    name, value = assignment
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise RenderError(f"the environment variable {name} holds a control character, which systemd refuses")
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "%": "%%"}
    return f'"{name}=' + "".join(escapes.get(character, character) for character in value) + '"'


def packer_text(value: str) -> str:
    """Text for a field that Packer runs through its own `{{ }}` templates (tags, descriptions), so that it stays as it is.

    Source: https://developer.hashicorp.com/packer/docs/templates/legacy_json_templates/engine
    """
    return value.replace("{{", '{{"{{"}}')
