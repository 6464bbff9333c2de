"""Write photographs of COCO 2017 in PASCAL in Detail's layout: objects, joints, stuff, and the contours between them.

python tools/coco_to_detail.py --coco datasets/coco --out datasets/photo_detail

Which photographs, and which is for training, says a list of image ids; the default is the project's own of 208 and 79.
COCO's 80 things and 91 kinds of stuff become Detail's 59 classes by name. COCO has neither parts nor occlusions:
they stay unannotated. The folder is at once usable as the data sets photo_detail_train and photo_detail_val.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError

IDS = Path(__file__).parents[1] / "configs" / "detail" / "photo_ids.json"
SPLITS = ("train", "val")
KINDS = ("stuff", "keypoints", "crowds")  # what a list of ids may keep to some images
FOLDERS = ("train2017", "val2017")
SOURCES = ("auto", "panoptic", "maps", "json", "none")
PERSON = "person"
DETAIL_VISIBILITY = {0: 0, 1: 2, 2: 1}  # COCO: 1 occluded, 2 visible; Detail: 1 visible, 2 occluded


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--coco",
        type=Path,
        default=Path("datasets/coco"),
        metavar="DIR",
        help="COCO as unpacked: annotations/, train2017/, val2017/ (default: %(default)s)",
    )
    parser.add_argument(
        "--ids",
        type=Path,
        default=IDS,
        metavar="FILE",
        help='JSON with the image ids of each split, {"train": [...], "val": [...]}; "stuff", "keypoints" and "crowds" '
        "may list the images for which these are taken, by default all (default: configs/detail/photo_ids.json)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("datasets/photo_detail"),
        metavar="DIR",
        help="folder to write to; it is made if need be (default: %(default)s)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="one folder of photographs, instead of COCO's two")
    parser.add_argument(
        "--stuff",
        choices=SOURCES,
        default="auto",
        help="where stuff is taken from: panoptic_*.json with its folders of PNG, the pixel maps of stuffthingmaps, "
        "stuff_*.json, the first of these that is there (auto), or nowhere (default: %(default)s)",
    )
    parser.add_argument(
        "--whole", action="store_true", help="take all that COCO has of every image, whatever is listed"
    )
    parser.add_argument("--without-keypoints", action="store_true", help="do without person_keypoints_*.json")
    parser.add_argument("--copy", action="store_true", help="copy the photographs instead of linking to them")
    parser.add_argument(
        "--addresses",
        type=Path,
        metavar="FILE",
        help="write the addresses of the photographs to FILE, one a line, and nothing else",
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from maskrcnn_benchmark.data.coco.opening import open_coco_file
from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER, category_rows
from maskrcnn_benchmark.data.detail.coco_classes import (
    COCO_NAMES,
    DETAIL_OF_COCO,
    FIRST_STUFF_ID,
    STUFF_NAMES,
    unknown_names,
)
from maskrcnn_benchmark.data.image_file import check_image_size, decoded_facts, read_image, read_labels
from maskrcnn_benchmark.data.json_file import read_json
from maskrcnn_benchmark.data.same_names import SAME_JOINT, match_names
from maskrcnn_benchmark.evaluation.coco.rows import run_lengths
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.utils.files import atomic_write, copy_file, mkdir
from maskrcnn_benchmark.utils.small_json import read_small_json
from maskrcnn_benchmark.utils.text import counted

STUFF = OFFICIAL_ORDER[20:]  # the classes without instances


@dataclass
class Photo:
    """One photograph: its row in COCO, its split here, and the folder of COCO's two that it is in."""

    row: dict
    phase: str
    folder: str

    @property
    def id(self):
        return self.row["id"]

    @property
    def size(self):
        """(width, height)."""
        return self.row["width"], self.row["height"]


@dataclass
class Segments:
    """Who owns each pixel of an image.

    Attributes:
        owners: int32 [H, W], 0 where nobody does.
        classes: {owner: name of one of the 59 classes, None for what has none}.
    """

    owners: np.ndarray
    classes: dict

    def add(self, mask, name):
        """Paint one more owner, of COCO's class `name`, over what is there. `mask` is bool [H, W]."""
        number = len(self.classes) + 1
        self.owners[mask] = number
        self.classes[number] = DETAIL_OF_COCO[name]

    def regions(self):
        """(name, uint8 [H, W]) of each class without instances that has a pixel, in the official order."""
        numbers = np.zeros(max(self.classes, default=0) + 1, np.uint8)
        for owner, name in self.classes.items():
            numbers[owner] = STUFF.index(name) + 1 if name in STUFF else 0
        labels = numbers[self.owners]
        return [(STUFF[number - 1], (labels == number).view(np.uint8)) for number in np.unique(labels[labels > 0])]

    def contours(self):
        """uint8 [H, W]: 1 at the pixels whose right or lower neighbour is another's."""
        found = np.zeros(self.owners.shape, np.uint8)
        found[:, :-1] |= self.owners[:, :-1] != self.owners[:, 1:]
        found[:-1] |= self.owners[:-1] != self.owners[1:]
        return found


def read_ids(path, whole):
    """The list of image ids at `path`.

    Returns:
        ({image id: split} in the order of the list, {kind: set of image ids, or None for all}).

    Raises:
        UserError: the file is no such list, lists an id twice, or keeps a kind to an image that no split has.
    """
    tree = read_small_json(path, "give a list of image ids such as configs/detail/photo_ids.json")
    if not isinstance(tree, dict) or not tree.keys() & set(SPLITS) or tree.keys() - {*SPLITS, *KINDS}:
        raise UserError(
            f'{path} must be an object of lists "train" and "val" of image ids; {", ".join(KINDS)} may follow'
        )
    for key, ids in tree.items():
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            raise UserError(f"{path}: {key!r} must be a list of image ids, whole numbers")
    ids = [each for split in SPLITS for each in tree.get(split, [])]
    if not ids:
        raise UserError(f"{path} lists no image; give some ids under 'train' or 'val'")
    twice = [each for each, number in Counter(ids).items() if number > 1]
    if twice:
        raise UserError(f"{path} lists {counted(len(twice), 'image')} twice, such as {twice[0]}; remove one of the two")
    for kind in KINDS:
        strange = set(tree.get(kind, [])) - set(ids)
        if strange:
            raise UserError(
                f"{path}: {kind!r} has {counted(len(strange), 'id')} that no split has, such as {min(strange)}"
            )
    phases = {each: split for split in SPLITS for each in tree.get(split, [])}
    return phases, {kind: set(tree[kind]) if kind in tree and not whole else None for kind in KINDS}


class Coco:
    """COCO's annotation files of both folders, as far as they are there and the photographs need them.

    Args:
        root: the folder of COCO.
        phases: {image id: split}.

    Raises:
        UserError: no file of instances is there, it is another kind of file, or it lacks some of the ids.
    """

    def __init__(self, root, phases):
        self.root, self.annotations = root, root / "annotations"
        self.instances = self._open("instances")
        if not self.instances:
            raise UserError(
                f"{self.annotations} has no instances_train2017.json or instances_val2017.json; unpack COCO's "
                "annotations_trainval2017.zip there, or give --coco the folder that has them"
            )
        found = {
            key: Photo(file.images[key], phase, folder)
            for folder, file in self.instances.items()
            for key, phase in phases.items()
            if key in file.images
        }
        lost = [key for key in phases if key not in found]
        if lost:
            names = " and ".join(str(file.path) for file in self.instances.values())
            raise UserError(f"{len(lost)} of {counted(len(phases), 'image id')} are not in {names}, such as {lost[0]}")
        self.photos = [found[key] for key in phases]
        self.keypoints = {}

    def open_keypoints(self, wanted):
        """Open the files of keypoints that the `wanted` photographs need; raises `UserError` if one is missing."""
        self.keypoints = self._open("person_keypoints")
        lacking = [photo for photo in wanted if photo.folder not in self.keypoints]
        if lacking:
            path = self.annotations / f"person_keypoints_{lacking[0].folder}.json"
            raise UserError(
                f"{path} is not there, and {counted(len(lacking), 'photograph')} should have keypoints; put it there, "
                "or pass --without-keypoints"
            )
        for file in self.keypoints.values():
            if file.keypoints.joints is None:
                raise UserError(f"{file.path} names no keypoints; is it person_keypoints_*.json of COCO 2017?")

    def _open(self, kind):
        """{folder: file} of the annotation files of a kind that are there."""
        paths = {folder: self.annotations / f"{kind}_{folder}.json" for folder in FOLDERS}
        files = {folder: open_coco_file(path) for folder, path in paths.items() if path.is_file()}
        for file in files.values():
            check_names(file.path, file.categories.values())
        return files

    def records(self, photo):
        """[(COCO's class, whether it is a crowd, run lengths)] of the objects, in an order that hides nothing small.

        Crowds come first, then objects by size, the largest first: what lies on a table comes after the table, of which
        COCO's outline tells only the outer edge.
        """
        file = self.instances[photo.folder]
        rows = [row for row in file.records(photo.id) if row.get("segmentation")]
        found = [
            (file.categories[row["category_id"]], bool(row.get("iscrowd", 0)), run_lengths(_plain(row), photo.size))
            for row in rows
        ]
        return sorted(found, key=lambda record: (not record[1], -int(coco_mask.area(record[2]))))


def _plain(row):
    """A row's segmentation, polygons as lists."""
    segmentation = row["segmentation"]
    return segmentation if isinstance(segmentation, dict) else [list(polygon) for polygon in segmentation]


def check_names(path, names):
    """Raise `UserError` unless all classes of a file are COCO's."""
    strange = unknown_names(names)
    if strange:
        raise UserError(
            f"{path} has {counted(len(strange), 'class', 'classes')} that COCO 2017 does not have, such as "
            f"{strange[0]!r}; give COCO's own file"
        )


class PanopticStuff:
    """Things and stuff of panoptic_*.json, where no two segments overlap: a pixel's owner is what its PNG says."""

    def __init__(self, coco, photos):
        self.rows, self.names, self.folders = {}, {}, {}
        for folder in dict.fromkeys(photo.folder for photo in photos):
            path = coco.annotations / f"panoptic_{folder}.json"
            places = [above / f"panoptic_{folder}" for above in (coco.annotations, coco.root)]
            self.folders[folder] = next((place for place in places if place.is_dir()), None)
            if self.folders[folder] is None:
                raise UserError(
                    f"{places[0]} is not there; unpack panoptic_{folder}.zip there, which lies beside {path}"
                )
            wanted = {photo.id for photo in photos if photo.folder == folder}
            content = read_json(path, ("annotations", "categories"), lambda row, wanted=wanted: _if_wanted(row, wanted))
            rows = [row for row in content["annotations"] if row is not None]
            if not all(isinstance(row, dict) and {"segments_info", "file_name"} <= row.keys() for row in rows):
                raise UserError(f"{path} has annotations without 'segments_info'; is it panoptic_*.json of COCO 2017?")
            self.names[folder] = {row["id"]: row["name"] for row in content["categories"]}
            check_names(path, self.names[folder].values())
            self.rows |= {row["image_id"]: row for row in rows}
            _check_all_there(path, wanted, self.rows)

    def segments(self, photo, records):
        row, names = self.rows[photo.id], self.names[photo.folder]
        path = self.folders[photo.folder] / row["file_name"]
        red, green, blue = np.moveaxis(np.asarray(read_image(path, photo.size), np.int32), -1, 0)
        owners = red + 256 * green + 256**2 * blue
        values, compact = np.unique(owners, return_inverse=True)
        classes = {segment["id"]: names[segment["category_id"]] for segment in row["segments_info"]}
        strange = [value for value in values.tolist() if value and value not in classes]
        if strange:
            raise UserError(
                f"{path} has {counted(len(strange), 'segment')} that its JSON does not list; take both anew"
            )
        numbers = {value: place for place, value in enumerate(values.tolist()) if value}
        # 0 is nobody's; it is the first of `values` where there is any
        shift = 0 if 0 in values else 1
        return Segments(
            compact.reshape(owners.shape).astype(np.int32) + shift,
            {place + shift: DETAIL_OF_COCO[classes[value]] for value, place in numbers.items()},
        )


class MapStuff:
    """Stuff of COCO-Stuff's pixel maps (stuffthingmaps_trainval2017.zip), under the objects of instances_*.json."""

    def __init__(self, coco, photos):
        self.root = next(filter(Path.is_dir, _map_folders(coco)), None)
        if self.root is None:
            raise UserError(f"{_map_folders(coco)[0]} is not there; unpack stuffthingmaps_trainval2017.zip there")

    def segments(self, photo, records):
        path = self.root / photo.folder / Path(photo.row["file_name"]).with_suffix(".png").name
        labels = read_labels(path, photo.size).astype(np.int32) + 1  # ids of categories
        stuff = Segments(np.zeros(labels.shape, np.int32), {})
        for number in np.unique(labels[(labels >= FIRST_STUFF_ID) & (labels < FIRST_STUFF_ID + len(STUFF_NAMES))]):
            stuff.add(labels == number, STUFF_NAMES[number - FIRST_STUFF_ID])
        return with_things(stuff, records)


class JsonStuff:
    """Stuff of stuff_*.json, under the objects of instances_*.json."""

    def __init__(self, coco, photos):
        self.files = {}
        for folder in dict.fromkeys(photo.folder for photo in photos):
            file = self.files[folder] = open_coco_file(coco.annotations / f"stuff_{folder}.json")
            check_names(file.path, file.categories.values())
            _check_all_there(file.path, {photo.id for photo in photos if photo.folder == folder}, file.images)

    def segments(self, photo, records):
        file = self.files[photo.folder]
        stuff = Segments(np.zeros(photo.size[::-1], np.int32), {})
        for row in file.records(photo.id):
            name = file.categories[row["category_id"]]
            if row.get("segmentation") and name != "other":  # where the things are
                stuff.add(coco_mask.decode(run_lengths(_plain(row), photo.size)) > 0, name)
        return with_things(stuff, records)


class NoStuff:
    """Only things: each class of stuff that is a kind of thing with COCO, such as cups, from their outlines."""

    def __init__(self, coco, photos):
        pass

    def segments(self, photo, records):
        return with_things(Segments(np.zeros(photo.size[::-1], np.int32), {}), records)


def with_things(segments, records):
    """`segments` after the objects were painted over them, in the order of `Coco.records`."""
    for name, _, code in records:
        segments.add(coco_mask.decode(code) > 0, name)
    return segments


def _map_folders(coco):
    return [coco.root / "stuffthingmaps", coco.annotations / "stuffthingmaps"]


def _if_wanted(row, wanted):
    """What becomes of an object of panoptic_*.json: annotations of other images are forgotten at once."""
    return None if "segments_info" in row and row.get("image_id") not in wanted else row


def _check_all_there(path, wanted, found):
    lost = sorted(each for each in wanted if each not in found)
    if lost:
        raise UserError(f"{path} lacks {len(lost)} of {counted(len(wanted), 'image')}, such as {lost[0]}")


def find_stuff(coco, source, photos):
    """What `--stuff` names: the class that reads it. Raises `UserError` where nothing is there."""
    known = {"panoptic": PanopticStuff, "maps": MapStuff, "json": JsonStuff, "none": NoStuff}
    if source == "auto":
        folders = {photo.folder for photo in photos}
        there = {
            "panoptic": all((coco.annotations / f"panoptic_{folder}.json").is_file() for folder in folders),
            "maps": any(map(Path.is_dir, _map_folders(coco))),
            "json": all((coco.annotations / f"stuff_{folder}.json").is_file() for folder in folders),
        }
        source = next((name for name, is_there in there.items() if is_there), None)
    if source is None:
        among = min(folders) if len(folders) == 1 else f"{{{','.join(sorted(folders))}}}"
        names = " or ".join(f"{kind}_{among}.json" for kind in ("panoptic", "stuff"))
        raise UserError(
            f"the stuff of {counted(len(photos), 'photograph')} is wanted, but {coco.annotations} has no {names}, and "
            f"{coco.root} no stuffthingmaps; unpack one of the three, or pass --stuff none"
        )
    return known[source](coco, photos)


class Converter:
    """Makes the records of photographs and counts them.

    Args:
        coco: `Coco`.
        stuff: what tells the owners of pixels, by `segments(photo, records)`.
        only: {kind: ids for which it is taken, None for all}.
        with_stuff: whether `stuff` tells all 59 classes, and contours between them.
    """

    def __init__(self, coco, stuff, only, with_stuff):
        self.coco, self.stuff, self.only, self.with_stuff = coco, stuff, only, with_stuff
        things = {name for file in coco.instances.values() for name in file.categories.values()}
        names = [name for name in OFFICIAL_ORDER if with_stuff or things & set(COCO_NAMES[name])]
        self.categories = category_rows(names)
        self.ids = {row["name"]: row["category_id"] for row in self.categories}
        self.content = {key: [] for key in ("images", "annos_segmentation", "annos_boundary", "annos_joints")}
        self.left_out = Counter()  # by what, in the singular and the plural
        self.labelled = Counter()

    def takes(self, kind, photo):
        """Whether a kind of label is taken for a photograph."""
        ids = self.only[kind]
        return ids is None or photo.id in ids

    def add(self, photo):
        """Add a photograph's records."""
        self.content["images"].append(
            {
                "file_name": Path(photo.row["file_name"]).name,
                "image_id": photo.id,
                **dict(zip(("width", "height"), photo.size)),
                "phase": photo.phase,
                "date_captured": photo.row.get("date_captured", ""),
            }
        )
        records = self.coco.records(photo)
        for name, is_crowd, code in records:
            self._add_object(photo, DETAIL_OF_COCO[name], is_crowd, code)
        if not self.with_stuff or self.takes("stuff", photo):
            segments = self.stuff.segments(photo, records)
            for name, mask in segments.regions():
                self._add_region(photo, name, 1, coco_mask.encode(np.asfortranarray(mask)))
                self.labelled["region"] += 1
            if self.with_stuff:
                code = coco_mask.encode(np.asfortranarray(segments.contours()))
                self.content["annos_boundary"].append({"image_id": photo.id, "boundary_mask": _as_text(code)})
        if self.coco.keypoints and self.takes("keypoints", photo):
            self._add_joints(photo)

    def _add_object(self, photo, name, is_crowd, code):
        if name is None:
            self.left_out["object of a class that Detail lacks", "objects of classes that Detail lacks"] += 1
        elif name in STUFF:
            return  # a region, if stuff is taken
        elif not coco_mask.area(code):
            self.left_out["object without a pixel", "objects without a pixel"] += 1
        elif is_crowd and not self.takes("crowds", photo):
            self.left_out["crowd", "crowds"] += 1
        else:
            self._add_region(photo, name, int(is_crowd), code)
            self.labelled["crowd" if is_crowd else "object"] += 1

    def _add_region(self, photo, name, is_crowd, code):
        self.content["annos_segmentation"].append(
            {
                "id": len(self.content["annos_segmentation"]) + 1,
                "image_id": photo.id,
                "category_id": self.ids[name],
                "segmentation": _as_text(code),
                "area": int(coco_mask.area(code)),
                "bbox": [int(edge) for edge in coco_mask.toBbox(code)],
                "iscrowd": is_crowd,
                "parts": [],
            }
        )

    def _add_joints(self, photo):
        file = self.coco.keypoints[photo.folder]
        places = match_names(DETAIL_JOINTS.names, file.keypoints.joints.names, SAME_JOINT)
        for row in file.records(photo.id):
            numbers = file.keypoints.of(row)
            if numbers is None:
                continue
            joints = [_joint(numbers, place) for place in places]
            number = sum(code > 0 for *_, code in joints)
            if not number:
                self.left_out["person without a joint", "persons without a joint"] += 1
                continue
            self.content["annos_joints"].append(
                {
                    "image_id": photo.id,
                    "person_id": len(self.content["annos_joints"]) + 1,
                    "category_id": self.ids[PERSON],
                    "bbox": [float(edge) for edge in row["bbox"]],
                    "num_keypoints": number,
                    "keypoints": [value for joint in joints for value in joint],
                }
            )

    def finish(self, path):
        """Write the file and say in one line what is in it."""
        content = {
            "info": {
                "description": "Photographs of COCO 2017 with COCO's annotations, in the layout of PASCAL in Detail",
                "version": "3.0",
                "year": 2017,
            },
            "categories": self.categories,
            "parts": [],
            "annos_occlusion": [],
            **self.content,
        }
        with atomic_write(path) as file:
            file.write(json.dumps(content, allow_nan=False, separators=(",", ":")).encode())
        phases = Counter(row["phase"] for row in content["images"])
        sections = ("annos_segmentation", "annos_boundary", "annos_joints")
        images = {key: len({row["image_id"] for row in content[key]}) for key in sections}
        splits = ", ".join(f"{phases[split]} {split}" for split in SPLITS)
        kinds = ", ".join(counted(self.labelled[kind], kind) for kind in ("object", "crowd", "region"))
        left_out = "".join(f"; left out: {counted(number, *what)}" for what, number in self.left_out.items())
        return (
            f"{path}: {counted(len(content['images']), 'image')} ({splits}); {kinds} of {len(self.categories)} classes "
            f"on {images['annos_segmentation']} of them, boundaries on {images['annos_boundary']}, joints of "
            f"{counted(len(content['annos_joints']), 'person', 'persons')} on {images['annos_joints']}{left_out}"
        )


def _joint(numbers, place):
    """(x, y, visibility) of one of Detail's joints in COCO's numbers, zeros where COCO does not have it."""
    if place is None or not numbers[3 * place + 2]:
        return 0.0, 0.0, 0
    x, y, code = numbers[3 * place : 3 * place + 3]
    return float(x), float(y), DETAIL_VISIBILITY[code]


def _as_text(code):
    counts = code["counts"]
    return {"size": list(code["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def place_photos(photos, sources, folder, copy):
    """Put the photographs into `folder`, after all were found and are of the size that COCO says.

    Args:
        photos: list of `Photo`.
        sources: {folder of COCO: where its photographs lie}.
        folder: where they are wanted.
        copy: copies instead of symbolic links.

    Raises:
        UserError: photographs are missing, unreadable or of another size, or the folder cannot be written to.
    """
    paths = {Path(photo.row["file_name"]).name: sources[photo.folder] for photo in photos}
    paths = {name: source / name for name, source in paths.items()}
    lost = [path for path in paths.values() if not path.is_file()]
    if lost:
        raise UserError(
            f"{len(lost)} of {counted(len(photos), 'photograph')} are not there, such as {lost[0]}; put them there, or "
            "give their folder with --images (--addresses FILE lists where to fetch them)"
        )
    for photo, path in zip(photos, paths.values()):
        check_image_size(path, photo.size)
        decoded_facts(path)  # a download that was broken off
    mkdir(folder)
    for name, path in paths.items():
        target = folder / name
        if target.exists() and target.samefile(path):
            continue
        try:
            target.unlink(missing_ok=True)
            if copy:
                copy_file(path, target)
            else:
                target.symlink_to(os.path.relpath(path.resolve(), folder.resolve()))
        except OSError as error:
            raise UserError(f"cannot make {target}: {error.strerror}; pass --copy, or another --out") from None


def main():
    arguments = parse_arguments()
    phases, only = read_ids(arguments.ids, arguments.whole)
    coco = Coco(arguments.coco, phases)
    photos = coco.photos
    if arguments.addresses:
        lines = [photo.row.get("coco_url", "") for photo in photos]
        with atomic_write(arguments.addresses) as file:
            file.write("".join(f"{line}\n" for line in lines if line).encode())
        print(f"{arguments.addresses}: {counted(sum(map(bool, lines)), 'address', 'addresses')}")
        return

    def listed(kind):
        return photos if only[kind] is None else [photo for photo in photos if photo.id in only[kind]]

    if not arguments.without_keypoints:
        coco.open_keypoints(listed("keypoints"))
    with_stuff = arguments.stuff != "none"
    stuff = find_stuff(coco, arguments.stuff, listed("stuff")) if listed("stuff") else NoStuff(coco, [])
    sources = {folder: arguments.images or arguments.coco / folder for folder in FOLDERS}
    place_photos(photos, sources, arguments.out / "images", arguments.copy)
    converter = Converter(coco, stuff, only, with_stuff)
    for photo in tqdm(photos, desc=arguments.out.name, unit="image", disable=None):
        converter.add(photo)
    print(converter.finish(arguments.out / "annotations.json"), flush=True)


if __name__ == "__main__":
    run_tool(main)
