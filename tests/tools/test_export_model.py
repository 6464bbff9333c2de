"""The command `tools/export_model.py`: what it writes, what it says, and what it does not leave behind."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.export import export
from maskrcnn_benchmark.export.program_file import read_program
from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_parts
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
export_model = import_file("export_model", ROOT / "tools" / "export_model.py")


@pytest.fixture(scope="module")
def exported(small, tmp_path_factory):
    """(exit code, folder) of an export of image labels, the quickest of all."""
    folder = tmp_path_factory.mktemp("exported")
    code = export_model.main(
        [small.checkpoint, "--format", "program", "--output", str(folder), "--tasks", "classification"]
    )
    return code, folder


def test_a_program_is_written(exported):
    code, folder = exported
    assert code == 0 and [path.name for path in folder.iterdir()] == ["model.pt2"]
    assert json.loads(read_program(folder / "model.pt2").metadata["tasks"]) == ["classification"]


def test_the_differences_are_said_by_task(exported, small, capsys):
    words = [small.checkpoint, "--format", "program", "--output", str(exported[1]), "--tasks", "classification"]
    assert export_model.main([*words, "--check-only", "--images", *map(str, small.images[:2])]) == 0
    screen = capsys.readouterr().out
    assert "largest differences on 2 images" in screen
    assert re.search(r"image classification +classes \d\.\de-\d\d  \(2 compared\)", screen)
    assert re.search(r"\d+ ms in PyTorch, \d+ ms in the file", screen)


def test_a_file_of_another_network_is_found_out_and_left_alone(exported, small, tmp_path, capsys):
    data = torch.load(small.checkpoint, weights_only=True)
    data["model"]["fpn_heads.heads.classes.overall.bias"] += 1
    torch.save(data, tmp_path / "other.pth")
    words = [str(tmp_path / "other.pth"), "--format", "program", "--output", str(exported[1])]
    assert export_model.main([*words, "--tasks", "classification", "--check-only"]) == 1
    assert "DIFFERENT classification: " in capsys.readouterr().out
    assert (exported[1] / "model.pt2").is_file()


def test_a_file_that_answers_differently_is_not_left_behind(small, tmp_path, monkeypatch, capsys):
    def read(path):
        run = read_program(path)
        return lambda image: {name: value + 0.01 for name, value in run(image).items()}

    monkeypatch.setitem(export.FORMATS, "program", replace(export.FORMATS["program"], read=read))
    (tmp_path / "model.pt2").write_bytes(b"of an earlier export")
    words = [small.checkpoint, "--format", "program", "--output", str(tmp_path), "--tasks", "classification"]
    assert export_model.main(words) == 1
    assert "differ by 0.01, more than 0.001" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused_before_any_work(small, tmp_path):
    words = [small.checkpoint, "--output", str(tmp_path / "out"), "TEST.BBOX_AUG.ENABLED", "True"]
    with pytest.raises(UserError, match=r"cannot be exported: TEST\.BBOX_AUG\.ENABLED"):
        export_model.main(words)
    assert not (tmp_path / "out").exists()


def test_tasks_that_are_none_are_named(small, tmp_path):
    with pytest.raises(UserError, match="not segmentation"):
        export_model.main([small.checkpoint, "--output", str(tmp_path), "--tasks", "segmentation"])


def test_nothing_to_check_is_said(small, tmp_path):
    words = [small.checkpoint, "--format", "program", "--output", str(tmp_path), "--check-only"]
    with pytest.raises(UserError, match=r"model\.pt2 is not there to be checked; export it without --check-only"):
        export_model.main(words)


def test_flags_stand_before_and_after_options():
    options = export_model.parse_arguments(
        ["m.pth", "INPUT.MIN_SIZE_TEST", "64", "--output", "out", "--images", "a.jpg", "b.jpg", "--format", "both"]
    )
    assert options.opts == ["INPUT.MIN_SIZE_TEST", "64"] and options.images == ["a.jpg", "b.jpg"]
    assert (options.checkpoint, options.format, options.check_only) == ("m.pth", "both", False)


@pytest.mark.slow
def test_the_examples_of_the_documentation_run(small, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    words = [small.checkpoint, "--output", str(tmp_path), "--tasks", "detection,instance,part"]
    assert export_model.main(words) == 0
    Image.open(small.images[0]).convert("RGB").resize((333, 250)).save(tmp_path / "photo.jpg")
    example, pasting, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found = {}
    exec(example.replace(">= 0.5", ">= 0.0"), found)
    assert capsys.readouterr().out.strip() == str(found["objects"])
    assert len(found["objects"]) >= 1
    for name, score, (left, top, right, bottom) in found["objects"]:
        assert name in small.vocabulary.thing_names and 0 < score <= 1
        assert 0 <= left <= right <= 333 and 0 <= top <= bottom <= 250
    expected = export.Reference(export_model.Predictor(small.checkpoint, device="cpu").network)
    assert (found["image"] == expected.input_of(found["photo"])).all()
    exec(pasting, found)
    assert found["masks"][0].shape == found["part_map"].shape == (250, 333)
    assert set(ast.literal_eval(capsys.readouterr().out)) <= set(small.vocabulary.parts.labels)


def test_the_pasting_of_the_documentation_is_that_of_the_network():
    _, pasting, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    rng, (width, height) = np.random.default_rng(0), (90, 70)
    corners = rng.uniform((-5, -5), (width, height), (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 60, (40, 2))], axis=1).astype(np.float32)
    masks, parts = rng.random((40, 14, 14), np.float32), rng.random((40, 4, 7, 7), np.float32)
    parts[::3, 0] = 1
    predictions = {"boxes": boxes, "masks": masks, "parts": parts, "scores": rng.random(40, np.float32)}
    described = {"vocabulary": json.dumps({"parts": {"labels": ["head", "torso", "leg"]}})}
    photo, scale = Image.new("RGB", (width, height)), np.array([1.5, 0.5] * 2)
    found = {"np": np, "json": json, "predictions": predictions, "described": described, "photo": photo, "scale": scale}
    exec(pasting, found)
    boxes, masks, parts, scores = (torch.as_tensor(predictions[name]) for name in predictions)
    boxes = boxes * torch.tensor([1.5, 0.5, 1.5, 0.5])
    assert np.array_equal(np.stack(found["masks"]), paste_masks(masks, boxes, photo.size).numpy())
    assert np.array_equal(found["part_map"], paste_parts(parts, boxes, scores, photo.size).numpy())
