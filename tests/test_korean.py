"""README.ko.md matches README.md: the same sections in the same order, with the same commands, tables and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """A section of a page."""

    level: int
    title: str
    commands: tuple[str, ...]
    inline: frozenset[str]
    rows: int
    links: frozenset[str]
    items: int


def parts(name: str) -> list[Part]:
    """Return the sections of a page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)
    plain = re.sub(r"```(\w*)\n.*?```", lambda match: f"\x00{match[1]}\x00", text, flags=re.DOTALL)
    sections, count = [], 0
    for section in re.split(r"^(?=#{1,6} )", plain, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        end = count + len(re.findall("\x00\\w*\x00", body))
        shell = [line for kind, code in blocks[count:end] if kind == "sh" for line in code.splitlines()]
        count = end
        sections.append(
            Part(
                level=len(heading) - len(heading.lstrip("#")),
                title=heading.lstrip("# "),
                commands=tuple(line.split(" #")[0].strip() for line in shell if line.strip()),
                inline=frozenset(re.findall(r"`(\./invoke [^`]+)`", body)),
                rows=len(re.findall(r"^\|", body, flags=re.MULTILINE)),
                links=frozenset(re.findall(r"\]\(((?!http)[^)]+)", body)) - {"README.md", "README.ko.md"},
                items=len(re.findall(r"^(?:\d+\.|-) ", body, flags=re.MULTILINE)),
            )
        )
    return sections


def differences(english: Part | None, korean: Part | None) -> list[str]:
    """Return the differences between two sections."""
    if english is None or korean is None:
        page, other = ("README.md", "README.ko.md") if english else ("README.ko.md", "README.md")
        part = english or korean
        assert part is not None
        return [f"{page} has a section '{part.title}', {other} has not"]
    where = f"'{english.title}' / '{korean.title}'"
    messages = []
    for name in ("level", "rows", "items"):
        if getattr(english, name) != getattr(korean, name):
            messages.append(f"{where}: {name} {getattr(english, name)}, in README.ko.md {getattr(korean, name)}")
    for name in ("commands", "inline", "links"):
        expected, actual = set(getattr(english, name)), set(getattr(korean, name))
        messages += [f"{where}: README.ko.md lacks {value!r} ({name})" for value in sorted(expected - actual)]
        messages += [f"{where}: README.md lacks {value!r} ({name})" for value in sorted(actual - expected)]
    return messages


def test_korean_readme_matches() -> None:
    english, korean = parts("README.md"), parts("README.ko.md")
    assert len(english) >= 5
    # Stops at the first section that differs: later ones may only be shifted.
    for one, other in zip_longest(english, korean):
        messages = differences(one, other)
        assert not messages, "README.ko.md does not match README.md:\n" + "\n".join(messages)


def test_differences_names_what_is_missing() -> None:
    english, korean = parts("README.md"), parts("README.ko.md")
    assert differences(english[1], None) == [f"README.md has a section '{english[1].title}', README.ko.md has not"]
    assert any("lacks './invoke bake'" in message for message in differences(english[0], korean[2]))
