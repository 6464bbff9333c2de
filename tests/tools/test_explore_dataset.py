"""tools/explore_dataset.py makes its page of files in Detail's and COCO's layouts and of a config's data set."""

import json
import re
import sys
from pathlib import Path

import pytest
import toy_panoptic
from mtl_sets import draw_scene, write_nyud, write_pascal

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
tool = import_file("explore_dataset", ROOT / "tools" / "explore_dataset.py")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return write_mini_detail(tmp_path_factory.mktemp("data") / "mini_detail", 6, 4, seed=3)


def run(monkeypatch, folder, *arguments):
    """The page's text."""
    page = folder / "new" / "page.html"
    monkeypatch.setattr(sys, "argv", ["explore_dataset.py", *map(str, arguments), "--output", str(page)])
    tool.main()
    return page.read_text()


def samples_of(text):
    return json.loads(re.search(r'id="samples">(.*?)</script>', text, re.DOTALL)[1])["samples"]


def images_by_phase(text):
    row = re.search(r"<tr><td>all images</td>(.*?)</tr>", text)[1]
    return [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_in_details_layout(mini, tmp_path, monkeypatch, capsys, workers):
    arguments = ("--annotations", mini / "annotations.json", "--images", mini / "images", "--sample", 5)
    text = run(monkeypatch, tmp_path, *arguments, "--workers", workers)
    assert images_by_phase(text) == ["10", "100.0%", "6", "4"]
    samples = samples_of(text)
    assert [sample["name"] for sample in samples] == [f"2008_00000{n}.jpg" for n in (1, 3, 5, 7, 9)]
    assert [sample["phase"] for sample in samples] == ["train"] * 3 + ["val"] * 2
    assert "10 images counted, 5 drawn" in capsys.readouterr().out


def test_fewer_images_are_spread_evenly(mini, tmp_path, monkeypatch):
    arguments = ("--annotations", mini / "annotations.json", "--limit", 2, "--workers", 0)
    text = run(monkeypatch, tmp_path, *arguments)
    assert images_by_phase(text)[0] == "2" and "evenly spread over 10" in text
    assert [sample["name"] for sample in samples_of(text)] == ["2008_000001.jpg", "2008_000006.jpg"]
    assert "grey stands for them" in text  # no folder of images was named


def test_a_configs_data_set(mini, tmp_path, monkeypatch):
    config = ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml"
    arguments = ("--config-file", config, "--dataset", "mini_detail_val", "DATASETS.DATA_DIR", mini.parent)
    text = run(monkeypatch, tmp_path, *arguments, "--sample", 1, "--workers", 0)
    assert images_by_phase(text) == ["4", "100.0%", "4"] and "Data set mini_detail_val" in text


def test_samples_as_training_gets_them(mini, tmp_path, monkeypatch):
    config = ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml"
    options = ("DATASETS.DATA_DIR", mini.parent, "INPUT.COPY_PASTE", 1.0, "INPUT.MIN_SIZE_TRAIN", "(64,)")
    arguments = ("--config-file", config, "--augmented", "--sample", 3, "--workers", 0, *options)
    text = run(monkeypatch, tmp_path, *arguments)
    samples = samples_of(text)
    assert [sample["phase"] for sample in samples] == ["val"] * 3 and "as training gets them" in text
    assert all(64 in sample["size"] for sample in samples)
    assert samples_of(run(monkeypatch, tmp_path, *arguments)) == samples  # the same every time


def test_a_file_in_cocos_layout(tmp_path, monkeypatch):
    rows = [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 9], "area": 36, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0},
    ]
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 10} for i in (1, 2)],
        "categories": [{"id": 7, "name": "<cat>"}],
        "annotations": rows,
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    text = run(monkeypatch, tmp_path, "--annotations", tmp_path / "coco.json", "--workers", 0)  # it is recognised
    assert images_by_phase(text) == ["2", "100.0%"]
    assert "&lt;cat&gt;" in text and "<cat>" not in text.replace('"<cat>"', "")
    assert dict(samples_of(text)[0]["facts"])["objects"] == "2 <cat>"


def test_a_file_in_cocos_panoptic_layout(tmp_path, monkeypatch):
    path = toy_panoptic.save(tmp_path, toy_panoptic.content())
    text = run(monkeypatch, tmp_path, "--annotations", path, "--workers", 0)
    facts = [dict(sample["facts"]) for sample in samples_of(text)]
    assert facts[1]["panoptic"] == "4 segments (1 crowd); 6% of the pixels void"
    assert facts[0]["panoptic"] == "1 segment; 0% of the pixels void" and "panoptic" not in facts[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--sample", "-1"), "argument --sample: '-1' is not an integer from 0 to"),
        (("--limit", "0"), "argument --limit: '0' is not an integer from 1 to"),
        ((), "either --config-file FILE or --annotations FILE"),
        (("--annotations", "a.json", "--dataset", "b"), "--dataset and KEY VALUE go with --config-file"),
        (("--annotations", "nowhere.json"), "nowhere.json"),
        (("--annotations", "a.json", "--augmented"), "--augmented goes with --config-file"),
    ],
)
def test_what_a_user_gets_wrong_is_named(tmp_path, monkeypatch, arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        run(monkeypatch, tmp_path, *arguments)


def test_an_image_that_is_missing_is_named(mini, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    arguments = ("--annotations", mini / "annotations.json", "--images", tmp_path / "empty", "--workers", 0)
    with pytest.raises(UserError, match=r"no such image: .*2008_000001\.jpg"):
        run(monkeypatch, tmp_path, *arguments)


def test_that_the_page_cannot_be_written_is_said_before_anything_is_counted(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "each_image", None)
    (tmp_path / "new" / "page.html").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*page\.html: Is a directory"):
        run(monkeypatch, tmp_path, "--annotations", mini / "annotations.json", "--workers", 0)


def test_multi_task_archives_of_a_config(tmp_path, monkeypatch):
    scenes = {"0001": draw_scene(), "0002": draw_scene(with_person=False)}
    write_pascal(tmp_path / "pascal_context_mtl", scenes)
    write_nyud(tmp_path / "nyud_mtl", scenes)
    config = ("--config-file", ROOT / "configs" / "detail" / "mini_semantic_R_18_FPN.yaml", "--sample", 2)
    for name, label in (("pascal_context_mtl_train", "tvmonitor"), ("nyud_mtl_val", "otherfurniture")):
        text = run(monkeypatch, tmp_path, *config, "--dataset", name, "--workers", 0, "DATASETS.DATA_DIR", tmp_path)
        assert images_by_phase(text)[0] == "2" and label in text
        assert len(samples_of(text)) == 2
