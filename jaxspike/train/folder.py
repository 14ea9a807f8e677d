"""The folder of a run: its checkpoints, for one run at a time."""

import contextlib
import os
import re
import shutil
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import jax
from jax.experimental import multihost_utils

from . import manifest

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(1 << 20)  # others may read what is before
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


KEPT = 2  # checkpoints
CHECKPOINT = re.compile(r"epoch-(\d+)-batch-(\d+)")
LOCK, UNFINISHED, OLD = ".lock", ".unfinished", ".old"
Position = tuple[int, int]  # epoch and batch
_held: set[Path] = set()  # by this process, which a lock of the system does not refuse itself


class Folder:
    """A folder of checkpoints, held by this process until it is closed or killed.

    A checkpoint is written next to the others and gets its name when it is complete. Several
    processes of one distributed run share the folder; the first of them writes.
    """

    def __init__(self, path: object):
        where = "`fit(checkpoints=...)`"
        if not isinstance(path, str | os.PathLike) or not str(path) or Path(path).is_file():
            raise ValueError(f"{where} must be a folder, got {path!r}.")
        self.path, self.writes = Path(path).resolve(), jax.process_index() == 0
        if not self.writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        there = sorted(p.name for p in self.path.iterdir() if not p.name.startswith("."))
        if there and not self.checkpoints():
            raise ValueError(
                f"{where} must be an empty or a new folder, or one with checkpoints of `fit`, got "
                f"{self.path} with {', '.join(there[:3])}. Give another folder."
            )
        self.lock = _take(self.path)
        for name in (UNFINISHED, OLD):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def checkpoints(self) -> list[Position]:
        """The epochs and batches of the checkpoints, the newest last."""
        names = [CHECKPOINT.fullmatch(p.name) for p in self.path.iterdir()]
        return sorted((int(name[1]), int(name[2])) for name in names if name)

    def of(self, position: Position) -> Path:
        """The folder of a checkpoint."""
        return self.path / "epoch-{}-batch-{}".format(*position)

    @contextlib.contextmanager
    def new(self, position: Position) -> Iterator[Path]:
        """A folder to write a checkpoint in, which afterwards replaces the oldest one."""
        unfinished = self.path / UNFINISHED
        try:
            if self.writes:
                unfinished.mkdir()
            multihost_utils.sync_global_devices("jaxspike: a checkpoint begins")
            yield unfinished
            if self.writes:
                manifest.write(unfinished)
                unfinished.rename(self.of(position))
        except BaseException:
            if self.writes:
                shutil.rmtree(unfinished, ignore_errors=True)
            raise
        if self.writes:
            for old in self.checkpoints()[:-KEPT]:
                self.of(old).rename(self.path / OLD)  # no half of it is left as a checkpoint
                shutil.rmtree(self.path / OLD)
        multihost_utils.sync_global_devices("jaxspike: a checkpoint is complete")

    def close(self) -> None:
        """Let other processes in."""
        if self.writes:
            _held.discard(self.path)
            self.lock.close()


def _take(folder: Path) -> BinaryIO:
    """The open lock of ``folder``, which the system releases however the process ends."""
    if folder in _held:  # to open and close the file once more would release it
        raise _in_use(folder, "this process")
    file = (folder / LOCK).open("a+b")
    try:
        _lock(file)
    except (BlockingIOError, PermissionError) as e:
        with file:
            file.seek(0)
            raise _in_use(folder, file.read(200).decode(errors="replace")) from e
    except OSError as e:  # such as Lustre without -o flock
        what = f"`fit(checkpoints=...)` cannot lock {folder} ({e}). Let no other run use it."
        warnings.warn(what, stacklevel=2)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    file.flush()
    _held.add(folder)
    return file


def _in_use(folder: Path, by: str) -> ValueError:
    return ValueError(
        f"`fit(checkpoints=...)` must be a folder that no other run uses, got {folder}, in use by "
        f"{by}. Wait for it, or give another folder."
    )
