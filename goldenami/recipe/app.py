"""The recipe's sections [app] and [[parameters]]: the application's source, build, service and parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.recipe.fields import (
    Command,
    Directory,
    Frozen,
    HealthPath,
    InnerPath,
    Line,
    ParameterName,
    Ref,
    Section,
    Text,
    UserName,
    VariableName,
    field,
    flag,
    number,
)


class Dependencies(Section):
    """The application's dependencies, compiled once in the base layer, so that a change of the application alone bakes fast.

    The compiled packages are not part of the golden AMI.
    """

    files: Annotated[tuple[InnerPath, ...], Frozen] = field(
        description="Files of the source that declare its dependencies; a change in one of them rebuilds the base layer.",
        expected="a list of paths within the source",
        example=["go.mod", "go.sum"],
        min_length=1,
    )
    build: Text = field(
        description="Command that downloads and compiles them, run by bash as `user` in a folder that contains only these"
        " files.",
        expected="a shell command",
        example="go mod download && go build github.com/lib/pq",
        min_length=1,
    )


class App(Section):
    """The application, built in the image and run there as a service."""

    source: Text = field(
        description="Source of the application: a directory, relative to the recipe, or a git URL without credentials.",
        expected="a directory or a git URL (https://, ssh://, git@host:path)",
        example="examples/guestbook",
        min_length=1,
    )
    ref: Ref = field(
        "main",
        description="Branch, tag or commit of a git source.",
        expected="a git branch, tag or commit",
        example="v1.4.2",
    )
    build: Text = field(
        description="Command that builds the application, run by bash in `directory` as `user`.",
        expected="a shell command",
        example="go build -o guestbook ./cmd/server",
        min_length=1,
    )
    dependencies: Dependencies | None = field(
        None,
        description="Dependencies that the base layer compiles; without this section the app layer compiles everything.",
        expected="an [app.dependencies] section",
        example={},
    )
    user: UserName = field(
        "app",
        description="User that runs the service; created if it does not exist.",
        expected="a Linux user name",
        example="app",
    )
    directory: Directory = field(
        description="Installation directory.",
        expected="an absolute path such as /opt/guestbook",
        example="/opt/guestbook",
    )
    exec: Command = field(
        description="Command of the service with its arguments (systemd's `ExecStart=`; `${NAME}` is expanded, `%` is"
        " literal).",
        expected="a command on one line that begins with an absolute path",
        example="/opt/guestbook/guestbook",
    )
    schema_file: InnerPath = field(
        "",
        alias="schema",
        description="SQL or shell script in the source that initialises the database; empty for none.",
        expected="a path within the source",
        example="schema.sql",
    )
    port: int = number(8080, 1, 65535, "TCP port of the service.")
    health: HealthPath = field(
        "/health",
        description="Path of the health check; returns 200 when the service is healthy.",
        expected='a URL path that begins with "/"',
        example="/health",
    )
    environment: dict[VariableName, Text] = field(
        {},
        description="Environment variables of the service. Secrets belong in `[[parameters]]`.",
        expected="variables (letters, digits and _) with strings as values",
        example={"USE_AWS_PARAMS": "true"},
    )

    @property
    def is_git(self) -> bool:
        """True if the source is a git URL; otherwise it is a directory."""
        return "://" in self.source or (self.source.startswith("git@") and ":" in self.source)


class ResponseCheck(Section):
    """A request that every new instance must answer as expected, beside the health check, in the gates and in a rollout.

    It must pass with an empty database, too: the gates have no other.
    """

    path: HealthPath = field(
        description="Path of the request (GET).", expected='a URL path that begins with "/"', example="/api/hymns"
    )
    status: int = number(200, 100, 599, "Expected HTTP status. Redirects are not followed.")
    contains: Line = field(
        "",
        description="Text that the first MiB of the response body must contain; empty for any body.",
        expected="text on one line",
        example="hymns",
    )
    max_seconds: int = number(5, 1, 60, "Maximum time until the response is complete.", unit="seconds")


class Parameter(Section):
    """A parameter of Parameter Store that the application reads. The recipe never contains secrets."""

    name: ParameterName = field(
        description="Name of the parameter.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )
    type: Literal["String", "StringList", "SecureString"] = field(
        "String",
        description="Type of the parameter; a SecureString is encrypted.",
        expected='"String", "StringList" or "SecureString"',
        example="SecureString",
    )
    generate: bool = flag(False, "Create the parameter with a random value if it does not exist (SecureString only).")
    value: str | None = field(
        None,
        description="Initial value if the parameter does not exist (not for a SecureString). Without `value` and `generate`"
        " it must exist.",
        expected="a string of 1 to 4096 characters",
        example="guestbook.example.com",
        min_length=1,
        max_length=4096,
    )
