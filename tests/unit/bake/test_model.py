"""The fingerprint: free of order, and no two sets of inputs look the same."""

from __future__ import annotations

from hypothesis import assume, given, strategies as st

from goldenami.bake.model import fingerprint

# Few letters and the framing's own bytes, so that concatenations collide as often as they can.
names = st.text("ab\x00\x01", max_size=4)
contents = st.binary(max_size=4) | st.text("ab\x00\x01", max_size=4).map(str.encode)
inputs = st.dictionaries(names, contents, max_size=4)


@given(inputs, st.randoms())
def test_the_order_of_inputs_does_not_matter(given_: dict[str, bytes], random: object) -> None:
    items = list(given_.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert fingerprint(dict(items)) == fingerprint(given_)


@given(inputs, inputs)
def test_different_inputs_have_different_fingerprints(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assume(one != other)
    assert fingerprint(one) != fingerprint(other)


@given(st.text("ab", min_size=1), st.binary(min_size=1), st.data())
def test_moving_bytes_across_a_border_changes_the_fingerprint(name: str, content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(content) - 1))
    whole = fingerprint({name: content})
    assert fingerprint({name: content[:cut], name + "x": content[cut:]}) != whole
    assert fingerprint({name + content[:cut].decode("latin-1") + "x": content[cut:]}) != whole


def test_its_form_is_64_hexadecimal_digits_and_the_same_on_every_machine() -> None:
    assert fingerprint({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    found = fingerprint({"스크립트.sh": b"x"})
    assert len(found) == 64
    assert int(found, 16)
