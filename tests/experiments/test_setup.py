"""What comes before a run."""

import os
from types import SimpleNamespace

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.experiments import setup
from maskrcnn_benchmark.utils.errors import UserError


def started(cfg):
    with setup.start_run(cfg) as device:
        return device


def test_cuda_without_cuda_names_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"MODEL\.DEVICE is cuda.*add MODEL\.DEVICE cpu"):
        started(default_cfg.clone())


def test_a_device_that_does_not_exist_is_the_users_error():
    cfg = default_cfg.clone()
    cfg.MODEL.DEVICE = "gpu"
    with pytest.raises(UserError, match=r"MODEL\.DEVICE is 'gpu'"):
        started(cfg)


@pytest.fixture
def two_gpus(monkeypatch):
    """Stand-ins for a machine with two GPUs; yields the devices that were made the current one."""
    chosen = []
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: GPUS[index])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(with_index(device)))
    return chosen


WORLD = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
GPUS = [SimpleNamespace(name="GPU of the test", total_memory=gib << 30) for gib in (16, 141)]


def with_index(device):
    """What `torch.cuda.set_device` takes: a device without an index is refused, as there."""
    if torch.device(device).index is None:
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
    return device


@pytest.mark.parametrize(
    ("name", "variables", "index"),
    [
        ("cuda", {}, 0),
        ("cuda:1", {}, 1),
        ("auto", {}, 0),
        ("cuda", {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, 0),  # a world of one, under torchrun
        ("cuda:1", {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, 1),
    ],
)
def test_a_run_starts_on_a_gpu_with_its_index(two_gpus, monkeypatch, tmp_path, name, variables, index):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", name, "OUTPUT_DIR", str(tmp_path)])
    device = torch.device("cuda", index)
    assert started(cfg) == device and two_gpus == [device]
    log = (tmp_path / "log.txt").read_text()
    assert f"this one on cuda:{index}" in log
    assert "GPU 0: GPU of the test, 16 GiB" in log and "GPU 1: GPU of the test, 141 GiB" in log


def test_each_process_of_torchrun_takes_the_gpu_of_its_number(two_gpus, monkeypatch, tmp_path):
    groups = []
    monkeypatch.setattr(setup.dist, "init_process_group", groups.append)
    for name, value in {**WORLD, "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    cfg = default_cfg.clone()
    cfg.OUTPUT_DIR = str(tmp_path)
    assert started(cfg) == torch.device("cuda", 1) and two_gpus == [torch.device("cuda", 1)]
    assert groups == ["cpu:gloo,cuda:nccl"]


def test_a_run_on_the_cpu_never_starts_cuda(two_gpus, monkeypatch, tmp_path):
    def refuse(*arguments):
        raise AssertionError("CUDA was started")

    for name in ("_lazy_init", "get_device_properties", "current_device", "get_rng_state", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path)])
    assert started(cfg) == torch.device("cpu") and two_gpus == []


def test_the_workspace_of_cublas_is_fixed_before_a_deterministic_run(two_gpus, monkeypatch, tmp_path):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cfg = default_cfg.clone()
    cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path), "SOLVER.DETERMINISTIC", True])
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: two_gpus.append(os.environ["CUBLAS_WORKSPACE_CONFIG"]))
    started(cfg)
    assert two_gpus == [":4096:8"]
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with pytest.raises(UserError, match="CUBLAS_WORKSPACE_CONFIG is ':0:0', with which cuBLAS is not deterministic"):
        started(cfg)


@pytest.mark.parametrize("option", ["DTYPE", "TEST.DTYPE"])
def test_a_precision_that_does_not_exist_is_the_users_error(option):
    cfg = default_cfg.clone()
    group = cfg.TEST if option.startswith("TEST.") else cfg
    group.DTYPE = "float8"  # by attribute, which nothing has checked so far
    with pytest.raises(
        UserError, match=f"^the config: {option} is 'float8', but must be one of float32, float16, bfloat16"
    ):
        started(cfg)


def test_a_negative_seed_is_drawn():
    cfg = default_cfg.clone()
    assert setup.drawn_seed(cfg) == 0
    cfg.SOLVER.SEED = -1
    assert 0 <= setup.drawn_seed(cfg) < 2**32 and setup.drawn_seed(cfg) != setup.drawn_seed(cfg)


def test_weights_of_a_users_catalog_are_looked_for_where_it_says(tmp_path):
    (tmp_path / "catalog.py").write_text(
        f"class ModelCatalog:\n    @staticmethod\n    def get(name):\n        return {str(tmp_path)!r} + '/' + name\n"
    )
    cfg = default_cfg.clone()
    cfg.PATHS_CATALOG = str(tmp_path / "catalog.py")
    torch.save({"model": {}}, tmp_path / "mine.pth")
    setup.check_inputs(cfg, "catalog://mine.pth", [])
    with pytest.raises(UserError, match=r"no such checkpoint: .*theirs\.pth; correct the path"):
        setup.check_inputs(cfg, "catalog://theirs.pth", [])
    setup.check_inputs(cfg, "https://example.org/theirs.pth", [])  # which is fetched when the run has its folder


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


@pytest.fixture
def world(monkeypatch):
    """Sets torchrun's variables, those that are given alone."""

    def change(**variables):
        for name in WORLD:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


@pytest.mark.parametrize(
    ("variables", "size"), [({}, 1), (WORLD, 2), ({"RANK": "0", "WORLD_SIZE": "1"}, 1), ({"WORLD_SIZE": "1"}, 1)]
)
def test_the_environment_says_how_many_processes_there_are(world, variables, size):
    world(**variables)
    assert setup.world_size_of_environment() == size


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        *(
            ({name: None}, f"but {name} is missing in the environment: start them all with torchrun")
            for name in ("RANK", "MASTER_ADDR", "MASTER_PORT")
        ),
        ({"RANK": "1", "WORLD_SIZE": None}, "but WORLD_SIZE is missing"),
        ({"RANK": "2"}, "RANK is 2, but WORLD_SIZE 2"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', but must be a number"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK is '-1', but must be a number"),
        ({"MASTER_PORT": "x"}, "MASTER_PORT is 'x', but must be a number"),
    ],
)
def test_an_incomplete_environment_is_the_users_error_before_anything_is_made(world, tmp_path, changes, line):
    variables = {**WORLD, **changes}
    world(**{name: value for name, value in variables.items() if value is not None})
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "output")])
    with pytest.raises(UserError, match=line):
        started(cfg)
    assert not (tmp_path / "output").exists()


def test_processes_that_cannot_meet_are_named(world, monkeypatch):
    def fail(backend):
        raise setup.dist.DistNetworkError("The client socket has failed to connect\nto 127.0.0.1:1")

    world(**WORLD)
    monkeypatch.setattr(setup.dist, "init_process_group", fail)
    cfg = default_cfg.clone()
    cfg.MODEL.DEVICE = "cpu"
    with pytest.raises(
        UserError, match=r"cannot meet \(RANK 0, WORLD_SIZE 2, .*\): The client socket .* 127"
    ) as caught:
        started(cfg)
    assert "\n" not in str(caught.value)


def test_the_folder_is_this_runs_and_a_file_is_no_folder(tmp_path):
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "output")])
    with setup.start_run(cfg):
        assert (tmp_path / "output" / "run.lock").is_file()
    assert not (tmp_path / "output" / "run.lock").exists()
    (tmp_path / "output" / "run.lock").write_text("{}")
    cfg.OUTPUT_DIR = str(tmp_path / "output" / "log.txt")
    with pytest.raises(UserError, match=r"log\.txt: File exists; choose another folder \(OUTPUT_DIR"):
        started(cfg)
