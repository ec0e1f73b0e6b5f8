"""Elastic IP addresses, by the exact requests."""

from __future__ import annotations

from botocore.stub import Stubber

from goldenami.aws import vpc
from goldenami.aws.session import AwsSession


def test_elastic_address_is_found_by_its_tag_and_moved_to_another_instance() -> None:
    aws = AwsSession("ap-northeast-2", keys=("test", "test"))
    with Stubber(aws.client("ec2")) as stub:
        answer = {"Addresses": [{"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1", "InstanceId": "i-1"}]}
        stub.add_response(
            "describe_addresses", answer, {"Filters": [{"Name": "tag:goldenami:fleet", "Values": ["guestbook"]}]}
        )
        request = {"AllocationId": "eipalloc-1", "InstanceId": "i-2", "AllowReassociation": True}
        stub.add_response("associate_address", {"AssociationId": "eipassoc-1"}, request)
        address = vpc.find_address(aws, {"goldenami:fleet": "guestbook"})
        assert address == vpc.ElasticAddress("eipalloc-1", "192.0.2.1", "i-1")
        vpc.associate_address(aws, address.allocation, "i-2")
        stub.assert_no_pending_responses()
