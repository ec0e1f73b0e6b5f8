"""The parent process of a database server, which runs it in a sandbox and ends it cleanly. Uses the standard library only. Run as
`python -I -S sandbox.py FOLDER USER PROGRAM ARGUMENT...`. As root, the program runs as USER, with FOLDER mounted at
SANDBOX_HOME in its own mount namespace, because other users cannot enter the state folder. The program is the first process of
a PID namespace and has its own System V memory, so that nothing remains of it. SIGTERM requests PostgreSQL's fast shutdown
(SIGINT). When the server of the local cloud dies, the kernel kills all."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

SANDBOX_HOME = "/var/lib/postgresql"
_NEWNS, _NEWIPC, _NEWPID = 0x00020000, 0x08000000, 0x20000000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """Call a C function that must succeed."""
    if getattr(_libc, name)(*arguments) != 0:
        sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")


def die_with_parent() -> None:
    call("prctl", _PDEATHSIG, signal.SIGKILL)


def enter_sandbox(folder: str) -> None:
    call("unshare", _NEWNS | _NEWIPC | _NEWPID)
    call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
    call("mount", folder.encode(), SANDBOX_HOME.encode(), None, _BIND, None)


def switch_user(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chdir(SANDBOX_HOME)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> None:
    folder, user, *argv = sys.argv[1:]
    die_with_parent()
    is_root = os.geteuid() == 0
    if is_root:
        enter_sandbox(folder)
    child = os.fork()
    if child == 0:
        if is_root:
            switch_user(user)
        die_with_parent()  # again, as a change of user resets it
        os.execv(argv[0], argv)  # noqa: S606 - an argument list, no shell
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGINT))
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main()
