"""Answering, keeping and drawing anew, without a page."""

import io
import json
import threading
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.demo import markup
from maskrcnn_benchmark.demo.session import Demo, Kept, Shown, View
from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

TASKS = ("detection", "semantic", "boundary", "classification")


@pytest.fixture(scope="module")
def predictor(small):
    return Predictor(small.checkpoint, device="cpu")


@pytest.fixture
def demo(predictor, small):
    return Demo(predictor, small.images)


@pytest.fixture
def shown(demo, small):
    return demo.kept.get(demo.predict(small.images[0]))


def view_of(demo, tasks=TASKS, **thresholds):
    values = {**demo.predictor.thresholds, **thresholds}
    return demo.view([task in tasks for task in demo.tasks], [values[task] for task in demo.tasks])


def test_thresholds_move_pictures_and_tables_and_the_network_is_not_run_again(demo, shown):
    few, all_of_them = view_of(demo, detection=1.0), view_of(demo, detection=0.0)
    assert shown.objects(few) == [] and len(shown.objects(all_of_them)) > 0
    before, after = shown.panels(few), shown.panels(all_of_them)
    assert before["detection"] != after["detection"]
    assert before["semantic"] == after["semantic"] and before["boundary"] == after["boundary"]
    assert shown.labels(view_of(demo, classification=0.0)) and not shown.labels(view_of(demo, classification=1.0))
    assert demo.passes == 1


def test_rows_are_the_results_of_the_network(demo, shown, small):
    rows = shown.objects(view_of(demo, detection=0.0))
    expected = demo.predictor(small.images[0]).with_thresholds({"detection": 0.0}).detection
    assert [row[0] for row in rows] == expected.names
    np.testing.assert_allclose([row[1] for row in rows], expected.scores)
    np.testing.assert_allclose([row[2] for row in rows], expected.boxes)
    labels = shown.labels(view_of(demo, classification=0.0))
    assert [value for _, value in labels] == sorted((value for _, value in labels), reverse=True)
    assert {name for name, _ in labels} == set(demo.predictor.vocabulary.image_label_names)


def test_only_the_tasks_that_are_on_are_drawn(demo, shown):
    assert list(shown.panels(view_of(demo, ("semantic", "boundary")))) == ["image", "semantic", "boundary"]
    assert list(shown.panels(view_of(demo, ()))) == ["image"]
    none, one, four = (shown.picture(view_of(demo, tasks)).size for tasks in ((), ("semantic",), TASKS))
    assert none[0] < one[0] < four[0] and none[1] == one[1] < four[1]


def test_each_layout_is_drawn_and_another_is_refused(demo, shown):
    switches, thresholds = [True] * 4, [0.5] * 4
    assert demo.layouts == ("grid", "overlay")  # without masks there is no scene
    sizes = {layout: shown.picture(demo.view(switches, thresholds, layout)).size for layout in demo.layouts}
    assert len(set(sizes.values())) == len(demo.layouts)
    for layout in demo.layouts[1:]:
        data = shown.panels(demo.view(switches, thresholds, layout))
        assert list(data) == [layout] and Image.open(io.BytesIO(data[layout])).size == sizes[layout]
    with pytest.raises(UserError, match="no layout mosaic"):
        demo.view(switches, thresholds, "mosaic")


def test_a_scene_is_one_picture_its_words_and_in_the_json():
    size = width, height = 40, 20
    cat = BoxList(torch.tensor([[0.0, 0, 19, 19]]), size)
    for name, value in (("labels", torch.tensor([1])), ("scores", torch.tensor([0.9]))):
        cat.add_field(name, value)
    cat.add_field("mask", torch.ones(1, 1, height, width) * (torch.arange(width) < 20))
    prediction = ImagePrediction(size, cat, semantic=ScoreMap(torch.ones(1, height, width), size))
    keys, vocabulary = ("detection", "instance", "semantic"), Vocabulary(("cat",), ("grass",))
    shown = Shown(PredictedImage(np.zeros((height, width, 3), np.uint8), prediction, vocabulary, keys), 0.1)
    shown.view = View((), {}, "scene")
    assert list(shown.panels(shown.view)) == ["scene"]
    assert markup.describe(shown, shown.view)["scene"] == "cat 0.90; grass"
    assert [row["name"] for row in json.loads(shown.json())["scene"]["segments"]] == ["cat", "grass"]


def test_a_panel_is_a_picture_of_the_drawing(demo, shown):
    data = shown.panels(view_of(demo))["boundary"]
    drawn = np.asarray(shown.predicted.draw("boundary"), dtype=int)
    decoded = np.asarray(Image.open(io.BytesIO(data)), dtype=int)
    assert decoded.shape == drawn.shape and abs(decoded - drawn).mean() < 4


def test_the_json_holds_everything_whatever_is_switched_on(demo, shown):
    shown.panels(view_of(demo, ("boundary",), detection=1.0))
    tree = json.loads(shown.json())
    assert (tree["width"], tree["height"]) == shown.predicted.size and set(tree["maps"]) >= {"semantic", "boundary"}


def test_one_forward_pass_at_a_time(demo, small, monkeypatch):
    running, most = [], []
    predict = demo.predictor.predict

    def slowly(frames):
        running.append(1)
        most.append(len(running))
        predicted = predict(frames)
        running.pop()
        return predicted

    monkeypatch.setattr(demo.predictor, "predict", slowly)
    users = [threading.Thread(target=demo.predict, args=(small.images[0],)) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert most == [1] * 4 and demo.passes == 4 and len(demo.kept) == 4


def test_an_upload_that_is_refused_leaves_the_network_alone(demo, tmp_path):
    (tmp_path / "a.jpg").write_text("words")
    with pytest.raises(UserError, match="no image"):
        demo.predict(tmp_path / "a.jpg")
    assert demo.passes == 0 and len(demo.kept) == 0


@pytest.mark.parametrize("size", [(1, 1), (40, 400), (400, 40)])
def test_unusual_shapes_are_predicted_on_and_drawn(demo, tmp_path, size):
    Image.new("RGB", size, "teal").save(tmp_path / "a.png")
    shown = demo.kept.get(demo.predict(tmp_path / "a.png"))
    assert list(shown.panels(view_of(demo))) == ["image", *TASKS]


@pytest.mark.parametrize("index", [-1, 6, None, "0"])
def test_there_is_no_sample_beside_those_that_are_offered(demo, index):
    with pytest.raises(UserError, match="no such sample"):
        demo.sample(index)


class Thing:
    def __init__(self, nbytes):
        self.nbytes = nbytes


def test_beyond_its_bytes_the_image_that_nobody_looked_at_longest_is_forgotten():
    kept = Kept(most_bytes=10)
    first, second = kept.put(Thing(4)), kept.put(Thing(4))
    kept.get(first)
    third = kept.put(Thing(4))
    assert kept.get(first) and kept.get(third) and len(kept) == 2
    with pytest.raises(UserError, match="no longer kept"):
        kept.get(second)
    huge = kept.put(Thing(99))  # the newest is kept in any case
    assert len(kept) == 1 and kept.get(huge).nbytes == 99
    kept.drop(huge)
    kept.drop(huge)
    assert len(kept) == 0


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, data):
        self.text += data


def test_names_from_outside_are_text_not_html(demo, shown):
    shown.predicted.name = "<img src=x onerror=alert(1)>"
    read = Reader(markup.summary(shown, 1) + markup.message("<script>alert(1)</script> & more"))
    assert "img" not in read.tags and "script" not in read.tags
    assert "<img src=x onerror=alert(1)>" in read.text and "<script>alert(1)</script> & more" in read.text


def test_pictures_are_described_for_those_who_cannot_see_them(demo, shown):
    view = view_of(demo, detection=0.0)
    read = Reader(markup.pictures(shown.panels(view), markup.describe(shown, view)))
    images = [a for tag, a in zip(read.tags, read.attributes) if tag == "img"]
    assert [a["alt"].partition(":")[0] for a in images][:2] == ["image", "detection"]
    name, score, _ = shown.objects(view)[0]
    assert f"{name} {score:.2f}" in images[1]["alt"]
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in images)


def test_tables_say_it_when_nothing_reaches_a_threshold(demo, shown):
    vocabulary = demo.predictor.vocabulary
    assert "None reaches" in markup.objects_table([], vocabulary) and "None reaches" in markup.labels_table(
        [], vocabulary
    )
    assert markup.objects_table(None, vocabulary) == ""
    name = vocabulary.thing_names[0]
    read = Reader(markup.objects_table([(name, 0.75, [1.2, 2.0, 30.0, 4.0])], vocabulary))
    assert read.text.startswith("1 object") and name in read.text and "0.75" in read.text
