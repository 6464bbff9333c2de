"""The command `tools/demo.py`: what it says when it cannot start."""

import importlib.util
from pathlib import Path

import pytest

from maskrcnn_benchmark.demo.serve import listening_socket, sample_files
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

demo = import_file("demo_tool", Path(__file__).parents[2] / "tools" / "demo.py")


@pytest.fixture
def with_gradio(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "maskrcnn-benchmark\[demo\]"'):
        demo.main(["model_final.pth"])


def test_without_a_checkpoint_it_says_make_train(with_gradio):
    with pytest.raises(UserError, match=r"output/none\.pth is not there; `make train`"):
        demo.main(["output/none.pth"])


@pytest.mark.parametrize("flag, value", [("--port", "70000"), ("--port", "-1"), ("--max-pixels", "0")])
def test_numbers_out_of_range_are_named(with_gradio, flag, value):
    with pytest.raises(UserError, match=f"argument {flag}: .* is not an integer"):
        demo.main(["model_final.pth", flag, value])


def test_flags_stand_before_and_after_options():
    options = demo.parse_arguments(["m.pth", "TEST.IMS_PER_BATCH", "1", "--port", "8000", "INPUT.MIN_SIZE_TEST", "64"])
    assert options.opts == ["TEST.IMS_PER_BATCH", "1", "INPUT.MIN_SIZE_TEST", "64"]
    assert (options.checkpoint, options.port, options.host) == ("m.pth", 8000, "127.0.0.1")


def test_the_next_free_port_is_taken():
    with listening_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listening_socket("127.0.0.1", port) as second:
            assert second.getsockname()[1] > port


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"192\.0\.2\.1 has no port"):  # of a block for documentation, RFC 5737
        listening_socket("192.0.2.1", 7860)


def test_samples_come_from_the_folder_that_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        sample_files(tmp_path / "none", tmp_path)
    with pytest.raises(UserError, match="no image"):
        sample_files(tmp_path, tmp_path)
    (tmp_path / "b.JPG").touch()
    (tmp_path / "a.png").touch()
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in sample_files(tmp_path, tmp_path)] == ["a.png", "b.JPG"]


def test_without_a_folder_samples_are_drawn(tmp_path):
    drawn = sample_files("", tmp_path)
    assert len(drawn) == 8 and all(path.is_relative_to(tmp_path) and path.is_file() for path in drawn)
