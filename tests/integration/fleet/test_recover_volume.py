"""Recovery of fleets whose rows survive the instance; and fleet.create after the image in production was deregistered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from goldenami.fleet import create, recover
from goldenami.fleet.recover import RecoverOptions
from tests.integration.database.test_volume import Harbour, Quay, Writer, shared_fleet
from tests.integration.promote.test_promote import pytestmark as promotions
from tests.support.cloud_server import eventually

pytestmark = promotions


@pytest.fixture(scope="module")
def quay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quay]:
    with shared_fleet(tmp_path_factory.mktemp("quay"), Harbour, Quay) as fleet:
        yield fleet


def test_broken_instance_is_replaced_with_its_volume(quay: Quay) -> None:
    image, old = quay.running(), quay.machine()
    with Writer(quay) as writer:
        eventually(lambda: len(writer.acknowledged) > 3)
        quay.town.autoscaling.suspend_processes(
            AutoScalingGroupName="guestbook-asg", ScalingProcesses=["HealthCheck", "ReplaceUnhealthy"]
        )
        old.sick = True
        eventually(lambda: not any(m.serving for m in quay.fleet_state().group.members), 20)
        recover.recover(quay.ctx(), RecoverOptions())
    quay.town.autoscaling.resume_processes(AutoScalingGroupName="guestbook-asg")
    quay.serves(image)
    assert quay.machine().id != old.id
    writer.check()


def test_create_after_the_production_image_and_the_group_were_deleted(quay: Quay) -> None:
    image, good = quay.running(), quay.image("good")
    quay.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    there = quay.town.autoscaling.describe_auto_scaling_groups
    eventually(lambda: not there()["AutoScalingGroups"] and not quay.standing(), 20)
    quay.town.ec2.deregister_image(ImageId=image)
    result = create.create(quay.ctx())
    assert result.image.id == good
    quay.serves(good)
