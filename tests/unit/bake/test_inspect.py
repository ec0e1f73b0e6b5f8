"""Looking into an image: launched, read from its console, ended whatever happens, and known to the team from then on."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest

from goldenami.aws import images
from goldenami.bake import inspect, inventory
from goldenami.errors import AwsError
from goldenami.images import diff
from goldenami.model import image as model_image
from goldenami.model.image import Image
from tests.support.contexts import Checkout
from tests.unit.images.test_diff import said

AMI, OTHER = "ami-0123456789abcdef1", "ami-0123456789abcdef2"


def put(at: Checkout) -> Image:
    for ami, version in ((AMI, "v1.0"), (OTHER, "v1.1")):
        told = {
            model_image.IMAGE: "guestbook",
            model_image.LAYER: "app",
            model_image.COMMIT: "abc",
            model_image.VERIFIED: "2026",
        }
        at.account.put_image(ami, f"guestbook-golden-{version}", tags=told)
    found = images.get(at.account.aws, AMI)
    assert found is not None
    return found


def console(at: Checkout, answer: Callable[[str], str]) -> Callable[..., dict[str, Any]]:
    """A console that says this, given the nonce of the newest instance."""

    def output(InstanceId: str, **_: Any) -> dict[str, Any]:
        data = at.account.made("RunInstances")[-1]["UserData"]
        script = data if data.startswith("#!") else base64.b64decode(data).decode()
        found = re.search(r"GOLDEN-INVENTORY ([0-9a-f]+) BEGIN", script)
        assert found
        return {"InstanceId": InstanceId, "Output": base64.b64encode(answer(found[1]).encode()).decode()}

    return output


def test_what_it_says_is_kept_for_the_team(at: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, image = at.ctx(), put(at)
    monkeypatch.setattr(at.account, "GetConsoleOutput", console(at, said))
    assert inventory.load(ctx, image) is None
    found = inspect.inspect_image(ctx, image)
    assert found.values["Go"] == "1.19.8"
    assert at.account.alive() == []
    assert inventory.load(ctx, image) == found
    both = diff.diff(ctx, "v1.0", "v1.1", boot=True)
    assert len(at.account.made("RunInstances")) == 2  # the other one; the first is known now
    assert (both.contents.differences, both.contents.missing) == ((), ())


def test_one_that_says_nothing_is_ended_and_told(at: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, image = at.ctx(), put(at)
    monkeypatch.setattr(at.account, "GetConsoleOutput", console(at, lambda _: "kernel panic"))
    with pytest.raises(AwsError, match="could not be inspected") as error:
        inspect.inspect_image(ctx, image)
    assert at.account.alive() == []
    assert "console.log" in str(error.value)
    assert [path.read_text() for path in ctx.build.glob("*/console.log")] == ["kernel panic"]
