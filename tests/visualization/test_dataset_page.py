"""The page about a data set is one file with every number and picture in it, and its scripts run in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.data.statistics import DatasetCounts, count_image, histogram_of_numbers, histogram_of_ratios
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.tasks.task import Task, tasks_of_layout
from maskrcnn_benchmark.visualization.charts import bubble_chart, heat_map, histogram_chart, short_number
from maskrcnn_benchmark.visualization.dataset_browser import draw_sample
from maskrcnn_benchmark.visualization.dataset_page import write_dataset_page

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail


@pytest.fixture
def boxes_only(truth):
    instances = BoxList([[0, 0, 9, 19]], truth.size)
    instances.add_field("labels", torch.tensor([2]))
    return ImageAnnotations(truth.size, instances)


@pytest.fixture
def page(image, truth, boxes_only, vocabulary, tmp_path):
    """The file of two images: one carries all tasks, the other boxes alone."""
    tasks = list(TASKS.values())
    images = [count_image(annotations, vocabulary, tasks) for annotations in (truth, boxes_only)]
    counts = DatasetCounts(images, vocabulary, tasks, ["train", "val"])
    samples = [
        draw_sample(image, truth, vocabulary, tasks, "</script><b>.jpg", "train"),
        draw_sample(image, boxes_only, vocabulary, tasks, "second.jpg", "val"),
    ]
    return write_dataset_page(tmp_path / "page.html", "Data <set>", [("file", "a&b.json")], counts, samples)


def embedded_json(text, name):
    (found,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def cells_of(text, first_cell):
    """Texts of the row of a table whose first cell holds a text."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    rows = [[re.sub("<[^>]+>", "", c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]
    return [row[1:] for row in rows if row and row[0] == first_cell]


def test_it_needs_no_other_file_and_no_name_can_break_it(page):
    text = page.read_text()
    assert [entry.name for entry in page.parent.iterdir()] == ["page.html"]
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "http" not in text and "@import" not in text
    assert "Data &lt;set&gt;" in text and "a&amp;b.json" in text and "<b>.jpg" not in text
    assert embedded_json(text, "samples")["samples"][0]["name"] == "</script><b>.jpg"


def test_pictures_of_every_annotated_task_are_embedded(page):
    text = page.read_text()
    index = embedded_json(text, "samples")["samples"]
    assert index[0]["tasks"] == list(TASKS) and index[1]["tasks"] == ["detection"]
    first, second = (embedded_json(text, f"sample-{i}") for i in (0, 1))
    assert set(first) == {"image", *TASKS} and set(second) == {"image", "detection"}
    sizes = {key: Image.open(io.BytesIO(base64.b64decode(picture))).size for key, picture in first.items()}
    assert all(
        width == 480 and (height > 360) == (key in ("part", "occlusion")) for key, (width, height) in sizes.items()
    )
    facts = dict(index[0]["facts"])
    assert facts["objects"] == "1 person, 1 horse" and facts["keypoints"] == "3 on 1 person, 1 occluded"
    assert facts["boundary"] == "60 edge pixels" and facts["labels"] == "person, horse, sky"


def test_tables_hold_the_counts(page):
    text = page.read_text()
    assert cells_of(text, "detection") == [["2", "100.0%", "1", "1"]]
    assert cells_of(text, "boundary detection") == [["1", "50.0%", "1", "0"]]
    (horse,) = (row for row in cells_of(text, "horse") if len(row) == 6)
    assert horse == ["2", "0", "2", "100.0%", "0.00%", f"{(np.sqrt(50 * 60) + np.sqrt(200)) / 2:.0f}"]
    assert cells_of(text, "grass")[0][0] == "–"  # no class of objects
    assert cells_of(text, "torso") == [["person", "1", "100.0%", "1,600"]]


def test_a_task_that_no_image_has_is_said_to_be_absent(image, boxes_only, vocabulary, tmp_path):
    tasks = list(TASKS.values())
    counts = DatasetCounts([count_image(boxes_only, vocabulary, tasks)], vocabulary, tasks)
    text = write_dataset_page(tmp_path / "page.html", "Boxes", [], counts, []).read_text()
    distributions, parts = (
        re.search(f'<section id="{name}">.*?</section>', text, re.DOTALL)[0] for name in ("distributions", "parts")
    )
    # masks' fill and code, joints, labels, labelled share, boundary, occlusion
    assert distributions.count("not annotated in this data set") == 7 and "not annotated" in parts
    assert "nan" not in text and cells_of(text, "boundary detection") == [["0", "0.0%"]]


class Brightness(Task):
    """One float for an image."""

    key = "brightness"
    title = "brightness & <contrast>"


def test_an_added_task_has_a_row_and_a_card_without_saying_anything(boxes_only, vocabulary, tmp_path):
    tasks = [TASKS["detection"], Brightness()]
    for value in (-0.5, 2.5):
        boxes_only.labels["brightness"] = torch.tensor([value])
        images = [count_image(boxes_only, vocabulary, tasks)] * 3
        counts = DatasetCounts(
            [*images, count_image(ImageAnnotations(boxes_only.size), vocabulary, tasks)], vocabulary, tasks
        )
        text = write_dataset_page(tmp_path / "page.html", "Added", [], counts, []).read_text()
        assert cells_of(text, "brightness &amp; &lt;contrast&gt;") == [["3", "75.0%"]]
        card = re.search(r'<figure class="card"><figcaption><b>Brightness.*?</figure>', text, re.DOTALL)[0]
        assert "Brightness &amp; &lt;contrast&gt;: value" in card and f"median {value}, mean {value}" in card
        assert "3 images" in card and "Boundary" not in text
    counts = DatasetCounts([count_image(ImageAnnotations((8, 6)), vocabulary, tasks)], vocabulary, tasks)
    text = write_dataset_page(tmp_path / "page.html", "Added", [], counts, []).read_text()
    assert re.search(r"<b>Brightness &amp; &lt;contrast&gt;</b><span></span></figcaption><p class=\"empty\">not", text)


def test_pictures_keep_to_their_budget(image, truth, vocabulary):
    def size(sample):
        return sum(len(picture) for picture in sample.pictures.values())

    tasks = list(TASKS.values())
    free, bound = (draw_sample(image, truth, vocabulary, tasks, "a", budget=budget) for budget in (10**7, 60_000))
    assert size(bound) <= 60_000 < size(free)
    assert set(bound.pictures) == set(free.pictures)


def test_a_histograms_bars_are_as_high_as_their_counts():
    svg = histogram_chart(histogram_of_numbers([0, 1, 1, 2, 2, 2, 2]), "objects", "images", 2.0)
    heights = [float(h) for h in re.findall(r'class="bar".*?height="([\d.]+)"', svg)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2) and heights[2] == pytest.approx(4 * heights[0], abs=0.3)
    assert "<title>2: 4 images</title>" in svg and 'class="median"' in svg and ">objects</text>" in svg


def test_logarithmic_axes_have_powers_of_two_and_marks():
    histogram = histogram_of_ratios(np.geomspace(8, 500, 40))
    svg = histogram_chart(histogram, "pixels", "objects", marks=[(32, "medium"), (9999, "beyond")])
    assert all(f">{number}</text>" in svg for number in (8, 16, 32, 64, 128, 256))
    assert "medium" in svg and "beyond" not in svg


def test_bubbles_count_pairs_and_join_where_there_are_too_many():
    svg = bubble_chart(np.array([[500, 375]] * 3 + [[375, 500]]), "width", "height", "images")
    assert "<title>500 x 375: 3 images</title>" in svg and svg.count("<circle") == 2
    many = np.random.default_rng(0).integers(100, 1000, (3000, 2))
    svg = bubble_chart(many, "width", "height", "images")
    assert svg.count("<circle") <= 400
    assert sum(int(number) for number in re.findall(r": (\d+) images</title>", svg)) == 3000


def test_a_heat_map_has_a_cell_per_count():
    svg = heat_map(np.array([[0, 4], [2, 1]]), "x", "y", "objects")
    assert re.findall(r"<title>(\d) objects", svg) == ["0", "4", "2", "1"]
    opacity = [float(o) for o in re.findall(r'fill-opacity="([\d.]+)"', svg)]
    assert opacity[0] == 0 and opacity[1] == 1 and opacity[2] > opacity[3] > 0


def test_numbers_on_axes_are_short():
    assert [short_number(n) for n in (0, 0.25, 950, 4096, 34_000, 5e6)] == ["0", "0.25", "950", "4,096", "34k", "5M"]


@pytest.fixture(scope="module")
def dump_dom(tmp_path_factory):
    """Function from a page to its document after its scripts have run, where a Chromium is installed and starts."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", "--disable-quic", f"--user-data-dir={folder}"]

    def dump(path):
        command = [program, *options, "--dump-dom", path.absolute().as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    plain = folder / "plain.html"
    plain.write_text("<p>it starts</p>")
    if "it starts" not in dump(plain):
        pytest.skip("the installed Chromium does not start here")
    return dump


def with_script(page, script):
    variant = page.with_name("variant.html")
    variant.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    return variant


def test_its_scripts_run_to_their_end_and_show_the_first_image(page, dump_dom):
    dom = dump_dom(page)
    assert 'data-ready="yes"' in dom
    stage = re.search(r'<div id="stage".*?<dl', dom, re.DOTALL)[0]
    assert stage.count("data:image/jpeg") == 9 and "not annotated" not in stage
    assert dom.count('aria-current=""') == 1 and "1 of 2 · 160 x 120 px · train" in dom


def test_keys_and_filters_choose_images_and_tables_sort(page, dump_dom):
    script = """
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "6" }));
    document.body.dataset.second = found("stage").textContent + "|" + found("about").textContent;
    found("by-task").value = "boundary";
    found("by-task").onchange();
    document.body.dataset.filtered = found("number").textContent + "|" + found("name").textContent;
    const table = document.querySelector("#classes table"), head = table.tHead.rows[0].cells[0];
    head.firstChild.click();
    document.body.dataset.order = [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join();
    """
    body = re.search(r"<body[^>]*>", dump_dom(with_script(page, script)))[0]
    assert 'data-second="boundary detectionnot annotated|2 of 2 · 160 x 120 px · val"' in body
    assert 'data-filtered="1 of 2 images|' in body
    assert 'data-order="grass,horse,person,sky"' in body
