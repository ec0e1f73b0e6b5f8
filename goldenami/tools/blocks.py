"""HCL as plain values: blocks, and the expressions in them that are more than a literal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
