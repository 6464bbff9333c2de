"""Making an annotation file of the size of COCO's training set, to measure opening with; no image is made."""

import json
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.utils.files import atomic_write, mkdir

IMAGES, ANNOTATIONS = 118_287, 860_001  # of instances_train2017.json
_CLASSES = 80
_SIZES = ((640, 480), (480, 640), (640, 427), (500, 375), (427, 640))  # width, height
_EMPTY = 1 / 116  # share of the images without an annotation
_CROWDS = 1 / 86  # share of the annotations that are run-length codes of a crowd
_SHAPES = 2000  # different outlines
_CORNERS = (8, 40)
_BATCH = 1000  # rows written at once


def write_coco_size(path, images=IMAGES, annotations=ANNOTATIONS, seed=0):
    """Write a file in COCO's layout with polygons, boxes, areas, crowds and images without annotations.

    Annotations come in a random order of their images, categories at the end, as in COCO's own files. The same seed
    gives the same bytes.

    Args:
        path: the JSON file to write.
        images, annotations: their numbers.
        seed: of everything that is drawn.

    Returns:
        number of bytes.
    """
    path = Path(path)
    mkdir(path.parent)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(len(_SIZES), size=images)
    image_ids = rng.choice(6 * images, size=images, replace=False)
    shapes = [_polygon(rng) for _ in range(_SHAPES)]
    crowds = [_crowd(size) for size in _SIZES]
    with atomic_write(path, durable=False) as file:
        file.write(b'{"info": {"description": "drawn, of COCO\'s size"}, "licenses": [], "images": [')
        _write_rows(file, (_image_row(key, *_SIZES[size]) for key, size in zip(image_ids.tolist(), sizes)))
        file.write(b'], "annotations": [')
        annotated = np.flatnonzero(rng.random(images) >= _EMPTY)
        owners = rng.choice(annotated if len(annotated) else np.arange(images), size=annotations)
        drawn = zip(
            range(1, annotations + 1),
            owners.tolist(),
            rng.integers(1, _CLASSES + 1, size=annotations).tolist(),
            rng.integers(_SHAPES, size=annotations).tolist(),
            (rng.random(annotations) < _CROWDS).tolist(),
        )
        _write_rows(
            file,
            (
                f'{{"segmentation": {(crowds[sizes[owner]] if crowd else shapes[shape])}, "iscrowd": {int(crowd)}, '
                f'"image_id": {image_ids[owner]}, "category_id": {label}, "id": {number}}}'
                for number, owner, label, shape, crowd in drawn
            ),
        )
        names = [{"supercategory": "object", "id": k, "name": f"class {k}"} for k in range(1, _CLASSES + 1)]
        file.write(f'], "categories": {json.dumps(names)}}}'.encode())
    return path.stat().st_size


def _write_rows(file, rows):
    batch, between = [], ""
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            file.write((between + ", ".join(batch)).encode())
            batch, between = [], ", "
    if batch:
        file.write((between + ", ".join(batch)).encode())


def _image_row(image_id, width, height):
    name = f"{image_id:012d}.jpg"
    return (
        f'{{"license": 3, "file_name": "{name}", "coco_url": "http://images.example.org/train2017/{name}", '
        f'"height": {height}, "width": {width}, "date_captured": "2013-11-14 17:02:52", '
        f'"flickr_url": "http://pictures.example.org/9012/{image_id:010d}_e5ae2d6a1c_z.jpg", "id": {image_id}}}'
    )


def _polygon(rng):
    """JSON text of an outline, and after it the area and the box that it has: within 370x370 pixels."""
    count = int(rng.integers(*_CORNERS))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    radius = rng.uniform(3, 90) * rng.uniform(0.6, 1, count)
    centre = rng.uniform(100, 270, (2, 1))
    x, y = np.round(centre + radius * np.stack([np.cos(angles), np.sin(angles)]), 2)
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    box = [round(float(side), 2) for side in (x.min(), y.min(), np.ptp(x), np.ptp(y))]
    outline = np.stack([x, y], axis=1).ravel().tolist()
    return f'[{json.dumps(outline)}], "area": {area:.4f}, "bbox": {box}'


def _crowd(size):
    """JSON text of an uncompressed run-length code of the upper half of some columns, and after it its area and box."""
    width, height = size
    columns, half = width // 4, height // 2
    counts = [0, *[half, height - half] * columns, height * (width - columns)]
    code = {"counts": counts, "size": [height, width]}
    return f'{json.dumps(code)}, "area": {columns * half}, "bbox": [0, 0, {columns}, {half}]'
