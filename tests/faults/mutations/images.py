"""Damaged images of every format, before each reader."""

import io

from faults.mutations.attempt import Attempt, mutation_class
from faults.mutations.mutators import damage_bytes

FORMATS = ("JPEG", "PNG", "GIF", "animated GIF", "WEBP", "AVIF", "TIFF", "BMP")
_SUFFIXES = {"JPEG": "jpg", "animated GIF": "gif", "TIFF": "tif"}
_made = {}


def warm(workplace):
    """Encode a picture in every format."""
    from PIL import Image, features

    pictures = [Image.open(path).convert("RGB") for path in sorted((workplace.few / "mini_detail/images").iterdir())]
    pictures = [picture.resize((64, 48)) for picture in pictures[:3]]
    for name in FORMATS:
        if name == "AVIF" and not features.check("avif"):
            continue
        file, options = io.BytesIO(), {}
        if name == "animated GIF":
            options = {"save_all": True, "append_images": pictures[1:]}
        elif name == "TIFF":
            options = {"compression": "tiff_lzw"}
        pictures[0].save(file, name.removeprefix("animated "), **options)
        _made[name] = file.getvalue()


def image(case):
    """A damaged image, under its own name or another's, before a reader."""
    from maskrcnn_benchmark.data.datasets.image_file import decoded_size, image_size, read_image, read_labels
    from maskrcnn_benchmark.demo.uploads import read_upload
    from maskrcnn_benchmark.predict.sources import frames_of

    name = case.random.choice(sorted(_made))
    data, what = damage_bytes(case.random, _made[name])
    suffix = "jpg" if case.random.random() < 0.3 else _SUFFIXES.get(name, name.lower())
    path = case.out / f"picture.{suffix}"
    path.write_bytes(data)
    skipped = []
    doors = {
        "read_image": lambda: read_image(path) and None,
        "read_labels": lambda: read_labels(path) is None or None,
        "image_size": lambda: image_size(path) and None,
        "decoded_size": lambda: decoded_size(path) and None,
        "predict": lambda: list(frames_of([path], lambda *words: skipped.append(words), rotate=True)) and None,
        "upload": lambda: read_upload(path) and None,
    }
    which = case.random.choice(sorted(doors))
    return Attempt(f"{name} as .{suffix}, {what}, by {which}", doors[which], (path.name,), place=True)


CLASSES = [mutation_class("images", 1000, image, warm=warm, chunk=25)]
