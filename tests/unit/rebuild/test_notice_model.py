"""Notices: one line as SNS takes it, everything else beside it, and no secret in either."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from goldenami.rebuild.notice_model import Notice, redact


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cannot read https://kim:hunter2@git.example/app.git", "hunter2"),
        ("DB_PASSWORD=hunter2 refused", "hunter2"),
        ('password: "hunter 2"', "hunter 2"),
        ("api-key = hunter2", "hunter2"),
        ("Authorization: hunter2", "hunter2"),
        ("with AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("POST https://hooks.slack.example/services/T0/B0/hunter2", "hunter2"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, secret: str) -> None:
    notice = Notice("failure", text, [("error", text)], [text])
    for told in (redact(text), notice.subject, notice.text, json.dumps(notice.payload(), ensure_ascii=False)):
        assert secret not in told


def test_plain_words_stay() -> None:
    text = "guestbook v1.202603: https://example.com/health answers 503; see ./invoke status"
    assert redact(text) == text


@given(st.text(max_size=300))
def test_a_subject_is_what_sns_takes(title: str) -> None:
    subject = Notice("success", title).subject
    assert len(subject) <= 100
    assert subject.isascii()
    assert subject.isprintable() or not subject


def test_the_payload_shows_text_and_holds_facts() -> None:
    told = Notice("success", "baked", [("image", "ami-1")], ["Go: 1.19 → 1.22"]).payload()
    assert told["text"] == "baked\n\n  image  ami-1\n\nGo: 1.19 → 1.22"
    assert told["goldenami"]["facts"] == {"image": "ami-1"}
