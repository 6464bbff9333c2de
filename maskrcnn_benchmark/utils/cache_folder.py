"""A place for caches where nobody has a home that can be written to, as in a container under a user of its own."""

import os
import stat
import tempfile
from pathlib import Path


def choose_cache_folder() -> None:
    """Let libraries and this package keep their caches in a temporary folder where they have no other; called when the
    package is imported.

    By itself numba, which compiles loops, raises an error where the home cannot be written to, and makes a folder "~"
    where it is not known; matplotlib warns. A folder that XDG_CACHE_HOME or another variable names stands.
    """
    temporary = _temporary_folder()
    if temporary is None:  # PyTorch wants its cache's folder to be there before anything is cached: any folder will do
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(__file__).parent))
    home = Path(os.path.expanduser("~"))  # which stays "~" for a user whom neither HOME nor the system knows
    if os.environ.get("XDG_CACHE_HOME") or (home.is_absolute() and _can_be_made(home / ".cache")) or temporary is None:
        return
    folder = temporary / f"maskrcnn_benchmark-{os.getuid()}"
    if not _is_own(folder):
        return
    os.environ["XDG_CACHE_HOME"] = str(folder)
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))  # by itself named after the user


def _temporary_folder():
    """The `Path` of the folder of temporary files, or None where none can be written to."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def _can_be_made(folder):
    """Whether a folder can be written to, or be made where it is not there."""
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _is_own(folder):
    """Whether a folder, made if need be, is one that nobody but this user and the superuser can read or write.

    What lies there is run: another user who made the folder first must not be trusted.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
