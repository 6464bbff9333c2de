"""A whole run on two data sets that know different tasks, classes and joints."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from toy_coco import write_coco

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs" / "detail"
SMALL = (
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 16),
    *("MODEL.ROI_MASK_HEAD.CONV_LAYERS", (8,), "MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS", (8,)),
    *("MODEL.ROI_PART_HEAD.CONV_LAYERS", (8,), "MODEL.DENSE_TRUNK.CHANNELS", 8),
    *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TRAIN", 96, "INPUT.MAX_SIZE_TEST", 96),
    *("SOLVER.IMS_PER_BATCH", 2, "TEST.IMS_PER_BATCH", 2, "TEST.NUM_PICTURES", 0, "TEST.NUM_EXAMPLES", 0),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    write_mini_detail(folder / "mini_detail", num_train=6, num_val=3, seed=1)
    write_coco(folder, num_train=5)
    return folder


def mixed_cfg(data, output, *options, train=("keypoints_coco_2017_train", "mini_detail_train")):
    cfg = default_cfg.clone()
    cfg.merge_from_file(CONFIGS / "mini_R_18_FPN.yaml")
    cfg.merge_from_list(["DATASETS.DATA_DIR", str(data), "DATASETS.TRAIN", train, "OUTPUT_DIR", str(output)])
    cfg.merge_from_list([*SMALL, *options])
    return cfg


def test_a_run_learns_from_both_and_is_scored_on_the_data_set_whose_names_it_learnt(data, tmp_path):
    off = [value for task in ("MASK", "PART", "BOUNDARY", "OCCLUSION") for value in (f"MODEL.{task}_ON", False)]
    cfg = mixed_cfg(data, tmp_path, "DATASETS.RATIOS", (1.0, 1.0), "SOLVER.MAX_ITER", 4, *off)
    model = train(cfg)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES == 14
    log = (tmp_path / "log.txt").read_text()
    coco, detail = (line for line in log.splitlines() if "% of those drawn" in line)
    assert "keypoints_coco_2017_train: 4 images, 50.0 % of those drawn" in coco
    assert "annotated for detection, keypoint; knows 1 of 11 classes of objects, 12 of 14 keypoints" in coco
    assert "mini_detail_train: 6 images, 50.0 % of those drawn, annotated for detection, keypoint, semantic" in detail
    results = read_results(tmp_path / "results.json")
    assert set(results) == {"detection", "keypoint", "semantic", "classification"}


def test_batches_carry_what_their_data_sets_know(data, tmp_path):
    cfg = mixed_cfg(data, tmp_path, "SOLVER.MAX_ITER", 20, "SOLVER.SEED", 3, "DATASETS.RATIOS", (3.0, 1.0))
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    seen = Counter()
    for _, targets, ids in make_data_loader(cfg):
        for target, index in zip(targets, ids):
            if index >= 4:
                assert target.known_labels is None
                seen["detail"] += 1
                continue
            seen["coco"] += 1
            assert annotated_tasks(target) == {"detection", "instance", "keypoint"}
            assert target.known_labels.sum() == 2  # background and people
            joints = target.people.get_field("keypoints").keypoints
            assert joints.shape == (1, 14, 3) and joints[0, 2:, 2].eq(1).all() and joints[0, :2].abs().sum() == 0
    assert seen == {"coco": 30, "detail": 10}


def test_a_test_set_of_other_names_is_refused_before_the_training(data, tmp_path):
    cfg = mixed_cfg(data, tmp_path, "DATASETS.TEST", ("mini_detail_val", "coco_2017_val"))
    with pytest.raises(
        UserError, match=r"coco_2017_val of DATASETS\.TEST has other classes of objects than mini_detail_"
    ):
        train(cfg)
    assert not list(tmp_path.glob("*.pth"))


def test_real_photographs_of_both_train(real_data, tmp_path, monkeypatch):
    entries = {
        f"{prefix}coco_mini_{split}": {
            "img_dir": f"coco_mini/{split}2017",
            "ann_file": f"coco_mini/annotations/{kind}_{split}2017.json",
        }
        for prefix, kind in (("", "instances"), ("keypoints_", "person_keypoints"))
        for split in ("train", "val")
    }
    known = paths_catalog.DatasetCatalog.DATASETS
    monkeypatch.setattr(paths_catalog.DatasetCatalog, "DATASETS", {**known, **entries})
    sets = ("coco_mini_train", "keypoints_coco_mini_train", "detail_real_mini_train")
    options = ("DATASETS.TEST", ("detail_real_mini_val",), "DATASETS.RATIOS", (1.0, 1.0, 2.0), "SOLVER.MAX_ITER", 2)
    options += ("SOLVER.IMS_PER_BATCH", 4, "DATASETS.PARTS", "person6")
    cfg = mixed_cfg(real_data, tmp_path, *options, train=sets)
    model = train(cfg, skip_test=True)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    log = (tmp_path / "log.txt").read_text()
    assert "annotated for detection, instance; knows 20 of 20 classes of objects, 0 of 14 joints" in log
    assert "annotated for detection, instance, keypoint; knows 1 of 20 classes of objects, 12 of 14 keypoints" in log
