"""Put PASCAL in Detail or the archives of multi-task papers in place, prepare and check them.

python tools/prepare_data.py --annotations trainval_merged.json --voc VOCtrainval_03-May-2010.tar
python tools/prepare_data.py --pascal-mt PASCAL_MT.tgz --nyud NYUDv2.tar.gz

What is given is unpacked or linked to where the catalog looks (datasets/README.md); what is there already is kept. Give
nothing to check what is there. A file in COCO's layout is recognised, and prepared as such. The exit code is 1 as long
as something is missing that training needs.
"""

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_benchmark.config import record_of
from maskrcnn_benchmark.utils.arguments import natural, workers
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool

VOC2010_IMAGES = 10_103  # trainval of VOC2010; PASCAL in Detail annotates all but three of them
# Table of the index: (section of the JSON, what its rows are, what cannot be had without it)
SECTIONS = {
    "images": ("images", "images", "nothing"),
    "categories": ("categories", "categories", "nothing"),
    "parts": ("parts", "part names", "the part task"),
    "segmentation": ("annos_segmentation", "regions", "boxes, masks, parts, semantic maps and image labels"),
    "boundary": ("annos_boundary", "boundary maps", "the boundary task"),
    "occlusion": ("annos_occlusion", "occlusion maps", "the occlusion task"),
    "joints": ("annos_joints", "people's joints", "the keypoint task"),
}


@dataclass(frozen=True)
class Item:
    """One thing that is or is not in place: what was found, and the remedy where it is not.

    Attributes:
        found: in words.
        remedy: what to do, or None if it is in place.
        needed: whether training needs it.
    """

    found: str
    remedy: str | None = None
    needed: bool = True

    def __str__(self):
        return f"ok       {self.found}" if self.remedy is None else f"missing  {self.found}: {self.remedy}"


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    parser.add_argument("--annotations", metavar="FILE", help="the JSON file, or a .zip, .tar.gz or .json.gz with it")
    parser.add_argument(
        "--voc", metavar="PATH", help="VOCtrainval_03-May-2010.tar, or a folder that it was unpacked to"
    )
    parser.add_argument("--pascal-mt", metavar="PATH", help="PASCAL_MT.tgz or PASCALContext.tar.gz, or its folder")
    parser.add_argument("--nyud", metavar="PATH", help="NYUDv2.tar.gz or NYUD_MT.tgz, or its folder")
    parser.add_argument(
        "--data-dir", default=record_of("DATASETS.DATA_DIR").default, metavar="DIR", help="(default: %(default)s)"
    )
    parser.add_argument("--name", default="detail", help="the data set's folder in DIR (default: %(default)s)")
    parser.add_argument("--copy", action="store_true", help="copy what is unpacked already, instead of links to it")
    parser.add_argument(
        "--expect", type=natural, default=VOC2010_IMAGES, metavar="N", help="images of VOC2010 (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=workers, default=os.cpu_count() or 1, metavar="N", help="(default: %(default)s)"
    )
    return parser.parse_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.datasets import COCODataset, COCOPanopticDataset
from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.pascal_context_mtl import PARTS, PascalContextMTLDataset
from maskrcnn_benchmark.data.preparation.build_index import prepare
from maskrcnn_benchmark.data.preparation.check_kinds import FILE_MISSING
from maskrcnn_benchmark.data.preparation.mtl_placing import image_counts, label_counts, misfit_maps, place_mtl
from maskrcnn_benchmark.data.preparation.other_files import layout_of
from maskrcnn_benchmark.data.preparation.part_index import index_parts
from maskrcnn_benchmark.data.preparation.placing import ANNOTATIONS, IMAGES, place_annotations, place_images
from maskrcnn_benchmark.data.preparation.summary import nothing_to_learn, summarize
from maskrcnn_benchmark.utils.files import mkdir
from maskrcnn_benchmark.utils.text import counted


def check(folder, index, expected_images):
    """What is in place: list of `Item`.

    Args:
        folder: the data set's.
        index: its index, or None if it could not be made.
        expected_images: how many images VOC2010 has.
    """
    annotations, images = folder / ANNOTATIONS, folder / IMAGES
    items = []
    if annotations.is_file():
        items.append(Item(f"annotations: {annotations}, {annotations.stat().st_size / 1e6:.1f} MB"))
    else:
        items.append(Item(f"annotations: no {annotations}", "make data DETAIL_JSON=FILE (datasets/README.md)"))
    present = {path.name for path in images.iterdir()} if images.is_dir() else set()
    text = f"images of VOC2010: {len(present)} of {expected_images} in {images}"
    items.append(Item(text, None if len(present) >= expected_images else "make data VOC=FILE (datasets/README.md)"))
    if index is None:
        items.append(Item("index", "it is made as soon as annotations and images are there"))
        return items
    with contextlib.closing(sqlite3.connect(f"{Path(index).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        named = {name for (name,) in connection.execute("SELECT file_name FROM images")}
        tables = (*SECTIONS, "problems")
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    absent = sorted(named - present)
    text = f"images with annotations: {len(named) - len(absent)} of {len(named)}"
    remedy = f"{absent[0]} and {len(absent) - 1} more are not in {images}; unpack VOC2010 again" if absent else None
    items.append(Item(text, remedy))
    for table, (section, what, lost) in SECTIONS.items():
        remedy = f"without them {lost} cannot be trained; another release of the file may have them"
        needed = table in ("images", "categories", "segmentation")
        items.append(Item(f"{section}: {counts[table]} {what}", None if counts[table] else remedy, needed))
    items.append(
        Item(
            f"index: {index}, {Path(index).stat().st_size / 1e6:.1f} MB; {counts['problems']} findings, which "
            f"python tools/prepare_detail.py --annotations {annotations} shows"
        )
    )
    return items


def check_coco(folder, index):
    """As `check`, of a file in COCO's layout."""
    annotations, images = folder / ANNOTATIONS, folder / IMAGES
    items = [Item(f"annotations: {annotations}, in COCO's layout")]
    if not images.is_dir():
        return [*items, Item(f"images: no {images}", "put the images that the file names there, or a link to them")]
    with contextlib.closing(sqlite3.connect(f"{Path(index).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        (usable,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        query = "SELECT count(*), min(place) FROM problems WHERE what = ?"
        absent, first = connection.execute(query, (FILE_MISSING.what,)).fetchone()
    remedy = f"{absent} image{'s are' if absent > 1 else ' is'} missing, such as {first}; put them there"
    items.append(Item(f"images: {usable} that can be used", remedy if absent else None))
    nothing = nothing_to_learn(index)
    if nothing:
        items.append(Item(f"annotations to train on: {nothing}", "take a file with annotations"))
    return [*items, Item(f"index: {index}, {Path(index).stat().st_size / 1e6:.1f} MB")]


def check_coco_panoptic(folder):
    """As `check`, of a file in COCO's panoptic layout, which needs no index: opening it checks it."""
    annotations, images = folder / ANNOTATIONS, folder / IMAGES
    items = [Item(f"annotations: {annotations}, in COCO's panoptic layout")]
    if not images.is_dir():
        return [*items, Item(f"images: no {images}", "put the images that the file names there, or a link to them")]
    dataset = COCOPanopticDataset(annotations, images, tasks=())
    number = len(dataset.file.pictures)
    remedy = None if number else "take a file with annotations"
    items.append(Item(f"segments: of {number} images in {dataset.file.folder}", remedy))
    present = {path.name for path in images.iterdir()}
    absent = [row["file_name"] for row in dataset.file.images.values() if row["file_name"] not in present]
    remedy = f"{absent[0]} and {len(absent) - 1} more are not in {images}; put them there" if absent else None
    return [*items, Item(f"images: {len(dataset) - len(absent)} of {len(dataset)}", remedy)]


def check_mtl(name, arguments):
    """Prepare and check the archive of a multi-task paper that is in place; list of `Item`."""
    items = []
    if name == PascalContextMTLDataset.layout:
        folder = Path(arguments.data_dir) / name / PascalContextMTLDataset.FOLDERS[PARTS].name
        names = PascalContextMTLDataset(folder.parent, "trainval", tasks=()).ids
        if folder.is_dir():
            index = index_parts(folder, names, arguments.workers, progress=True)
            items.append(Item(f"index of parts: {index}, {index.stat().st_size / 1e6:.1f} MB"))
    for split, number, published in image_counts(name, arguments.data_dir):
        remedy = None if number == published else "it is not the published list; take it from the archive again"
        items.append(Item(f"{name}_{split}: {number} of {published} images", remedy))
    counts = label_counts(name, arguments.data_dir)
    for split, states in counts.items():
        for state in states:
            found = f"{name}_{split}, {state.task}: {state.found} of {state.total} labels"
            items.append(Item(found, state.missing or None, needed=False))
    for folder, images in misfit_maps(name, arguments.data_dir).items():
        found = f"{name}, {folder}: {counted(len(images), 'map')} of another size than the image, such as {images[0]}"
        items.append(
            Item(found, "take both from the same archive, or remove these maps: the images then lack the label")
        )
    states = [state for states in counts.values() for state in states]
    broken = {state.task for state in states if state.missing}
    complete = [task for task in dict.fromkeys(state.task for state in states) if task not in broken]
    number = len(complete) + len(broken)
    return [*items, Item(f"{name}: complete are {len(complete)} of {number} tasks: {', '.join(complete) or 'none'}")]


def main(arguments=None):
    arguments = parse_arguments(arguments)
    given = {"pascal_context_mtl": arguments.pascal_mt, "nyud_mtl": arguments.nyud}
    items = []
    for name, source in given.items():
        if source:
            mkdir(arguments.data_dir)
            print(place_mtl(source, name, arguments.data_dir, arguments.copy), flush=True)
        nothing_given = not any((arguments.annotations, arguments.voc, *given.values()))
        if source or (nothing_given and (Path(arguments.data_dir) / name).is_dir()):
            items += check_mtl(name, arguments)
    if arguments.annotations or arguments.voc or not items:
        items += prepare_detail(arguments)
    print(*items, sep="\n")
    return int(any(item.needed and item.remedy for item in items))


def prepare_detail(arguments):
    """Put PASCAL in Detail in place as far as it is given, and check it; list of `Item`."""
    folder = Path(arguments.data_dir) / arguments.name
    mkdir(folder)
    if arguments.voc:
        print(place_images(arguments.voc, folder, arguments.copy), flush=True)
    if arguments.annotations:
        print(place_annotations(arguments.annotations, folder, arguments.copy), flush=True)
    index = None
    layout = layout_of(folder / ANNOTATIONS)
    is_coco = layout == COCODataset.layout
    if layout == COCOPanopticDataset.layout:
        return check_coco_panoptic(folder)
    if (folder / ANNOTATIONS).is_file() and (folder / IMAGES).is_dir():
        index, _ = prepare(
            folder / ANNOTATIONS,
            images=folder / IMAGES,
            workers=arguments.workers,
            progress=True,
            content=CocoContent if is_coco else DetailContent,
        )
    items = check_coco(folder, index) if is_coco else check(folder, index, arguments.expect)
    if is_coco and index is not None:
        print(summarize(index), flush=True)
    return items


if __name__ == "__main__":
    run_tool(main)
