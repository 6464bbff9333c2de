"""How answers lie in a folder: which file holds what, and what files call images, categories and classes."""

from pathlib import PurePosixPath

from maskrcnn_benchmark.utils.errors import UserError

# Lists of answers, by task; "parts" are those of the part task that tell objects apart
LISTS = {
    "detection": "bbox.json",
    "instance": "segm.json",
    "keypoint": "keypoints.json",
    "parts": "parts.json",
    "classification": "classification.json",
}
# The joints once more, as PASCAL in Detail's own program wants them
DETAIL_KEYPOINTS = "detail_keypoints.json"
# Folders with a PNG for each image, by task. An added task's answers, grey uint8 [H, W], are written where they have a
# folder here, and `ENCODINGS` says what the numbers mean
MAPS = {"part": "part", "semantic": "semantic", "boundary": "boundary", "occlusion": "occlusion"}
# The second PNG of a task lies beside the folder of its first: occlusion/NAME.png and occlusion_direction/NAME.png
DIRECTION_SUFFIX = "_direction"
CLASSES = "classes.json"

ENCODINGS = {
    "bbox": "[x, y, width, height] in pixels; x, y is the left upper corner of the first pixel, counted from 0",
    "segmentation": "COCO run lengths, {size: [height, width], counts: text}",
    "keypoints": "[x, y, visibility] for each joint in the order of 'joints'",
    "parts": "name of each part as in 'part', and its pixels as in 'segmentation'",
    "category_score": "a score for each of 'image_labels', in their order",
    "semantic": "PNG of 8 bits: a value of 'semantic', 0 unlabelled",
    "part": "PNG of 8 bits: a value of 'part', 0 none",
    "boundary": "PNG of 8 bits: probability of a boundary times 255",
    "occlusion": "PNG of 8 bits: probability of an occlusion edge times 255",
    "occlusion_direction": (
        "PNG of 16 bits: 0 no direction, else 1 + round(65534 theta / (2 pi)); theta = atan2(dy, dx) in 0..2 pi is the "
        "direction of the edge, x to the right, y down, with the object in front on its left"
    ),
}


def image_id(dataset, index):
    """What the data set's file calls the image at an index."""
    return dataset.image_id(index)


def image_ids(dataset):
    """{what the file calls an image: its index}. Raises `UserError` where two images share an id."""
    ids = [image_id(dataset, index) for index in range(len(dataset))]
    places = {key: index for index, key in enumerate(ids)}
    if len(places) < len(ids):
        twice = next(key for index, key in enumerate(ids) if places[key] != index)
        raise UserError(
            f"two images of the data set are called {twice!r}, so files cannot tell them apart; score each alone"
        )
    return places


def image_names(dataset):
    """What the map of each image is called, without suffix: list of str, all different.

    That is the stem of the image's file; where two share it, the image ids; where those will not do, the indices.
    """
    infos = [dataset.get_img_info(index) for index in range(len(dataset))]
    stems = [PurePosixPath(str(info.get("file_name", ""))).stem for info in infos]
    ids = [str(image_id(dataset, index)) for index in range(len(infos))]
    numbers = [str(index) for index in range(len(infos))]
    return next(names for names in (stems, ids, numbers) if len(set(names)) == len(names) and all(map(_is_name, names)))


def category_ids(dataset):
    """{label of a thing: what the file calls it}; labels themselves where the file has no numbers of its own."""
    return dataset.category_ids()


def is_detail(dataset):
    """Whether a data set is in the layout of PASCAL in Detail."""
    return dataset.layout == "detail"


def part_ids(dataset):
    """{part id: name} of the data set's file; {} where it has none."""
    return dataset.part_ids()


def describe(dataset):
    """What every number in the files means: a dictionary of plain values, the content of `classes.json`."""
    vocabulary = dataset.vocabulary
    ids = dataset.class_ids()
    return {
        "things": [
            {"category_id": key, "name": vocabulary.thing_names[k - 1]} for k, key in category_ids(dataset).items()
        ],
        "semantic": [
            {"value": value, "name": name, "category_id": ids.get(name)}
            for value, name in enumerate(vocabulary.semantic_names, 1)
        ],
        "part_set": vocabulary.parts.name if vocabulary.parts else None,
        "part": [
            {"value": value, "name": name, "things": list(things)}
            for value, (name, things) in enumerate(zip(vocabulary.parts.labels, vocabulary.parts.owners), 1)
        ]
        if vocabulary.parts
        else [],
        "joints": list(vocabulary.joints.names) if vocabulary.joints else [],
        "image_labels": [{"name": name, "category_id": ids.get(name)} for name in vocabulary.image_label_names],
        "encodings": ENCODINGS,
    }


def _is_name(name):
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")
