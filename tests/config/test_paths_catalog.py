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
    assert "python -m maskrcnn_benchmark.data.datasets.mini_detail" in str(error.value)
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
