"""Anchors of the original library, laid out position by position."""

import copy
import pickle

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGenerator, generate_anchors, make_anchor_generator
from maskrcnn_benchmark.utils.errors import UserError

# Published with Faster R-CNN's code: stride 16, ratios 0.5, 1, 2, sizes 128, 256, 512
FASTER_RCNN_ANCHORS = [
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]


def maps(*sizes):
    return [torch.zeros(2, 1, *size) for size in sizes]


def test_cell_anchors_are_those_of_faster_rcnn():
    assert generate_anchors(16, (128, 256, 512), (0.5, 1.0, 2.0)).tolist() == FASTER_RCNN_ANCHORS


def test_grid_goes_by_rows_and_position_by_position():
    generator = AnchorGenerator((16, 32), (1.0,), (16,))
    (anchors,) = generator(maps((2, 3)))
    assert anchors.shape == (12, 4)
    centres = (anchors[::2, :2] + anchors[::2, 2:]) / 2
    assert centres.tolist() == [[x + 7.5, y + 7.5] for y in (0, 16) for x in (0, 16, 32)]
    assert anchors[:2].tolist() == [[0, 0, 15, 15], [-8, -8, 23, 23]]


def test_each_level_has_its_size_and_stride():
    generator = AnchorGenerator((32, 64), (0.5, 1.0, 2.0), (4, 8))
    fine, coarse = generator(maps((2, 2), (1, 1)))
    assert generator.num_anchors_per_location() == [3, 3]
    assert (fine.shape, coarse.shape) == ((12, 4), (3, 4))
    # ratio 1, first position: sides 32 and 64 around the middle of the cell
    assert fine[1].tolist() == [-14, -14, 17, 17]
    assert coarse[1].tolist() == [-28, -28, 35, 35]


@pytest.mark.parametrize("threshold, expected", [(0, [True, False, False]), (8, [True, True, False]), (-1, [True] * 3)])
def test_anchors_that_leave_the_image_are_not_visible(threshold, expected):
    generator = AnchorGenerator((16,), (1.0,), (16,), threshold)
    anchors = torch.tensor([[0.0, 0, 19, 9], [-8, 0, 7, 9], [0, 0, 19, 18]])
    visible = generator.visibility(anchors, [(10, 20), (30, 40)])
    assert visible[0].tolist() == expected
    assert visible[1].tolist() == [True, threshold != 0, True]


def test_state_dict_names_and_loading():
    generator = AnchorGenerator((32, 64), (1.0,), (4, 8))
    before = generator(maps((1, 1), (1, 1)))[0].clone()
    state = {name: value + 1 for name, value in generator.state_dict().items()}
    assert sorted(state) == ["cell_anchors.0", "cell_anchors.1"]
    torch.nn.ModuleDict({"rpn": generator}).load_state_dict({f"rpn.{name}": value for name, value in state.items()})
    assert torch.equal(generator(maps((1, 1), (1, 1)))[0], before + 1)


def test_grids_are_made_once_and_serve_gradients_after_inference_mode():
    generator = AnchorGenerator((16,), (1.0,), (16,))
    with torch.inference_mode():
        first = generator(maps((2, 2)))[0]
    assert generator(maps((2, 2)))[0] is first
    assert not first.is_inference()


def test_copies_and_pickles():
    generator = AnchorGenerator((16,), (1.0,), (16,))
    expected = generator(maps((2, 2)))[0]
    for clone in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert torch.equal(clone(maps((2, 2)))[0], expected)


def test_number_of_maps_must_be_that_of_the_strides():
    with pytest.raises(ValueError, match="2 strides, but 1 feature map came"):
        AnchorGenerator((32, 64), (1.0,), (4, 8))(maps((1, 1)))


@pytest.mark.parametrize("use_fpn, strides", [(True, (4, 8)), (False, (4, 8, 16, 32, 64))])
def test_sizes_and_strides_must_pair(use_fpn, strides):
    options = cfg.clone()
    options.merge_from_list(["MODEL.RPN.USE_FPN", use_fpn, "MODEL.RPN.ANCHOR_STRIDE", strides])
    with pytest.raises(UserError, match=r"MODEL\.RPN\.ANCHOR_STRIDE"):
        make_anchor_generator(options)
