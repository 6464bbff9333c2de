"""The mini network learns sixteen real photographs by heart: nothing between annotation and answer is broken."""

import json
import shutil
from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.experiments.run import train

CONFIG = Path(__file__).parents[2] / "configs" / "detail" / "mini_R_18_FPN.yaml"
NUM_IMAGES = 16


def write_subset(source, folder):
    """Half of the images with joints, half with boundaries, as a data set of its own."""
    content = json.loads((source / "annotations.json").read_text())
    objects = {record["image_id"] for record in content["annos_segmentation"] if not record["iscrowd"]}
    chosen = []
    for section in ("annos_joints", "annos_boundary"):
        ids = dict.fromkeys(record["image_id"] for record in content[section])
        chosen += [i for i in ids if i in objects and i not in chosen][: NUM_IMAGES // 2]
    content["images"] = [dict(row, phase="train") for row in content["images"] if row["image_id"] in chosen]
    for section in ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints"):
        content[section] = [record for record in content[section] if record["image_id"] in chosen]
    (folder / "images").mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(content))
    for row in content["images"]:
        shutil.copy(source / "images" / row["file_name"], folder / "images")
    assert len(content["images"]) == NUM_IMAGES


@pytest.mark.slow
def test_sixteen_photographs_are_learnt_by_heart(real_data, tmp_path):
    write_subset(real_data / "detail_real_mini", tmp_path / "data" / "sixteen")
    config = cfg.clone()
    config.merge_from_file(CONFIG)
    config.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu"),
            *("DATASETS.DATA_DIR", str(tmp_path / "data")),
            *("DATASETS.TRAIN", ("sixteen_train",), "DATASETS.TEST", ("sixteen_train",)),
            *("OUTPUT_DIR", str(tmp_path / "run")),
            # no part and no occlusion labels in this set
            *("MODEL.PART_ON", False, "MODEL.OCCLUSION_ON", False),
            *("INPUT.MIN_SIZE_TRAIN", (320,), "INPUT.MAX_SIZE_TRAIN", 480),
            *("INPUT.MIN_SIZE_TEST", 320, "INPUT.MAX_SIZE_TEST", 480),
            *("INPUT.HORIZONTAL_FLIP_PROB_TRAIN", 0.0),
            *("SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 600, "SOLVER.WARMUP_ITERS", 50),
            *("SOLVER.CHECKPOINT_PERIOD", 0, "TEST.NUM_PICTURES", 0),
        ]
    )
    train(config)
    results = read_results(tmp_path / "run" / "results.json")
    assert results["detection"]["metrics"]["AP50"] > 0.8
    assert results["instance"]["metrics"]["AP50"] > 0.7
    assert results["semantic"]["metrics"]["mIoU"] > 0.8
    assert results["classification"]["metrics"]["mAP"] > 0.95
