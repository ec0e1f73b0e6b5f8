"""The fingerprint of a layer: one digest over everything that went into it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def fingerprint(inputs: Mapping[str, bytes]) -> str:
    """Digest named inputs, whatever the order in which they come.

    Names and contents are framed by their lengths, so that no two different sets of inputs can look the same.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(inputs):
        for part in (name.encode(), inputs[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()
