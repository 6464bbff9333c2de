"""Seeded damage for readers: bytes, JSON values, databases and pictures as chance or a stranger would leave them.

Every function takes a `random.Random`, so that a seed repeats a case, and says in words what it did. The quick tests of
the readers take a sample, the suite of faults takes thousands.
"""

import copy
import io
import math
import random
import sqlite3
import struct
import zlib
from contextlib import closing

import numpy as np
from PIL import Image

DEEP = 400
ODD_NUMBERS = (0, -1, 1, 2, 255, 2**31, 2**63, -(2**63), 2**70, 10**40, 10**400, 0.5, -0.5, -0.0, 1e308, 1e-300)
NOT_FINITE = (math.nan, math.inf, -math.inf)
ODD_TEXTS = (
    *("", " ", "x", "x" * 5000, "\0", "../../../etc/passwd", "/etc/passwd", "1", "nan", "é\u202e", "person", "-"),
    *("\x1b[2J\x1b]0;x\x07", "<script>alert(1)</script>", "\ud800"),
)
ODD_TREES = (
    *(None, True, False, [], {}, [[]], [None], {"": None}, {"a": 1}, [1, 2, 3], ["a", "b"], [1e9] * 4),
    {"size": [10**9, 10**9], "counts": "0"},
)


def odd_value(rng):
    """A value that has no business where it is put."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(ODD_NUMBERS)
    if kind == 3:
        return rng.choice(NOT_FINITE)
    if kind < 6:
        return rng.choice(ODD_TEXTS)
    return nested(100) if kind == 6 and rng.random() < 0.2 else copy.deepcopy(rng.choice(ODD_TREES))


def nested(depth):
    """A list in a list in a list ..."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def random_place(rng, tree):
    """(container, key, path) of a value, by a walk from the top, so that what is near it comes often."""
    node, path = tree, []
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if not keys:
            return None
        key = rng.choice(keys)
        path.append(str(key))
        child = node[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.12:
            return node, key, "/".join(path)
        node = child


def damage_tree(rng, tree):
    """Damage nested dictionaries and lists in place, once to thrice; returns what was done in words."""
    words = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = random_place(rng, tree)
        if place is None:
            break
        node, key, path = place
        kind = rng.randrange(10)
        if kind < 5:
            node[key] = odd_value(rng)
            words.append(f"{path} = {short(node[key])}")
        elif kind == 5:
            del node[key]
            words.append(f"without {path}")
        elif kind == 6 and isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))
            words.append(f"{path} twice")
        elif kind == 7 and isinstance(node, dict):
            node[str(key) + "x"] = node.pop(key)
            words.append(f"{path} renamed")
        elif isinstance(node[key], bool | int | float) and abs(node[key]) < 1e300:
            node[key] = rng.choice((-node[key], node[key] * 1000 + 1, str(node[key]), [node[key]], node[key] + 0.5))
            words.append(f"{path} = {short(node[key])}")
        else:
            node[key] = rng.choice((short(node[key]), [node[key]], {"value": node[key]}))
            words.append(f"{path} of another type")
    return ", ".join(words)


def damage_bytes(rng, data):
    """(damaged bytes, what was done in words)."""
    data = bytearray(data)
    kind = rng.randrange(9)
    length = len(data)
    at = rng.randrange(length) if length else 0
    span = min(length - at, rng.choice((1, 2, 4, 16, 64, 512)))
    if kind == 0 or not length:
        return bytes(data[:at]), f"cut after {at} bytes"
    if kind == 1:
        for _ in range(rng.choice((1, 3, 10, 100))):
            data[rng.randrange(length)] ^= 1 << rng.randrange(8)
        return bytes(data), "bits turned"
    if kind == 2:
        data[at : at + span] = bytes(span)
        return bytes(data), f"{span} zeros at {at}"
    if kind == 3:
        data[at : at + span] = b"\xff" * span
        return bytes(data), f"{span} bytes 255 at {at}"
    if kind == 4:
        data[at:at] = bytes(rng.randrange(256) for _ in range(span))
        return bytes(data), f"{span} bytes put in at {at}"
    if kind == 5:
        del data[at : at + span]
        return bytes(data), f"{span} bytes taken out at {at}"
    if kind == 6:
        data[at : at + span] = bytes(rng.randrange(256) for _ in range(span))
        return bytes(data), f"{span} random bytes at {at}"
    if kind == 7:
        near = min(length, 64)  # headers decide most
        for _ in range(rng.choice((1, 2, 4))):
            data[rng.randrange(near)] = rng.choice((0, 1, 127, 128, 254, 255, rng.randrange(256)))
        return bytes(data), "its head changed"
    other = rng.randrange(length)
    data[at : at + span] = data[other : other + span]
    return bytes(data), f"{span} bytes of {other} at {at}"


def short(value):
    """A value in at most 60 letters; it may be nested deeper than `repr` can go."""
    try:
        text = repr(value)
    except RecursionError:
        return "a deep list"
    return text if len(text) <= 60 else text[:57] + "..."


def damage_database(rng, path):
    """Change an SQLite file in place so that it stays a database: a table or a column dropped, cells of other types.

    Returns what was done, in words.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice(sorted(tables))
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = rng.choice(columns)
        kind = rng.randrange(8)
        if kind == 0:
            connection.execute(f"DROP TABLE {table}")
            return f"no table {table}"
        if kind == 1:
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {column}_of_old")
            return f"no column {table}.{column}"
        if kind == 2:
            connection.execute(f"DELETE FROM {table} WHERE rowid % 2 = ?", (rng.randrange(2),))
            return f"half of {table} deleted"
        rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
        if not rows:
            return "nothing"
        row = rng.choice(rows)
        (before,) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
        after = _other_cell(before, rng)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, row))
        except sqlite3.IntegrityError:
            return "nothing"
        return f"{table}.{column} of row {row}: {repr(before)[:30]} is now {repr(after)[:30]}"


def _other_cell(value, rng):
    if isinstance(value, bytes | str) and value and rng.random() < 0.5:
        data = value if isinstance(value, bytes) else value.encode()
        data = damage_bytes(rng, data)[0] if rng.random() < 0.5 else data[: rng.randrange(len(data))]
        return data if isinstance(value, bytes) else data.decode("latin-1")
    if isinstance(value, int | float) and rng.random() < 0.4:
        return rng.choice((-value - 1, value + 1, value * 1000, 2**31, 2**62, float(value) + 0.5, str(value)))
    return rng.choice(
        (None, "", "abc", "12", -1, 0, 255, 2**62, 0.5, float("inf"), b"", b"\0", b"\xff" * 7, "{", "[1]", "[[]]")
    )


def pictures(rng, size=(48, 36)):
    """Sound pictures of many kinds by the name of a file: {name: bytes}."""
    values = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    values = values // 4 + np.linspace(0, 190, size[0], dtype=np.uint8)[:, None]
    rgb = Image.fromarray(values)
    grey = rgb.convert("L")
    frames = [rgb.rotate(90 * k) for k in range(4)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    made = {
        "base.jpg": (rgb, "JPEG", {"exif": exif}),
        "progressive.jpg": (rgb, "JPEG", {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), "JPEG", {}),
        "several.mpo": (rgb, "MPO", {"save_all": True, "append_images": frames[:1]}),
        "rgb.png": (rgb, "PNG", {}),
        "palette.png": (rgb.quantize(16), "PNG", {"transparency": 3, "bits": 4}),
        "alpha.png": (rgb.convert("RGBA"), "PNG", {}),
        "deep.png": (Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG", {}),
        "animated.png": (rgb, "PNG", {"save_all": True, "append_images": frames}),
        "one.gif": (rgb.quantize(64), "GIF", {"interlace": True}),
        "animated.gif": (rgb, "GIF", {"save_all": True, "append_images": frames, "disposal": 2, "loop": 0}),
        "plain.webp": (rgb, "WEBP", {}),
        "lossless.webp": (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        "animated.webp": (rgb, "WEBP", {"save_all": True, "append_images": frames}),
        "plain.avif": (rgb, "AVIF", {"speed": 10}),
        "animated.avif": (rgb, "AVIF", {"save_all": True, "append_images": frames, "speed": 10}),
        "plain.tif": (rgb, "TIFF", {}),
        "deflate.tif": (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "lzw.tif": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "jpeg.tif": (rgb, "TIFF", {"compression": "jpeg"}),
        "fax.tif": (grey.convert("1"), "TIFF", {"compression": "group4"}),
        "pages.tif": (rgb, "TIFF", {"save_all": True, "append_images": frames}),
        "float.tif": (grey.convert("F"), "TIFF", {}),
        "plain.bmp": (rgb, "BMP", {}),
        "palette.bmp": (rgb.quantize(16), "BMP", {}),
        "plain.ppm": (rgb, "PPM", {}),
        "grey.pgm": (grey, "PPM", {}),
        "plain.ico": (rgb.resize((32, 32)), "ICO", {}),
        "plain.jp2": (rgb, "JPEG2000", {}),
        "plain.tga": (rgb, "TGA", {"compression": "tga_rle"}),
    }
    Image.init()
    found = {"interlaced.png": _interlaced_png(np.asarray(grey))}
    for name, (image, kind, options) in made.items():
        if kind in Image.SAVE or kind in Image.SAVE_ALL:
            file = io.BytesIO()
            if "append_images" in options:  # savers leave their settings behind in images
                options = {**options, "append_images": [frame.copy() for frame in options["append_images"]]}
            image.copy().save(file, kind, **options)
            found[name] = file.getvalue()
    return found


def _interlaced_png(grey):
    """An Adam7 PNG of uint8 [H, W], which Pillow reads and does not write."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in grey[y::dy, x::dx]]
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bombs(side=30000):
    """Small files that declare `side` x `side` pixels: {name: bytes}."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return {
        "bomb.png": b"\x89PNG\r\n\x1a\n"
        + chunk
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT")),
        "bomb.gif": b"GIF89a"
        + struct.pack("<HH", side, side)
        + b"\xf0\0\0"
        + b"\0" * 6
        + b",\0\0\0\0"
        + struct.pack("<HH", side, side)
        + b"\0\x02\x02L\x01\0;",
        "bomb.bmp": b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        "bomb.ppm": b"P6 %d %d 255\n" % (side, side),
    }


def seeds(seed, number):
    """`number` generators of their own, all told by one seed."""
    return [random.Random(f"{seed}/{i}") for i in range(number)]
