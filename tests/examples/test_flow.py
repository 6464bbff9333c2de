"""docs/examples/flow.py: a signed map per image of several channels of float32."""

import math

import numpy as np
import pytest
import torch
from example_task import ExampleRun, example

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def flow():
    with example("flow") as module:
        yield module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ExampleRun(tmp_path_factory.mktemp("flow"), "flow")


def test_a_mirror_negates_the_channel_that_it_turns_round(flow):
    values = torch.arange(12, dtype=torch.float32).reshape(3, 2, 2) - 5
    annotations = ImageAnnotations((2, 2), labels={"flow": flow.FlowMap(values)})

    def after(changed):
        return changed.labels["flow"].values.tolist()

    assert after(annotations.transpose(0)) == [[[4, 5], [2, 3]], [[0, -1], [2, 1]], [[4, 3], [6, 5]]]
    assert after(annotations.transpose(1)) == [[[-3, -2], [-5, -4]], [[-1, -2], [1, 0]], [[5, 6], [3, 4]]]
    for method in (0, 1):
        assert after(annotations.transpose(method).transpose(method)) == values.tolist()
    assert after(annotations.crop((1, 0, 2, 2))) == values[:, :, 1:].tolist()
    assert after(annotations.resize((4, 2))) == values.repeat_interleave(2, dim=2).tolist()
    padded = annotations.pad((3, 2)).labels["flow"].values
    assert torch.equal(padded[:, :, :2], values) and padded[:, :, 2].isnan().all()


def test_labels_say_where_in_its_box_a_pixel_of_an_object_lies(run):
    annotations = run.dataset(tasks=("flow", "instance")).get_annotations(0)
    values, instances = annotations.labels["flow"].values, annotations.instances
    masks = instances.get_field("masks").get_mask_tensor().reshape(len(instances), *values.shape[1:]).bool()
    assert torch.equal(values[2] == 1, masks.any(dim=0)) and (values[:, values[2] == 0] == 0).all()
    y, x = (place[0] for place in masks[0].nonzero(as_tuple=True))
    x1, y1, x2, y2 = instances.bbox[0]
    assert values[0, y, x] == pytest.approx(((x - (x1 + x2) / 2) / ((x2 - x1 + 1) / 2)).item(), abs=1e-5)
    assert values[1, y, x] == pytest.approx(((y - (y1 + y2) / 2) / ((y2 - y1 + 1) / 2)).item(), abs=1e-5)


def test_errors_of_a_case_worked_by_hand(flow):
    evaluator = flow.Flow().build_evaluator(None, None)
    values = torch.tensor([[[0.0, 1.0, 9.0, math.nan]], [[0.0, 0.0, 9.0, math.nan]], [[1.0, 1.0, 0.0, math.nan]]])
    target = ImageAnnotations((4, 1), image_id=1, labels={"flow": flow.FlowMap(values)})
    stored = np.float32([[[3, 1, 0, 0]], [[4, 1, 0, 0]], [[0, 0, 0, 0]]])
    record = evaluator.record(stored, target)
    assert record == (6.0, 2)
    assert evaluator.summarize([record, (0.0, 1)]).metrics == {"EPE": 2.0}
    assert evaluator.image_score(record) == 0.25
    assert evaluator.summarize([]).reason == "no image has a pixel of an object"


def test_what_is_not_known_adds_nothing_to_the_loss(flow):
    from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures

    torch.manual_seed(0)
    head, x = flow.FlowHead(2), torch.randn(1, 2, 2, 2)
    features = DenseFeatures([x], [(8, 8)], dense=x)
    values = torch.zeros(3, 8, 8)
    values[:, :, 4:] = math.nan
    _, losses = head(features, None, [ImageAnnotations((8, 8), labels={"flow": flow.FlowMap(values)})])
    enlarged = torch.nn.functional.interpolate(head.scores(features), size=(8, 8), mode="bilinear")
    assert losses["loss_flow"].item() == pytest.approx(enlarged[..., :4].abs().mean().item(), rel=1e-5)
    assert head(features, None, [ImageAnnotations((8, 8))]) == (None, {})


def test_a_run_scores_it_and_writes_it_without_loss(run):
    assert run.result["metrics"]["EPE"] > 0 and run.result["trivial"]["EPE"] > 0
    assert run.metrics_from_files() == run.result["metrics"]
    written = [np.load(path) for path in sorted((run.predictions / "flow").glob("*.npy"))]
    assert len(written) == 3 and written[0].dtype == np.float32 and written[0].shape[0] == 3 and written[0].min() < 0


def test_a_damaged_file_is_named(run, tmp_path):
    path = sorted((run.predictions / "flow").glob("*.npy"))[0]
    kept = path.read_bytes()
    try:
        np.save(path, np.zeros((2, 8, 8), np.float32))
        with pytest.raises(UserError, match=rf"{path.name}"):
            run.metrics_from_files()
    finally:
        path.write_bytes(kept)


def test_it_is_drawn_in_colours(run):
    panels = run.panels()
    for name in ("prediction", "ground truth", "overlay"):
        assert panels[name].dtype == np.uint8 and not np.array_equal(panels[name], panels["photograph"])
    assert "<h3>flow from the centre</h3>" in (run.output / "pictures.html").read_text()


def test_it_is_exported_resumed_and_compared(run):
    parity = run.exported()
    assert parity.faults == [] and parity.tasks["flow"].compared == 1
    assert run.is_resumed_exactly()
    comparison = run.comparison()
    assert comparison.tasks == ["flow"] and comparison.gains[1] == {"flow": 0.0}
