"""README.ko.md goes along with README.md: the same sections in the same order, the same commands, tables and links in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """A heading with what stands under it."""

    level: int
    title: str
    commands: tuple[str, ...]
    inline: frozenset[str]
    rows: tuple[str, ...]
    links: frozenset[str]
    items: int


def parts(name: str) -> list[Part]:
    """The page, heading by heading."""
    text = (ROOT / name).read_text(encoding="utf-8")
    # The list of the tasks is made by the tasks' own help, which is English; the Korean page links to the reference.
    text = re.sub(r"<!-- tasks: begin -->.*?<!-- tasks: end -->", "", text, flags=re.DOTALL)
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)
    plain = re.sub(r"```(\w*)\n.*?```", lambda found: f"\x00{found[1]}\x00", text, flags=re.DOTALL)
    found, taken = [], 0
    for piece in re.split(r"^(?=#{1,6} )", plain, flags=re.MULTILINE)[1:]:
        heading, _, body = piece.partition("\n")
        count = len(re.findall("\x00\\w*\x00", body))
        mine, taken = blocks[taken : taken + count], taken + count
        shell = [line for kind, code in mine if kind == "sh" for line in code.splitlines()]
        found.append(
            Part(
                level=len(heading) - len(heading.lstrip("#")),
                title=heading.lstrip("# "),
                commands=tuple(line.split(" #")[0].strip() for line in shell if line.strip()),
                inline=frozenset(re.findall(r"`(\./invoke [^`]+)`", body)),
                rows=tuple(re.findall(r"^\| ([`\w]+) \|", body, flags=re.MULTILINE))[1:],
                links=frozenset(re.findall(r"\]\(((?!http)[^)#]+)", body))
                - {"docs/tasks.md", "README.md", "README.ko.md"},
                items=len(re.findall(r"^(?:\d+\.|-) ", body, flags=re.MULTILINE)),
            )
        )
    return found


def told(english: Part | None, korean: Part | None) -> list[str]:
    """What one has and the other has not."""
    if english is None or korean is None:
        there, here = ("README.md", "README.ko.md") if english else ("README.ko.md", "README.md")
        part = english or korean
        assert part is not None
        return [f"{there} has a section '{part.title}' that {here} has not"]
    where = f"'{english.title}' / '{korean.title}'"
    wrong = [] if english.level == korean.level else [f"{where}: level {english.level} against {korean.level}"]
    for what in ("commands", "inline", "rows", "links"):
        ours, theirs = set(getattr(english, what)), set(getattr(korean, what))
        wrong += [f"{where}: README.ko.md lacks {one!r} ({what})" for one in sorted(ours - theirs)]
        wrong += [f"{where}: README.md does not have {one!r} ({what})" for one in sorted(theirs - ours)]
    if english.items != korean.items:
        wrong.append(f"{where}: {english.items} list items against {korean.items} in README.ko.md")
    return wrong


def test_the_korean_readme_goes_along() -> None:
    english, korean = parts("README.md"), parts("README.ko.md")
    assert len(english) > 8
    # Told for the first section that does not fit: those after it may only be shifted.
    for one, other in zip_longest(english, korean):
        wrong = told(one, other)
        assert not wrong, "README.ko.md does not go along with README.md:\n" + "\n".join(wrong)


def test_what_is_missing_is_named() -> None:
    english, korean = parts("README.md"), parts("README.ko.md")
    assert told(english[1], None) == [f"README.md has a section '{english[1].title}' that README.ko.md has not"]
    assert any("lacks './invoke bake'" in line for line in told(english[0], korean[2]))
