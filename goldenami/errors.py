"""The errors that an operator sees: what failed, the current state, and the next command.

Exit codes (documented in docs/operations.md): 0 done, 1 unexpected, 2 the command line, the recipe or a rendered file is wrong,
3 a tool is missing or does not answer, 4 the build failed, 5 a gate refused the image, 6 AWS refused or cannot be reached,
7 the lock is held by another command, 8 the fleet is degraded and 9 it does not serve (both of `status`), 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class GoldenError(Exception):
    """An error that the operator can act upon.

    Args:
        message: One sentence: `<object> <failed action>: <cause>`.
        state: The state that the failure leaves ("Nothing was launched."), if that is worth stating.
        next: The command, or the change, to continue with.
        exit_code: The exit code of the process; the class's own by default.
    """

    code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, state: str | None = None, next: str | None = None, exit_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.state = state
        self.next = next
        self.exit_code = self.code if exit_code is None else exit_code

    def __str__(self) -> str:
        lines = [self.message]
        if self.state:
            lines.append(self.state)
        if self.next:
            lines.append(f"Next: {self.next}")
        return "\n".join(lines)


class RecipeError(GoldenError):
    """The recipe is wrong; the message lists every problem, one a line."""

    code = 2

    def __init__(self, problems: Iterable[str], *, next: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), state="Nothing was started.", next=next)


class UsageError(GoldenError):
    """The command line is wrong: a version that exists already, an unknown AMI."""

    code = 2


class SourceError(GoldenError):
    """The application's source cannot be read: no such directory, repository, ref or commit."""

    code = 2


class RenderError(GoldenError):
    """A file cannot be rendered, or the rendered file does not pass its checks."""

    code = 2


class ToolError(GoldenError):
    """A required program is missing, too old or does not answer."""

    code = 3


class BuildError(GoldenError):
    """Packer refused the build, or the build failed."""

    code = 4


class GateError(GoldenError):
    """An image did not pass a gate, so it is not published; or a promotion was refused or rolled back."""

    code = 5


class DataError(GateError):
    """Data could not be backed up, restored or verified. No image is to blame."""


class AwsError(GoldenError):
    """AWS (or the configured endpoint) refused a call, or cannot be reached."""

    code = 6


class UnreachableError(AwsError):
    """AWS cannot be reached while writes are stopped; nothing can be cleaned up until it can."""


class BusyError(GoldenError):
    """Another command holds the lock: it changes the fleet, or rebuilds the image."""

    code = 7
