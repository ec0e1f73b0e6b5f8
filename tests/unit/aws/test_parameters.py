"""Parameter Store over the wire: secrets unread, claims decided by AWS, pointers that are read back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from goldenami.aws import parameters
from goldenami.aws.parameters import Parameter
from goldenami.errors import AwsError
from tests.support.aws_stubs import scripted
from tests.support.clock import ScriptedClock

NAME = "/goldenami/web/candidate"
PUT = {"Name": NAME, "Value": "ami-2", "Type": "String", "DataType": "aws:ec2:image", "Overwrite": True}


def parameter(value: str, version: int = 1, kind: str = "String", name: str = NAME) -> dict[str, Any]:
    return {"Parameter": {"Name": name, "Type": kind, "Value": value, "Version": version}}


def test_a_parameter_or_none() -> None:
    with scripted() as wire:
        wire.answer("ssm", "get_parameter", {"Name": NAME}, parameter("ami-1", 3))
        assert parameters.get(wire.aws, NAME) == Parameter(NAME, "ami-1", 3)
        wire.refuse("ssm", "get_parameter", {"Name": NAME}, "ParameterNotFound")
        assert parameters.get(wire.aws, NAME) is None
        wire.refuse("ssm", "get_parameter", {"Name": NAME}, "AccessDeniedException")
        with pytest.raises(ClientError):
            parameters.get(wire.aws, NAME)


def test_a_secret_is_neither_decrypted_nor_kept() -> None:
    with scripted() as wire:
        wire.answer("ssm", "get_parameter", {"Name": "/web/password"}, parameter("AQICAH…", 2, "SecureString"))
        assert parameters.get(wire.aws, "/web/password") == Parameter("/web/password", "", 2)


def test_all_children_over_all_pages() -> None:
    # At most ten a page, and a page may be empty with more to come:
    # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
    asked = {"Path": "/goldenami/web/versions", "Recursive": False}

    def page(*names: str) -> dict[str, Any]:
        return {"Parameters": [{"Name": n, "Value": "{}", "Version": 1} for n in names]}

    with scripted() as wire:
        wire.answer("ssm", "get_parameters_by_path", asked, {**page("/a"), "NextToken": "1"})
        wire.answer("ssm", "get_parameters_by_path", {**asked, "NextToken": "1"}, {**page(), "NextToken": "2"})
        wire.answer("ssm", "get_parameters_by_path", {**asked, "NextToken": "2"}, page("/b"))
        found = parameters.list_children(wire.aws, "/goldenami/web/versions")
    assert [p.name for p in found] == ["/a", "/b"]


def test_of_two_who_create_one_parameter_one_does() -> None:
    # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html: ParameterAlreadyExists
    asked = {"Name": "/x", "Value": "v", "Type": "SecureString", "Overwrite": False}
    with scripted() as wire:
        wire.answer("ssm", "put_parameter", asked, {"Version": 1})
        assert parameters.create(wire.aws, "/x", "v", "SecureString") is True
        wire.refuse("ssm", "put_parameter", asked, "ParameterAlreadyExists")
        assert parameters.create(wire.aws, "/x", "v", "SecureString") is False
        wire.refuse("ssm", "put_parameter", asked, "ParameterLimitExceeded")
        with pytest.raises(ClientError, match="ParameterLimitExceeded"):
            parameters.create(wire.aws, "/x", "v", "SecureString")


def test_a_pointer_is_written_as_an_image_and_read_back_at_its_version() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        wire.answer("ssm", "get_parameter", {"Name": NAME}, parameter("ami-1", 4))
        wire.answer("ssm", "put_parameter", PUT, {"Version": 5})
        # AWS validates after it has answered; until then the version is not there:
        # https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
        wire.refuse("ssm", "get_parameter", {"Name": f"{NAME}:5"}, "ParameterVersionNotFound")
        wire.answer("ssm", "get_parameter", {"Name": f"{NAME}:5"}, parameter("ami-2", 5))
        assert parameters.publish_ami(wire.aws, clock, NAME, "ami-2") == 5
    assert clock.sleeps == [0.25]


def test_a_pointer_that_is_right_already_is_left_alone() -> None:
    with scripted() as wire:
        wire.answer("ssm", "get_parameter", {"Name": NAME}, parameter("ami-2", 7))
        assert parameters.publish_ami(wire.aws, ScriptedClock(), NAME, "ami-2") == 7


@pytest.mark.parametrize("first", [True, False])
def test_a_version_that_never_appears_was_refused_and_the_pointer_still_says_what_it_said(first: bool) -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        if first:
            wire.refuse("ssm", "get_parameter", {"Name": NAME}, "ParameterNotFound")
        else:
            wire.answer("ssm", "get_parameter", {"Name": NAME}, parameter("ami-1"))
        wire.answer("ssm", "put_parameter", PUT, {"Version": 2})
        for _ in range(33):
            absent = "ParameterNotFound" if first else "ParameterVersionNotFound"
            wire.refuse("ssm", "get_parameter", {"Name": f"{NAME}:2"}, absent)
        with pytest.raises(AwsError, match=f"did not accept ami-2 for {NAME}") as error:
            parameters.publish_ami(wire.aws, clock, NAME, "ami-2")
    assert clock.elapsed == 59.75
    assert ("does not exist" if first else "its value is ami-1") in (error.value.state or "")
    assert error.value.next == f"aws ssm get-parameter-history --name {NAME}"


def test_losing_access_while_reading_back_is_not_taken_for_a_refused_value() -> None:
    with scripted() as wire:
        wire.refuse("ssm", "get_parameter", {"Name": NAME}, "ParameterNotFound")
        wire.answer("ssm", "put_parameter", PUT, {"Version": 1})
        wire.refuse("ssm", "get_parameter", {"Name": f"{NAME}:1"}, "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDenied"):
            parameters.publish_ami(wire.aws, ScriptedClock(), NAME, "ami-2")
