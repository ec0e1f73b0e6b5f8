"""Parse rendered HCL into plain values; no other module imports python-hcl2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions
from lark.exceptions import LarkError, UnexpectedInput

from goldenami.errors import RenderError

_OPTIONS = SerializationOptions(with_comments=False)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def parse(text: str) -> dict[str, Any]:
    """Parse HCL into python-hcl2's form: strings keep their quotes, blocks are marked.

    Raises:
        RenderError: The text is not valid HCL; the message has the line.
    """
    try:
        body: dict[str, Any] = hcl2.loads(text, serialization_options=_OPTIONS)
    except UnexpectedInput as error:
        raise RenderError(f"not valid HCL at line {error.line}, column {error.column}") from None
    except LarkError as error:
        raise RenderError(f"not valid HCL: {str(error).splitlines()[0]}") from None
    return body


def blocks(text: str) -> list[Block]:
    """Return the blocks of an HCL file, with literal values decoded and everything else as an Expression."""
    return list(_blocks(parse(text)))


def read(folder: Path) -> tuple[list[Block], dict[str, Any]]:
    """Return all blocks of a folder's *.pkr.hcl, and its variables' values: *.auto.pkrvars.json over the defaults.

    Raises:
        RenderError: A file cannot be parsed.
    """
    all_blocks: list[Block] = []
    for path in sorted(folder.glob("*.pkr.hcl")):
        try:
            all_blocks += blocks(path.read_text(encoding="utf-8"))
        except RenderError as error:
            raise RenderError(f"{path.name}: {error.message}") from None
    declared = [block for block in all_blocks if block.kind == "variable"]
    values = {block.labels[0]: block.attributes["default"] for block in declared if "default" in block.attributes}
    for path in sorted(folder.glob("*.auto.pkrvars.json")):
        values |= json.loads(path.read_text(encoding="utf-8"))
    return all_blocks, values


def literal(quoted: str) -> str:
    """Return the value of a quoted HCL string: escapes, `$${` and `%%{` are decoded."""
    text = quoted[1:-1]

    def decode(escape: re.Match[str]) -> str:
        code = escape[0]
        if code[0] in "$%":
            return code[1:]
        return _ESCAPES[code[1]] if code[1] in _ESCAPES else chr(int(code[2:], 16))

    return re.sub(r'\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[nrt"\\]|\$\$(?=\{)|%%(?=\{)', decode, text)


def _value(node: Any) -> Any:
    if isinstance(node, str):
        if node.startswith('"<<') and "\n" in node:  # a heredoc: a quoted string has no line break
            return Expression(node[1:-1])
        if node.startswith('"'):
            # `$${` is an escaped `${`; an unescaped one makes the string an expression.
            plain = re.sub(r"\$\$\{|%%\{", "", node)
            return Expression(node) if re.search(r"[$%]\{", plain) else literal(node)
        return Expression(node[2:-1] if node.startswith("${") else node)
    if isinstance(node, list):
        return [_value(item) for item in node]
    if isinstance(node, dict):
        return {_name(name): _value(item) for name, item in node.items()}
    return node


def _name(text: str) -> str:
    return literal(text) if text.startswith('"') else text


def _blocks(body: Mapping[str, Any]) -> Iterator[Block]:
    for kind, nodes in body.items():
        for node in nodes if isinstance(nodes, list) else []:
            if isinstance(node, dict) and (labelled := _labelled(node)):
                labels, inner = labelled
                attributes = {
                    name: _value(item)
                    for name, item in inner.items()
                    if not name.startswith("__") and not _is_blocks(item)
                }
                yield Block(kind, labels, attributes, tuple(_blocks(inner)))


def _labelled(node: Mapping[str, Any]) -> tuple[tuple[str, ...], Mapping[str, Any]] | None:
    """Return the labels and body of a block, or None for an object that is not a block."""
    labels: tuple[str, ...] = ()
    while "__is_block__" not in node:
        if len(node) != 1:
            return None
        label, inner = next(iter(node.items()))
        if not isinstance(inner, dict):
            return None
        labels, node = (*labels, _name(label)), inner
    return labels, node


def _is_blocks(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(i, dict) and _labelled(i) for i in item)


@dataclass(frozen=True)
class Expression:
    """HCL text of an expression that is not a literal, such as `var.tags`."""

    text: str

    @property
    def variable(self) -> str | None:
        """Name of the variable if the expression is only a variable, else None."""
        match = re.fullmatch(r"var\.([A-Za-z_][\w-]*)", self.text)
        return match[1] if match else None


@dataclass(frozen=True)
class Block:
    """HCL block: `source "amazon-ebs" "golden" { … }` has the kind `source` and two labels."""

    kind: str
    labels: tuple[str, ...]
    attributes: Mapping[str, Any]
    blocks: tuple[Block, ...]

    def inner(self, kind: str) -> list[Block]:
        """Return the blocks of a kind within this one."""
        return [block for block in self.blocks if block.kind == kind]

    def value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """Return an attribute's value, or its variable's value; None if the attribute is not set."""
        value = self.attributes.get(name)
        if isinstance(value, Expression) and value.variable is not None:
            return variables.get(value.variable, value)
        return value
