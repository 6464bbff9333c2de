"""The data set of docs/examples/shapes.py, which is no part of the package, trains a network through a config."""

from pathlib import Path

import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs/examples/shapes.py"


def shapes_config():
    cfg = default_cfg.clone()
    cfg.merge_from_file(ROOT / "configs/detail/mini_instance_R_18_FPN.yaml")
    names = ["DATASETS.TRAIN", "shapes_train", "DATASETS.TEST", "shapes_val"]
    cfg.merge_from_list(
        ["MODEL.DEVICE", "cpu", "PATHS_CATALOG", str(EXAMPLE), *names, "MODEL.SEMANTIC_ON", True, "SOLVER.MAX_ITER", 1]
    )
    return cfg


def test_a_batch_of_it_gives_every_task_its_loss():
    cfg = shapes_config()
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    assert (cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES, cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES) == (3, 3)
    ((images, targets, _),) = make_data_loader(cfg)
    losses = build_detection_model(cfg, vocabulary)(images, targets)
    assert {"loss_classifier", "loss_mask", "loss_semantic"} <= set(losses)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_its_annotations_agree_with_one_another():
    dataset = import_file("shapes", EXAMPLE).ShapesDataset(count=5, seed=3)
    for index in range(len(dataset)):
        annotations = dataset.get_annotations(index)
        masks = annotations.instances.get_field("masks").get_mask_tensor().bool()
        for (left, top, right, bottom), label, mask in zip(
            annotations.instances.bbox.tolist(), annotations.instances.get_field("labels").tolist(), masks
        ):
            rows, columns = mask.nonzero(as_tuple=True)
            extent = columns.min(), rows.min(), columns.max(), rows.max()
            assert (left, top, right, bottom) == tuple(float(side) for side in extent)
            assert (annotations.semantic.labels[mask] == label).all()
        derived = {"panoptic", "part_panoptic"}
        assert annotated_tasks(dataset[index][1]) == {"detection", "instance", "semantic", *derived}


def test_names_of_the_package_are_known_as_before(tmp_path):
    (tmp_path / "mine/images").mkdir(parents=True)
    (tmp_path / "mine/annotations.json").write_text("{}")
    catalog = import_file("shapes", EXAMPLE).DatasetCatalog
    assert catalog.get("shapes_val") == {"factory": "ShapesDataset", "args": {"count": 40, "seed": 1}}
    assert catalog.get("mine_val", tmp_path)["factory"] == "DetailDataset"
