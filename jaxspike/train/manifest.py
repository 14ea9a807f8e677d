"""The digests of the files of a checkpoint, by which later damage is detected."""

import hashlib
import json
from pathlib import Path

NAME = "manifest.json"


def write(folder: Path) -> None:
    """Note the SHA-256 of every file in ``folder``, when all of them are written."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    digests = {name: _digest(folder / name) for name in files}
    (folder / NAME).write_text(json.dumps(digests, indent=1))


def damaged(folder: Path) -> str | None:
    """The first file in ``folder`` that is not as it was written; None if it is intact."""
    try:
        digests = json.loads((folder / NAME).read_bytes())
        wrong = (name for name, digest in digests.items() if _digest(folder / name) != digest)
        return next(wrong, None)
    except (OSError, ValueError, AttributeError):  # not there, not JSON, not of names
        return NAME


def _digest(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
