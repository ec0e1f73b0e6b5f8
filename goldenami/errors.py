"""Every error that an operator may see: one clear sentence, the state that things are in, and the next command.

Exit codes (documented in the README): 0 done, 1 anything else that failed, 2 the command line, the recipe or what
was rendered from it, 3 a missing or unsuitable tool on this machine, 4 the build failed, 5 a gate refused the image,
6 AWS refused or cannot be reached, 7 somebody else is changing the fleet, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class GoldenError(Exception):
    """Something that an operator can act upon.

    Args:
        message: One sentence: what failed.
        state: What exists now because of it ("Nothing was launched."), if that is worth saying.
        next: The command, or the change, that leads on.
        exit_code: The process' exit code; the class' own when not given.
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
    """The command line asks for something that cannot be: a version that exists, an unknown AMI."""

    code = 2


class SourceError(GoldenError):
    """The application's source cannot be read: no such directory, repository, ref or commit."""

    code = 2


class RenderError(GoldenError):
    """A file cannot be rendered, or what was rendered does not pass its checks."""

    code = 2


class ToolError(GoldenError):
    """A program that is needed here is missing, too old or does not answer."""

    code = 3


class BuildError(GoldenError):
    """Packer refused or failed to build."""

    code = 4


class GateError(GoldenError):
    """An image did not pass a gate, so it is not published."""

    code = 5


class AwsError(GoldenError):
    """AWS (or the endpoint that stands for it) refused, or cannot be reached."""

    code = 6


class BusyError(GoldenError):
    """Somebody else is changing the fleet, or rebuilding the image."""

    code = 7
