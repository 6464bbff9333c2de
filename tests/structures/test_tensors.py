"""Structures hand all their tensors to one function, whatever else they hold."""

from typing import NamedTuple

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.tensors import TensorSlot, map_tensors


class Mover:
    """A structure of somebody else, which can move but not tell its tensors."""

    resize = transpose = crop = pad = None

    def __init__(self, values, device="cpu"):
        self.values, self.device = values, device

    def to(self, device):
        return Mover(self.values, device)


def test_every_tensor_of_boxes_is_mapped_and_nothing_else():
    boxes = BoxList([[1.0, 2, 3, 4]], (8, 6))
    boxes.add_field("labels", torch.tensor([3]))
    boxes.add_field("names", ["cat"])
    boxes.add_field("keypoints", DetailKeypoints(torch.ones(1, 14, 3), (8, 6)))
    mirrored = boxes.transpose(0)
    doubled = mirrored.map_tensors(lambda tensor: 2 * tensor)
    assert doubled.bbox.tolist() == (2 * mirrored.bbox).tolist() and mirrored.bbox.tolist() == [[4, 2, 6, 4]]
    assert doubled.get_field("labels").tolist() == [6] and doubled.get_field("names") == ["cat"]
    assert doubled.get_field("keypoints").keypoints.equal(2 * mirrored.get_field("keypoints").keypoints)
    assert (doubled.size, doubled.mode) == ((8, 6), "xyxy")


def test_what_can_only_move_is_moved_as_a_whole():
    label = Mover([1, 2])
    label.size = (8, 6)
    moved = ImageAnnotations((8, 6), labels={"depth": label, "scene": torch.ones(2)}).to("meta")
    assert moved.labels["depth"].device == "meta" and moved.labels["depth"].values is label.values
    assert moved.labels["scene"].is_meta


def test_a_slot_is_the_part_of_a_buffer_that_its_tensor_fills():
    slot = TensorSlot.of(torch.zeros(2, 3, dtype=torch.int16), 64)
    buffer = torch.zeros(80, dtype=torch.uint8)
    buffer[64:76] = torch.arange(6, dtype=torch.int16).view(torch.uint8)
    assert slot.end == 76 and slot.view_of(buffer).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert slot.view_of(buffer[64:], 64).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_dictionaries_are_searched_and_other_values_kept():
    mapped = map_tensors({"a": torch.ones(1), "b": {"c": torch.zeros(1)}, "d": "text"}, lambda tensor: tensor + 1)
    assert mapped == {"a": torch.tensor([2.0]), "b": {"c": torch.tensor([1.0])}, "d": "text"}


class Pair(NamedTuple):
    first: object
    second: object


class Row(list):
    """A list of somebody's own."""


def test_lists_and_tuples_are_searched_and_keep_their_type():
    one = torch.ones(1)
    value = {"a": [one, "text"], "b": (one, {"c": [one]}), "d": Pair(one, 5), "e": Row([one])}
    mapped = map_tensors(value, lambda tensor: tensor + 1)
    assert mapped == {"a": [2, "text"], "b": (2, {"c": [2]}), "d": Pair(2, 5), "e": Row([2])}
    assert isinstance(mapped["d"], Pair) and isinstance(mapped["e"], Row)
    assert value["e"] == [one] and value["a"][0] is one


def test_a_sequence_without_tensors_is_shared():
    windows = [(1, 2, 3, 4), torch.Size((5, 6))]
    assert map_tensors({"windows": windows}, lambda tensor: tensor + 1)["windows"] is windows


def test_points_of_polygons_stay_with_the_host():
    masks = SegmentationMask([[[2, 1, 5, 1, 5, 4, 2, 4]]], (8, 6)).transpose(0)
    moved = masks.to("meta")
    assert moved.instances.points.equal(masks.instances.points) and moved.instances.points.device.type == "cpu"
    assert moved.get_mask_tensor().is_meta and moved[0].resize((16, 12)).get_mask_tensor().is_meta
    assert moved.transpose(0).instances.points.tolist() == [[2, 1], [5, 1], [5, 4], [2, 4]]
