"""What AWS adds to a description does not count as a difference; what is missing or different does."""

from __future__ import annotations

from goldenami.model.comparison import includes


def test_defaults_that_aws_adds_are_ignored() -> None:
    assert includes({"a": 1, "b": [{"c": 2, "d": 3}], "e": 4}, {"a": 1, "b": [{"c": 2}]})


def test_missing_or_different_values_are_found() -> None:
    assert not includes({}, {"a": 1})
    assert not includes({"b": [1, 2]}, {"b": [1]})
    assert not includes({"b": [2, 1]}, {"b": [1, 2]})
    assert not includes({"b": None}, {"b": {"c": 1}})


def test_tags_are_compared_in_any_order() -> None:
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert includes(tags[::-1], tags)
    assert not includes([tags[0], {"Key": "b", "Value": "3"}], tags)
