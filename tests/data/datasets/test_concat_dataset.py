"""Several data sets as one."""

import json

import pytest

from maskrcnn_benchmark.data.datasets import COCODataset, ConcatDataset, DetailDataset
from maskrcnn_benchmark.utils.errors import UserError


def opened(folder, split):
    return DetailDataset(folder / "annotations.json", folder / "images", split)


def test_indices_run_through_all_data_sets(tiny):
    joined = ConcatDataset([opened(tiny, "train"), opened(tiny, "val")])
    assert len(joined) == 5 and joined.ids == [11, 12, 13, 14, 15]
    assert [joined.get_idxs(i) for i in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert joined.get_img_info(3)["file_name"] == "d.jpg"
    assert joined.get_annotations(4).image_id == 15
    image, annotations, idx = joined[3]
    assert image.size == (16, 16) and annotations.image_id == 14 and idx == 3
    assert joined.vocabulary.thing_names == ("dog", "person", "zebra")


def test_category_ids_are_those_that_all_data_sets_have(tmp_path):
    for name, ids in (("a", (7, 3)), ("b", (7, 3)), ("c", (3, 7))):
        categories = [{"id": i, "name": "dog" if k == 0 else "cat"} for k, i in enumerate(ids)]
        content = {"images": [{"id": 1, "file_name": "x.jpg", "width": 2, "height": 2}], "categories": categories}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    a, b, c = (COCODataset(tmp_path / f"{name}.json", tmp_path, False) for name in "abc")
    assert ConcatDataset([a, b]).contiguous_category_id_to_json_id == {1: 7, 2: 3}
    assert ConcatDataset([a, c]).contiguous_category_id_to_json_id == {}


def test_data_sets_of_different_classes_do_not_join(tiny):
    first = opened(tiny, "train")
    content = json.loads((tiny / "annotations.json").read_text())
    content["categories"][1]["name"] = "horse"
    (tiny / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="data sets a_train and b_train differ in their thing names"):
        ConcatDataset([first, opened(tiny, "train")], ["a_train", "b_train"])
