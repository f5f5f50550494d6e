"""A folder that is written to, and nothing outside of it: no symbolic link in it is followed.

A file appears whole or not at all, and nothing unfinished is left where writing fails, on a full disk for example.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from worker.errors import Dependency, JobReason, Unavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class SafeFolder:
    """Files below `path`, by names relative to it. `path` itself may be a symbolic link: a person chose it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names_in(self, folder: str) -> tuple[str, ...]:
        """Return the names of what lies in a folder; none where there is no such folder."""
        path = self.path / folder
        return tuple(each.name for each in path.iterdir()) if path.is_dir() else ()

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Give a file to write to; it has its name once the body has come to its end.

        Raises `Unavailable` (`disk_full`, `output_unwritable`) where it cannot be written.
        """
        try:
            with self._parent(name) as (parent, last):
                part = f".{last}.part"[-250:]
                with suppress(FileNotFoundError):  # of a run that was killed
                    os.unlink(part, dir_fd=parent)
                try:
                    with open(os.open(part, _NEW_FILE, 0o666, dir_fd=parent), "wb") as file:  # noqa: PTH123
                        yield file
                    os.rename(part, last, src_dir_fd=parent, dst_dir_fd=parent)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(part, dir_fd=parent)
                    raise
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    def write(self, name: str, body: bytes) -> None:
        """Write a file, in place of an earlier one."""
        with self.writing(name) as file:
            file.write(body)

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        try:
            with self._parent(name) as (parent, last), suppress(FileNotFoundError):
                os.unlink(last, dir_fd=parent)
        except OSError as error:
            raise unwritable(self.path / name, error) from error

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other commands out while the body runs. Raises `Unavailable` where another one is at it."""
        try:
            with self._parent(name) as (parent, last):
                lock = os.open(last, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666, dir_fd=parent)
        except OSError as error:
            raise unwritable(self.path / name, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            told = f"another command is at work in {self.path}; wait for its end, or name another folder"
            raise Unavailable(Dependency.DISK, JobReason.OUTPUT_UNWRITABLE, told) from None
        finally:
            os.close(lock)

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """Open the folder that a file stands in, made where it is not there; gives its descriptor and the last name."""
        *folders, last = Path(name).parts
        if Path(name).is_absolute() or ".." in folders or last == "..":
            raise OSError(errno.EINVAL, "the name leads out of the folder")
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                with suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=descriptor)
                inner = os.open(folder, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, last
        finally:
            os.close(descriptor)


def unwritable(path: Path, error: OSError) -> Unavailable:
    """Return the worker's own error for a file that cannot be written."""
    told = f"cannot write {path}: {error.strerror}"
    if error.errno in FULL:
        return Unavailable(Dependency.DISK, JobReason.DISK_FULL, told)
    link = next((parent for parent in path.parents if parent.is_symlink()), None)
    if link is not None and error.errno in {errno.ELOOP, errno.ENOTDIR}:
        told += f"; {link} is a symbolic link, and nothing is written through one: remove it"
    return Unavailable(Dependency.DISK, JobReason.OUTPUT_UNWRITABLE, told)
