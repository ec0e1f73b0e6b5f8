"""The sections of the recipe about the application: its source, and the parameters that it reads."""

from __future__ import annotations

from typing import Annotated, Literal

from goldenami.recipe.fields import (
    Command,
    Directory,
    Frozen,
    HealthPath,
    InnerPath,
    ParameterName,
    Ref,
    Section,
    Text,
    UserName,
    VariableName,
    field,
)


class Dependencies(Section):
    """What the application is built on, compiled once in the base layer: a bake of the application alone then compiles
    nothing else. The compiled packages are in no golden AMI.
    """

    files: Annotated[tuple[InnerPath, ...], Frozen] = field(
        description="The files of the source that say what it depends on; a change of one bakes the base layer anew.",
        expected="a list of paths within the source",
        example=["go.mod", "go.sum"],
        min_length=1,
    )
    build: Text = field(
        description="The command that fetches and compiles them, run by bash as `user` in a folder that holds these files alone.",
        expected="a shell command",
        example="go mod download && go build github.com/lib/pq",
        min_length=1,
    )


class App(Section):
    """The application, built in the image and run there as a service."""

    source: Text = field(
        description="Where its source is: a directory, seen from the recipe, or a git URL without credentials.",
        expected="a directory or a git URL (https://, ssh://, git@host:path)",
        example="examples/guestbook",
        min_length=1,
    )
    ref: Ref = field(
        "main",
        description="The branch, tag or commit of a git source.",
        expected="a git branch, tag or commit",
        example="v1.4.2",
    )
    build: Text = field(
        description="The command that builds it, run by bash in `directory` as `user`.",
        expected="a shell command",
        example="go build -o guestbook ./cmd/server",
        min_length=1,
    )
    dependencies: Dependencies | None = field(
        None,
        description="What it is built on, for the base layer to compile; left out, the app layer compiles all.",
        expected="an [app.dependencies] section",
        example={},
    )
    user: UserName = field(
        "app",
        description="The user it runs as; made if missing.",
        expected="a Linux user name",
        example="app",
    )
    directory: Directory = field(
        description="Where it is installed.",
        expected="an absolute path such as /opt/guestbook",
        example="/opt/guestbook",
    )
    exec: Command = field(
        description="What the service runs, with its arguments (systemd's ExecStart=: it fills in ${NAME}, and a"
        " % stands for itself).",
        expected="a command on one line that begins with an absolute path",
        example="/opt/guestbook/guestbook",
    )
    schema_file: InnerPath = field(
        "",
        alias="schema",
        description="The SQL or shell script within the source that initialises the database; empty for none.",
        expected="a path within the source",
        example="schema.sql",
    )
    port: int = field(
        8080,
        description="The TCP port that it answers on.",
        expected="a number from 1 to 65535",
        example=8080,
        ge=1,
        le=65535,
    )
    health: HealthPath = field(
        "/health",
        description="The path that answers 200 when it is well.",
        expected='a URL path that begins with "/"',
        example="/health",
    )
    environment: dict[VariableName, Text] = field(
        {},
        description="Environment variables of the service. No secrets: those are parameters.",
        expected="variables (letters, digits and _) with strings as values",
        example={"USE_AWS_PARAMS": "true"},
    )

    @property
    def is_git(self) -> bool:
        """Whether the source is a git URL (else it is a directory)."""
        return "://" in self.source or (self.source.startswith("git@") and ":" in self.source)


class Parameter(Section):
    """A parameter of Parameter Store that the application reads. Secrets never stand in the recipe."""

    name: ParameterName = field(
        description="Its name.",
        expected='a parameter name such as "/guestbook/production/db/password"',
        example="/guestbook/production/db/password",
    )
    type: Literal["String", "StringList", "SecureString"] = field(
        "String",
        description="Its type; a SecureString is encrypted.",
        expected='"String", "StringList" or "SecureString"',
        example="SecureString",
    )
    generate: bool = field(
        False,
        description="Make it once, at random, when it is missing (SecureString only).",
        expected="true or false",
        example=True,
    )
    value: str | None = field(
        None,
        description="Its value when it is missing (not for a SecureString). Without `value` and `generate` it must exist.",
        expected="a string of 1 to 4096 characters",
        example="guestbook.example.com",
        min_length=1,
        max_length=4096,
    )
