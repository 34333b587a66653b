"""What an `OSError` from the file system means to us, in words that an operator can act on."""

from __future__ import annotations

import errno
import os
import pwd

from syncd.errors import FolderUnavailable, SyncdError, Transient, Vanished

# What the kernel says when there is no such file beneath the root: ELOOP and ENOTDIR where a symlink stands in the
# way, EXDEV where openat2 was led out of the root, ENAMETOOLONG where no such name can exist.
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG})
DENIED = frozenset({errno.EACCES, errno.EPERM})
_REMOTE = frozenset({errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOTCONN})
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE})


class FolderAway(Transient, FolderUnavailable):
    """The folder itself is not there while one of its files is asked for: the file waits, it has not vanished."""


def shown(path: bytes) -> str:
    """The path as text for messages: bytes that are no UTF-8 and control characters come out escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def user() -> str:
    """Who this process is to the file system: the name, or the number where the system knows no name."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def file_trouble(error: OSError, root: bytes, path: bytes) -> SyncdError:
    """Vanished where there is no such file, Transient with a hint for everything else."""
    name = f"{shown(root)}/{shown(path)}"
    if error.errno in GONE:
        return Vanished(f"{name}: no regular file there")
    if error.errno in DENIED:
        return Transient(f"{name}: not allowed to read it", hint=_access_hint(name))
    return Transient(f"{name}: {_words(error)}", hint=_hint(error))


def put_away_trouble(error: OSError, root: bytes, path: bytes, to: bytes | None) -> Transient:
    """Why a proven file could not be deleted or moved; it stays, and is tried again."""
    name = f"{shown(root)}/{shown(path)}"
    what = "deleted" if to is None else f"moved to {shown(to)}"
    if error.errno in DENIED | {errno.EROFS}:
        where = shown(root) if to is None else f"{shown(root)} and {shown(to)}"
        hint = f"let {user()} write in {where} and the directories below"
        return Transient(f"{name}: not allowed to have it {what}", hint=hint)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Transient(f"{name}: no room to have it {what}", hint=f"free space on {shown(to or root)}")
    if to is not None and error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Transient(
            f"{name}: cannot be {what}: there is no such directory",
            hint="create it, or mount what belongs there",
        )
    return Transient(f"{name}: cannot be {what}: {_words(error)}", hint=_hint(error))


def root_trouble(error: OSError, root: bytes) -> FolderUnavailable:
    """Why a folder cannot be used now, in one sentence and a hint."""
    name = shown(root)
    if error.errno == errno.ENOENT:
        return FolderUnavailable(f"{name} does not exist", hint="create it, or mount what belongs there")
    if error.errno == errno.ENOTDIR:
        return FolderUnavailable(
            f"{name} is not a directory", hint="a folder's path must lead to a directory"
        )
    if error.errno in DENIED:
        hint = f"let {user()} in: setfacl -m u:{user()}:rx {name}, or chmod its group or others r-x"
        return FolderUnavailable(f"{name} cannot be read by {user()}", hint=hint)
    return FolderUnavailable(f"{name}: {_words(error)}", hint=_hint(error))


def folder_away(error: OSError, root: bytes) -> FolderAway:
    """The same for a call that asked for one file of the folder."""
    trouble = root_trouble(error, root)
    return FolderAway(str(trouble), hint=trouble.hint)


def blind_reason(error: OSError) -> str:
    """Why a subtree could not be read, for status and logs."""
    if error.errno in DENIED:
        return f"cannot be read by {user()}"
    return _words(error)


def _access_hint(name: str) -> str:
    return f"make it readable for {user()}: chmod or setfacl on {name} and the directories above it"


def _hint(error: OSError) -> str | None:
    if error.errno in _REMOTE:
        return "the file server does not answer, or the mount is stale: check the network and mount it again"
    if error.errno in _SCARCE:
        return "too many files are open: raise LimitNOFILE"
    if error.errno == errno.EAGAIN:
        return "another program holds a lease on the file"
    return "the disk may be failing or unplugged: see the kernel's log (dmesg)"


def _words(error: OSError) -> str:
    if error.errno is None:
        return str(error)
    return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
