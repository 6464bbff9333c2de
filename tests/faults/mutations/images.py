"""Damaged images of every format, before each reader."""

import random

from fuzzing import bombs, damage_bytes, pictures

from faults.mutations.attempt import Attempt, mutation_class

_made = {}


def warm(workplace):
    """Encode a picture in every format, and small files that declare large ones."""
    _made.update({**pictures(random.Random(0)), **bombs()})


def image(case):
    """A damaged image, under its own name or another's, before a reader."""
    from maskrcnn_benchmark.data.image_file import decoded_facts, image_size, read_image, read_labels
    from maskrcnn_benchmark.demo.uploads import read_upload
    from maskrcnn_benchmark.predict.sources import frames_of

    name = case.random.choice(sorted(_made))
    data, what = damage_bytes(case.random, _made[name])
    suffix = "jpg" if case.random.random() < 0.3 else name.rpartition(".")[2]
    path = case.out / f"picture.{suffix}"
    path.write_bytes(data)
    skipped = []
    doors = {
        "read_image": lambda: read_image(path) and None,
        "read_labels": lambda: read_labels(path) is None or None,
        "image_size": lambda: image_size(path) and None,
        "decoded_facts": lambda: decoded_facts(path) and None,
        "predict": lambda: list(frames_of([path], lambda *words: skipped.append(words))) and None,
        "upload": lambda: read_upload(path) and None,
    }
    which = case.random.choice(sorted(doors))
    return Attempt(f"{name} as .{suffix}, {what}, by {which}", doors[which], (path.name,), place=True)


CLASSES = [mutation_class("images", 1000, image, warm=warm, chunk=25)]
