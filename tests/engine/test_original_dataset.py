"""Evaluation through the original's interfaces alone: its way of calling, its data set, models that answer boxes."""

import contextlib
import io
import json

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from toy_coco import write_coco

from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.engine.inference import inference
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import PersonKeypoints
from maskrcnn_benchmark.utils.errors import UserError


class Theirs(torch.utils.data.Dataset):
    """As a user of the original has it: pycocotools' index, boxes as targets, nothing of this library's interface."""

    def __init__(self, folder, kind):
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(f"{folder}/coco/annotations/{kind}_val2017.json")
        self.root = f"{folder}/coco/val2017"
        self.id_to_img_map = dict(enumerate(sorted(self.coco.imgs)))
        self.contiguous_category_id_to_json_id = dict(enumerate(sorted(self.coco.getCatIds()), 1))

    def __len__(self):
        return len(self.id_to_img_map)

    def get_img_info(self, index):
        return self.coco.imgs[self.id_to_img_map[index]]

    def __getitem__(self, index):
        info = self.get_img_info(index)
        with Image.open(f"{self.root}/{info['file_name']}") as image:
            size = image.size
        return torch.full((3, 2 * size[1], 2 * size[0]), float(index)), BoxList(torch.zeros(0, 4), size), index


class Knows(nn.Module):
    """Answers each image, known by its colour, with what is annotated, in the pixels of an input of double size."""

    def __init__(self, dataset, offset=0.0):
        super().__init__()
        self.dataset, self.offset = dataset, offset

    def forward(self, images):
        return [self.answer(int(tensor[0, 0, 0]), size) for tensor, size in zip(images.tensors, images.image_sizes)]

    def answer(self, index, size):
        rows = self.dataset.coco.imgToAnns[self.dataset.id_to_img_map[index]]
        height, width = (int(side) for side in size)
        small = (width // 2, height // 2)
        boxes = BoxList(torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4), small, mode="xywh").convert("xyxy")
        boxes.bbox = boxes.bbox + self.offset
        joints = torch.tensor([row.get("keypoints", [0] * 51) for row in rows], dtype=torch.float32).reshape(-1, 17, 3)
        boxes.add_field("keypoints", PersonKeypoints(joints + self.offset, small))
        answer = boxes.resize((width, height))
        known = {number: label for label, number in self.dataset.contiguous_category_id_to_json_id.items()}
        answer.add_field("labels", torch.tensor([known[row["category_id"]] for row in rows], dtype=torch.int64))
        answer.add_field("scores", torch.linspace(0.9, 0.5, len(rows)))
        answer.add_field("objectness", torch.linspace(0.9, 0.5, len(rows)))
        answer.add_field("mask", torch.ones(len(rows), 1, 28, 28))
        return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("data"))


def loader_of(dataset):
    return torch.utils.data.DataLoader(dataset, batch_size=2, collate_fn=BatchCollator(32))


def test_called_by_position_with_a_data_set_and_a_model_of_the_originals(folder, tmp_path):
    dataset = Theirs(folder, "instances")
    expected = [["bbox", "AP", [1.0, 0.01]]]
    results = inference(
        *(Knows(dataset), loader_of(dataset), "theirs", ("bbox", "segm"), False, False, torch.device("cpu")),
        *(expected, 4, str(tmp_path)),
    )
    assert results["detection"]["metrics"]["AP"] == pytest.approx(1)
    assert results["instance"]["metrics"]["AP75"] == pytest.approx(1)
    rows = json.loads((tmp_path / "bbox.json").read_text())
    # ids ascend in the order of the loader; the image with the lowest one has no object
    assert [row["image_id"] for row in rows] == sorted(2 * [1000 - 7 * k for k in range(4)])
    assert {row["category_id"] for row in rows} == {1, 18}


@pytest.mark.parametrize(
    ("kind", "iou_type", "offset"), [("instances", "bbox", 4.0), ("person_keypoints", "keypoints", 1.5)]
)
def test_the_figures_are_pycocotools_on_the_file(folder, tmp_path, kind, iou_type, offset):
    dataset = Theirs(folder, kind)
    model, loader = Knows(dataset, offset), loader_of(dataset)
    (result,) = inference(model, loader, "theirs", (iou_type,), device="cpu", output_folder=tmp_path).values()
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCOeval(dataset.coco, dataset.coco.loadRes(str(tmp_path / f"{iou_type}.json")), iou_type)
        reference.evaluate()
        reference.accumulate()
    with contextlib.redirect_stdout(io.StringIO()) as text:
        reference.summarize()
    assert 0 < reference.stats[0] < 1 and result["metrics"]["AP"] == pytest.approx(reference.stats[0], abs=1e-9)
    assert (tmp_path / "coco_summary.txt").read_text() == f"{iou_type}\n{text.getvalue()}"


def test_box_only_measures_proposals(folder):
    dataset = Theirs(folder, "instances")
    results = inference(Knows(dataset), loader_of(dataset), "theirs", ("bbox",), True, device="cpu")
    assert list(results) == ["box_proposal"] and results["box_proposal"]["metrics"]["AR@1000"] == 1
    assert results["box_proposal"]["headline"] == "AR@1000"


def test_a_data_set_of_neither_kind_is_told_what_it_lacks():
    class Bare(torch.utils.data.Dataset):
        def get_img_info(self, index):
            return {}

    loader = torch.utils.data.DataLoader(Bare(), sampler=[])
    with pytest.raises(
        UserError, match=r"a Bare cannot be used as a data set: derive it .*; it lacks coco, id_to_img_map, "
    ):
        inference(nn.Identity(), loader, "bare", device="cpu")
