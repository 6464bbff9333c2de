"""Copy-paste: which image gives objects to which, by a chance that the item's seed alone decides."""

import random
from collections import Counter

import pytest
import torch

from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.copy_paste import CopyPasteDataset, paste_rules, paste_some
from maskrcnn_benchmark.data.dataset import AnnotatedDataset, as_dataset
from maskrcnn_benchmark.data.datasets import ConcatDataset, DetailDataset, MappedDataset
from maskrcnn_benchmark.data.samplers import SeededDataset
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

NAMES = Vocabulary(("dog", "tv"), ("sky", "tvmonitor", "dog"), ("dog", "sky"))
RULES = paste_rules(NAMES, TASKS.values())


class Drawn(AnnotatedDataset):
    """Images of one colour each, its number, with objects that are columns of pixels.

    Args:
        count: number of images. Image k is 8 + k pixels wide and 6 high.
        columns: how many objects an image has, in its first columns.
        boundary, masks: whether they are annotated.
        known: labels that are known, if not all.
    """

    has_images = True
    vocabulary = NAMES

    def __init__(self, count, columns=2, boundary=False, masks=True, known=None, colour=0):
        self.ids = list(range(count))
        self.columns, self.boundary, self.masks, self.known, self.colour = columns, boundary, masks, known, colour

    def __getitem__(self, index):
        annotations = self.get_annotations(index)
        width, height = annotations.size
        return torch.full((3, height, width), self.colour + index, dtype=torch.uint8), annotations, index

    def get_img_info(self, index):
        return {"width": 8 + index, "height": 6}

    def get_annotations(self, index):
        size = width, height = 8 + index, 6
        masks = torch.zeros(self.columns, height, width, dtype=torch.uint8)
        for k, mask in enumerate(masks):
            mask[:, k] = 1
        boxes = BoxList([[k, 0, k, 5] for k in range(self.columns)], size)
        boxes.add_field("labels", torch.arange(self.columns) % 2 + 1)
        if self.masks:
            boxes.add_field("masks", SegmentationMask(masks, size, "mask"))
        boundary = BoundaryMap(torch.zeros(height, width, dtype=torch.uint8)) if self.boundary else None
        semantic = SemanticMap(torch.zeros(height, width, dtype=torch.uint8))
        return ImageAnnotations(size, boxes, semantic=semantic, boundary=boundary, known_labels=self.known)


def sources(dataset, index, tries=60, **options):
    """{colour of a pasted pixel: how often} and how often nothing is pasted, over seeds."""
    items = SeededDataset(CopyPasteDataset(dataset, 1.0, TASKS.values(), **options))
    found = Counter()
    for seed in range(tries):
        colours = items[index, seed][0].unique().tolist()
        found.update(colours if len(colours) > 1 else ["none"])
    return found


def test_rules_are_by_name():
    assert RULES.semantic.tolist() == [255, 2, 1] and RULES.image_labels.tolist() == [-1, 0, -1]
    assert RULES.semantic_of_image_labels.tolist() == [2, 0]
    assert RULES.tasks == {
        *("detection", "keypoint", "semantic", "boundary", "occlusion", "classification", "normals", "depth")
    }
    assert RULES.fields == {"masks", "parts"}


@pytest.mark.parametrize(("width", "other"), [(12, 8), (8, 12), (10, 10)])
def test_objects_are_pasted_where_they_lie_as_far_as_the_image_reaches(width, other):
    image, annotations, _ = Drawn(9)[width - 8]
    source, labels, _ = Drawn(9, columns=other)[other - 8]
    random.seed(0)
    result, pasted = paste_some(image, annotations, source + 50, labels, RULES)
    new = pasted.instances.bbox[:, 0].tolist()
    columns = sorted({int(x) for x in new[len(new) - int((result[0, 0] >= 50).sum()) :]})
    assert result.shape == image.shape and pasted.size == annotations.size
    assert [x for x in range(width) if result[0, 0, x] >= 50] == columns and columns
    assert (image < 50).all()  # the item's own pixels are not written to


def test_the_box_of_an_object_that_does_not_fit_ends_with_what_is_left_of_its_mask():
    """A line from the lower left corner to the upper right one, of which the lower half is left."""
    line = torch.eye(16, dtype=torch.uint8).flip(0)[:, :16].reshape(1, 16, 16)
    instances = BoxList([[0, 0, 15, 15]], (16, 16))
    instances.add_field("labels", torch.tensor([1]))
    instances.add_field("masks", SegmentationMask(line, (16, 16), "mask"))
    tall = ImageAnnotations((8, 16), Drawn(1, columns=0)[0][1].instances.pad((8, 16)))
    result, pasted = paste_some(
        torch.zeros(3, 16, 8, dtype=torch.uint8),
        tall,
        torch.full((3, 16, 16), 7, dtype=torch.uint8),
        ImageAnnotations((16, 16), instances),
        RULES,
    )
    assert pasted.instances.bbox.tolist() == [[0, 8, 7, 15]] and (result[0] == 7).sum() == 8


def test_each_number_of_objects_is_as_likely():
    counts = Counter()
    for seed in range(300):
        random.seed(seed)
        image, annotations, _ = Drawn(9, columns=0)[0]
        source, labels, _ = Drawn(9, columns=3)[0]
        counts[len(paste_some(image, annotations, source, labels, RULES)[1].instances)] += 1
    assert set(counts) == {1, 2, 3} and min(counts.values()) > 70


def test_an_image_is_not_pasted_on_itself_and_all_others_come():
    found = sources(Drawn(4), 2)
    assert set(found) == {0, 1, 2, 3} and "none" not in found
    assert sources(Drawn(1), 0) == {"none": 60}


def test_it_happens_with_its_probability():
    items = SeededDataset(CopyPasteDataset(Drawn(4), 0.25, TASKS.values()))
    number = sum(len(items[0, seed][0].unique()) > 1 for seed in range(400))
    assert 70 < number < 130


def test_an_image_that_lacks_a_label_of_the_image_gives_nothing_to_it():
    plain, full = Drawn(3), Drawn(3, boundary=True, colour=100)
    both = ConcatDataset([plain, full])
    assert {"none", 1, 2}.isdisjoint(sources(both, 3)) and set(sources(both, 3)) == {100, 101, 102}
    assert set(sources(both, 0)) == {0, 1, 2, 100, 101, 102}
    assert sources(ConcatDataset([plain, Drawn(1, boundary=True)]), 3) == {"none": 60}


def test_an_image_whose_data_set_knows_fewer_classes_gives_nothing():
    some = torch.tensor([True, True, False])
    fewer = Drawn(2, known=some, colour=100)
    assert sources(ConcatDataset([Drawn(1), fewer]), 0) == {"none": 60}
    assert set(sources(ConcatDataset([Drawn(1), fewer]), 1)) == {0, 100, 101}


def test_objects_without_masks_neither_go_nor_are_pasted_on():
    boxes = Drawn(2, masks=False, colour=100)
    assert sources(ConcatDataset([Drawn(1), boxes]), 0) == {"none": 60}
    assert sources(ConcatDataset([Drawn(1), boxes]), 1) == {"none": 60}


def test_the_original_s_data_sets_whose_items_have_boxes_with_masks_take_part():
    class Original:
        contiguous_category_id_to_json_id, id_to_img_map = {1: 1, 2: 2}, {0: 0, 1: 1}

        class coco:
            cats, anns, imgToAnns = {1: {"name": "dog"}, 2: {"name": "tv"}}, {}, {}

        def __len__(self):
            return 2

        def get_img_info(self, index):
            return Drawn(2).get_img_info(index)

        def __getitem__(self, index):
            image, annotations, _ = Drawn(2)[index]
            return image, annotations.instances, index

    assert set(sources(as_dataset(Original()), 0)) == {0, 1}


def test_images_that_cannot_give_anything_are_not_opened():
    class Unopened(Drawn):
        def __getitem__(self, index):
            raise AssertionError("opened")

    assert sources(ConcatDataset([Drawn(1), Unopened(2, masks=False)]), 0) == {"none": 60}


def test_other_images_are_drawn_by_the_ratios_of_the_data_sets():
    both = ConcatDataset([Drawn(2), Drawn(2, colour=100)])
    assert {100, 101}.isdisjoint(sources(both, 0, ratios=(1.0, 0.0)))
    found = sources(both, 0, 200, ratios=(1.0, 9.0))
    assert found[100] + found[101] > 5 * found[1] > 0


def test_the_same_seed_gives_the_same_item_whatever_ran_before():
    items = SeededDataset(CopyPasteDataset(Drawn(5), 0.7, TASKS.values()))
    first = [items[k, 9 + k] for k in range(5)]
    random.seed(5)
    again = [items[k, 9 + k] for k in reversed(range(5))][::-1]
    for one, other in zip(first, again):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1].instances.bbox, other[1].instances.bbox)
        assert torch.equal(one[1].semantic.labels, other[1].semantic.labels) and one[2] == other[2]


def batches_of(cfg, **options):
    return list(make_data_loader(cfg, is_train=True, **options))


def tensors_of(batches):
    """Images, and what a test can compare of every task."""
    found = []
    for images, targets, indices in batches:
        found += [images.tensors, torch.tensor(indices)]
        for target in targets:
            found += [target.instances.bbox, target.instances.get_field("masks").get_mask_tensor()]
            found += [target.semantic.labels, target.boundary.edges, target.classes]
            found += [] if target.people is None else [target.people.get_field("keypoints").keypoints]
    return found


@pytest.fixture
def pasting_cfg(tiny_cfg):
    """All eight tasks; only the second image of the tiny set can be pasted on, for the first has more labels."""
    tiny_cfg.INPUT.COPY_PASTE = 0.8
    tiny_cfg.INPUT.ROTATION = 20.0
    tiny_cfg.INPUT.SCALE_JITTER = (0.7, 1.4)
    return tiny_cfg


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_training_gets_the_batches_of_an_uninterrupted_run(pasting_cfg, workers):
    whole = batches_of(pasting_cfg)
    pasting_cfg.DATALOADER.NUM_WORKERS = workers
    random.seed(workers)
    resumed = batches_of(pasting_cfg, start_iter=3)
    pairs = zip(tensors_of(resumed), tensors_of(whole[3:]), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    persons = [target.instances.get_field("labels") for _, targets, ids in whole for target in targets if ids[0] == 1]
    assert any((labels == 2).any() for labels in persons)  # the dog's image has got the person


def test_off_the_items_are_those_of_before(pasting_cfg):
    pasting_cfg.INPUT.ROTATION = 0.0
    pasting_cfg.INPUT.COPY_PASTE = 1e-9
    rarely = tensors_of(batches_of(pasting_cfg))
    pasting_cfg.INPUT.COPY_PASTE = 0.0
    loader = make_data_loader(pasting_cfg)
    assert isinstance(loader.dataset.dataset, DetailDataset)
    assert all(torch.equal(one, other) for one, other in zip(rarely, tensors_of(loader), strict=True))


def test_masks_are_read_for_it_though_no_task_is_trained_on_them(pasting_cfg):
    pasting_cfg.MODEL.MASK_ON = pasting_cfg.MODEL.PART_ON = False
    loader = make_data_loader(pasting_cfg)
    assert loader.dataset.dataset.dataset.tasks.isdisjoint({"instance", "part"})
    assert all(target.instances.has_field("masks") for _, targets, _ in loader for target in targets)


def test_masks_of_mapped_and_joined_data_sets_are_read(tiny):
    detail = DetailDataset(tiny / "annotations.json", tiny / "images", "train", tasks=("semantic",))
    mapped = MappedDataset(detail, Vocabulary(("dog", "person"), ("sky", "dog", "person")))
    assert not detail[0][1].labels.keys() & {"detection"} and mapped.labels_of(0) == {"semantic"}
    assert ConcatDataset([mapped, mapped]).read_masks()
    assert mapped.labels_of(0) == {"semantic", "instance"} and mapped.tasks_of(0) >= {"semantic"}
    assert mapped[0][1].instances.has_field("masks") and detail[0][1].instances is None


def test_data_without_masks_is_refused_in_one_line(pasting_cfg, monkeypatch):
    monkeypatch.setattr(AnnotatedDataset, "read_masks", lambda self: False)
    with pytest.raises(
        UserError, match=r"INPUT\.COPY_PASTE is 0\.8, but no image of tiny_train has masks.*set it to 0"
    ):
        make_data_loader(pasting_cfg)


def test_tasks_that_would_have_no_label_are_refused_in_one_line(pasting_cfg, monkeypatch):
    for task in TASKS.values():
        monkeypatch.setattr(type(task), "can_be_pasted", False)
    with pytest.raises(UserError, match=r"INPUT\.COPY_PASTE is 0\.8, but images with pasted objects have no label of"):
        make_data_loader(pasting_cfg)
