"""The system account that the embedded PostgreSQL runs under when Hunter runs as root.

PostgreSQL refuses to run as root, so a root process (a container, mostly) starts it under an account of its own.
That account must be able to pass through the directories above the data and the programs. Where one of them is
closed, such as a `/root` of mode 0700, the account alone is let through by an access control entry; nobody else gains
a right and no directory becomes readable. Nothing here knows how a server is started or stopped.
"""

import contextlib
import os
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import pwd

ACCOUNT_NAME = "hunter-postgres"

# Layout and tags of the extended attribute that holds a POSIX ACL: include/uapi/linux/posix_acl_xattr.h
_ACL_ATTRIBUTE = "system.posix_acl_access"
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_EXECUTE = 1

_ASKED = 3
"""How often a command is tried that is ended by a signal: that is no answer."""

Acl = Mapping[tuple[int, int], int]
"""Permission bits (4 read, 2 write, 1 execute) by tag and user or group id."""


class EmbeddedError(RuntimeError):
    """The embedded server cannot be used; the text is one line and names the fix."""


@dataclass(frozen=True)
class Account:
    """Numeric user and group under which the server's programs run."""

    uid: int
    gid: int

    def command(self, command: list[str]) -> list[str]:
        """Return the command that runs a program (by its full path) under this account and no other group.

        A program in between changes the account. `subprocess` could, but then forks where it otherwise spawns, and the
        fork handlers of a library with threads (gRPC, which Dagster loads) kill some of those children.
        """
        return [sys.executable, "-I", "-S", "-c", _CHANGE, str(self.uid), str(self.gid), *command]


_CHANGE_REFUSED = 125
_CHANGE = f"""
import os, sys
try:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[1]))
except OSError:
    sys.exit({_CHANGE_REFUSED})
try:
    os.execv(sys.argv[3], sys.argv[3:])
except OSError as error:
    sys.exit(f"error: {{sys.argv[3]}}: {{error.strerror}}")
"""


def account_for(data: Path) -> Account | None:
    """Return the account for the server of a data directory, or None when the current user can run it.

    :param data: the data directory; it need not exist. An existing one is served by its owner, because PostgreSQL
        accepts no other.
    :raises EmbeddedError: the account is missing and could not be made.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
    entry = _password_entry()
    if entry is None:
        _create_account()
        entry = _password_entry()
    if entry is None:
        raise EmbeddedError(f"The system account {ACCOUNT_NAME} is missing. {_ACCOUNT_FIX}")
    return Account(entry.pw_uid, entry.pw_gid)


_ACCOUNT_FIX = (
    f"Make it with `useradd --system {ACCOUNT_NAME}`, run Hunter as a user other than root, or set HUNTER_DATABASE_URL."
)


def _password_entry() -> "pwd.struct_passwd | None":
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return None


def _create_account() -> None:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise EmbeddedError(f"PostgreSQL does not run as root and there is no useradd here. {_ACCOUNT_FIX}")
    command = [program, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false"]
    done = subprocess.run([*command, ACCOUNT_NAME], check=False, capture_output=True, text=True)
    # Two first starts may race for the same name; the look-up that follows decides.
    if done.returncode != 0 and _password_entry() is None:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedError(f"The system account {ACCOUNT_NAME} could not be made ({reason}). {_ACCOUNT_FIX}")


def take_ownership(data: Path, account: Account) -> None:
    """Give a data directory that root owns, with all that is in it, to the account.

    :param data: an existing directory. Nothing is changed when its owner is the account already.
    :param account: who shall own it.
    """
    if data.stat().st_uid == account.uid:
        return
    for folder, _, files in os.walk(data):
        os.chown(folder, account.uid, account.gid)
        for name in files:
            os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)


def let_through(directory: Path, account: Account) -> None:
    """Let the account pass through a directory and every directory above it.

    :param directory: an existing directory, absolute.
    :param account: who must be able to enter it.
    :raises EmbeddedError: a directory is closed and its file system or owner keeps it so.
    """
    if _can_enter(directory, account):
        return
    for each in [*reversed(directory.parents), directory]:
        if _can_enter(each, account):
            continue
        with contextlib.suppress(OSError):
            _add_pass_entry(each, account.uid)
        if not _can_enter(each, account):
            raise EmbeddedError(
                f"PostgreSQL runs under the account {account.uid} here, which may not pass through {each}. "
                f"Run `chmod o+x {each}`, or set HUNTER_HOME to a directory outside it."
            )


def open_programs(installation: Path, account: Account) -> None:
    """Make PostgreSQL's own programs and libraries usable by the account.

    A package installed under a tight umask is readable by root alone; these files are public software, so read
    permission is all that is added.

    :param installation: the directory with `bin`, `lib` and `share`.
    :param account: who must be able to run the programs.
    :raises EmbeddedError: the account still cannot run them.
    """
    let_through(installation.parent, account)
    server = installation / "bin" / "postgres"
    if _can_run(server, account):
        return
    for folder, _, files in os.walk(installation):
        _add_mode(Path(folder), stat.S_IROTH | stat.S_IXOTH)
        for name in files:
            path = Path(folder, name)
            executable = path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))
    if not _can_run(server, account):
        raise EmbeddedError(
            f"The account {account.uid} may not run {server}. "
            f"Run `chmod -R o+rX {installation}`, or set HUNTER_DATABASE_URL."
        )


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _can_run(program: Path, account: Account) -> bool:
    return _ask([str(program), "--version"], account)


def _can_enter(directory: Path, account: Account) -> bool:
    # The kernel is asked, as that account, because mode bits alone do not tell (ACLs, network file systems).
    return _ask(["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)], account)


def _ask(command: list[str], account: Account) -> bool:
    """Whether a command succeeds under the account.

    :raises EmbeddedError: there is no answer.
    """
    for _ in range(_ASKED):
        done = subprocess.run(account.command(command), check=False, capture_output=True, cwd="/")
        if done.returncode == _CHANGE_REFUSED:
            # A root without the right to change its user, as in some rootless containers.
            raise EmbeddedError(
                "PostgreSQL does not run as root, and this root may not run programs as another user. "
                "Run Hunter as an ordinary user, or set HUNTER_DATABASE_URL."
            )
        if done.returncode >= 0:
            return done.returncode == 0
    raise EmbeddedError(
        f"{command[0]} is ended by signal {-done.returncode} whenever it runs under the account {account.uid}. "
        "Run Hunter as an ordinary user, or set HUNTER_DATABASE_URL."
    )


def _add_pass_entry(directory: Path, uid: int) -> None:
    if sys.platform != "linux":
        raise OSError("only Linux keeps access control lists in this form")
    status = directory.stat()
    try:
        acl = decode_acl(os.getxattr(directory, _ACL_ATTRIBUTE))
    except OSError:
        acl = acl_of_mode(status.st_mode)
    os.setxattr(directory, _ACL_ATTRIBUTE, encode_acl(with_pass_entry(acl, uid)))


def acl_of_mode(mode: int) -> Acl:
    """Return the access control list that says what plain mode bits say."""
    return {(_USER_OBJ, _NO_ID): mode >> 6 & 7, (_GROUP_OBJ, _NO_ID): mode >> 3 & 7, (_OTHER, _NO_ID): mode & 7}


def with_pass_entry(acl: Acl, uid: int) -> Acl:
    """Return the list with execute permission for one user added; every other effective right stays, also theirs.

    :param acl: the list to start from.
    :param uid: the user to let through.
    """
    masked = (_USER, _GROUP_OBJ, _GROUP)
    old_mask = acl.get((_MASK, _NO_ID), 7)
    # A mask that hid bits is about to be widened, so the hidden bits are dropped first and stay without effect.
    entries = {key: bits & old_mask if key[0] in masked else bits for key, bits in acl.items()}
    # A name of its own takes a user out of "others", and so would take rights that these have.
    entries[_USER, uid] = entries.get((_USER, uid), entries[_OTHER, _NO_ID]) | _EXECUTE
    mask = 0
    for key, bits in entries.items():
        if key[0] in masked:
            mask |= bits
    entries[_MASK, _NO_ID] = mask
    return entries


def encode_acl(acl: Acl) -> bytes:
    """Return a list as the kernel's extended attribute holds it."""
    entries = (struct.pack("<HHI", tag, bits, identity) for (tag, identity), bits in sorted(acl.items()))
    return struct.pack("<I", _ACL_VERSION) + b"".join(entries)


def decode_acl(attribute: bytes) -> Acl:
    """Return the list that an extended attribute holds; the inverse of `encode_acl`."""
    return {(tag, identity): bits for tag, bits, identity in struct.iter_unpack("<HHI", attribute[4:])}
