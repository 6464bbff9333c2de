"""The sizes of all images at once: the same as each image's own, whatever data set they are of."""

import json

import numpy as np

from maskrcnn_benchmark.data.datasets import COCODataset, ConcatDataset, DetailDataset, MappedDataset
from maskrcnn_benchmark.data.image_sizes import image_sizes


def opened_coco(folder, remove=False):
    sizes = {9: (12, 7), 4: (30, 31), 6: (5, 6)}
    rows = [{"id": k, "file_name": f"{k}.png", "width": w, "height": h} for k, (w, h) in sizes.items()]
    record = {"id": 1, "image_id": 6, "category_id": 1, "bbox": [0, 0, 3, 3]}
    content = {"images": rows, "categories": [{"id": 1, "name": "dog"}], "annotations": [record]}
    (folder / "coco.json").write_text(json.dumps(content))
    return COCODataset(folder / "coco.json", None, remove)


def each_size(dataset):
    infos = [dataset.get_img_info(index) for index in range(len(dataset))]
    return [[info["width"], info["height"]] for info in infos]


def test_files_know_the_sizes_of_those_images_that_are_left(tmp_path):
    assert opened_coco(tmp_path).image_sizes().tolist() == [[30, 31], [5, 6], [12, 7]]
    assert opened_coco(tmp_path, remove=True).image_sizes().tolist() == [[5, 6]]


def test_joined_and_mapped_data_sets_pass_them_on(tiny, tmp_path):
    detail = DetailDataset(tiny / "annotations.json", None, "train")
    coco = opened_coco(tmp_path)
    mapped = MappedDataset(coco, detail.vocabulary)
    joined = ConcatDataset([detail, mapped])
    for dataset in (detail, coco, mapped, joined):
        found = image_sizes(dataset)
        assert found.dtype == np.int64 and found.tolist() == each_size(dataset)
    assert len(image_sizes(joined)) == len(detail) + 3


def test_other_data_sets_are_asked_image_by_image():
    class Own:
        sizes = ((4, 3), (2, 8))

        def __len__(self):
            return 2

        def get_img_info(self, index):
            return {"width": self.sizes[index][0], "height": self.sizes[index][1]}

    assert image_sizes(Own()).tolist() == [[4, 3], [2, 8]]
    Own.__len__ = lambda self: 0
    assert image_sizes(Own()).shape == (0, 2)
