"""docs/examples/share_hidden.py: a task without weights, made from boxes and masks."""

import json
import math

import numpy as np
import pytest
import torch
from example_task import ExampleRun, example

from maskrcnn_benchmark.export import export
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def share_hidden():
    with example("share_hidden") as module:
        yield module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ExampleRun(tmp_path_factory.mktemp("share_hidden"), "share_hidden", ("detection", "instance"))


def two_objects():
    """Two boxes that overlap in 4 x 8 pixels, of which the first's mask has half, and the masks uint8 [2, H, W]."""
    boxes = BoxList(torch.tensor([[0.0, 0.0, 7.0, 7.0], [4.0, 0.0, 11.0, 7.0]]), (12, 8))
    boxes.add_field("labels", torch.tensor([1, 1]))
    masks = torch.zeros(2, 8, 12, dtype=torch.uint8)
    masks[0, :, :6], masks[1, :, 6:] = 1, 1
    return boxes, masks


def test_others_in_the_box_are_counted(share_hidden):
    boxes, masks = two_objects()
    assert share_hidden.with_shares(boxes, masks).get_field("share_hidden").tolist() == [0.25, 0.25]
    alone = share_hidden.with_shares(boxes[:1], masks[:1, None])
    assert alone.get_field("share_hidden").tolist() == [0.0]


def test_masks_in_boxes_are_pasted_before(share_hidden):
    boxes, masks = two_objects()
    boxes.add_field("scores", torch.tensor([0.9, 0.8]))
    boxes.add_field("mask", torch.ones(2, 1, 4, 4))
    task = share_hidden.ShareHidden()
    derived = task.derive({"detection": boxes}, None)
    pasted = share_hidden.with_shares(boxes, paste_masks(torch.ones(2, 1, 4, 4), boxes.bbox, boxes.size))
    assert derived.get_field("share_hidden").tolist() == pasted.get_field("share_hidden").tolist()
    assert pasted.get_field("share_hidden").min() > 0.25 and not derived.has_field("mask")
    boxes.add_field("mask", masks[:, None].float())
    assert task.derive({"detection": boxes}, None).get_field("share_hidden").tolist() == [0.25, 0.25]


def test_errors_of_a_case_worked_by_hand(share_hidden):
    evaluator = share_hidden.ShareHidden().build_evaluator(None, None)
    boxes, masks = two_objects()
    boxes.add_field("masks", SegmentationMask(masks, (12, 8), "mask"))
    target = ImageAnnotations((12, 8), boxes, image_id=1)
    rows = [
        {"category_id": 1, "bbox": [0, 0, 8, 8], "score": 0.9, "share_hidden": 0.5},
        {"category_id": 1, "bbox": [4, 0, 8, 8], "score": 0.8, "share_hidden": 0.0},
    ]
    record = evaluator.record(rows, target)
    assert record.tolist() == [0.25, 0.25] and evaluator.summarize([record]).metrics == {"MAE": 0.25}
    assert evaluator.image_score(record) == 0.75
    assert evaluator.summarize([evaluator.record([], target)]).reason == "no object was found"
    assert not evaluator.is_annotated(ImageAnnotations((12, 8)))


def test_it_needs_masks(run):
    with pytest.raises(UserError, match="MASK_ON"):
        build_detection_model(run.cfg(run.folder / "refused", "MODEL.MASK_ON", False))


def test_it_has_neither_weights_nor_losses(run, share_hidden):
    without = ExampleRun.__new__(ExampleRun)
    without.folder, without.key, without.others = run.folder, "instance", ("detection",)
    assert share_hidden.ShareHidden().losses == ()
    from maskrcnn_benchmark.experiments.run import train

    model = train(without.cfg(run.folder / "without"), skip_test=True)
    weights = run.model.state_dict()
    assert list(weights) == list(model.state_dict())
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())


def test_a_run_scores_it_and_writes_a_list(run):
    (error,) = run.result["metrics"].values()
    assert math.isnan(error) or 0 <= error <= 1
    assert run.metrics_from_files() == pytest.approx(run.result["metrics"], nan_ok=True, abs=0)
    rows = json.loads((run.predictions / "share_hidden.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "share_hidden"} <= set(rows[0])
    assert all(0 <= row["share_hidden"] <= 1 for row in rows)


def test_it_is_drawn_at_the_boxes(run):
    panels = run.panels()
    for name in ("prediction", "ground truth", "overlay"):
        assert panels[name].dtype == np.uint8 and not np.array_equal(panels[name], panels["photograph"])
    assert "<h3>hidden share</h3>" in (run.output / "pictures.html").read_text()


def test_an_export_leaves_it_out_and_says_so(run, monkeypatch, tmp_path):
    assert "share_hidden" not in run.exported().tasks
    lines, written = [], []
    monkeypatch.setattr(export, "_write_checked", lambda network, tasks, *_: bool(written.extend(tasks)))
    export.export_network(run.predictor(), ["program"], tmp_path, [run.image()], say=lines.append)
    assert lines == ["hidden share is made from what other tasks predict, and is no output of the file"]
    assert written == ["detection", "instance"]


def test_it_is_resumed_and_compared(run):
    assert run.is_resumed_exactly()
    assert run.comparison().tasks == ["detection", "instance", "share_hidden"]
