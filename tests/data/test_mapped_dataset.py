"""A data set in another's names behaves as a data set does."""

import copy

import torch

from maskrcnn_benchmark.data.datasets import ConcatDataset, DetailDataset, MappedDataset
from maskrcnn_benchmark.data.mapped_dataset import in_vocabulary
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import annotated_tasks

TARGET = Vocabulary(("zebra", "person", "unicorn"), joints=COCO_JOINTS)


def opened(folder, split="train", **options):
    return DetailDataset(folder / "annotations.json", folder / "images", split, **options)


def test_it_has_the_interface_of_a_data_set(tiny):
    source = opened(tiny, tasks={"detection", "keypoint", "semantic"})
    mapped = MappedDataset(source, TARGET)
    assert len(mapped) == 3 and mapped.ids == source.ids and mapped.vocabulary == TARGET
    assert mapped.get_img_info(1) == source.get_img_info(1) and mapped.tasks == {"detection", "keypoint"}
    image, annotations, index = mapped[0]
    assert image.size == (20, 12) and index == 0 and annotations.image_id == 11
    assert annotations.instances.get_field("labels").tolist() == [2] and len(annotations.people) == 1
    assert annotated_tasks(annotations) == {"detection", "keypoint"}
    assert annotations.known_labels.tolist() == [True, True, True, False]
    # a dog and a zebra
    assert mapped.get_annotations(1).instances.get_field("labels").tolist() == [1]
    assert mapped.get_annotations(2).instances is None


def test_its_transforms_see_the_new_names_and_can_be_taken_off(tiny):
    seen = []

    def transforms(image, annotations):
        seen.append(annotations.instances.get_field("labels").tolist())
        return "changed", annotations.transpose(0)

    source = opened(tiny, transforms=transforms)
    mapped = MappedDataset(source, TARGET)
    image, annotations, _ = mapped[0]
    assert image == "changed" and seen == [[2]] and annotations.known_labels is not None
    bare = copy.copy(mapped)
    bare.transforms = None
    assert bare[0][0].size == (20, 12) and mapped[0][0] == "changed"
    assert source[0][0] == "changed" and seen[-1] == source.get_annotations(0).instances.get_field("labels").tolist()


def test_several_as_one_are_mapped_each_and_equal_names_not_at_all(tiny):
    train, val = opened(tiny), opened(tiny, "val")
    assert in_vocabulary(train, train.vocabulary) is train
    joined = in_vocabulary(ConcatDataset([train, val]), TARGET)
    assert isinstance(joined, ConcatDataset) and joined.vocabulary == TARGET and len(joined) == 5
    labels = [joined.get_annotations(i).instances.get_field("labels") for i in (0, 3)]
    assert torch.equal(labels[0], torch.tensor([2])) and torch.equal(labels[1], torch.tensor([2, 2]))
