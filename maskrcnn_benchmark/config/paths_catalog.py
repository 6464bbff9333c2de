"""Names of data sets -> where their files lie."""

import difflib
from pathlib import Path

from maskrcnn_benchmark.config.model_catalog import ModelCatalog  # noqa: F401  users look for it here
from maskrcnn_benchmark.utils.errors import UserError

SPLITS = ("train", "val", "trainval")
HOW_TO_MAKE = {"mini_detail": "python -m maskrcnn_benchmark.data.datasets.mini_detail"}


class DatasetCatalog:
    """The data sets that `DATASETS.TRAIN` and `DATASETS.TEST` can name.

    `DATASETS` lists COCO's: name -> (annotation file, image folder), below DATA_DIR. Beside them, any folder
    DATA_DIR/NAME with an `annotations.json` in the layout of PASCAL in Detail and a folder `images` is NAME_train,
    NAME_val and NAME_trainval.
    """

    DATASETS = {
        f"{prefix}coco_{year}_{split}": (f"coco/annotations/{kind}_{split}{year}.json", f"coco/{images}{year}")
        for prefix, kind in (("", "instances"), ("keypoints_", "person_keypoints"))
        for year, splits in (("2014", ("train", "val", "minival", "valminusminival")), ("2017", ("train", "val")))
        for split in splits
        for images in ["train" if split == "train" else "val"]
    }

    @staticmethod
    def get(name, data_dir="datasets"):
        """{"factory": class name of the data set, "args": its keyword arguments} for a name.

        Raises `UserError` that names the path looked at, the nearest valid name and how to get the data, if it is
        not there.
        """
        data_dir = Path(data_dir)
        if name in DatasetCatalog.DATASETS:
            ann_file, root = (data_dir / part for part in DatasetCatalog.DATASETS[name])
            _check(name, data_dir, ann_file, root)
            return {"factory": "COCODataset", "args": {"ann_file": str(ann_file), "root": str(root)}}
        folder, _, split = name.rpartition("_")
        if not folder or split not in SPLITS:
            raise UserError(
                f"unknown data set {name!r}{_nearest(name, data_dir)}; names are COCO's, such as coco_2017_train, and "
                f"those of the folders in {data_dir} followed by _train, _val or _trainval"
            )
        ann_file, root = data_dir / folder / "annotations.json", data_dir / folder / "images"
        _check(name, data_dir, ann_file, root)
        return {"factory": "DetailDataset", "args": {"ann_file": str(ann_file), "root": str(root), "split": split}}

    @staticmethod
    def names(data_dir="datasets"):
        """Every name that `get` can answer with the files that are there, sorted: list of str."""
        data_dir = Path(data_dir)
        coco = [name for name, files in DatasetCatalog.DATASETS.items() if all((data_dir / f).exists() for f in files)]
        files = data_dir.glob("*/annotations.json")
        folders = [file.parent.name for file in files if (file.parent / "images").is_dir()]
        return sorted(coco + [f"{folder}_{split}" for folder in folders for split in SPLITS])


def _check(name, data_dir, ann_file, root):
    missing = next((path for path, there in ((ann_file, ann_file.is_file()), (root, root.is_dir())) if not there), None)
    if missing is None:
        return
    command = HOW_TO_MAKE.get(name.rpartition("_")[0])
    remedy = f"make it with `{command}`" if command else "put it there, or set DATASETS.DATA_DIR to where it lies"
    raise UserError(f"data set {name!r} is not there: {missing} does not exist{_nearest(name, data_dir)}; {remedy}")


def _nearest(name, data_dir):
    near = difflib.get_close_matches(name, DatasetCatalog.names(data_dir), 1, 0.5)
    return f"; did you mean {near[0]}?" if near and near[0] != name else ""
