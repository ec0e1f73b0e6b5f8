"""The only door to python-hcl2: read rendered HCL back as plain values, and check it before Packer sees it."""

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
    """HCL as python-hcl2 sees it: strings keep their quotes, blocks are marked.

    Raises:
        RenderError: It is not HCL; the message tells the line.
    """
    try:
        found: dict[str, Any] = hcl2.loads(text, serialization_options=_OPTIONS)
    except UnexpectedInput as error:
        raise RenderError(f"not valid HCL at line {error.line}, column {error.column}") from None
    except LarkError as error:
        raise RenderError(f"not valid HCL: {str(error).splitlines()[0]}") from None
    return found


def blocks(text: str) -> list[Block]:
    """The blocks of an HCL file, with literal values decoded and everything else as an Expression."""
    return list(_blocks(parse(text)))


def read(folder: Path) -> tuple[list[Block], dict[str, Any]]:
    """All blocks of a folder's *.pkr.hcl, and the values of its *.auto.pkrvars.json over the declared defaults.

    Raises:
        RenderError: One of the files cannot be parsed.
    """
    found: list[Block] = []
    for path in sorted(folder.glob("*.pkr.hcl")):
        try:
            found += blocks(path.read_text(encoding="utf-8"))
        except RenderError as error:
            raise RenderError(f"{path.name}: {error.message}") from None
    declared = [block for block in found if block.kind == "variable"]
    values = {block.labels[0]: block.attributes["default"] for block in declared if "default" in block.attributes}
    for path in sorted(folder.glob("*.auto.pkrvars.json")):
        values |= json.loads(path.read_text(encoding="utf-8"))
    return found, values


def literal(quoted: str) -> str:
    """A quoted HCL string's value: escapes decoded, `$${` and `%%{` as what they stand for."""
    text = quoted[1:-1]

    def decode(found: re.Match[str]) -> str:
        code = found[0]
        if code[0] in "$%":
            return code[1:]
        return _ESCAPES[code[1]] if code[1] in _ESCAPES else chr(int(code[2:], 16))

    return re.sub(r'\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[nrt"\\]|\$\$(?=\{)|%%(?=\{)', decode, text)


def _value(node: Any) -> Any:
    if isinstance(node, str):
        if node.startswith('"<<') and "\n" in node:  # a heredoc: no quoted string holds a real line break
            return Expression(node[1:-1])
        if node.startswith('"'):
            # An interpolation that is not doubled makes it more than a literal.
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
    """The labels of a block and what is in it, or None for an object that is no block."""
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
    """An expression that is more than a literal, as HCL text: `var.tags`."""

    text: str

    @property
    def variable(self) -> str | None:
        """The variable's name, if the expression is nothing but a variable."""
        found = re.fullmatch(r"var\.([A-Za-z_][\w-]*)", self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Block:
    """A block: `source "amazon-ebs" "golden" { … }` has the kind `source` and two labels."""

    kind: str
    labels: tuple[str, ...]
    attributes: Mapping[str, Any]
    blocks: tuple[Block, ...]

    def inner(self, kind: str) -> list[Block]:
        """The blocks of a kind within it."""
        return [block for block in self.blocks if block.kind == kind]

    def value(self, name: str, variables: Mapping[str, Any]) -> Any:
        """An attribute's value, with a variable replaced by what it stands for; None when it is not there."""
        found = self.attributes.get(name)
        if isinstance(found, Expression) and found.variable is not None:
            return variables.get(found.variable, found)
        return found
