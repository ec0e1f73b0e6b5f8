"""The generated pages are current, and the README's links and the exit codes are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goldenami.dev import docs

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_generated_pages_are_current() -> None:
    stale = [path.name for path, text in docs.pages(ROOT).items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"{stale}: run ./invoke docs"


def test_readme_starts_with_the_two_commands() -> None:
    block = README.split("```sh\n", 1)[1].split("```", 1)[0]
    assert [line.split("#")[0].strip() for line in block.strip().splitlines()] == ["./invoke bake", "./invoke test"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)", README))))
def test_readme_link_exists(target: str) -> None:
    assert (ROOT / target).exists()


def test_tests_that_the_security_page_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text(encoding="utf-8"))
    missing = [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")]
    assert (bool(named), missing) == (True, [])


def test_exit_codes_are_documented() -> None:
    from goldenami import errors

    codes = {cls.code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.GoldenError)}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", OPERATIONS, re.MULTILINE)}
    assert codes <= documented


def test_readme_is_at_most_180_lines() -> None:
    assert len(README.splitlines()) <= 180
