"""Deployments without a group, with the data on the root disk of the instance."""

from __future__ import annotations

import pytest

from goldenami.aws import images
from goldenami.database import transfer
from goldenami.errors import DataError
from goldenami.images.model import ImageSelector
from goldenami.promote import deploy
from goldenami.promote.model import PromoteOptions
from tests.integration.database.test_transfer import (
    Pier,
    pier,  # noqa: F401 - a fixture
)
from tests.integration.promote.test_promote import pytestmark as promotions
from tests.support.cloud_server import eventually

pytestmark = promotions


def run(pier: Pier, ami: str) -> str:
    """Deploy an image, and return the instance that serves then."""
    return deploy.deploy(pier.ctx(), PromoteOptions(ImageSelector(ami))).instance.id


@pytest.fixture(scope="module")
def only(pier: Pier) -> str:
    """The only instance, after somebody has taken the group away."""
    pier.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    eventually(lambda: not pier.town.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"], 20)
    eventually(lambda: not pier.standing(), 20)
    return run(pier, pier.good)


def test_data_that_cannot_be_restored_is_not_reported_as_a_fault_of_the_image(pier: Pier, only: str) -> None:
    image = pier.image("bad refuses")
    with pytest.raises(DataError, match=r"because of the data, not of the image: .*no space left on device") as caught:
        run(pier, image)
    assert str(caught.value.state).startswith("The previous instance is in service; the new one is terminated")
    found = images.get(pier.ctx().aws, image)
    assert found is not None
    assert "goldenami:rolled-back" not in found.tags
    assert pier.standing() == [only]
    assert transfer.load(pier.ctx()) is None
