"""Where tests write: in memory, on a machine that has room there.

Nearly every test copies a database, and many make a home with a server of its own; on a disk that others write to,
tests of commands took four times as long as in memory. Nothing here decides what a test finds.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30
"""Bytes that a whole run may take: two servers, and the homes of the tests that failed."""


def write_in_memory() -> Path | None:
    """Make a folder in memory, and have this process and those that it starts put their temporary files there.

    :returns: the folder; None where there is no such memory, too little of it, or programs may not be run from it, and
        where TMPDIR says already where to write.
    """
    if "TMPDIR" in os.environ or not _has_room():
        return None
    for left in _MEMORY.glob("hunter-tests-*"):
        if left.stat().st_uid == os.getuid() and not _runs(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = _MEMORY / f"hunter-tests-{os.getpid()}"
    folder.mkdir(mode=0o755)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder


def _has_room() -> bool:
    if not os.path.ismount(_MEMORY):
        return False
    memory = os.statvfs(_MEMORY)
    return not memory.f_flag & os.ST_NOEXEC and memory.f_bavail * memory.f_frsize >= _ROOM


def _runs(folder: Path) -> bool:
    number = re.search(r"\d+$", folder.name)
    return number is not None and Path(f"/proc/{number.group()}").exists()
