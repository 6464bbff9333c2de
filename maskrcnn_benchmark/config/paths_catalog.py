"""Names of data sets -> where their files lie."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.config.model_catalog import ModelCatalog  # noqa: F401  users look for it here
from maskrcnn_benchmark.utils.errors import UserError

DEFAULT_DATA_DIR = "datasets"
SPLITS = ("train", "val", "trainval")
HOW_TO_MAKE = {
    "mini_detail": "python -m maskrcnn_benchmark.data.mini_detail",
    "mini_maps": "python -m maskrcnn_benchmark.data.mini_detail --maps --out datasets/mini_maps",
    "detail": "make data DETAIL_JSON=FILE VOC=FILE",
    "photo_detail": "python tools/coco_to_detail.py --coco DIR",
    "pascal_context_mtl": "make data PASCAL_MT=FILE",
    "nyud_mtl": "make data NYUD=FILE",
}


def is_own_catalog(*paths: Any) -> bool:
    """Whether values of PATHS_CATALOG are this module, in whichever place the package lies."""
    return all(Path(str(path)).parts[-3:] == Path(__file__).parts[-3:] for path in paths)


def _coco() -> dict[str, dict[str, Any]]:
    """COCO's names; minival and valminusminival are the two parts into which Detectron cut the val images of 2014."""
    years = {"2014": ("train", "val", "minival", "valminusminival"), "2017": ("train", "val")}
    return {
        f"{prefix}coco_{year}_{split}": {
            "img_dir": f"coco/{'train' if split == 'train' else 'val'}{year}",
            "ann_file": f"coco/annotations/{kind}_{split}{year}.json",
        }
        for prefix, kind in (("", "instances"), ("keypoints_", "person_keypoints"))
        for year, splits in years.items()
        for split in splits
    }


def _coco_panoptic() -> dict[str, dict[str, Any]]:
    """COCO's names of panoptic annotations, as detectron2 has them."""
    return {
        f"coco_2017_{split}_panoptic": {
            "img_dir": f"coco/{split}2017",
            "ann_file": f"coco/annotations/panoptic_{split}2017.json",
            "panoptic_dir": f"coco/annotations/panoptic_{split}2017",
        }
        for split in ("train", "val")
    }


def _voc() -> dict[str, dict[str, Any]]:
    """PASCAL VOC's names, in its own layout and as COCO's JSON."""
    entries = {}
    for year in ("2007", "2012"):
        folder = f"voc/VOC{year}"
        for split in ("train", "val", "trainval", "test"):
            entries[f"voc_{year}_{split}"] = {"data_dir": folder, "split": split}
        for split in ("train", "val", "test") if year == "2007" else ("train", "val"):  # the test of 2012 is secret
            entries[f"voc_{year}_{split}_cocostyle"] = {
                "img_dir": f"{folder}/JPEGImages",
                "ann_file": f"{folder}/Annotations/pascal_{split}{year}.json",
            }
    return entries


def _cityscapes():
    """Cityscapes' names: as COCO's JSON, and in its own layout with masks from polygons or from bitmaps."""
    entries = {
        f"cityscapes_fine_instanceonly_seg_{split}_cocostyle": {
            "img_dir": "cityscapes/images",
            "ann_file": f"cityscapes/annotations/instancesonly_filtered_gtFine_{split}.json",
        }
        for split in ("train", "val", "test")
    }
    for mode in ("poly", "mask"):
        folders = {"img_dir": "cityscapes/leftImg8bit", "ann_dir": "cityscapes/gtFine", "mode": mode}
        for split in ("train", "val"):
            entries[f"cityscapes_{mode}_instance_{split}"] = {**folders, "split": split}
        entries[f"cityscapes_{mode}_instance_minival"] = {**folders, "split": "val", "mini": 10}
    return entries


# Layout of an archive of multi-task papers -> its factory, its folder of lists of images, and that of images
_MTL = {
    "pascal_context_mtl": ("PascalContextMTLDataset", "ImageSets/Context", "JPEGImages"),
    "nyud_mtl": ("NYUDMTLDataset", "gt_sets", "images"),
}


def _mtl() -> dict[str, dict[str, Any]]:
    """The multi-task archives' names, each of which is also its folder's."""
    return {
        f"{layout}_{split}": {"data_dir": layout, "split": split, "layout": layout}
        for layout in _MTL
        for split in SPLITS
    }


class DatasetCatalog:
    """The data sets that `DATASETS.TRAIN` and `DATASETS.TEST` can name.

    Beside the names of `DATASETS`, any folder DATA_DIR/NAME with an `annotations.json` in the layout of PASCAL in
    Detail and a folder `images` is NAME_train, NAME_val and NAME_trainval; one in COCO's layout, which has no splits,
    is all of it under each name.

    Attributes:
        DATA_DIR: folder that the paths of `DATASETS` are relative to, where the config's DATASETS.DATA_DIR names none.
        DATASETS: {name: entry}; more can be put in. An entry's keys tell its kind: img_dir and ann_file of a COCO JSON
            file, with panoptic_dir of COCO panoptic; data_dir and split of PASCAL VOC; img_dir, ann_dir and split (with
            mode and mini) of Cityscapes; data_dir, split and layout ("pascal_context_mtl", "nyud_mtl") of an archive of
            multi-task papers; datasets, the names of several that are to be one.
    """

    DATA_DIR = DEFAULT_DATA_DIR
    DATASETS = {**_coco(), **_coco_panoptic(), **_voc(), **_cityscapes(), **_mtl()}

    @staticmethod
    def get(name: str, data_dir: str | os.PathLike | None = None, images: bool = True) -> dict[str, Any]:
        """{"factory": class name of the data set, "args": its keyword arguments} for a name.

        Without `images`, a set of one annotation file may lack the folder of its images; its "root" is then None.

        Raises `UserError` that names the path looked at, the nearest valid name and how to get the data, if it is
        not there.
        """
        data_dir = Path(data_dir or DatasetCatalog.DATA_DIR)
        if name in DatasetCatalog.DATASETS:
            factory, args, needed = _read_entry(name, DatasetCatalog.DATASETS[name], data_dir)
        else:
            folder, _, split = name.rpartition("_")
            if not folder or split not in SPLITS:
                raise UserError(
                    f"unknown data set {name!r}{_nearest(name, data_dir, DatasetCatalog.DATASETS)}; names are those of "
                    "config/paths_catalog.py, such as coco_2017_train, and those of the folders in "
                    f"{data_dir} followed by _train, _val or _trainval"
                )
            needed = ann_file, root = data_dir / folder / "annotations.json", data_dir / folder / "images"
            factory, args = "DetailDataset", {"ann_file": str(ann_file), "root": str(root), "split": split}
        if not images and "root" in args and not Path(args["root"]).exists():
            needed = [path for path in needed if str(path) != args["root"]]
            args = {**args, "root": None}
        missing = next((path for path in needed if not path.exists()), None)
        if missing is not None:
            raise UserError(
                f"data set {name!r} is not there: {missing} does not exist{_nearest(name, data_dir)}; {_remedy(name)}"
            )
        return {"factory": factory, "args": args}

    @staticmethod
    def names(data_dir: str | os.PathLike | None = None) -> list[str]:
        """Every name for which `get` finds the files, sorted."""
        data_dir = Path(data_dir or DatasetCatalog.DATA_DIR)
        present = [
            name
            for name, entry in DatasetCatalog.DATASETS.items()
            if all(path.exists() for path in _read_entry(name, entry, data_dir)[2])
        ]
        files = data_dir.glob("*/annotations.json")
        folders = [file.parent.name for file in files if (file.parent / "images").is_dir()]
        return sorted(present + [f"{folder}_{split}" for folder in folders for split in SPLITS])


# Argument of COCOPanopticDataset -> key of an entry
_PANOPTIC = {"ann_file": "ann_file", "panoptic_dir": "panoptic_dir", "root": "img_dir"}


def _read_entry(name, entry, data_dir):
    """(factory, its arguments, paths that have to exist) of an entry of the catalog."""
    keys = set(entry) if isinstance(entry, dict) else set()
    if {"img_dir", "ann_file", "panoptic_dir"} <= keys:
        paths = {key: data_dir / entry[name] for key, name in _PANOPTIC.items()}
        return "COCOPanopticDataset", {key: str(path) for key, path in paths.items()}, tuple(paths.values())
    if {"img_dir", "ann_file"} <= keys:
        root, ann_file = data_dir / entry["img_dir"], data_dir / entry["ann_file"]
        return "COCODataset", {"root": str(root), "ann_file": str(ann_file)}, (ann_file, root)
    if {"data_dir", "split", "layout"} <= keys and entry["layout"] in _MTL:
        factory, lists, images = _MTL[entry["layout"]]
        folder, parts = (
            data_dir / entry["data_dir"],
            ("train", "val") if entry["split"] == "trainval" else (entry["split"],),
        )
        args = {"data_dir": str(folder), "split": entry["split"]}
        return factory, args, (*(folder / lists / f"{part}.txt" for part in parts), folder / images)
    if {"data_dir", "split"} <= keys:
        folder = data_dir / entry["data_dir"]
        needed = folder / "ImageSets" / "Main" / f"{entry['split']}.txt", folder / "JPEGImages"
        return "PascalVOCDataset", {**entry, "data_dir": str(folder)}, needed
    if {"img_dir", "ann_dir", "split"} <= keys:
        folders = {key: data_dir / entry[key] for key in ("img_dir", "ann_dir")}
        needed = [folder / entry["split"] for folder in folders.values()]
        return "CityScapesDataset", {**entry, **{key: str(folder) for key, folder in folders.items()}}, needed
    if "datasets" in keys:
        return "ConcatDataset", {"datasets": list(entry["datasets"])}, ()
    raise UserError(
        f"DatasetCatalog.DATASETS[{name!r}] is {entry!r}; give img_dir and ann_file (COCO), with panoptic_dir "
        f"(COCO panoptic), data_dir and split (VOC; with layout, one of {', '.join(_MTL)}, an archive of multi-task "
        "papers), img_dir, ann_dir and split (Cityscapes), or datasets (several as one)"
    )


def _remedy(name: str) -> str:
    command = HOW_TO_MAKE.get(name.rpartition("_")[0])
    if command:
        return f"make it with `{command}`"
    where = "put it there, or set DATASETS.DATA_DIR to where it lies (datasets/README.md shows the folders)"
    if name.startswith("cityscapes_fine_instanceonly_seg_"):
        return f"make it with `python tools/cityscapes_to_coco.py`, {where}"
    return where


def _nearest(name: str, data_dir: Path, also: Iterable[str] = ()) -> str:
    near = difflib.get_close_matches(name, {*DatasetCatalog.names(data_dir), *also}, 1, 0.5)
    return f"; did you mean {near[0]}?" if near and near[0] != name else ""
