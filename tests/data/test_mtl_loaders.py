"""Batches of PASCAL-Context and NYUD-v2: through workers, with the augmentation of the presets, padded to one size."""

import pytest
from mtl_sets import draw_scene, write_nyud, write_pascal

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data import make_data_loader

SCENES = {f"{k:04d}": draw_scene((60, 40) if k % 2 else (40, 60), shift=k) for k in range(1, 5)}
INVPT = [
    *("INPUT.CROP", (64, 64), "INPUT.CROP_SCALES", (0.5, 2.0), "INPUT.CROP_MAX_SHARE", 0.75),
    *("INPUT.PHOTOMETRIC", True, "DATALOADER.SIZE_DIVISIBILITY", 64),
]
MTI_NET = ["INPUT.SQUASH", (64, 64), "INPUT.ROTATION", 20.0, "INPUT.SCALE_JITTER", (0.75, 1.25)]


@pytest.fixture
def cfg(tmp_path):
    write_pascal(tmp_path / "pascal_context_mtl", SCENES)
    write_nyud(tmp_path / "nyud_mtl", SCENES)
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.DETECTION_ON", False, "MODEL.SEMANTIC_ON", True])
    cfg.merge_from_list(["MODEL.BOUNDARY_ON", True, "MODEL.PART_ON", True, "MODEL.PART_HEAD", "fpn"])
    cfg.merge_from_list(["DATASETS.DATA_DIR", str(tmp_path), "DATALOADER.ASPECT_RATIO_GROUPING", False])
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 3, "TEST.IMS_PER_BATCH", 4])
    return cfg


@pytest.mark.parametrize("preset, workers", [(INVPT, 1), (MTI_NET, 0)])
def test_training_batches_have_one_size_and_every_label(cfg, preset, workers):
    cfg.merge_from_list([*preset, "DATASETS.TRAIN", ("pascal_context_mtl_train",), "DATALOADER.NUM_WORKERS", workers])
    for images, targets, _ in make_data_loader(cfg):
        assert images.tensors.shape == (4, 3, 64, 64)
        for target, (height, width) in zip(targets, images.image_sizes):
            assert target.size == (width, height) and max(target.size) <= 64
            assert target.semantic.size == target.boundary.size == target.size
            assert set(target.semantic.labels.unique().tolist()) <= {0, 7, 15, 255}
            assert set(target.instances.get_field("parts").labels.unique().tolist()) <= {0, 1, 2}


def test_test_batches_keep_labels_in_the_images_own_pixels(cfg):
    cfg.MODEL.PART_ON = False
    cfg.merge_from_list([*INVPT, "DATASETS.TEST", ("nyud_mtl_val",), "DATALOADER.NUM_WORKERS", 0])
    ((images, targets, indices),) = make_data_loader(cfg, is_train=False)[0]
    assert images.tensors.shape == (4, 3, 64, 64) and indices == [0, 1, 2, 3]
    assert [target.size for target in targets] == [(60, 40), (40, 60), (60, 40), (40, 60)]
    assert [tuple(size) for size in images.image_sizes] == [(40, 60), (60, 40), (40, 60), (60, 40)]
