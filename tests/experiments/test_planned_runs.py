"""What planned runs share: places to run at, last words, how long they took."""

from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.experiments.planned_runs import duration, last_line, make_places, read_config
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.threads import allowed_cores

MINI = Path(__file__).parents[2] / "configs" / "detail" / "mini_R_18_FPN.yaml"


def test_cores_are_shared_and_gpus_taken_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    cores = allowed_cores()
    on_cpu, on_gpu = read_config(MINI, ["MODEL.DEVICE", "cpu"]), read_config(MINI, ["MODEL.DEVICE", "cuda"])
    assert make_places(on_cpu, None, []) == [{}]
    share = str(max(1, cores // 2))
    assert make_places(on_cpu, 2, []) == [{"OMP_NUM_THREADS": share, "MASKRCNN_BENCHMARK_THREADS": share}] * 2
    two = [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "6"}]
    assert make_places(on_gpu, None, ["4", "6"]) == two
    assert make_places(on_gpu, 3, ["4", "6"]) == [*two, two[0]]
    with pytest.raises(UserError, match=r"add MODEL.DEVICE cuda"):
        make_places(on_cpu, None, ["0"])


def test_gpus_are_refused_where_the_device_is_left_open_and_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"--gpus: MODEL\.DEVICE is auto, and PyTorch finds no CUDA device here"):
        make_places(read_config(MINI), None, ["0"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert make_places(read_config(MINI), None, ["3"]) == [{"CUDA_VISIBLE_DEVICES": "3"}]


def test_gpus_are_refused_beside_a_device_with_a_number():
    of_one = read_config(MINI, ["MODEL.DEVICE", "cuda:1"])
    with pytest.raises(UserError, match=r"^--gpus: MODEL\.DEVICE is cuda:1, but each .* add MODEL\.DEVICE cuda to"):
        make_places(of_one, None, ["0", "1"])
    assert make_places(of_one, None, []) == [{}]


def test_a_log_without_a_word(tmp_path):
    (tmp_path / "log").write_text("\n  \r\n")
    assert last_line(tmp_path / "log") == f"nothing; see {tmp_path / 'log'}"


def test_the_last_words_are_those_after_a_progress_bar(tmp_path):
    (tmp_path / "log").write_text("a line\n 50%|##\r100%|####\rerror: out of luck\n\n")
    assert last_line(tmp_path / "log") == "error: out of luck"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599, "59 min 59 s"),
        (7320, "2 h 02 min"),
    ],
)
def test_seconds_as_people_say_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "gpus, count, words",
    [
        (["a", "b"], 2, "'a' is no GPU"),
        (["", "", ""], 2, "'' is no GPU"),
        (["0"], 0, "PyTorch finds no CUDA device here"),
        (["0", "7"], 2, "there is no GPU 7; this machine has 2"),
    ],
)
def test_gpus_that_are_not_there_are_refused_before_the_first_run(monkeypatch, gpus, count, words):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UserError, match=f"--gpus: {words}"):
        make_places(read_config(MINI, ["MODEL.DEVICE", "cuda"]), None, gpus)
