"""Damaged annotation files: PASCAL in Detail's JSON, COCO's JSON, VOC's XML, lists and label images."""

import json
import shutil

from fuzzing import DEEP, damage_bytes, damage_tree

from faults.mutations.attempt import Attempt, mutation_class


def detail(case):
    """A file in Detail's layout: prepared, opened and read."""
    from maskrcnn_benchmark.data.datasets import DetailDataset
    from maskrcnn_benchmark.data.detail.content import DetailContent
    from maskrcnn_benchmark.data.preparation.build_index import prepare

    folder = case.workplace.few / "mini_detail"
    path = case.out / "annotations.json"
    what = _damaged_json(case, folder / "annotations.json", path)

    def door():
        images = folder / "images" if case.random.random() < 0.5 else None
        index, _ = prepare(path, case.out / "the.index.sqlite", images, content=DetailContent)
        dataset = DetailDataset(index, folder / "images", parts="person6")
        return read_all(dataset)

    return Attempt(what, door, (path.name, "the.index.sqlite", ".jpg", "no such image: "), place=True)


def coco(case):
    """A file in COCO's layout, opened as training or as testing does, or prepared."""
    from maskrcnn_benchmark.data.coco.content import CocoContent
    from maskrcnn_benchmark.data.datasets import COCODataset
    from maskrcnn_benchmark.data.preparation.build_index import prepare

    path = case.out / "coco.json"
    what = _damaged_json(case, case.workplace.coco, path)
    testing, prepares = case.random.random() < 0.5, case.random.random() < 0.3

    def door():
        if prepares:
            prepare(path, case.out / "the.index.sqlite", content=CocoContent)
        source = case.out / "the.index.sqlite" if prepares else path
        dataset = COCODataset(source, case.workplace.few / "mini_detail" / "images", not testing, keep_crowd=testing)
        return read_all(dataset)

    return Attempt(what, door, (path.name, "the.index.sqlite", ".jpg", "no such image: "), place=True)


def voc(case):
    """A folder in VOC's layout with one damaged file."""
    from maskrcnn_benchmark.data.datasets import PascalVOCDataset

    folder = case.out / "VOC"
    shutil.copytree(case.workplace.voc, folder)
    kind = case.random.choice(
        ("Annotations", "Annotations", "Annotations", "ImageSets/Main", "SegmentationClass", "SegmentationObject")
    )
    path = sorted((folder / kind).iterdir())[0]
    data = path.read_bytes()
    if kind == "Annotations" and case.random.random() < 0.6:
        data, what = _damaged_xml(case.random, data.decode())
    else:
        data, what = damage_bytes(case.random, data)
    path.write_bytes(data)

    def door():
        return read_all(PascalVOCDataset(folder, "train", use_difficult=case.random.random() < 0.5))

    names = (path.stem,) if kind != "ImageSets/Main" else ("train.txt", "VOC")
    return Attempt(f"{kind}/{path.name}: {what}", door, names, place=True)


def read_all(dataset):
    """Read every image's annotations; problems of what comes out."""
    problems = []
    for place in range(len(dataset)):
        info = dataset.get_img_info(place)
        annotations = dataset.get_annotations(place)
        size = info["width"], info["height"]
        people = annotations.people
        if people is not None and len(people):
            problems += _odd_joints(people.get_field("keypoints").keypoints, size)
        for boxes in filter(None, (people, annotations.instances)):
            if not boxes.bbox.isfinite().all():
                problems.append("a box that is not finite passes the reader")
    if len(dataset):
        dataset[0]
    return sorted(set(problems))


def _odd_joints(joints, size):
    """Problems of joints float [N, K, 3] (x, y, visibility) on an image of (width, height)."""
    seen = joints[joints[..., 2] != 0]
    problems = []
    if not joints.isfinite().all():
        problems.append("a joint that is not finite passes the reader")
    elif len(seen):
        if (seen[:, 2] > 2).any() or (seen[:, 2] < 0).any() or (seen[:, 2] != seen[:, 2].round()).any():
            problems.append("a visibility beyond 0, 1, 2 passes the reader")
        far = max(size)
        if (seen[:, :2] < -far).any() or (seen[:, 0] > size[0] + far).any() or (seen[:, 1] > size[1] + far).any():
            problems.append("a joint far outside its image passes the reader")
    return problems


def _damaged_json(case, source, path):
    """Write a damaged copy of a JSON file; what was done in words."""
    data = source.read_bytes()
    kind = case.random.random()
    if kind < 0.75:
        tree = json.loads(data)
        what = damage_tree(case.random, tree)
        path.write_text(json.dumps(tree))
    elif kind < 0.95:
        data, what = damage_bytes(case.random, data)
        path.write_bytes(data)
    else:
        at = case.random.randrange(len(data))
        opening = case.random.choice((b"[", b'{"a":'))
        path.write_bytes(data[:at] + opening * (DEEP * 250) + data[at:])
        what = f"{DEEP * 250} opening brackets at {at}"
    return what


def _damaged_xml(random, text):
    kind = random.randrange(6)
    numbers = ("nan", "inf", "-5", "1e400", "", "x", "999999999999", "0", "3.7")
    if kind == 0:
        bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol"}">' for i in range(10))
        return f"<!DOCTYPE annotation [{bomb}]>{text.replace('dog', '&e9;')}".encode(), "entities that expand"
    if kind == 1:
        head = '<!DOCTYPE annotation [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        return f"{head}{text.replace('dog', '&f;')}".encode(), "an entity that is a file"
    if kind == 2:
        tag = random.choice(("size", "width", "name", "bndbox", "xmin", "difficult", "object"))
        return text.replace(f"<{tag}>", "<other>").replace(f"</{tag}>", "</other>").encode(), f"without {tag}"
    if kind == 3:
        tag, value = random.choice(("width", "height", "xmin", "ymax", "difficult")), random.choice(numbers)
        start = text.index(f"<{tag}>") + len(tag) + 2
        return (text[:start] + value + text[text.index("<", start) :]).encode(), f"{tag} = {value!r}"
    if kind == 4:
        return text.replace("<object>", "<object>" * 20000, 1).encode(), "20,000 opening tags"
    name = random.choice(("elephant", "", "../dog", "x" * 3000))
    return text.replace("dog", name).encode(), f"class {name[:20]!r}"


def warm(workplace):
    """Import what a first reading imports."""
    from maskrcnn_benchmark.data.datasets import COCODataset, PascalVOCDataset  # noqa: F401


CLASSES = [
    mutation_class("detail", 600, detail, warm=warm),
    mutation_class("coco", 500, coco, warm=warm),
    mutation_class("voc", 300, voc, warm=warm),
]
