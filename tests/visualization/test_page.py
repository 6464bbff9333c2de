"""The page holds every picture in itself, and a montage lies beside it for each image."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.visualization.page import montage, picture_page

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail


@pytest.fixture
def sample(image, ground_truth, prediction):
    return image, ground_truth, prediction, "<a> 2008_000001.jpg"


def test_the_page_embeds_image_ground_truth_and_prediction_of_every_task(sample, vocabulary, tmp_path):
    path = picture_page([sample], vocabulary, list(TASKS.values()), tmp_path / "pictures.html")
    text = path.read_text()
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(pictures) == 1 + 2 * 8
    sizes = [Image.open(io.BytesIO(base64.b64decode(p))).size for p in pictures]
    assert {width for width, _ in sizes} == {480}
    assert [height for _, height in sizes].count(360) == 1 + 2 * 6  # parts and occlusion have a legend below
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "&lt;a&gt; 2008_000001.jpg" in text and "<a>" not in text
    assert all(f"<h3>{task.title}</h3>" in text for task in TASKS.values())


def test_each_image_gets_a_montage_of_its_own(sample, vocabulary, tmp_path):
    picture_page([sample, sample], vocabulary, [TASKS["boundary"]], tmp_path / "pictures.html")
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == ["a_2008_000001.png", "a_2008_000001_2.png"]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["pictures.html"]


def test_a_montage_has_ground_truth_above_prediction(sample, vocabulary):
    image, _, _, title = sample
    panels = [[np.full((360, 480, 3), 50, np.uint8)], [np.full((360, 480, 3), 150, np.uint8)]]
    picture = montage(image, panels, [TASKS["detection"]], title)
    column = picture[:, -250, 0]
    assert np.argmax(column == 50) < np.argmax(column == 150)
    assert (column == 50).sum() == (column == 150).sum() == 358  # less the frame


def test_a_montage_has_room_for_a_legend(sample, vocabulary):
    image, _, _, title = sample
    low, high = np.zeros((360, 480, 3), np.uint8), np.full((400, 480, 3), (200, 0, 0), np.uint8)
    picture = montage(image, [[low, low], [high, low]], list(TASKS.values())[:2], title)
    assert (picture == (200, 0, 0)).all(2).sum() == 398 * 478  # less the frame


def test_a_montage_wraps_after_the_given_number_of_columns(sample, vocabulary):
    image, _, _, title = sample
    panels = [[np.zeros((360, 480, 3), np.uint8)] * 4] * 2
    tasks = list(TASKS.values())[:4]
    wide, wrapped = montage(image, panels, tasks, title), montage(image, panels, tasks, title, columns=2)
    assert wrapped.shape[1] < wide.shape[1] * 0.7
    assert wrapped.shape[0] > wide.shape[0] * 1.8


def test_an_older_page_stays_whole_when_drawing_fails(sample, vocabulary, tmp_path):
    page = tmp_path / "pictures.html"
    page.write_text("older")
    with pytest.raises(AttributeError):
        picture_page([sample], vocabulary, ["no task"], page)
    assert page.read_text() == "older"
