"""The targets of a batch in one buffer: every bit of every tensor, wherever they go."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.target_batch import HostTargets, TargetBatch
from maskrcnn_benchmark.structures.tensors import map_tensors
from maskrcnn_benchmark.tasks.task import annotated_tasks

TYPES = (torch.uint8, torch.bool, torch.int16, torch.float16, torch.int32, torch.float32, torch.int64, torch.complex128)


def all_tensors(target, on_host=None):
    """Every tensor of a structure in the order in which it is found; with `on_host` only those that move."""
    found = []
    map_tensors(target, lambda tensor: found.append(tensor) or tensor, on_host)
    return found


def in_buffer(batch):
    storage = batch.buffer.untyped_storage()
    return [t.untyped_storage().data_ptr() == storage.data_ptr() for target in batch for t in all_tensors(target)]


def assert_same_bits(batch, targets, same_bits):
    assert len(batch) == len(targets)
    for one, other in zip(batch, targets):
        ours, theirs = all_tensors(one), all_tensors(other)
        assert len(ours) == len(theirs) > 0
        assert all(same_bits(a, b) for a, b in zip(ours, theirs))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=3), st.integers(0, 1), st.booleans())
def test_annotations_of_every_task_come_back_bit_for_bit(
    full_annotations, tensors_of, same_bits, seeds, method, resized
):
    targets = [full_annotations(seed).transpose(method) for seed in seeds]
    targets = [target.resize((30, 40)) for target in targets] if resized else targets
    batch = TargetBatch.of(targets)
    assert all(in_buffer(batch))
    versions = (batch, batch.to("cpu"), pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), batch[0:])
    for version in versions:
        assert_same_bits(version, targets, same_bits)
    for version in versions:  # afterwards: maps that are looked at are resized in place
        for ours, theirs in zip(version, targets):
            assert ours.image_id == theirs.image_id and annotated_tasks(ours) == annotated_tasks(theirs)
            ours, theirs = tensors_of(ours), tensors_of(theirs)
            assert all(same_bits(ours[name], theirs[name]) for name in theirs)


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)), max_size=6))
def test_tensors_of_any_type_and_shape_come_back(same_bits, kinds):
    tensors = {str(k): torch.randint(0, 2, shape).to(dtype) for k, (dtype, shape) in enumerate(kinds)}
    (found,) = pickle.loads(pickle.dumps(TargetBatch.of([tensors])))
    assert found.keys() == tensors.keys()
    assert all(same_bits(found[name], tensors[name]) for name in tensors)


def test_a_view_takes_along_what_it_shows():
    large = torch.arange(100000.0)
    batch = TargetBatch.of([{"view": large[10:20], "turned": large[:6].view(2, 3).t(), "again": large[10:20]}])
    assert batch.buffer.numel() < 300
    assert batch[0]["view"].tolist() == batch[0]["again"].tolist() == list(range(10, 20))
    assert batch[0]["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_slice_moves_its_own_part_of_the_buffer(full_annotations, same_bits):
    targets = [full_annotations(seed) for seed in range(4)]
    batch = TargetBatch.of(targets)
    part = batch[2:]
    assert isinstance(part, TargetBatch) and part.buffer is batch.buffer
    sent = pickle.loads(pickle.dumps(part))
    assert 0.4 < sent.buffer.numel() / batch.buffer.numel() < 0.6
    assert_same_bits(sent, targets[2:], same_bits)
    assert_same_bits(sent[1:].to("cpu"), targets[3:], same_bits)
    assert batch[:0].to("cpu") == [] and list(batch) == list(iter(batch))


def test_it_is_a_list_whose_members_may_be_changed(full_annotations):
    batch = TargetBatch.of([full_annotations(0), full_annotations(1)])
    batch[0].instances.add_field("weights", torch.arange(4.0))
    batch[1].classes = torch.tensor([1.0, 1.0, 0.0])
    batch[1].instances.bbox[0] = 5
    batch.append(full_annotations(2))
    for moved in (batch.to("cpu"), pickle.loads(pickle.dumps(batch))):
        assert isinstance(moved, list) and len(moved) == 3
        assert moved[0].instances.get_field("weights").tolist() == [0, 1, 2, 3]
        assert moved[1].classes.tolist() == [1, 1, 0] and moved[1].instances.bbox[0].tolist() == [5] * 4
        assert moved[2].semantic.labels.equal(full_annotations(2).semantic.labels)


def test_everything_arrives_on_another_device(full_annotations):
    targets = [full_annotations(0), full_annotations(1)]
    moved = TargetBatch.of(targets).to("meta")
    assert all(tensor.is_meta for target in moved for tensor in all_tensors(target, on_host=lambda leaf: leaf))
    for one, other in zip(moved, targets):
        points, expected = (each.instances.get_field("outlines").instances.points for each in (one, other))
        assert points.equal(expected)


def test_what_stays_with_the_host_is_not_moved_along():
    polygon = [float(k % 7) for k in range(2000)]
    masks = SegmentationMask([[polygon]], (8, 6))
    batch = TargetBatch.of([{"masks": masks, "labels": torch.ones(3)}, {"masks": masks[:1], "labels": torch.ones(2)}])
    assert batch.buffer.numel() > 16000 and batch.to("meta").buffer.numel() < 256
    again = pickle.loads(pickle.dumps(batch[1:])).to("meta")
    assert again[0]["masks"].instances.points.equal(masks.instances.points) and again[0]["labels"].is_meta
    twice = batch.to("cpu").to("meta")
    assert twice[0]["masks"].instances.points.equal(masks.instances.points) and twice[0]["labels"].is_meta


class Depth:
    """A label of somebody else's task, which says nothing of its tensors."""

    size = (17, 11)
    resize = transpose = crop = pad = None

    def __init__(self, metres):
        self.metres = metres

    def to(self, device):
        return Depth(self.metres.to(device))


def test_structures_that_can_only_move_do_so_by_themselves():
    targets = [ImageAnnotations((17, 11), classes=torch.ones(2), labels={"depth": Depth(torch.ones(11, 17))}), None]
    batch = pickle.loads(pickle.dumps(TargetBatch.of(targets)))
    moved = batch.to("meta")
    assert moved[0].labels["depth"].metres.is_meta and moved[0].classes.is_meta and moved[1] is None
    assert batch[0].labels["depth"].metres.equal(torch.ones(11, 17))


def test_tensors_that_are_more_than_their_numbers_stay_by_themselves():
    learned = torch.ones(3, requires_grad=True)
    sparse = torch.eye(3).to_sparse()
    batch = TargetBatch.of([{"learned": learned, "sparse": sparse, "plain": torch.ones(2)}])
    assert batch[0]["learned"] is learned and batch[0]["sparse"] is sparse
    assert batch.to("cpu")[0]["plain"].tolist() == [1, 1]


def test_the_originals_boxes_travel_as_well():
    boxes = BoxList([[1.0, 2, 3, 4]], (8, 6))
    boxes.add_field("labels", torch.tensor([7]))
    (found,) = pickle.loads(pickle.dumps(TargetBatch.of([boxes])))
    assert found.bbox.tolist() == [[1, 2, 3, 4]] and found.get_field("labels").tolist() == [7]


@pytest.mark.cuda
def test_pinned_targets_are_the_same_and_arrive_without_waiting(full_annotations, same_bits):
    targets = [full_annotations(0), full_annotations(1)]
    pinned = TargetBatch.of(targets).pin_memory()
    assert pinned.buffer.is_pinned() and all(in_buffer(pinned))
    assert_same_bits(pinned, targets, same_bits)
    assert_same_bits(pinned.to("cuda", non_blocking=True), targets, same_bits)
    alone = targets[0].pin_memory()
    moving = all_tensors(alone, on_host=lambda leaf: leaf)
    assert all(tensor.is_pinned() for tensor in moving if tensor.numel())
    assert_same_bits([alone], targets[:1], same_bits)


def test_targets_of_the_host_are_not_pinned_and_keep_their_kind(full_annotations, same_bits):
    targets = [full_annotations(0), full_annotations(1)]
    batch = HostTargets.of(targets)
    assert batch.pin_memory() is batch
    for version in (batch[:], pickle.loads(pickle.dumps(batch)), batch.to("cpu")):
        assert isinstance(version, HostTargets)
        assert_same_bits(version, targets, same_bits)
