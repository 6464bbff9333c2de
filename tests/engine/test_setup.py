"""What comes before a run."""

import pytest

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine import setup
from maskrcnn_benchmark.utils.errors import UserError


def test_cuda_without_cuda_names_the_remedy(monkeypatch):
    monkeypatch.setattr(setup.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"MODEL\.DEVICE is cuda.*add MODEL\.DEVICE cpu"):
        setup.start_run(default_cfg.clone())


def test_a_device_that_does_not_exist_is_the_users_error():
    cfg = default_cfg.clone()
    cfg.MODEL.DEVICE = "gpu"
    with pytest.raises(UserError, match=r"MODEL\.DEVICE is 'gpu'"):
        setup.start_run(cfg)


def test_each_local_rank_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(setup.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(setup.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert setup._check_device("cuda") == setup.torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="cuda:2 is asked for, but there are 2 CUDA devices"):
        setup._check_device("cuda")


def test_a_negative_seed_is_drawn():
    cfg = default_cfg.clone()
    assert setup.drawn_seed(cfg) == 0
    cfg.SOLVER.SEED = -1
    assert 0 <= setup.drawn_seed(cfg) < 2**32 and setup.drawn_seed(cfg) != setup.drawn_seed(cfg)


def test_mini_detail_is_made_only_where_it_is_named_and_missing(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(setup, "write_mini_detail", made.append)
    cfg = default_cfg.clone()
    cfg.DATASETS.DATA_DIR = str(tmp_path)
    cfg.DATASETS.TRAIN = ("coco_2017_train",)
    setup.make_missing_mini_detail(cfg)
    assert made == []
    cfg.DATASETS.TEST = ("mini_detail_val",)
    setup.make_missing_mini_detail(cfg)
    assert made == [tmp_path / "mini_detail"]
    (tmp_path / "mini_detail").mkdir()
    setup.make_missing_mini_detail(cfg)
    assert len(made) == 1
