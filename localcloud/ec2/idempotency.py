"""Idempotent requests: the same ClientToken returns the resource that the first request created.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from moto.ec2.exceptions import EC2ClientError


def find_created(response: Any, resources: Iterable[Any]) -> Any:
    """Return the resource that a request with the same ClientToken created; None if there is none. Raises EC2ClientError if that
    request had other parameters (IdempotentParameterMismatch)."""
    token = response.params.get("ClientToken")
    resource = next((known for known in resources if token and getattr(known, "client_token", None) == token), None)
    if resource is not None and getattr(resource, "request_digest", None) not in (None, _digest(response.params)):
        raise EC2ClientError(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
    return resource


def remember(response: Any, resource: Any) -> None:
    """Store the request's ClientToken and parameters with the resource that it created."""
    resource.client_token = response.params.get("ClientToken")
    resource.request_digest = _digest(response.params)


def _digest(parameters: Any) -> str:
    values = {name: value for name, value in parameters.items() if name != "DryRun"}
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()
