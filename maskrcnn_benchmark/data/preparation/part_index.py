"""Making the index of a folder of PASCAL-Part's .mat files, in place of which samples are then read from it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from maskrcnn_benchmark.data.mat_file import read_mat_bytes
from maskrcnn_benchmark.data.pascal_parts import PartIndex, read_objects
from maskrcnn_benchmark.data.preparation.index_file import cached_index_path_of, is_writable, replacing
from maskrcnn_benchmark.utils.workers import work_through


def index_parts(folder: str | os.PathLike, names: Iterable[str], workers: int = 0, progress: bool = False) -> Path:
    """Make the index of a folder human_parts beside it, or in the user's cache where nothing can be written there.

    Args:
        folder: it holds NAME.mat.
        names: the images; those without a file are left out.
        workers: processes that read files beside this one; 0 reads them here.
        progress: show a bar.

    Returns:
        the path of the index, which is left as it is where it has an entry for every file as it is now.

    Raises:
        UserError: a file cannot be read; the message names it.
    """
    folder = Path(folder)
    names = [name for name in names if (folder / f"{name}.mat").is_file()]
    known = PartIndex.of_folder(folder)
    if known is not None:
        entries = known.entries()
        if all(
            entries.get(name, ())[:2] == PartIndex.mark_of(read_mat_bytes(folder / f"{name}.mat")) for name in names
        ):
            return known.path
    path = PartIndex.place_beside(folder) if is_writable(folder.parent) else cached_index_path_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(names), desc="indexing parts", unit="file", disable=not progress or None)
    with replacing(path) as fresh, contextlib.closing(sqlite3.connect(fresh)) as connection, bar:
        connection.execute(f"CREATE TABLE {PartIndex.TABLE}")
        for row in work_through(partial(_row, folder), names, workers):
            connection.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", row)
            bar.update()
        connection.commit()
    return path


def _row(folder: Path, name: str) -> tuple[str, int, int, int, bytes]:
    path = folder / f"{name}.mat"
    data = read_mat_bytes(path)
    return PartIndex.row(name, data, read_objects(path, data))
