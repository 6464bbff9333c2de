"""Seeded damage for readers: bytes, JSON values, databases and pictures as chance or a stranger would leave them.

Every function takes a `random.Random`, so that a seed repeats a case. The quick tests of the readers take a sample, the
fault suite takes thousands.
"""

import copy
import io
import random
import sqlite3
import struct
import zlib
from contextlib import closing

import numpy as np
from PIL import Image

# What a value of JSON is replaced by: other types, other signs, what no field expects
ODD_VALUES = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "0", "nan", "-1", "a" * 5000, "../../x", "/etc/passwd"),
    *(
        "a\x00b",
        "\x1b[2J\x1b]0;x\x07",
        "<script>alert(1)</script>",
        "\ud800",
        "\u202ex",
        [],
        {},
        [[]],
        [None],
        {"": None},
    ),
    *([0] * 5, [1e9, 1e9, 1e9, 1e9], {"size": [10**9, 10**9], "counts": "0"}),
)


def damage_bytes(data, rng):
    """`data` cut off, with flipped, repeated, removed, inserted or overwritten bytes: bytes, never the same object."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        kind = rng.randrange(7)
        place = rng.randrange(len(data) + 1)
        if rng.random() < 0.3:
            place = min(place, rng.randrange(64))  # heads decide more than bodies
        length = rng.choice((1, 2, 4, 8, 64))
        if kind == 0:
            del data[place:]
        elif kind == 1:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            data[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")
            )
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            del data[place : place + length]
        elif kind == 5:
            data[place:place] = rng.randbytes(length)
        elif len(data):
            bit = rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def damage_value(value, rng, odd_values=ODD_VALUES):
    """A copy of a JSON value in which one to three places at any depth hold something else, are gone or are doubled."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return rng.choice(odd_values)
        owner, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0 and isinstance(owner, dict):
            del owner[key]
        elif kind == 1 and isinstance(owner, dict):
            owner[rng.choice(("", "x", "<b>", "\x1b[31m", "__class__", "a" * 300))] = owner.pop(key)
        elif kind == 2 and isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[key]))
        elif kind == 3 and isinstance(owner, list):
            del owner[key]
        elif kind == 4 and type(owner[key]) in (int, float):
            owner[key] = rng.choice(
                (-owner[key], owner[key] + 1, owner[key] * 10**6, float(owner[key]), str(owner[key]))
            )
        else:
            owner[key] = copy.deepcopy(rng.choice(odd_values))
    return value


def _places(value):
    """(container, key) of every value inside a JSON value."""
    found = [value]
    while found:
        owner = found.pop()
        keys = list(owner) if isinstance(owner, dict) else range(len(owner)) if isinstance(owner, list) else ()
        for key in keys:
            yield owner, key
            found.append(owner[key])


def damage_database(path, rng):
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
        data = damage_bytes(data, rng) if rng.random() < 0.5 else data[: rng.randrange(len(data))]
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
