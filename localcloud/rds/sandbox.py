"""The process above a database server: a box of its own for it, a clean end for it, and its end with ours. Standard library only.

Run as `python -I -S boxed.py HOME USER PROGRAM ARGUMENT...`. As root, the program runs as USER, with HOME as INSIDE: the way
to a state folder is closed to other users, so the folder is bound to where they may go, in a mount namespace of its own. The
program is the first process of a PID namespace and has its own System V memory: however it ends, nothing of it stays.
SIGTERM asks it for PostgreSQL's fast shutdown (SIGINT). When the server of the local cloud dies, everything goes at once.
"""

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
    """A system call that must succeed."""
    if getattr(_libc, name)(*arguments) != 0:
        sys.exit(f"{name}: {os.strerror(ctypes.get_errno())}")


def die_with_parent() -> None:
    call("prctl", _PDEATHSIG, signal.SIGKILL)


def enter_sandbox(home: str) -> None:
    call("unshare", _NEWNS | _NEWIPC | _NEWPID)
    call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)
    call("mount", home.encode(), SANDBOX_HOME.encode(), None, _BIND, None)


def switch_user(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chdir(SANDBOX_HOME)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main() -> None:
    home, user, *argv = sys.argv[1:]
    die_with_parent()
    boxed = os.geteuid() == 0
    if boxed:
        enter_sandbox(home)
    child = os.fork()
    if child == 0:
        if boxed:
            switch_user(user)
        die_with_parent()  # again: a change of user forgets it
        os.execv(argv[0], argv)  # noqa: S606 - an argument list, no shell
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGINT))
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main()
