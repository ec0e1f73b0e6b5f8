"""What a notification says: made from our own words, with anything that looks like a secret taken out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from goldenami.text import pairs

# SNS takes subjects of at most 100 ASCII characters, on one line.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT = 100

_NAMED = r"\w*(?:pass(?:word|wd)?|secret|token|api[_-]?key|authorization)\w*"
_SECRETS = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1…@"),  # https://user:password@host
    (re.compile(rf"(?i)\b({_NAMED}\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"), r"\1…"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "…"),
    (re.compile(r"(?i)(https://hooks\.[^\s/]+/)\S+"), r"\1…"),
)


@dataclass(frozen=True)
class Notice:
    """A message to the team.

    Attributes:
        result: How it ended.
        title: One line.
        facts: What it is about: names and values.
        lines: What follows them, a line each (the differences to the running image, say).
        data: For programs.
    """

    result: Literal["success", "failure"]
    title: str
    facts: Sequence[tuple[str, str]] = ()
    lines: Sequence[str] = ()

    @property
    def subject(self) -> str:
        """The title as SNS takes it."""
        plain = re.sub(r"[^\x20-\x7e]+", " ", redact(self.title)).strip()
        return plain if len(plain) <= SUBJECT else plain[: SUBJECT - 3] + "..."

    @property
    def text(self) -> str:
        """The whole message."""
        parts = [self.title, pairs(dict(self.facts)), "\n".join(self.lines)]
        return redact("\n\n".join(part for part in parts if part))

    def payload(self) -> dict[str, Any]:
        """For webhooks and programs. `text` is what Slack and Mattermost show."""
        told = asdict(self)
        cleaned = {
            "result": self.result,
            "title": redact(self.title),
            "facts": {name: redact(value) for name, value in told["facts"]},
            "lines": [redact(line) for line in told["lines"]],
        }
        return {"text": self.text, "goldenami": cleaned}


def redact(text: str) -> str:
    """Take out what looks like a secret: passwords in URLs and assignments, access keys, webhooks."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
