"""The documentation: the site builds without warnings and loads nothing from other sites; its commands and links exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import tasks

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
INVOKES = re.compile(r"(?:^|[\s(\"'`$])\./invoke ([^`\n|#;)]*)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING" not in done.stderr
    return folder


class Loads(HTMLParser):
    """The resources that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.urls.append(attributes.get("src") or "")
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.urls.append(attributes.get("href") or "")


def test_site_loads_nothing_from_other_sites(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 8
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert [url for url in loads.urls if "//" in url] == [], page.name


def test_navigation_has_every_page() -> None:
    # The theme's tags are not plain YAML.
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    nav = str(yaml.safe_load(text)["nav"])
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"'{page.name}'" not in nav] == []


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        if page.exists():
            for match in INVOKES.finditer(page.read_text(encoding="utf-8")):
                yield page.name, match[1].strip()


def test_commands_in_the_pages_exist_with_their_options() -> None:
    wrong = []
    checked = 0
    for page, text in commands():
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        if not words or words[0].startswith("-") or not re.fullmatch(r"[a-z]+(?:\.[a-z|]+)?", words[0]):
            continue  # `./invoke --list`, `./invoke TASK`
        for name in [words[0]] if "|" not in words[0] else []:
            if name not in tasks.namespace.task_names:
                wrong.append(f"{page}: ./invoke {text}: there is no task {name}")
                continue
            known = {
                flag
                for told in tasks.describe_tasks()
                if told["name"] == name
                for option in told["options"]
                for flag in option["flags"]
            }
            used = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
            wrong += [f"{page}: ./invoke {text}: {name} has no {option}" for option in sorted(used - known)]
            checked += 1
    assert wrong == []
    assert checked > 50
