"""Damaged index files, and one that is cut while it is open."""

import os
import shutil

from fuzzing import damage_bytes, damage_database

from faults.mutations.annotations import read_all
from faults.mutations.attempt import Attempt, mutation_class


def index(case):
    """An index of Detail's layout, opened and read."""
    from maskrcnn_benchmark.data.datasets import DetailDataset

    folder = case.workplace.few / "mini_detail"
    path = case.out / "annotations.index.sqlite"
    shutil.copy2(folder / "annotations.json", case.out / "annotations.json")
    shutil.copy2(folder / "annotations.index.sqlite", path)
    alone = case.random.random() < 0.5  # named itself, it cannot be made anew
    kind = case.random.random()
    cut = 0
    if kind < 0.5:
        what = damage_database(case.random, path)
    elif kind < 0.85:
        data, what = damage_bytes(case.random, path.read_bytes())
        path.write_bytes(data)
    else:
        cut = case.random.randrange(path.stat().st_size)
        what = f"cut to {cut} bytes while it is open"
    source = path if alone else case.out / "annotations.json"

    def door():
        dataset = DetailDataset(source, folder / "images")
        if cut:
            os.truncate(path, cut)
        return read_all(dataset)

    return Attempt(what, door, (path.name, "annotations.json"), place=True)


CLASSES = [mutation_class("index", 450, index)]
