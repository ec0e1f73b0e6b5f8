"""Connections, credentials and what AWS's errors mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from hypothesis import given, strategies as st

from goldenami.aws import dry_run, iam_roles
from goldenami.aws.errors import code, explain
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping, pairs, tag_specification
from goldenami.errors import AwsError
from goldenami.iam import instance_role
from tests.support.aws_stubs import scripted

REGION = "ap-northeast-2"


def refusal(name: str, message: str = "said AWS") -> ClientError:
    return ClientError({"Error": {"Code": name, "Message": message}}, "RunInstances")


def test_a_client_is_made_once_with_patient_retries_for_the_endpoint_it_was_given() -> None:
    aws = AwsSession(REGION, endpoint_url="http://127.0.0.1:4566", keys=("test", "test"))
    client = aws.client("ec2")
    assert aws.client("ec2") is client
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client.meta.region_name == REGION
    # Adaptive: slows down by itself when throttled. total_max_attempts counts the first one.
    assert client.meta.config.retries == {"mode": "adaptive", "total_max_attempts": 9}


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(AwsSession(REGION, keys=("test", "secret")))


def test_the_endpoint_goes_along_where_there_is_one() -> None:
    """Packer's plugin 1.8.2 sends some calls (ModifyImageAttribute) to AWS itself without this."""
    here = AwsSession(REGION, keys=("test", "secret"), endpoint_url="http://127.0.0.1:4566")
    assert here.environment()["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert "AWS_ENDPOINT_URL" not in AwsSession(REGION, keys=("test", "secret")).environment()


def test_packer_gets_credentials_and_region() -> None:
    found = AwsSession(REGION, keys=("test", "secret")).environment()
    assert {name: value for name, value in found.items() if value} == {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def test_packer_gets_the_session_token_of_temporary_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", name.lower())
    assert AwsSession(REGION).environment()["AWS_SESSION_TOKEN"] == "session_token"


def test_profiles_are_read_from_the_aws_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text("[bakery]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert AwsSession(REGION, profile="bakery").environment()["AWS_ACCESS_KEY_ID"] == "AKIA"
    with pytest.raises(AwsError, match="the AWS profile 'other' is not in"):
        AwsSession(REGION, profile="other").environment()


def test_no_credentials_at_all_are_told() -> None:
    with pytest.raises(AwsError, match="no AWS credentials were found") as error:
        AwsSession(REGION).environment()
    assert error.value.exit_code == 6


@pytest.mark.parametrize(
    ("error", "told", "next_"),
    [
        (refusal("UnauthorizedOperation"), "AWS does not allow RunInstances with these credentials", "./invoke doctor"),
        (refusal("ExpiredToken"), "does not accept the credentials (ExpiredToken)", "aws sts get-caller-identity"),
        (refusal("RequestLimitExceeded"), "throttled RunInstances for longer than we retry", "later"),
        (refusal("InvalidAMIID.NotFound"), "AWS refused RunInstances: said AWS (InvalidAMIID.NotFound)", ""),
        (exceptions.NoCredentialsError(), "no AWS credentials were found", "aws configure"),
        (exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "cannot be reached", "./invoke doctor"),
        (exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "cannot be reached", "./invoke doctor"),
        (exceptions.NoRegionError(), "AWS: You must specify a region.", ""),
    ],
)
def test_errors_are_one_sentence_with_the_next_command(error: Exception, told: str, next_: str) -> None:
    known = explain(error)
    assert known is not None
    assert told in known.message
    assert "\n" not in known.message
    assert next_ in (known.next or "")
    assert known.exit_code == 6


def test_errors_of_others_are_not_explained_away() -> None:
    assert explain(ValueError("x")) is None
    assert code(ClientError({}, "RunInstances")) == ""


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_tags_there_and_back(tags: dict[str, str]) -> None:
    assert mapping(pairs(tags)) == tags
    assert mapping(tag_specification("instance", tags)["Tags"]) == tags


def test_the_policy_reads_these_parameters_and_nothing_else() -> None:
    made = instance_role.builder_policy(REGION, "123456789012", ["/web/b", "/web/a"])
    assert made["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["ssm:GetParameter", "ssm:GetParameters"],
            "Resource": [f"arn:aws:ssm:{REGION}:123456789012:parameter/web/{n}" for n in "ab"],
        }
    ]
    assert instance_role.builder_policy(REGION, "123456789012", [])["Statement"] == []


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    },
    separators=(",", ":"),
)
ROLE = {"RoleName": "web-bake", "AssumeRolePolicyDocument": TRUST, "Description": "builders"}


def profile(*role_names: str) -> dict[str, object]:
    entity = {"Path": "/", "CreateDate": "2026-03-14T09:26:53Z"}
    made = [{**entity, "RoleName": n, "RoleId": "A" * 16, "Arn": "a" * 20} for n in role_names]
    whole = {**entity, "InstanceProfileName": "web-bake", "InstanceProfileId": "A" * 16, "Arn": "a" * 20, "Roles": made}
    return {"InstanceProfile": whole}


@pytest.mark.parametrize("there", [False, True])
def test_the_profile_is_made_or_found_and_its_policy_is_always_put_right(there: bool) -> None:
    named = {"InstanceProfileName": "web-bake"}
    role = {**profile("web-bake")["InstanceProfile"]["Roles"][0]}  # type: ignore[index]
    policy = instance_role.builder_policy(REGION, "123456789012", ["/web/a"])
    with scripted() as wire:
        if there:  # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html: EntityAlreadyExists, 409
            wire.refuse("iam", "create_role", ROLE, "EntityAlreadyExists")
        else:
            wire.answer("iam", "create_role", ROLE, {"Role": role})
        put = {
            "RoleName": "web-bake",
            "PolicyName": "goldenami",
            "PolicyDocument": json.dumps(policy, separators=(",", ":")),
        }
        wire.answer("iam", "put_role_policy", put, {})
        if there:
            wire.refuse("iam", "create_instance_profile", named, "EntityAlreadyExists")
            wire.answer("iam", "get_instance_profile", named, profile("web-bake"))
        else:
            wire.answer("iam", "create_instance_profile", named, profile())
            wire.answer("iam", "get_instance_profile", named, profile())
            wire.answer("iam", "add_role_to_instance_profile", {**named, "RoleName": "web-bake"}, {})
        assert iam_roles.ensure_instance_profile(wire.aws, "web-bake", policy, "builders") == "web-bake"


def test_a_role_without_parameters_keeps_no_old_permission() -> None:
    with scripted() as wire:
        wire.refuse("iam", "create_role", ROLE, "EntityAlreadyExists")
        wire.refuse("iam", "delete_role_policy", {"RoleName": "web-bake", "PolicyName": "goldenami"}, "NoSuchEntity")
        wire.refuse("iam", "create_instance_profile", {"InstanceProfileName": "web-bake"}, "EntityAlreadyExists")
        wire.answer("iam", "get_instance_profile", {"InstanceProfileName": "web-bake"}, profile("web-bake"))
        iam_roles.ensure_instance_profile(wire.aws, "web-bake", {"Statement": []}, "builders")


def test_a_role_that_we_may_not_make_is_told() -> None:
    with scripted() as wire:
        wire.refuse("iam", "create_role", ROLE, "AccessDenied")
        with pytest.raises(ClientError) as error:
            iam_roles.ensure_instance_profile(wire.aws, "web-bake", {"Statement": []}, "builders")
    assert "does not allow CreateRole" in str(explain(error.value))


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        # What a dry run answers where the call would be allowed:
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html
        (["DryRunOperation"] * 4, []),
        (["UnauthorizedOperation"] * 4, ["RunInstances", "CreateSecurityGroup", "CreateTags", "DescribeImages"]),
        (["InvalidAMIID.NotFound", "DryRunOperation", "UnauthorizedOperation", "DryRunOperation"], ["CreateTags"]),
    ],
)
def test_permissions_are_asked_for_without_doing_anything(answers: list[str], refused: list[str]) -> None:
    calls = [
        (
            "run_instances",
            {"ImageId": "ami-1", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "DryRun": True},
        ),
        ("create_security_group", {"GroupName": "goldenami-dry-run", "Description": "dry run", "DryRun": True}),
        ("create_tags", {"Resources": ["ami-1"], "Tags": [{"Key": "a", "Value": "b"}], "DryRun": True}),
        ("describe_images", {"Owners": ["self"], "DryRun": True}),
    ]
    with scripted() as wire:
        for (call, expected), answer in zip(calls, answers, strict=True):
            wire.refuse("ec2", call, expected, answer)
        assert dry_run.denied_actions(wire.aws, "ami-1", "t3.micro") == [f"ec2:{name}" for name in refused]
