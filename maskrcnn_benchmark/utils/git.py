"""The state of the checkout that this package lies in, if it lies in one; reading it never fails."""

import os
import subprocess
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
SECONDS = 10
MOST_FILES = 50


def collect_git_state(folder: str | os.PathLike = PACKAGE) -> dict[str, Any] | None:
    """Commit, branch and changes of the checkout that tracks a folder.

    File names and numbers of lines alone are read, no content.

    Args:
        folder: with an `__init__.py`, by which is told whether the checkout tracks it: a package installed below some
            other project's checkout does not belong to that.

    Returns:
        {"commit", "branch": None where no branch is checked out, "dirty": whether tracked files have changed,
        "untracked": number of files, "diff_stat": list of lines}, or None without git or a checkout.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=all")
    stat = _git(folder, "diff", "--no-ext-diff", "--no-textconv", f"--stat=100,80,{MOST_FILES}", "HEAD")
    if status is None:
        return None
    lines = status.splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    branch = heads.get("branch.head")
    return {
        "commit": heads.get("branch.oid"),
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(line[0] in "12u" for line in lines),
        "untracked": sum(line.startswith("? ") for line in lines),
        "diff_stat": (stat or "").splitlines(),
    }


def _git(folder, *words):
    """What git says, or None where it fails, hangs, or is not there."""
    # variables such as GIT_DIR would lead to another checkout
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *words],
            env={**environment, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
