"""The hook for settings of the whole process, and the report on the machine."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.utils.collect_env import collect_env_info, collect_environment
from maskrcnn_benchmark.utils.env import setup_environment
from maskrcnn_benchmark.utils.errors import UserError


def test_the_named_module_is_run(tmp_path, monkeypatch):
    (tmp_path / "hook.py").write_text(f"def setup_environment(): open({str(tmp_path / 'ran')!r}, 'w').close()")
    setup_environment()
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("TORCH_DETECTRON_ENV_MODULE", str(tmp_path / "hook.py"))
    setup_environment()
    assert (tmp_path / "ran").exists()


def test_a_module_without_the_function_is_named(tmp_path, monkeypatch):
    (tmp_path / "hook.py").write_text("")
    monkeypatch.setenv("TORCH_DETECTRON_ENV_MODULE", str(tmp_path / "hook.py"))
    with pytest.raises(UserError, match=r"hook\.py.*setup_environment"):
        setup_environment()


def test_the_report_names_the_versions():
    report = collect_env_info()
    assert f"PyTorch {torch.__version__}" in report and "numpy" in report and "Python 3." in report


def test_the_same_is_there_for_programs():
    known = json.loads(json.dumps(collect_environment()))
    assert known["pytorch"] == torch.__version__ and known["packages"]["numpy"] == np.__version__
    assert len(known["gpus"]) == torch.cuda.device_count() and known["threads"] == torch.get_num_threads()
    assert known["thread_choice"].startswith(f"{known['threads']} thread")


def test_gpus_are_named_but_not_to_a_process_on_the_cpu(monkeypatch):
    gpu = SimpleNamespace(name="GPU of the test", total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", [gpu].__getitem__)
    assert collect_environment("cuda:0")["gpus"] == [{"name": "GPU of the test", "memory_gib": 80}]
    assert "GPU 0: GPU of the test, 80 GiB" in collect_env_info()
    monkeypatch.setattr(torch.cuda, "get_device_properties", [].__getitem__)
    assert collect_environment("cpu")["gpus"] == []
