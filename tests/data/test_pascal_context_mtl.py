"""PASCAL-Context's archive of five tasks: each rule of the protocol, and archives that lack something."""

import logging
import pickle

import cv2
import numpy as np
import pytest
import torch
from mtl_sets import CAR, PERSON, draw_scene, write_anno, write_class_lists, write_pascal
from PIL import Image
from scipy.io import savemat

from maskrcnn_benchmark.data import pascal_context_mtl
from maskrcnn_benchmark.data.datasets import PascalContextMTLDataset
from maskrcnn_benchmark.data.detail.categories import CATEGORY_IDS
from maskrcnn_benchmark.data.pascal_context_labels import NORMALS_CLASSES
from maskrcnn_benchmark.evaluation.edges.thinning import thin
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.tasks.part import PART, part_labels
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.once import OncePerRun

SIZE = (40, 30)
SCENES = {"2008_000002": draw_scene(), "2008_000003": draw_scene(with_person=False), "2008_000007": draw_scene(shift=2)}


@pytest.fixture
def root(tmp_path):
    return write_pascal(tmp_path / "PASCAL_MT", SCENES, voc12=["2008_000002"])


def rectangle(x1, y1, x2, y2):
    mask = np.zeros(SIZE[::-1], bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def open_set(root, split="train", **options):
    return PascalContextMTLDataset(root, split, **options)


def test_images_are_those_of_the_list_in_its_order(root):
    dataset = open_set(root)
    assert dataset.ids == list(SCENES) and len(open_set(root, "val")) == 3
    image, annotations, index = dataset[2]
    assert image.size == annotations.size == SIZE and index == 2
    info = {"width": 40, "height": 30, "file_name": "2008_000007.jpg", "image_id": "2008_000007"}
    assert dataset.get_img_info(2) == info
    assert dataset.image_sizes().tolist() == [[40, 30]] * 3


def test_trainval_is_both_lists(tmp_path):
    root = write_pascal(tmp_path, {"a": draw_scene()}, {"b": draw_scene(), "c": draw_scene()})
    assert open_set(root, "trainval").ids == ["a", "b", "c"]


def test_vocabulary_is_the_protocols(root):
    names = open_set(root).vocabulary
    assert len(names.semantic_names) == 21 and names.semantic_names[0] == "background"
    assert names.semantic_names[PERSON] == names.thing_names[PERSON - 1] == "person"
    expected = ("head", "torso", "upper_arms", "lower_arms", "upper_legs", "lower_legs")
    assert names.parts.labels == expected


def test_a_voc12_file_goes_before_that_derived_from_the_context_classes(root):
    dataset = open_set(root, tasks=["semantic"])
    first, second = (dataset.get_annotations(index).semantic.labels.numpy() for index in (0, 1))
    expected = SCENES["2008_000002"].semantic.copy()
    expected[0] = 255
    assert (first == expected).all() and (second == SCENES["2008_000003"].semantic).all()


def test_a_class_beyond_the_21_is_refused(root):
    path = root / "semseg" / "pascal-context" / "2008_000003.png"
    Image.fromarray(np.full(SIZE[::-1], 21, np.uint8)).save(path)
    with pytest.raises(UserError, match=r"2008_000003\.png holds the value 21, but VOC has 0 to 20 and 255"):
        open_set(root).get_annotations(1)


def test_boundaries_are_where_the_laplacian_of_the_label_map_is_not_zero_thinned(root):
    label_map = SCENES["2008_000002"].label_map.astype(int)
    framed = np.pad(label_map, 1, "reflect")
    laplacian = framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:] - 4 * label_map
    edges = open_set(root).get_annotations(0).boundary.edges.numpy()
    assert edges.any() and (edges == thin(laplacian != 0)).all()


def test_classes_of_high_numbers_that_differ_by_one_have_a_boundary(root):
    labels = np.full(SIZE[::-1], 458, np.uint16)
    labels[:, 20:] = 459
    savemat(root / "pascal-context" / "trainval" / "2008_000002.mat", {"LabelMap": labels})
    assert open_set(root).get_annotations(0).boundary.edges[15].nonzero().flatten().tolist() in ([19], [20])


def test_saliency_and_normals_are_named_for_the_tasks_that_read_them(root):
    image = open_set(root).image(0)
    assert image.map_file("saliency") == root / "sal_distill" / "2008_000002.png"
    assert image.map_file("normals") == root / "normals_distill" / "2008_000002.png"
    assert image.map_file("depth") is None and image.map_file("parts") is None


def test_normals_hold_where_the_context_class_is_one_of_the_170(root):
    assert len(set(NORMALS_CLASSES)) == 170 and CATEGORY_IDS["sky"] not in NORMALS_CLASSES
    valid = open_set(root).image(0).valid_normals()
    label_map = SCENES["2008_000002"].label_map
    assert (valid == np.isin(label_map, NORMALS_CLASSES)).all()
    assert valid.any() and not valid[label_map == CATEGORY_IDS["sky"]].any()


def test_normals_without_a_label_map_are_none(root):
    (root / "pascal-context" / "trainval" / "2008_000002.mat").unlink()
    dataset = open_set(root)
    assert dataset.image(0).map_file("normals") is None and dataset.image(0).valid_normals() is None
    assert dataset.get_annotations(0).boundary is None and dataset.get_annotations(2).boundary is not None


def test_objects_have_boxes_of_their_masks_and_persons_have_parts(root):
    annotations = open_set(root).get_annotations(0)
    scene, objects = SCENES["2008_000002"], annotations.instances
    assert objects.get_field("labels").tolist() == [CAR, PERSON]
    for (_, mask, _), drawn, box in zip(scene.objects, objects.get_field("masks").get_mask_tensor(), objects.bbox):
        ys, xs = np.nonzero(mask)
        assert (drawn.numpy() == mask).all()
        assert box.tolist() == [xs.min(), ys.min(), xs.max(), ys.max()]
    parts = objects.get_field("parts").labels.numpy()
    (_, head), (_, torso) = scene.objects[1][2]
    assert not parts[0].any() and (parts[1] == np.select([head, torso], [1, 2], 0)).all()


def test_later_parts_overwrite_earlier_ones_over_all_persons_in_file_order(root):
    first, second = rectangle(0, 0, 19, 9), rectangle(10, 0, 29, 9)
    objects = [
        (PERSON, first, [("torso", first), ("lear", rectangle(2, 2, 5, 5)), ("nose", rectangle(4, 4, 6, 6))]),
        (PERSON, second, [("luarm", second), ("rhand", rectangle(12, 2, 14, 4)), ("rfoot", rectangle(25, 5, 27, 7))]),
    ]
    write_anno(root / "human_parts" / "2008_000002.mat", objects)
    dense = np.zeros(SIZE[::-1], int)
    groups = {"torso": 2, "lear": 1, "nose": 1, "luarm": 3, "rhand": 4, "rfoot": 6}
    for _, _, parts in objects:
        for name, mask in parts:
            dense[mask] = groups[name]
    annotations = open_set(root).get_annotations(0)
    assert (part_labels(annotations).numpy() == dense).all()
    layers = annotations.instances.get_field("parts").labels
    assert ((layers > 0).sum(0) <= 1).all()  # every pixel has one owner
    scored = PART.build_evaluator(open_set(root).vocabulary, Protocols())._true_map(annotations.instances)
    assert (scored == dense).all()


def test_a_person_without_parts_is_background_beside_one_that_has_some(root):
    whole, head = rectangle(0, 0, 9, 9), rectangle(20, 0, 24, 4)
    write_anno(root / "human_parts" / "2008_000002.mat", [(PERSON, whole, []), (PERSON, head, [("head", head)])])
    annotations = open_set(root).get_annotations(0)
    assert (part_labels(annotations).numpy() == np.where(head, 1, 0)).all()


@pytest.mark.parametrize("objects", [[], [(PERSON, rectangle(0, 0, 3, 3), [])], [(CAR, rectangle(0, 0, 3, 3), [])]])
def test_an_image_without_a_pixel_of_a_part_is_not_annotated_for_parts(root, objects):
    write_anno(root / "human_parts" / "2008_000002.mat", objects)
    dataset = open_set(root)
    annotations = dataset.get_annotations(0)
    assert "part" not in dataset.tasks_of(0) and not PART.is_annotated(annotations)
    assert len(annotations.instances) == len(objects)


def test_a_person_whose_only_part_has_no_pixel_is_not_annotated(root):
    nothing = np.zeros(SIZE[::-1], bool)
    write_anno(root / "human_parts" / "2008_000002.mat", [(PERSON, rectangle(0, 0, 3, 3), [("head", nothing)])])
    assert "part" not in open_set(root).tasks_of(0)


def test_a_label_map_of_no_classes_is_one_line(root):
    path = root / "pascal-context" / "trainval" / "2008_000002.mat"
    for value in (460, -1, np.nan):
        savemat(path, {"LabelMap": np.full(SIZE[::-1], value, np.float64)})
        with pytest.raises(UserError, match=r"2008_000002\.mat holds a class beyond PASCAL-Context's 459"):
            open_set(root).get_annotations(0)


def test_objects_without_a_pixel_are_left_out(root):
    objects = [(CAR, np.zeros(SIZE[::-1], bool), []), (CAR, rectangle(1, 2, 3, 4), [])]
    write_anno(root / "human_parts" / "2008_000002.mat", objects)
    assert open_set(root).get_annotations(0).instances.bbox.tolist() == [[1, 2, 3, 4]]


def test_the_list_of_classes_spares_opening_images_without_persons(root):
    write_class_lists(root, "train", SCENES)
    (root / "human_parts" / "2008_000003.mat").write_bytes(b"never read")
    assert "part" not in open_set(root, tasks=["part"]).tasks_of(1)
    (root / "ImageSets" / "Parts" / "train.txt").write_text('{"2008_000003": 15}')
    with pytest.raises(UserError, match=r"train\.txt is no list of the classes"):
        open_set(root)


def test_unknown_parts_classes_and_files_are_one_line(root):
    path = root / "human_parts" / "2008_000002.mat"
    write_anno(path, [(PERSON, rectangle(0, 0, 3, 3), [("tail", rectangle(0, 0, 1, 1))])])
    with pytest.raises(UserError, match="a person has the part 'tail', which PASCAL-Part has not"):
        open_set(root).get_annotations(0)
    write_anno(path, [(21, rectangle(0, 0, 3, 3), [])])
    with pytest.raises(UserError, match="an object has the class 21"):
        open_set(root).get_annotations(0)
    savemat(path, {"anno": np.eye(3)})
    with pytest.raises(UserError, match="does not hold PASCAL-Part's objects"):
        open_set(root).get_annotations(0)


def test_missing_folders_and_files_are_told_once_with_counts_and_are_no_labels(root, caplog):
    for path in (root / "sal_distill").iterdir():
        path.unlink()
    (root / "sal_distill").rmdir()
    (root / "human_parts" / "2008_000007.mat").unlink()
    (root / "semseg" / "pascal-context" / "2008_000003.png").unlink()
    with caplog.at_level(logging.WARNING):
        dataset = open_set(root)
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "saliency: there is no folder sal_distill; images without this label: 3" in told
    assert "part: 1 of 3 files are missing in human_parts, such as 2008_000007; images without this label: 1" in told
    assert "semantic: 1 of 3 files are missing in semseg/VOC12 or semseg/pascal-context, such as 2008_000003" in told
    assert "normals" not in told
    assert dataset.image(0).map_file("saliency") is None
    assert dataset.get_annotations(1).semantic is None and dataset.get_annotations(2).instances is None
    found = {state.task: (state.found, state.total) for state in dataset.completeness()}
    assert found == {"semantic": (2, 3), "part": (2, 3), "saliency": (0, 3), "normals": (3, 3), "boundary": (3, 3)}


def test_only_what_is_wanted_is_told(root, caplog):
    (root / "human_parts" / "2008_000007.mat").unlink()
    with caplog.at_level(logging.WARNING):
        open_set(root, tasks=["semantic"])
    assert not caplog.records


def test_what_an_index_would_gain_is_told_once(root, caplog, monkeypatch):
    monkeypatch.setattr(pascal_context_mtl, "_TOLD", OncePerRun("no index"))
    with caplog.at_level(logging.INFO):
        for split in ("train", "val"):
            open_set(root, split)
    assert caplog.text.count("make data") == 1


def test_missing_images_and_lists_are_one_line(root):
    (root / "JPEGImages" / "2008_000003.jpg").unlink()
    with pytest.raises(UserError, match=r"lacks 1 image of 3 of train, such as 2008_000003; unpack PASCAL_MT"):
        open_set(root)
    (root / "ImageSets" / "Context" / "train.txt").write_text("../../etc/passwd\n")
    with pytest.raises(UserError, match="which is no name of an image"):
        open_set(root)
    (root / "ImageSets" / "Context" / "train.txt").unlink()
    with pytest.raises(UserError, match="no such list of images"):
        open_set(root)


def test_labels_of_another_size_than_their_image_are_one_line(root):
    small = draw_scene((20, 10))
    Image.fromarray(small.semantic).save(root / "semseg" / "pascal-context" / "2008_000003.png")
    write_anno(root / "human_parts" / "2008_000003.mat", small.objects)
    savemat(root / "pascal-context" / "trainval" / "2008_000003.mat", {"LabelMap": small.label_map})
    for task, name in (("semantic", "png"), ("detection", "mat"), ("boundary", "mat")):
        with pytest.raises(UserError, match=rf"2008_000003\.{name} is .*20x10 pixels, but .*40x30"):
            open_set(root, tasks=[task]).get_annotations(1)


def test_a_pickled_copy_reads_the_same(root):
    dataset = open_set(root)
    copy = pickle.loads(pickle.dumps(dataset))
    for index in range(3):
        mine, theirs = dataset.get_annotations(index), copy.get_annotations(index)
        assert torch.equal(mine.semantic.labels, theirs.semantic.labels)
        assert torch.equal(mine.boundary.edges, theirs.boundary.edges)
        assert torch.equal(mine.instances.bbox, theirs.instances.bbox)


def test_a_mirror_of_the_whole_annotation_mirrors_each_label(root):
    annotations = open_set(root).get_annotations(0)
    mirrored = annotations.transpose(0)
    assert (part_labels(mirrored).numpy() == cv2.flip(part_labels(annotations).numpy(), 1)).all()
    assert torch.equal(mirrored.semantic.labels, annotations.semantic.labels.flip(1))
