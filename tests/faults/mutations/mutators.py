"""Damage by chance: of bytes, of nested values, of texts. The same `random.Random` gives the same damage."""

import copy
import math

DEEP = 400
ODD_NUMBERS = (0, -1, 1, 2, 255, 2**31, 2**63, -(2**63), 2**70, 10**40, 0.5, -0.5, 1e308, 1e-300)
NOT_FINITE = (math.nan, math.inf, -math.inf)
ODD_TEXTS = ("", " ", "x", "x" * 5000, "\0", "../../../etc/passwd", "/etc/passwd", "1", "nan", "é\u202e", "person", "-")


def odd_value(random):
    """A value that has no business where it is put."""
    kind = random.randrange(8)
    if kind < 3:
        return random.choice(ODD_NUMBERS)
    if kind == 3:
        return random.choice(NOT_FINITE)
    if kind < 6:
        return random.choice(ODD_TEXTS)
    return random.choice((None, True, False, [], {}, [[]], [None], {"a": 1}, [1, 2, 3], ["a", "b"], nested(DEEP)))


def nested(depth):
    """A list in a list in a list ..."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def places_of(tree, depth=30):
    """[(container, key)] of all values of nested dictionaries, lists and tuples of lists."""
    found, open_ = [], [(tree, 0)]
    while open_:
        node, level = open_.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            found.append((node, key))
            if level < depth:
                open_.append((value, level + 1))
    return found


def random_place(random, tree):
    """(container, key, path) of a value, by a walk from the top, so that what is near it comes often."""
    node, path = tree, []
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        if not keys:
            return None
        key = random.choice(keys)
        path.append(str(key))
        child = node[key]
        if not isinstance(child, dict | list) or not child or random.random() < 0.12:
            return node, key, "/".join(path)
        node = child


def damage_tree(random, tree):
    """Damage nested dictionaries and lists in place, once to thrice; returns what was done in words."""
    words = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        place = random_place(random, tree)
        if place is None:
            break
        node, key, path = place
        kind = random.randrange(10)
        if kind < 5:
            node[key] = odd_value(random)
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
        elif isinstance(node[key], bool | int | float) and math.isfinite(node[key]):
            node[key] = random.choice((-node[key], node[key] * 1000 + 1, str(node[key]), [node[key]], node[key] + 0.5))
            words.append(f"{path} = {short(node[key])}")
        else:
            node[key] = random.choice((short(node[key]), [node[key]], {"value": node[key]}))
            words.append(f"{path} of another type")
    return ", ".join(words)


def damage_bytes(random, data):
    """(damaged bytes, what was done in words)."""
    data = bytearray(data)
    kind = random.randrange(9)
    length = len(data)
    at = random.randrange(length) if length else 0
    span = min(length - at, random.choice((1, 2, 4, 16, 64, 512)))
    if kind == 0 or not length:
        return bytes(data[:at]), f"cut after {at} bytes"
    if kind == 1:
        for _ in range(random.choice((1, 3, 10, 100))):
            data[random.randrange(length)] ^= 1 << random.randrange(8)
        return bytes(data), "bits turned"
    if kind == 2:
        data[at : at + span] = bytes(span)
        return bytes(data), f"{span} zeros at {at}"
    if kind == 3:
        data[at : at + span] = b"\xff" * span
        return bytes(data), f"{span} bytes 255 at {at}"
    if kind == 4:
        data[at:at] = bytes(random.randrange(256) for _ in range(span))
        return bytes(data), f"{span} bytes put in at {at}"
    if kind == 5:
        del data[at : at + span]
        return bytes(data), f"{span} bytes taken out at {at}"
    if kind == 6:
        data[at : at + span] = bytes(random.randrange(256) for _ in range(span))
        return bytes(data), f"{span} random bytes at {at}"
    if kind == 7:
        near = min(length, 64)  # headers decide most
        for _ in range(random.choice((1, 2, 4))):
            data[random.randrange(near)] = random.choice((0, 1, 127, 128, 254, 255, random.randrange(256)))
        return bytes(data), "its head changed"
    other = random.randrange(length)
    data[at : at + span] = data[other : other + span]
    return bytes(data), f"{span} bytes of {other} at {at}"


def short(value):
    """A value in at most 60 letters; it may be nested deeper than `repr` can go."""
    try:
        text = repr(value)
    except RecursionError:
        return "a deep list"
    return text if len(text) <= 60 else text[:57] + "..."
