"""Every command that a text of the product or of the documentation names exists, with those options."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.parser import ParserContext

import tasks

ROOT = Path(__file__).resolve().parents[1]
tasks.describe_tasks()  # first, because Invoke returns help texts only once
CONTEXTS: dict[str, ParserContext] = {
    name.replace("_", "-"): context
    for context in tasks.namespace.to_contexts()
    for name in (context.name or "", *context.aliases)
}
# A command ends where its clause does.
COMMAND = re.compile(r"(?:\./invoke|\binvoke) ((?:[a-z][\w.-]*|TASK|--[\w-]+)[^;,)(`\n|&#]*)")
PLACEHOLDER = "x"
PROGRAM_OPTIONS = {"--help", "--list", "--version"}
MORE_TASKS = {"TASK", PLACEHOLDER}  # any task


def strings(path: Path) -> Iterator[str]:
    """Yield each text in a module, with a placeholder for each value in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = [str(v.value) if isinstance(v, ast.Constant) else PLACEHOLDER for v in node.values]
            yield "".join(values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


def texts() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "goldenami").rglob("*.py")):
        yield from ((str(path.relative_to(ROOT)), text) for text in strings(path))
    pages = [*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("templates/**/*.j2"), ROOT / "golden.toml"]
    yield from ((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in sorted(pages))


def commands() -> Iterator[tuple[str, str]]:
    for where, text in texts():
        yield from ((where, match[1].strip()) for match in COMMAND.finditer(text) if "./invoke" in match[0])


def problem(command: str) -> str:
    """Return why a command is not one of this program; empty if it is."""
    task, *words = command.split()
    task = task.rstrip(".:")
    if task in PROGRAM_OPTIONS or task.partition(".")[0] in MORE_TASKS or task.endswith(f".{PLACEHOLDER}"):
        return ""
    if task not in CONTEXTS:
        return f"there is no task {task}"
    context, option_needs_value = CONTEXTS[task], ""
    for word in [*words, "--"]:
        if word.startswith("-"):
            if option_needs_value:
                return f"{option_needs_value} of {task} needs a value"
            name, equals, _ = word.rstrip(".:'\"").partition("=")
            if name == "--":
                break
            if name not in context.flags and name not in PROGRAM_OPTIONS:
                return f"{task} has no option {name}"
            takes_value = name in context.flags and context.flags[name].takes_value
            option_needs_value = name if takes_value and not equals else ""
        else:
            option_needs_value = ""
    return ""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("promote --ami x", ""),
        ("rollback --unverified", "rollback has no option --unverified"),
        ("promote --ami", "--ami of promote needs a value"),
        ("settle", "there is no task settle"),
    ],
)
def test_unknown_tasks_and_options_are_found(command: str, expected: str) -> None:
    assert problem(command) == expected


def test_every_command_in_a_text_exists() -> None:
    found = list(commands())
    assert len(found) > 100
    wrong = sorted({f"{where}: ./invoke {command}: {why}" for where, command in found if (why := problem(command))})
    assert wrong == []


def test_every_option_of_the_same_command_exists() -> None:
    options = {flag for context in CONTEXTS.values() for flag in context.flags}
    pattern = re.compile(r"same command (?:again )?with(?:out)? (--[\w-]+)")
    assert {match[1] for _, text in texts() for match in pattern.finditer(text)} <= options
