"""From names to data sets: the catalog's kinds, catalogs of the original library, and what training leaves out."""

import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary
from maskrcnn_benchmark.data.build_dataset import check_files
from maskrcnn_benchmark.data.datasets import CityScapesDataset, COCODataset, ConcatDataset, PascalVOCDataset
from maskrcnn_benchmark.utils.errors import UserError

SQUARE = [[2, 2, 9, 2, 9, 9, 2, 9]]


def record(number, image_id, category_id=1, **more):
    row = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": [2, 2, 8, 8], "iscrowd": 0}
    return {**row, "area": 49, "segmentation": SQUARE, **more}


def write_coco(folder, names, records, image_dir="images", ann_file="annotations.json", images=4):
    """A COCO file of `images` images 1, 2, ... of 16x12 pixels, and the images."""
    (folder / image_dir).mkdir(parents=True, exist_ok=True)
    (folder / ann_file).parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": i, "file_name": f"{i}.jpg", "width": 16, "height": 12} for i in range(1, images + 1)]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    content = {"images": rows, "categories": categories, "annotations": records}
    (folder / ann_file).write_text(json.dumps(content))
    for row in rows:
        Image.new("RGB", (16, 12), (10, 20, 30)).save(folder / image_dir / row["file_name"])


def write_voc(folder, split, ids):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(ids))
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    hard = f"<object><name>dog</name><difficult>1</difficult>{box}</object>"
    easy = f"<object><name>cat</name><difficult>0</difficult>{box}</object>"
    for image_id in ids:
        xml = f"<annotation><size><width>16</width><height>12</height></size>{easy}{hard}</annotation>"
        (folder / "Annotations" / f"{image_id}.xml").write_text(xml)
        Image.new("RGB", (16, 12)).save(folder / "JPEGImages" / f"{image_id}.jpg")


def write_cityscapes(root, split, frames):
    """Frames named 0, 1, ...; each with a car if its entry is true."""
    for number, has_car in enumerate(frames):
        for folder in ("leftImg8bit", "gtFine"):
            (root / folder / split / "ulm").mkdir(parents=True, exist_ok=True)
        ids, name = np.full((12, 16), 7, np.uint16), f"ulm_{number:06d}_000019"
        ids[2:8, 3:9] = 26000 if has_car else 7
        objects = [{"label": "car", "polygon": [[3, 2], [8, 2], [8, 7], [3, 7]]}] if has_car else []
        Image.new("RGB", (16, 12)).save(root / f"leftImg8bit/{split}/ulm/{name}_leftImg8bit.png")
        Image.fromarray(ids).save(root / f"gtFine/{split}/ulm/{name}_gtFine_instanceIds.png")
        content = {"imgWidth": 16, "imgHeight": 12, "objects": objects}
        (root / f"gtFine/{split}/ulm/{name}_gtFine_polygons.json").write_text(json.dumps(content))


@pytest.fixture
def cfg(tmp_path):
    cfg = default_cfg.clone()
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.DATA_DIR = str(tmp_path)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (24,), 64
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 24, 64
    cfg.SOLVER.IMS_PER_BATCH = cfg.TEST.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER = 3
    return cfg


@pytest.fixture
def catalog(monkeypatch):
    """Our catalog, whose entries may be changed until the test ends."""
    monkeypatch.setattr(paths_catalog.DatasetCatalog, "DATASETS", dict(paths_catalog.DatasetCatalog.DATASETS))
    return paths_catalog.DatasetCatalog


def check_loaders(cfg):
    """Batches of training and testing: (list of annotations of training, list of annotations of testing)."""
    training = [a for _, batch, _ in make_data_loader(cfg, is_train=True) for a in batch]
    testing = [a for loader in make_data_loader(cfg, is_train=False) for _, batch, _ in loader for a in batch]
    period = make_data_loader(cfg, is_train=False, is_for_period=True)
    assert sorted(i for _, _, ids in period for i in ids) == list(range(len(period.dataset)))
    return training, testing


def test_coco_trains_without_images_that_hold_nothing_unless_they_are_wanted(cfg, tmp_path):
    records = [record(1, 1), record(2, 2, iscrowd=1, segmentation={"size": [12, 16], "counts": [192]})]
    records += [record(3, 3, bbox=[2, 2, 1, 8]), record(4, 1, bbox=[2, 2, 1, 8])]
    for split in ("train", "val"):
        write_coco(tmp_path / "coco", ["person"], records, f"{split}2017", f"annotations/instances_{split}2017.json")
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("coco_2017_train",), ("coco_2017_val",)
    assert build_datasets(cfg)[0].ids == [1, 2]
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    (dataset,) = build_datasets(cfg)
    assert dataset.ids == [1, 2, 3, 4]
    assert [len(dataset.get_annotations(i).instances) for i in range(4)] == [1, 0, 0, 0]
    training, testing = check_loaders(cfg)
    assert all(not a.instances.has_field("coco_records") for a in training)
    assert {a.image_id: len(a.instances) for a in testing} == {1: 2, 2: 1, 3: 1, 4: 0}


def write_crates(folder, *labelled):
    """Data set "crates": an image per number, of a crate with so many labelled keypoints of four."""
    rows = [
        record(k, k, keypoints=[3, 4, 2] * n + [0] * (12 - 3 * n), num_keypoints=n) for k, n in enumerate(labelled, 1)
    ]
    write_coco(folder, ["crate"], rows, images=len(rows))
    paths_catalog.DatasetCatalog.DATASETS["crates"] = {"img_dir": "images", "ann_file": "annotations.json"}


def test_what_is_left_out_for_few_keypoints_is_told_with_the_option(cfg, catalog, tmp_path, caplog):
    write_crates(tmp_path, 4, 2, 0)
    cfg.DATASETS.TRAIN, cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON = ("crates",), False, True
    with caplog.at_level("INFO"):
        assert build_datasets(cfg)[0].ids == [1]
    assert (
        "crates: 1 of 3 images; left out by DATALOADER.FILTER_EMPTY_ANNOTATIONS: 2 with fewer than 3 labelled "
        "keypoints (10/17 of an object's 4)"
    ) in caplog.messages
    assert any("tell no left from right: a mirror exchanges none" in message for message in caplog.messages)
    cfg.MODEL.KEYPOINT_ON = False
    assert build_datasets(cfg)[0].ids == [1, 2, 3]


def test_keypoints_that_nobody_labelled_are_one_line(cfg, catalog, tmp_path):
    write_crates(tmp_path, 0)
    cfg.DATASETS.TRAIN, cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON = ("crates",), False, True
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    with pytest.raises(UserError, match=r"MODEL.KEYPOINT_ON is on, but data set crates has no labelled keypoints"):
        build_datasets(cfg)


def test_two_kinds_of_keypoints_are_refused_only_where_they_are_to_be_learned(cfg, catalog, tmp_path):
    write_crates(tmp_path, 4, 4)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["categories"][0]["keypoints"] = ["nw", "ne", "se", "sw"]
    content["categories"].append({"id": 2, "name": "stick", "keypoints": ["top", "end"]})
    content["annotations"][1].update(category_id=2, keypoints=[3, 4, 2, 5, 6, 2], num_keypoints=2)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    cfg.DATASETS.TRAIN, cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON = ("crates",), False, True
    with pytest.raises(UserError, match=r"crates has different keypoints in its categories 'crate' .4. and 'stick' .2"):
        build_datasets(cfg)
    cfg.MODEL.KEYPOINT_ON = False
    assert build_datasets(cfg)[0].ids == [1, 2]


def test_masks_that_a_coco_file_lacks_are_one_line(cfg, tmp_path):
    row = record(1, 1)
    del row["segmentation"]
    write_coco(tmp_path / "coco", ["person"], [row], "train2017", "annotations/instances_train2017.json")
    cfg.DATASETS.TRAIN = ("coco_2017_train",)
    assert len(build_datasets(cfg)[0]) == 1
    cfg.MODEL.MASK_ON = True
    with pytest.raises(UserError, match=r"MODEL\.MASK_ON is on, but data set coco_2017_train has no masks"):
        build_datasets(cfg)


def test_a_coco_file_in_the_place_of_details_is_recognised(cfg, tmp_path, caplog):
    write_coco(tmp_path / "mini_detail", ["crate", "barrel"], [record(1, 1), record(2, 3)])
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("mini_detail_train",), ("mini_detail_val",)
    with caplog.at_level("INFO"):
        (dataset,) = build_datasets(cfg)
    assert isinstance(dataset, COCODataset) and dataset.ids == [1, 3]
    assert dataset.vocabulary.thing_names == ("crate", "barrel")
    assert "annotations.json is in COCO's layout, which has no splits: mini_detail_train is all of it" in caplog.text
    training, testing = check_loaders(cfg)
    assert {a.image_id for a in training} == {1, 3} and {a.image_id for a in testing} == {1, 2, 3, 4}


def test_voc_joins_its_splits_and_keeps_difficult_objects_for_testing(cfg, tmp_path):
    for split, ids in (("train", ["000001", "000003"]), ("val", ["000002"]), ("test", ["000004"])):
        write_voc(tmp_path / "voc/VOC2007", split, ids)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("voc_2007_train", "voc_2007_val"), ("voc_2007_test",)
    (dataset,) = build_datasets(cfg)
    assert isinstance(dataset, ConcatDataset) and dataset.ids == ["000001", "000003", "000002"]
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 21])
    bind_vocabulary(cfg, load_vocabulary(cfg))
    training, testing = check_loaders(cfg)
    assert all(a.instances.get_field("labels").tolist() == [8] for a in training)
    assert testing[0].instances.get_field("labels").tolist() == [8, 12]
    assert testing[0].instances.get_field("difficult").tolist() == [False, True]


@pytest.mark.parametrize("mode", ["mask", "poly"])
def test_cityscapes_has_as_many_classes_as_the_config_asks_for(cfg, tmp_path, mode):
    for split in ("train", "val"):
        write_cityscapes(tmp_path / "cityscapes", split, [True, False, True])
    cfg.DATASETS.TRAIN = (f"cityscapes_{mode}_instance_train",)
    cfg.DATASETS.TEST = (f"cityscapes_{mode}_instance_val", f"cityscapes_{mode}_instance_minival")
    cfg.MODEL.MASK_ON = True
    for given, classes in ((9, 9), (11, 11), (None, 11)):
        changed = cfg.clone()
        if given:
            changed.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", given])
        bind_vocabulary(changed, load_vocabulary(changed))
        assert classes == changed.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        (dataset,) = build_datasets(changed)
        assert len(dataset.vocabulary.thing_names) == classes - 1 and len(dataset) == 2
    training, testing = check_loaders(cfg)
    assert all(a.instances.get_field("labels").tolist() == [3] for a in training) and len(testing) == 6
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    assert len(build_datasets(cfg)[0]) == 3


ORIGINAL_CATALOG = """
import os

class DatasetCatalog(object):
    DATA_DIR = {data_dir!r}
    DATASETS = {{"my_coco": ("photos", "mine.json")}}

    @staticmethod
    def get(name):
        if name == "my_voc":
            folder = os.path.join(DatasetCatalog.DATA_DIR, "voc")
            return dict(factory="PascalVOCDataset", args=dict(data_dir=folder, split="train"))
        if name == "my_cityscapes":
            args = dict(img_dir="leftImg8bit", ann_dir="gtFine")
            args = {{key: os.path.join(DatasetCatalog.DATA_DIR, value) for key, value in args.items()}}
            return dict(factory="CityScapesDataset", args=dict(args, split="val", mode="poly", mini=2))
        if name == "both":
            return dict(factory="ConcatDataset", args=dict(datasets=["my_coco", "my_coco"]))
        if name == "other":
            return dict(factory="OtherDataset", args=dict())
        if name == "strange":
            return dict(factory="COCODataset", args=dict(root=".", ann_file="x.json", colour="red"))
        if name == "nothing":
            return None
        root, ann_file = DatasetCatalog.DATASETS[name]
        return dict(factory="COCODataset", args=dict(
            root=os.path.join(DatasetCatalog.DATA_DIR, root), ann_file=os.path.join(DatasetCatalog.DATA_DIR, ann_file)))
"""


@pytest.fixture
def original(cfg, tmp_path):
    """A config with a catalog in the original library's form, and what it names."""
    write_coco(tmp_path / "elsewhere", ["dog", "cat"], [record(1, 1), record(2, 3, 2)], "photos", "mine.json")
    write_voc(tmp_path / "elsewhere/voc", "train", ["000001"])
    write_cityscapes(tmp_path / "elsewhere", "val", [True, True, True])
    (tmp_path / "catalog.py").write_text(ORIGINAL_CATALOG.format(data_dir=str(tmp_path / "elsewhere")))
    cfg.merge_from_list(["PATHS_CATALOG", str(tmp_path / "catalog.py")])
    return cfg


@pytest.mark.parametrize(
    ("name", "kind", "length"),
    [
        ("my_coco", COCODataset, 2),
        ("my_voc", PascalVOCDataset, 1),
        ("my_cityscapes", CityScapesDataset, 2),
        ("both", ConcatDataset, 4),
    ],
)
def test_a_catalog_written_for_the_original_is_asked_as_the_original_did(original, name, kind, length):
    original.DATASETS.TRAIN = (name,)
    (dataset,) = build_datasets(original)
    assert isinstance(dataset, kind) and len(dataset) == length
    assert len(dataset.get_annotations(0).instances) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", r"catalog\.py: unknown data set 'absent'"),
        (
            "other",
            r"catalog\.py: data set 'other' has the unknown factory 'OtherDataset'; there are COCODataset, COCOPano",
        ),
        ("strange", r"catalog\.py: data set 'strange': COCODataset .*'colour'"),
        ("nothing", r"catalog\.py: DatasetCatalog\.get\('nothing'\) must return"),
    ],
)
def test_what_a_users_catalog_gets_wrong_is_one_line(original, name, message):
    original.DATASETS.TRAIN = (name,)
    with pytest.raises(UserError, match=message):
        build_datasets(original)


def test_missing_files_are_told_without_opening_any(original, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    check_files(original, ["my_coco", "my_voc", "my_cityscapes", "both", "other", "nothing", "mini_detail_train"])
    (elsewhere / "mine.json").write_text("no JSON")
    check_files(original, ["both"])
    (elsewhere / "mine.json").unlink()
    for name in ("my_coco", "both"):
        with pytest.raises(UserError, match=rf"data set 'my_coco' is not there: {elsewhere}/mine\.json does not exist"):
            check_files(original, ["my_voc", name])
    with pytest.raises(UserError, match=r"catalog\.py: unknown data set 'absent'"):
        check_files(original, ["absent"])


def test_a_file_without_a_catalog_is_named(cfg, tmp_path):
    (tmp_path / "empty.py").write_text("")
    cfg.PATHS_CATALOG = str(tmp_path / "empty.py")
    cfg.DATASETS.TRAIN = ("coco_2017_train",)
    with pytest.raises(UserError, match=r"empty\.py defines no class DatasetCatalog"):
        build_datasets(cfg)


def test_entries_put_into_our_catalog_count(cfg, tmp_path, catalog, monkeypatch):
    write_coco(tmp_path / "mine", ["dog"], [record(1, 1)])
    catalog.DATASETS["mine"] = {"img_dir": "mine/images", "ann_file": "mine/annotations.json"}
    catalog.DATASETS["mine_twice"] = {"datasets": ["mine", "mine"]}
    cfg.DATASETS.TRAIN = ("mine_twice",)
    assert build_datasets(cfg)[0].ids == [1, 1]
    cfg.DATASETS.DATA_DIR = "datasets"  # the default: then the class attribute counts
    monkeypatch.setattr(catalog, "DATA_DIR", str(tmp_path))
    assert build_datasets(cfg)[0].ids == [1, 1]


def test_files_in_cocos_layout_bind_as_many_classes_as_their_table_has(cfg, tmp_path, catalog):
    names = [f"class {i}" for i in range(80)]
    write_coco(tmp_path / "mine", names, [record(1, 1)])
    catalog.DATASETS["mine"] = {"img_dir": "mine/images", "ann_file": "mine/annotations.json"}
    cfg.DATASETS.TRAIN = ("mine",)
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 81])
    bind_vocabulary(cfg, load_vocabulary(cfg))
    assert cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES == 81


@pytest.mark.parametrize("keypoints", [False, True])
def test_real_coco_trains_and_tests(cfg, real_data, tmp_path, keypoints):
    (tmp_path / "coco").symlink_to(real_data / "coco_mini")
    prefix = "keypoints_" if keypoints else ""
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (f"{prefix}coco_2017_train",), (f"{prefix}coco_2017_val",)
    cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON = not keypoints, keypoints
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 2 if keypoints else 81])
    bind_vocabulary(cfg, load_vocabulary(cfg))
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.SOLVER.MAX_ITER = (96,), 4
    training = [a for _, batch, _ in make_data_loader(cfg, is_train=True) for a in batch]
    testing = [a for _, batch, _ in make_data_loader(cfg, is_train=False)[0] for a in batch]
    assert len(training) == 8 and len(testing) == 79
    assert all(len(a.people if keypoints else a.instances) > 0 for a in training)
    folder = real_data / "coco_mini/annotations"
    file = folder / ("person_keypoints_val2017.json" if keypoints else "instances_val2017.json")
    rows = [row for a in testing for row in (a.people if keypoints else a.instances).get_field("coco_records")]
    assert len(rows) == len(json.loads(file.read_text())["annotations"])
