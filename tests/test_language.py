"""Texts and code use the words of the field (docs/contributing.md), and none of the metaphors and archaisms listed here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("goldenami", "localcloud", "templates", "provisioners", "systemd", "packer")
BANNED = re.compile(
    r"\b(mend(s|ed|ing)?|unwell|half-way|whoever|afresh|anew|for ever|let(s)? go|goes on|ill|tidy|told|untold|vault|census"
    r"|glimpse|custody|scenery|workshop|somebody|sign of life|turn(s|ed)? back|stands? beside|new home"
    r"|holds? rows|carr(y|ies|ied) (the |every |its )?rows)\b",
    re.IGNORECASE,
)


def texts() -> Iterator[Path]:
    yield from (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    yield from (ROOT / name for name in ("tasks.py", "invoke", "golden.toml", "mkdocs.yml"))
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_texts_use_the_words_of_the_field() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BANNED.search(line)
    ] == []
