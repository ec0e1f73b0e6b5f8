"""Notifications, with everything redacted that looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from goldenami.text import pairs

# SNS allows subjects of at most 100 ASCII characters, on one line.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
MAX_SUBJECT = 100

_NAMED = r"\w*(?:pass(?:word|wd)?|secret|token|api[_-]?key|authorization)\w*"
_SECRETS = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1…@"),  # https://user:password@host
    (re.compile(rf"(?i)\b({_NAMED}\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|\S+)"), r"\1…"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "…"),
    (re.compile(r"(?i)(https://hooks\.[^\s/]+/)\S+"), r"\1…"),
)


@dataclass(frozen=True)
class Notice:
    """A notification to the team.

    Attributes:
        result: Result of the operation.
        title: One line.
        facts: Names and values.
        lines: Further lines, such as the differences to the previous image.
    """

    result: Literal["success", "failure"]
    title: str
    facts: Sequence[tuple[str, str]] = ()
    lines: Sequence[str] = ()

    @property
    def subject(self) -> str:
        """The title in the form that SNS allows."""
        plain = re.sub(r"[^\x20-\x7e]+", " ", redact(self.title)).strip()
        return plain if len(plain) <= MAX_SUBJECT else plain[: MAX_SUBJECT - 3] + "..."

    @property
    def text(self) -> str:
        """The whole message."""
        parts = [self.title, pairs(dict(self.facts)), "\n".join(self.lines)]
        return redact("\n\n".join(part for part in parts if part))

    def payload(self) -> dict[str, Any]:
        """Return the JSON for webhooks and commands; Slack and Mattermost show `text`."""
        redacted = {
            "result": self.result,
            "title": redact(self.title),
            "facts": {name: redact(value) for name, value in self.facts},
            "lines": [redact(line) for line in self.lines],
        }
        return {"text": self.text, "goldenami": redacted}


def redact(text: str) -> str:
    """Replace what looks like a secret: passwords in URLs and assignments, access keys, webhooks."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
