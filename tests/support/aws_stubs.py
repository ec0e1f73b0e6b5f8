"""AWS's wire, scripted call by call: botocore's Stubber holds each request against the exact one that is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from botocore.stub import Stubber

from goldenami.aws.session import AwsSession

REGION = "ap-northeast-2"
# Making a client takes longer than a whole test; the script is each test's own, the client need not be.
AWS = AwsSession(REGION, keys=("test", "test"))


class Wire:
    """A connection whose services answer from a script, in order, and nothing else."""

    def __init__(self, stack: ExitStack) -> None:
        self.aws = AWS
        self._stack = stack
        self._stubs: dict[str, Stubber] = {}

    def answer(self, service: str, call: str, expected: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """The next call of a service must be this one, with these parameters; it gets this answer."""
        self._stub(service).add_response(call, dict(answer), dict(expected))

    def refuse(self, service: str, call: str, expected: Mapping[str, Any], code: str, message: str = "no") -> None:
        """The next call must be this one; AWS refuses it."""
        self._stub(service).add_client_error(
            call, service_error_code=code, service_message=message, http_status_code=400, expected_params=dict(expected)
        )

    def done(self) -> None:
        """Every scripted call has been made."""
        for stub in self._stubs.values():
            stub.assert_no_pending_responses()

    def _stub(self, service: str) -> Stubber:
        if service not in self._stubs:
            self._stubs[service] = self._stack.enter_context(Stubber(self.aws.client(service)))  # type: ignore[call-overload]
        return self._stubs[service]


@contextmanager
def scripted() -> Iterator[Wire]:
    """A wire whose whole script must be used up by the end."""
    with ExitStack() as stack:
        wire = Wire(stack)
        yield wire
        wire.done()
