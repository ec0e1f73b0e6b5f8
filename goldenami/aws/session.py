"""Access to an AWS account: region, credentials, endpoint, and clients with the retries that long operations need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload

from goldenami.errors import AwsError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient


@dataclass(frozen=True)
class AwsSession:
    """Account and region.

    Attributes:
        profile: Profile of ~/.aws/config; None for the default credential chain.
        endpoint_url: URL of the API if it is not AWS's public endpoint.
        keys: Access key and secret key; None to look them up.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    keys: tuple[str, str] | None = field(default=None, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @cached_property
    def session(self) -> boto3.Session:
        """The boto3 session. boto3 is imported here: it is slow, and `--list` and `--help` do not need it."""
        import boto3
        from botocore.exceptions import ProfileNotFound

        key, secret = self.keys or (None, None)
        try:
            return boto3.Session(
                region_name=self.region, profile_name=self.profile, aws_access_key_id=key, aws_secret_access_key=secret
            )
        except ProfileNotFound:
            raise AwsError(f"the AWS profile '{self.profile}' is not in ~/.aws/config", next="aws configure") from None

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    @overload
    def client(self, service: Literal["autoscaling"]) -> AutoScalingClient: ...
    @overload
    def client(self, service: Literal["codebuild"]) -> CodeBuildClient: ...
    @overload
    def client(self, service: Literal["cloudwatch"]) -> CloudWatchClient: ...
    @overload
    def client(self, service: Literal["ec2"]) -> EC2Client: ...
    @overload
    def client(self, service: Literal["elbv2"]) -> ElasticLoadBalancingv2Client: ...
    @overload
    def client(self, service: Literal["iam"]) -> IAMClient: ...
    @overload
    def client(self, service: Literal["pricing"]) -> PricingClient: ...
    @overload
    def client(self, service: Literal["rds"]) -> RDSClient: ...
    @overload
    def client(self, service: Literal["scheduler"]) -> EventBridgeSchedulerClient: ...
    @overload
    def client(self, service: Literal["sns"]) -> SNSClient: ...
    @overload
    def client(self, service: Literal["service-quotas"]) -> ServiceQuotasClient: ...
    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["ssm"]) -> SSMClient: ...
    @overload
    def client(self, service: Literal["sts"]) -> STSClient: ...

    def client(self, service: str) -> Any:
        """Return the client of a service, created once.

        Adaptive retries slow down when AWS throttles (RequestLimitExceeded), which parallel builds cause.
        Source: https://docs.aws.amazon.com/boto3/latest/guide/retries.html
        """
        with self._lock:  # boto3's clients are thread-safe, their creation is not
            if service not in self._clients:
                from botocore.config import Config

                client = self.session.client(  # type: ignore[call-overload]
                    service,
                    endpoint_url=self.endpoint_url,
                    config=Config(retries={"mode": "adaptive", "max_attempts": 8}, connect_timeout=10, read_timeout=60),
                )
                if service == "s3":
                    client.meta.events.register("before-parameter-build.s3", self._expect_own_bucket)
                self._clients[service] = client
            return self._clients[service]

    @cached_property
    def account(self) -> str:
        """The account's id."""
        return caller_identity(self)[0]

    def _expect_own_bucket(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Name the account in each S3 call: a bucket of this name that belongs to another one is refused by S3.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        """
        for name in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
            if name in model.input_shape.members:
                params.setdefault(name, self.account)

    def environment(self) -> dict[str, str]:
        """Return credentials, region and endpoint as the AWS_… variables that Packer and other tools read.

        Raises:
            AwsError: No credentials were found.
        """
        credentials = self.session.get_credentials()
        if credentials is None:
            raise AwsError("no AWS credentials were found", next="aws configure, or set AWS_PROFILE")
        frozen = credentials.get_frozen_credentials()
        return {
            "AWS_ACCESS_KEY_ID": frozen.access_key or "",
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key or "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            # Set even if empty: the token of other keys in the environment would make AWS refuse these keys.
            "AWS_SESSION_TOKEN": frozen.token or "",
            # Packer's plugin uses its own setting (custom_endpoint_ec2) for a part of its calls only.
            **({"AWS_ENDPOINT_URL": self.endpoint_url} if self.endpoint_url else {}),
        }


def caller_identity(aws: AwsSession) -> tuple[str, str]:
    """Return the account id and the ARN of the credentials."""
    identity = aws.client("sts").get_caller_identity()
    return identity["Account"], identity["Arn"]
