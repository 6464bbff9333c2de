"""Training on data sets that differ: whose names the network learns, what is mapped, what log and errors say."""

import json
import logging
from collections import Counter

import pytest
from PIL import Image

from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.datasets import ConcatDataset, MappedDataset
from maskrcnn_benchmark.data.datasets.coco import COCOImage
from maskrcnn_benchmark.data.mixing import check_test_vocabularies, warn_of_untaught
from maskrcnn_benchmark.tasks.task import annotated_tasks, enabled_tasks, evaluated_tasks
from maskrcnn_benchmark.utils.errors import UserError


def record(number, image_id, category_id=1):
    square = {"bbox": [2, 2, 8, 8], "area": 49, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": category_id, **square}


def write_coco(folder, names, records):
    """coco_2017_train below `folder`: four images 1, 2, ... of 16x12 pixels; the n-th of the names is category n."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 16, "height": 12} for i in range(1, 5)]
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    for name in ("train2017", "annotations"):
        (folder / "coco" / name).mkdir(parents=True, exist_ok=True)
    for image in images:
        Image.new("RGB", (16, 12), (10, 20, 30)).save(folder / "coco" / "train2017" / image["file_name"])
    content = {"images": images, "categories": categories, "annotations": records}
    (folder / "coco" / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


@pytest.fixture
def mixed_cfg(tiny_cfg, tiny):
    """The tiny data set of dogs, people and zebras, and four images of COCO's, of cats, dogs and people."""
    rows = [record(k, image, category) for k, (image, category) in enumerate([(1, 1), (2, 2), (2, 3), (3, 1)], 1)]
    write_coco(tiny.parent, ["cat", "Dog", "person"], rows)
    tiny_cfg.DATASETS.TRAIN = ("coco_2017_train", "tiny_train")
    return tiny_cfg


def test_the_network_learns_the_names_of_the_test_set_where_training_sets_differ(mixed_cfg):
    vocabulary = load_vocabulary(mixed_cfg)
    assert vocabulary.thing_names == ("dog", "person", "zebra") and len(vocabulary.joints) == 14
    bind_vocabulary(mixed_cfg, vocabulary)
    assert mixed_cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES == 4
    (dataset,) = build_datasets(mixed_cfg)
    assert isinstance(dataset, ConcatDataset) and dataset.vocabulary == vocabulary and dataset.ids == [1, 2, 3, 11, 12]
    coco, detail = dataset.datasets
    assert isinstance(coco, MappedDataset) and not isinstance(detail, MappedDataset)
    labels = [dataset.get_annotations(i).instances.get_field("labels").tolist() for i in range(5)]
    assert labels == [[], [1, 2], [], [2], [1, 3]]
    known = [dataset.get_annotations(i).known_labels for i in (1, 4)]
    assert known[0].tolist() == [True, True, True, False] and known[1] is None
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "instance"}


def test_the_option_chooses_whose_names_and_one_data_set_may_be_mapped(mixed_cfg):
    mixed_cfg.DATASETS.VOCABULARY = "coco_2017_train"
    for task in ("KEYPOINT", "PART", "SEMANTIC", "CLASSIFICATION"):
        mixed_cfg.MODEL[f"{task}_ON"] = False
    assert load_vocabulary(mixed_cfg).thing_names == ("cat", "Dog", "person")
    (dataset,) = build_datasets(mixed_cfg)
    assert dataset.get_annotations(4).instances.get_field("labels").tolist() == [2]
    mixed_cfg.DATASETS.TRAIN = ("tiny_train",)
    (dataset,) = build_datasets(mixed_cfg)
    assert isinstance(dataset, MappedDataset) and dataset.ids == [11, 12]
    mixed_cfg.DATASETS.TRAIN = ("coco_2017_train",)
    mixed_cfg.MODEL.BOUNDARY_ON = mixed_cfg.MODEL.OCCLUSION_ON = False
    assert not isinstance(build_datasets(mixed_cfg)[0], MappedDataset)


def test_messages_name_the_data_set_whose_names_count(mixed_cfg):
    mixed_cfg.merge_from_list(["MODEL.SEMANTIC_HEAD.NUM_CLASSES", 59])
    with pytest.raises(UserError, match=r"is set to 59, but data set tiny_val has 5 \(semantic classes\)"):
        bind_vocabulary(mixed_cfg, load_vocabulary(mixed_cfg))
    mixed_cfg.DATASETS.VOCABULARY = "coco_2017_train"
    with pytest.raises(UserError, match=r"MODEL\.KEYPOINT_ON is on, but data set coco_2017_train has no keypoints"):
        bind_vocabulary(mixed_cfg, load_vocabulary(mixed_cfg))
    mixed_cfg.DATASETS.VOCABULARY, mixed_cfg.DATASETS.TEST = "", ()
    message = r"coco_2017_train and tiny_train differ in their thing names.* in DATASETS\.VOCABULARY"
    for build in (load_vocabulary, build_datasets):
        with pytest.raises(UserError, match=message):
            build(mixed_cfg)
    mixed_cfg.DATASETS.VOCABULARY = "tiny_vol"
    with pytest.raises(UserError, match=r"unknown data set 'tiny_vol'"):
        load_vocabulary(mixed_cfg)


def test_joining_by_hand_names_the_remedy(mixed_cfg):
    mixed_cfg.DATASETS.VOCABULARY = "tiny_train"
    datasets = [
        dataset.dataset if isinstance(dataset, MappedDataset) else dataset
        for dataset in build_datasets(mixed_cfg, joined=False)
    ]
    with pytest.raises(UserError, match=r"differ in their thing names.* DATASETS\.TRAIN, which maps the names"):
        ConcatDataset(datasets, ["coco", "tiny"])


def test_a_data_set_or_a_task_that_is_left_without_the_other_is_an_error(mixed_cfg, tiny):
    write_coco(tiny.parent, ["cat"], [record(1, 1)])
    with pytest.raises(
        UserError, match=r"coco_2017_train teaches none of the enabled tasks .* of tiny_val; take it out"
    ):
        build_datasets(mixed_cfg)
    write_coco(tiny.parent, ["dog"], [record(1, 1)])
    mixed_cfg.DATASETS.TRAIN = ("coco_2017_train", "coco_2017_train")
    mixed_cfg.DATASETS.VOCABULARY = "tiny_val"
    with pytest.raises(UserError, match=r"MODEL\.BOUNDARY_ON is on, but none of coco_2017_train, .* turn the task off"):
        build_datasets(mixed_cfg)


def test_one_data_set_may_lack_the_masks_that_another_has(mixed_cfg, tiny):
    row = record(1, 1)
    del row["segmentation"]
    write_coco(tiny.parent, ["dog"], [row])
    (dataset,) = build_datasets(mixed_cfg)
    assert [dataset.get_annotations(i).instances.has_field("masks") for i in (0, 1)] == [False, True]
    mixed_cfg.DATASETS.TRAIN = ("coco_2017_train", "coco_2017_train")
    for task in ("KEYPOINT", "PART", "SEMANTIC", "CLASSIFICATION", "BOUNDARY", "OCCLUSION"):
        mixed_cfg.MODEL[f"{task}_ON"] = False
    with pytest.raises(UserError, match=r"MODEL\.MASK_ON is on, but none of coco_2017_train"):
        build_datasets(mixed_cfg)


def untaught(cfg, dataset, caplog):
    """The switches of the tasks that a training on a data set is warned of."""
    caplog.clear()
    warn_of_untaught(cfg, dataset, enabled_tasks(cfg))
    return [line.split()[0] for line in caplog.messages]


def test_a_task_that_no_image_is_annotated_for_is_a_warning_with_its_data_sets(mixed_cfg, tiny, content, caplog):
    assert untaught(mixed_cfg, build_datasets(mixed_cfg)[0], caplog) == []
    (tiny / "annotations.json").write_text(json.dumps({**content, "annos_boundary": [], "annos_joints": []}))
    make_data_loader(mixed_cfg)
    assert "MODEL.BOUNDARY_ON is on, but no image of coco_2017_train, tiny_train is annotated for" in caplog.text
    for names in (("coco_2017_train", "tiny_train"), ("tiny_train",)):
        mixed_cfg.DATASETS.TRAIN = names
        (dataset,) = build_datasets(mixed_cfg)
        assert untaught(mixed_cfg, dataset, caplog) == ["MODEL.KEYPOINT_ON", "MODEL.BOUNDARY_ON"]


def test_no_image_is_read_where_the_file_says_it_and_one_where_it_teaches(mixed_cfg, monkeypatch, caplog):
    mixed_cfg.DATASETS.TRAIN = ("coco_2017_train",)
    mixed_cfg.MODEL.MASK_ON = mixed_cfg.MODEL.KEYPOINT_ON = False
    (dataset,) = build_datasets(mixed_cfg)
    mixed_cfg.MODEL.MASK_ON = mixed_cfg.MODEL.KEYPOINT_ON = True
    read = []
    monkeypatch.setattr(type(dataset), "image", lambda self, index: read.append(index) or COCOImage(self, index))
    lacking = ["MASK", "KEYPOINT", "PART", "SEMANTIC", "BOUNDARY", "OCCLUSION", "CLASSIFICATION"]
    assert untaught(mixed_cfg, dataset, caplog) == [f"MODEL.{name}_ON" for name in lacking]
    assert read == [0]


def test_a_data_set_that_says_nothing_of_its_tasks_is_believed(mixed_cfg, caplog):
    class Own(AnnotatedDataset):
        vocabulary = load_vocabulary(mixed_cfg)

    own = Own()
    assert (
        untaught(mixed_cfg, own, caplog) == [] and untaught(mixed_cfg, MappedDataset(own, own.vocabulary), caplog) == []
    )
    own.tasks = frozenset({"detection", "instance", "keypoint", "part"})
    lacking = [f"MODEL.{name}_ON" for name in ("SEMANTIC", "BOUNDARY", "OCCLUSION", "CLASSIFICATION")]
    assert untaught(mixed_cfg, own, caplog) == lacking


def test_images_are_drawn_by_the_ratios_and_the_log_tells_of_each_data_set(mixed_cfg, caplog):
    mixed_cfg.DATASETS.RATIOS = (1, 3.0)
    mixed_cfg.SOLVER.MAX_ITER, mixed_cfg.DATALOADER.ASPECT_RATIO_GROUPING = 30, False
    with caplog.at_level(logging.INFO):
        loader = make_data_loader(mixed_cfg)
    assert (
        "coco_2017_train: 3 images, 25.0 % of those drawn, annotated for detection, instance; knows 2 of 3 classes of "
        "objects, 0 of 14 keypoints" in caplog.text
    )
    tasks = "detection, instance, keypoint, part, semantic, boundary, occlusion, classification"
    line = f"tiny_train: 2 images, 75.0 % of those drawn, annotated for {tasks}; its classes and keypoints are the"
    assert line in caplog.text
    images = Counter(index >= 3 for _, _, ids in loader for index in ids)
    assert images == {True: 45, False: 15}  # thirty batches of two


def test_ratios_that_do_not_fit_are_one_line_each(mixed_cfg):
    for ratios, message in (
        ((1.0,), r"RATIOS has 1 numbers, but DATASETS\.TRAIN has 2 data sets"),
        ((1.0, -1.0), r"RATIOS is \(1\.0, -1\.0\), but .*a number from 0 to .*; element 1 is -1\.0"),
        ((0, 0), r"RATIOS is \(0, 0\), so that no image is drawn; make one of them more than 0"),
        ((1.0, "many"), r"RATIOS is .*; element 1 is 'many'"),
        ((1.0, float("nan")), r"RATIOS is .*; element 1 is nan"),
    ):
        mixed_cfg.DATASETS.RATIOS = ratios
        with pytest.raises(UserError, match=message):
            make_data_loader(mixed_cfg)
    mixed_cfg.DATASETS.TRAIN, mixed_cfg.DATASETS.RATIOS = ("tiny_train",), (1.0,)
    with pytest.raises(UserError, match=r"RATIOS is \(1\.0,\), but DATASETS\.TRAIN has one data set; leave RATIOS out"):
        make_data_loader(mixed_cfg)


def test_a_test_set_of_other_names_is_refused_for_the_tasks_that_read_them(mixed_cfg):
    mixed_cfg.DATASETS.TEST = ("tiny_val", "coco_2017_train")
    vocabulary, datasets = load_vocabulary(mixed_cfg), build_datasets(mixed_cfg, is_train=False, joined=False)
    message = r"coco_2017_train of DATASETS\.TEST has other classes of objects than tiny_val.*, so detection cannot be"
    with pytest.raises(UserError, match=message):
        check_test_vocabularies(mixed_cfg, vocabulary, datasets, evaluated_tasks(mixed_cfg))
    check_test_vocabularies(mixed_cfg, vocabulary, datasets[:1], evaluated_tasks(mixed_cfg))
    for task in ("DETECTION", "MASK", "KEYPOINT", "PART"):
        mixed_cfg.MODEL[f"{task}_ON"] = False
    with pytest.raises(UserError, match="other semantic classes than tiny_val"):
        check_test_vocabularies(mixed_cfg, vocabulary, datasets, evaluated_tasks(mixed_cfg))
    mixed_cfg.MODEL.SEMANTIC_ON = mixed_cfg.MODEL.CLASSIFICATION_ON = False
    check_test_vocabularies(mixed_cfg, vocabulary, datasets, evaluated_tasks(mixed_cfg))


def test_a_joined_entry_of_the_catalog_is_mapped_as_a_whole(mixed_cfg, monkeypatch):
    entries = {**paths_catalog.DatasetCatalog.DATASETS, "both": {"datasets": ["tiny_train", "tiny_val"]}}
    monkeypatch.setattr(paths_catalog.DatasetCatalog, "DATASETS", entries)
    mixed_cfg.DATASETS.TRAIN, mixed_cfg.DATASETS.VOCABULARY = ("both",), "coco_2017_train"
    for task in ("KEYPOINT", "PART", "SEMANTIC", "CLASSIFICATION"):
        mixed_cfg.MODEL[f"{task}_ON"] = False
    (dataset,) = build_datasets(mixed_cfg)
    assert dataset.vocabulary.thing_names == ("cat", "Dog", "person")
    assert dataset.get_annotations(0).instances.get_field("labels").tolist() == [3]
