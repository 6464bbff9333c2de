"""Names of data sets: where their files are looked for, and what is said when they are not there."""

import pytest

from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog
from maskrcnn_benchmark.utils.errors import UserError


def make(folder, *files):
    for file in files:
        path = folder / file
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        else:
            path.mkdir(parents=True, exist_ok=True)


def test_any_folder_in_details_layout_has_three_splits(tmp_path):
    make(tmp_path, "my_set/annotations.json", "my_set/images")
    for split in ("train", "val", "trainval"):
        assert DatasetCatalog.get(f"my_set_{split}", tmp_path) == {
            "factory": "DetailDataset",
            "args": {
                "ann_file": str(tmp_path / "my_set/annotations.json"),
                "root": str(tmp_path / "my_set/images"),
                "split": split,
            },
        }


@pytest.mark.parametrize(
    ("name", "ann_file", "root"),
    [
        ("coco_2017_train", "instances_train2017.json", "train2017"),
        ("coco_2017_val", "instances_val2017.json", "val2017"),
        ("coco_2014_minival", "instances_minival2014.json", "val2014"),
        ("coco_2014_valminusminival", "instances_valminusminival2014.json", "val2014"),
        ("keypoints_coco_2014_train", "person_keypoints_train2014.json", "train2014"),
        ("keypoints_coco_2017_val", "person_keypoints_val2017.json", "val2017"),
    ],
)
def test_names_of_coco_are_the_originals(tmp_path, name, ann_file, root):
    make(tmp_path, f"coco/annotations/{ann_file}", f"coco/{root}")
    entry = DatasetCatalog.get(name, tmp_path)
    assert entry["factory"] == "COCODataset"
    assert entry["args"] == {
        "ann_file": str(tmp_path / "coco/annotations" / ann_file),
        "root": str(tmp_path / "coco" / root),
    }


UPSTREAM_NAMES = [
    *("coco_2017_train", "coco_2017_val", "coco_2014_train", "coco_2014_val", "coco_2014_minival"),
    *("coco_2014_valminusminival", "keypoints_coco_2014_train", "keypoints_coco_2014_val"),
    *("keypoints_coco_2014_minival", "keypoints_coco_2014_valminusminival"),
    *("voc_2007_train", "voc_2007_train_cocostyle", "voc_2007_val", "voc_2007_val_cocostyle", "voc_2007_test"),
    *("voc_2007_test_cocostyle", "voc_2012_train", "voc_2012_train_cocostyle", "voc_2012_val"),
    *("voc_2012_val_cocostyle", "voc_2012_test"),
    *(f"cityscapes_fine_instanceonly_seg_{split}_cocostyle" for split in ("train", "val", "test")),
    *(f"cityscapes_{mode}_instance_{split}" for mode in ("poly", "mask") for split in ("train", "val", "minival")),
]


def test_every_name_of_the_original_has_an_entry_of_its_keys():
    entries = DatasetCatalog.DATASETS
    assert set(UPSTREAM_NAMES) <= set(entries)
    assert entries["coco_2017_val"] == {
        "img_dir": "coco/val2017",
        "ann_file": "coco/annotations/instances_val2017.json",
    }
    assert entries["voc_2012_train"] == {"data_dir": "voc/VOC2012", "split": "train"}
    assert entries["voc_2007_test_cocostyle"] == {
        "img_dir": "voc/VOC2007/JPEGImages",
        "ann_file": "voc/VOC2007/Annotations/pascal_test2007.json",
    }
    assert entries["cityscapes_poly_instance_minival"] == {
        "img_dir": "cityscapes/leftImg8bit",
        "ann_dir": "cityscapes/gtFine",
        "split": "val",
        "mode": "poly",
        "mini": 10,
    }


def test_voc_and_cityscapes_in_their_own_layout(tmp_path):
    make(tmp_path, "voc/VOC2007/ImageSets/Main/trainval.txt", "voc/VOC2007/JPEGImages")
    assert DatasetCatalog.get("voc_2007_trainval", tmp_path) == {
        "factory": "PascalVOCDataset",
        "args": {"data_dir": str(tmp_path / "voc/VOC2007"), "split": "trainval"},
    }
    make(tmp_path, "cityscapes/leftImg8bit/val", "cityscapes/gtFine/val")
    entry = DatasetCatalog.get("cityscapes_mask_instance_minival", tmp_path)
    assert entry["factory"] == "CityScapesDataset"
    assert entry["args"] == {
        "img_dir": str(tmp_path / "cityscapes/leftImg8bit"),
        "ann_dir": str(tmp_path / "cityscapes/gtFine"),
        "split": "val",
        "mode": "mask",
        "mini": 10,
    }
    names = DatasetCatalog.names(tmp_path)
    assert {"voc_2007_trainval", "cityscapes_poly_instance_val"} <= set(names) and "voc_2007_train" not in names


@pytest.mark.parametrize(
    ("name", "path", "remedy"),
    [
        ("voc_2007_train", "voc/VOC2007/ImageSets/Main/train.txt", "datasets/README.md"),
        ("detail_val", "detail/annotations.json", "make data DETAIL_JSON=FILE VOC=FILE"),
        ("voc_2012_val_cocostyle", "voc/VOC2012/Annotations/pascal_val2012.json", "DATASETS.DATA_DIR"),
        ("cityscapes_mask_instance_train", "cityscapes/leftImg8bit/train", "DATASETS.DATA_DIR"),
        (
            "cityscapes_fine_instanceonly_seg_val_cocostyle",
            "cityscapes/annotations/instancesonly_filtered_gtFine_val.json",
            "tools/cityscapes_to_coco.py",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(tmp_path, name, path, remedy):
    with pytest.raises(UserError) as error:
        DatasetCatalog.get(name, tmp_path)
    message = str(error.value)
    assert f"{tmp_path / path} does not exist" in message and remedy in message and "\n" not in message


def test_a_name_near_one_of_the_catalogs_gets_it_though_it_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"unknown data set 'voc_2007_tset'; did you mean voc_2007_test\?"):
        DatasetCatalog.get("voc_2007_tset", tmp_path)


def test_an_entry_of_no_known_kind_says_which_keys_there_are(tmp_path, monkeypatch):
    monkeypatch.setitem(DatasetCatalog.DATASETS, "mine", {"folder": "x"})
    with pytest.raises(UserError, match=r"DATASETS\['mine'\] is .*; give img_dir and ann_file \(COCO\)"):
        DatasetCatalog.get("mine", tmp_path)


def test_the_class_attribute_says_where_data_lie_if_nobody_else_does(tmp_path, monkeypatch):
    make(tmp_path, "coco/annotations/instances_val2017.json", "coco/val2017")
    monkeypatch.setattr(DatasetCatalog, "DATA_DIR", str(tmp_path))
    assert DatasetCatalog.get("coco_2017_val")["args"]["root"] == str(tmp_path / "coco/val2017")


def test_misspelt_name_gets_the_nearest_that_is_there(tmp_path):
    make(tmp_path, "mini_detail/annotations.json", "mini_detail/images", "my_set/annotations.json", "my_set/images")
    with pytest.raises(UserError, match=r"unknown data set 'mini_detail_tran'; did you mean mini_detail_train\?"):
        DatasetCatalog.get("mini_detail_tran", tmp_path)
    with pytest.raises(UserError, match=r"data set 'my_sett_val' is not there: .*annotations\.json.*mean my_set_val\?"):
        DatasetCatalog.get("my_sett_val", tmp_path)
    assert DatasetCatalog.names(tmp_path) == sorted(
        f"{name}_{split}" for name in ("mini_detail", "my_set") for split in ("train", "val", "trainval")
    )


def test_missing_data_say_which_path_and_how_to_get_them(tmp_path):
    with pytest.raises(UserError) as error:
        DatasetCatalog.get("mini_detail_train", tmp_path)
    assert f"{tmp_path}/mini_detail/annotations.json does not exist" in str(error.value)
    assert "python -m maskrcnn_benchmark.data.mini_detail" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(
        UserError, match=r"coco/annotations/instances_train2017\.json does not exist.*DATASETS\.DATA_DIR"
    ):
        DatasetCatalog.get("coco_2017_train", tmp_path)
    make(tmp_path, "coco/annotations/instances_train2017.json")
    with pytest.raises(UserError, match="coco/train2017 does not exist"):
        DatasetCatalog.get("coco_2017_train", tmp_path)


def test_a_data_dir_that_does_not_exist_is_no_crash(tmp_path):
    with pytest.raises(UserError, match="unknown data set 'nothing'"):
        DatasetCatalog.get("nothing", tmp_path / "absent")


def test_a_set_whose_images_are_not_wanted_may_lack_their_folder(tmp_path):
    make(tmp_path, "my_set/annotations.json")
    with pytest.raises(UserError, match="images does not exist"):
        DatasetCatalog.get("my_set_val", tmp_path)
    assert DatasetCatalog.get("my_set_val", tmp_path, images=False)["args"]["root"] is None
    make(tmp_path, "my_set/images")
    assert DatasetCatalog.get("my_set_val", tmp_path, images=False) == DatasetCatalog.get("my_set_val", tmp_path)
    with pytest.raises(UserError, match=r"annotations\.json does not exist"):
        DatasetCatalog.get("other_val", tmp_path, images=False)
