"""Every task draws itself: where things are, in the colours of their names, over what the image shows."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.keypoint import JointSet, Keypoints
from maskrcnn_benchmark.structures.objects import ObjectsWithValues
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.keypoint import LEFT_SIDE, MIDDLE, RIGHT_SIDE
from maskrcnn_benchmark.tasks.task import Task, tasks_of_layout
from maskrcnn_benchmark.visualization.canvas import Canvas, message_panel
from maskrcnn_benchmark.visualization.palette import class_colours, direction_colours, part_colours

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_ground_truth_and_prediction_are_drawn_at_the_canvas_size(task, image, ground_truth, prediction, vocabulary):
    before = image.copy()
    for known in (ground_truth, prediction):
        picture = task.draw(image, known, vocabulary)
        assert (len(picture) > 360) == (task.key in ("part", "occlusion"))  # these have a legend below
        assert picture.shape == (max(360, len(picture)), 480, 3)
        assert picture.dtype == np.uint8
        assert not np.array_equal(picture, message_panel(image, "not annotated"))
        assert not np.array_equal(picture, message_panel(image, "not predicted"))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_a_task_of_which_nothing_is_known_is_a_grey_panel_that_says_so(task, image, vocabulary):
    size = (image.shape[1], image.shape[0])
    annotated = task.draw(image, ImageAnnotations(size), vocabulary)
    predicted = task.draw(image, ImagePrediction(size), vocabulary)
    assert np.array_equal(annotated, message_panel(image, "not annotated"))
    assert np.array_equal(predicted, message_panel(image, "not predicted"))
    assert task.view(ImagePrediction(size), vocabulary, 0.5) is None


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_drawing_twice_gives_the_same_picture(task, image, prediction, vocabulary):
    first, second = (task.draw(image, prediction, vocabulary) for _ in range(2))
    assert np.array_equal(first, second)


def pixels_of(picture, colour):
    return np.argwhere((picture == np.array(colour)).all(2))


def test_a_box_is_drawn_around_its_pixels(image, ground_truth, vocabulary):
    picture = TASKS["detection"].draw(np.zeros_like(image), ground_truth, vocabulary)
    rows, columns = pixels_of(picture, class_colours(vocabulary)["horse"]).T
    # columns 90..139 of the image cover 270..419 of the canvas, three times as large
    assert columns.min() == pytest.approx(270, abs=2)
    assert columns.max() == pytest.approx(419, abs=2)
    assert rows.max() == pytest.approx(269, abs=2)


def test_a_prediction_with_a_low_score_is_left_out(image, prediction, vocabulary):
    picture = TASKS["detection"].draw(image, prediction, vocabulary)
    assert len(pixels_of(picture, class_colours(vocabulary)["person"])) > 500
    assert len(pixels_of(picture, class_colours(vocabulary)["horse"])) == 0


def test_a_mask_tints_its_object_and_nothing_else(image, ground_truth, prediction, vocabulary):
    ground = np.full_like(image, 100)
    mixed = np.round((np.array(class_colours(vocabulary)["person"]) + 100) / 2)
    for known in (ground_truth, prediction):
        picture = TASKS["instance"].draw(ground, known, vocabulary).astype(float)
        assert np.abs(picture[200, 80] - mixed).max() <= 1
        assert picture[30, 80].tolist() == [100, 100, 100]


def test_joints_have_the_colour_of_their_side_and_occluded_ones_are_hollow(image, ground_truth, vocabulary):
    picture = TASKS["keypoint"].draw(np.zeros_like(image), ground_truth, vocabulary)
    assert picture[106, 121].tolist() == list(MIDDLE)  # the head, at (40, 35)
    assert picture[181, 166].tolist() == [255, 255, 255]  # the left shoulder, at (55, 60), is occluded
    assert picture[181, 171].tolist() == list(LEFT_SIDE)


def test_predicted_joints_of_other_classes_are_not_drawn(image, prediction, vocabulary):
    prediction.instances.add_field("labels", torch.tensor([2, 2]))
    picture = TASKS["keypoint"].draw(np.zeros_like(image), prediction, vocabulary)
    assert len(pixels_of(picture, LEFT_SIDE)) == 0


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_a_legend_needs_no_names(task):
    assert all(isinstance(title, str) for title, _ in task.legend(Vocabulary(("crate",))))


def test_sides_are_those_that_a_mirror_exchanges_whatever_letter_a_name_begins_with(image):
    joints = JointSet.from_names(("root", "eye_left", "eye_right", "lip"))
    places = torch.tensor([[[20.0, 20, 1], [60, 20, 1], [100, 20, 1], [140, 20, 1]]])
    people = BoxList(torch.tensor([[10.0, 10, 150, 100]]), (160, 120))
    people.add_field("labels", torch.tensor([1]))
    people.add_field("keypoints", Keypoints(places, (160, 120), joints=joints))
    vocabulary = Vocabulary(("hand",), joints=joints)
    picture = TASKS["keypoint"].draw(np.zeros_like(image), ImageAnnotations((160, 120), people=people), vocabulary)
    row = [picture[61, 3 * x + 1].tolist() for x in (20, 60, 100, 140)]
    assert row == [list(MIDDLE), list(LEFT_SIDE), list(RIGHT_SIDE), list(MIDDLE)]


def test_parts_are_painted_on_their_pixels(image, ground_truth, prediction, vocabulary):
    head, torso = part_colours(vocabulary)[1:3].astype(int)
    for known in (ground_truth, prediction):
        picture = TASKS["part"].draw(np.zeros_like(image), known, vocabulary).astype(int)
        ground = 64  # black, with a quarter of white
        assert np.abs(picture[110, 120] - (0.75 * head + 0.25 * ground)).max() <= 2
        assert np.abs(picture[220, 120] - (0.75 * torso + 0.25 * ground)).max() <= 2
        assert picture[200, 340].tolist() == [ground] * 3  # the horse, whose parts nobody annotated


def test_a_part_map_of_the_whole_image_is_drawn_like_parts_of_regions(image, vocabulary):
    scores = torch.zeros(7, 120, 160)
    scores[0] = 1
    scores[3, 60:, :80] = 2
    known = ImagePrediction((160, 120), part_map=ScoreMap(scores, (160, 120)))
    picture = TASKS["part"].draw(np.zeros_like(image), known, vocabulary).astype(int)
    upper_arms = part_colours(vocabulary)[3].astype(int)
    assert np.abs(picture[270, 120] - (0.75 * upper_arms + 16)).max() <= 2
    assert picture[90, 400].tolist() == [64, 64, 64]


def test_an_image_without_objects_says_that_there_are_none(image, vocabulary):
    empty = BoxList(torch.zeros(0, 4), (160, 120))
    empty.add_field("labels", torch.zeros(0, dtype=torch.int64))
    empty.add_field("scores", torch.zeros(0))
    empty.add_field("mask", torch.zeros(0, 1, 28, 28))
    picture = TASKS["instance"].draw(np.zeros_like(image), ImagePrediction((160, 120), empty), vocabulary)
    rows, columns = np.nonzero(picture.max(2))
    assert rows.min() > 300 and columns.max() < 300


def test_semantic_classes_are_tinted_and_unlabelled_pixels_are_not(image, ground_truth, vocabulary):
    picture = TASKS["semantic"].draw(np.zeros_like(image), ground_truth, vocabulary).astype(int)
    person = np.array(class_colours(vocabulary)["person"])
    ground = round(0.3 * 255)
    assert np.abs(picture[110, 100] - (0.72 * person + 0.28 * ground)).max() <= 2
    assert np.abs(picture[340, 240] - ground).max() <= 1


def test_true_boundaries_are_dark_on_white(image, ground_truth, vocabulary):
    picture = TASKS["boundary"].draw(image, ground_truth, vocabulary)
    assert picture[180, 177:180].max() < 40
    assert picture[180, 100].tolist() == [255, 255, 255]


def test_a_predicted_boundary_below_one_half_is_paler_than_any_above(image, prediction, vocabulary):
    scores = prediction.boundary.scores
    scores[:] = 0
    scores[0, :, 20:40], scores[0, :, 60:80] = 0.49, 0.5
    picture = TASKS["boundary"].draw(image, prediction, vocabulary)
    assert 150 < picture[180, 90, 0] < 255
    assert picture[180, 210, 0] < 100


def test_a_one_pixel_boundary_survives_a_large_image_that_is_shown_smaller(vocabulary):
    edges = torch.zeros(1500, 2000, dtype=torch.uint8)
    edges[701] = 1
    picture = TASKS["boundary"].draw(
        np.zeros((1500, 2000, 3), np.uint8), ImageAnnotations((2000, 1500), boundary=BoundaryMap(edges)), vocabulary
    )
    assert picture.shape == (750, 1000, 3)
    assert (picture[349:352].min(0) < 60).all()


@pytest.mark.parametrize("which", ["ground_truth", "prediction"])
def test_the_glow_is_on_the_side_in_front(image, vocabulary, which, request):
    picture = TASKS["occlusion"].draw(image, request.getfixturevalue(which), vocabulary).astype(int)
    assert (picture[120:240, 178] == direction_colours(-np.pi / 2)).all(1).mean() > 0.3  # the rest is under arrows
    chroma = picture.max(2) - picture.min(2)
    assert chroma[120:240, 170:176].mean() > 20  # left of the edge at columns 177..179: the person
    assert chroma[120:240, 182:188].mean() < 8


def test_true_labels_are_ticked_in_their_colours(image, ground_truth, vocabulary):
    picture = TASKS["classification"].draw(image, ground_truth, vocabulary)
    colours = class_colours(vocabulary)
    shown = {name: (picture == colours[name]).all(2).any() for name in vocabulary.image_label_names}
    assert shown == {"person": True, "horse": True, "sky": True, "grass": False}


def test_a_bar_is_as_long_as_its_probability(image, prediction, vocabulary):
    picture = TASKS["classification"].draw(image, prediction, vocabulary)
    colours = class_colours(vocabulary)
    length = {name: np.ptp(np.nonzero((picture == colours[name]).all(2))[1]) for name in ("person", "horse", "sky")}
    assert length["person"] / length["sky"] == pytest.approx(0.9, abs=0.01)
    assert length["horse"] / length["sky"] == pytest.approx(0.6, abs=0.01)


class Further(Task):
    """A task that says nothing of how it is drawn."""

    key = "further"
    title = "further"

    def __init__(self, per="image"):
        self.per = per


def further(output, size=(160, 120)):
    return ImagePrediction(size, outputs={"further": output})


def overlaid(task, image, known, vocabulary, threshold=0.5):
    canvas = Canvas(image)
    task.overlay(canvas, known, vocabulary, {task: threshold})
    return canvas.finish()


def test_a_map_of_one_channel_is_light_and_dark_with_an_outline_at_the_threshold(image, vocabulary):
    scores = torch.zeros(1, 120, 160)
    scores[:, :, :80] = 1
    label = SemanticMap(scores[0].byte())
    ground = np.full_like(image, 100)
    for known in (further(ScoreMap(scores, (160, 120))), ImageAnnotations((160, 120), labels={"further": label})):
        for picture in (Further().draw(ground, known, vocabulary), overlaid(Further(), ground, known, vocabulary)):
            assert picture[200, 100].tolist() == [100] * 3 and picture[200, 400].tolist() == [20] * 3
            assert pixels_of(picture, (255, 176, 0))[:, 1].max() == pytest.approx(240, abs=3)
    faint = further(ScoreMap(scores * 0.4, (160, 120)))
    assert len(pixels_of(Further().draw(ground, faint, vocabulary), (255, 176, 0))) == 0
    assert len(pixels_of(Further().draw(ground, faint, vocabulary, threshold=0.3), (255, 176, 0))) > 0


def test_a_map_of_any_values_is_a_heat_map_with_a_scale(image, vocabulary):
    depth = torch.linspace(2, 9, 160).expand(1, 120, 160).clone()
    depth[..., :20] = torch.nan
    picture = Further().draw(np.full_like(image, 100), further(ScoreMap(depth, (160, 120))), vocabulary).astype(int)
    assert (picture[180, 30] == 100).all()  # nobody knows
    near, far = picture[180, 150], picture[180, 330]
    assert near[1] < far[1] and np.abs(near - far).sum() > 60  # viridis grows lighter
    assert not np.array_equal(picture[180, 150], picture[180, 240])


def test_several_channels_are_false_colours(image, vocabulary):
    normals = torch.zeros(3, 120, 160)
    normals[0, :, :80], normals[0, :, 80:] = 1, -1
    picture = Further().draw(np.zeros_like(image), further(ScoreMap(normals, (160, 120))), vocabulary)
    left, right = picture[180, 100], picture[180, 380]
    assert left[0] > right[0] + 150 and left[1] == right[1] == left[2]
    many = torch.zeros(5, 120, 160)
    many[1, :, :80], many[4, :, 80:] = 1, 1
    picture = Further().draw(np.zeros_like(image), further(ScoreMap(many, (160, 120))), vocabulary)
    assert np.abs(picture[180, 100].astype(int) - picture[180, 380]).sum() > 60


def test_numbered_labels_have_a_colour_each_and_unknown_ones_none(image, vocabulary):
    labels = torch.full((120, 160), 255, dtype=torch.uint8)
    labels[:, :50], labels[:, 50:100] = 3, 7
    known = ImageAnnotations((160, 120), labels={"further": SemanticMap(labels)})
    picture = Further().draw(np.full_like(image, 100), known, vocabulary).astype(int)
    three, seven, unknown = (picture[180, x] for x in (75, 225, 400))
    assert (unknown == 100).all() and (three != 100).any() and (three != seven).any()


def test_a_vector_is_drawn_as_bars(image, vocabulary):
    known = further(torch.tensor([0.5, -2.0, 4.0]))
    picture = Further().draw(image, known, vocabulary)
    assert picture.shape == (360, 480, 3) and (picture == 255).mean() > 0.5
    widths = [np.count_nonzero(np.ptp(row, axis=1) > 40) for row in picture[:, 200:410]]
    lengths = [width for width in dict.fromkeys(widths) if width]
    assert lengths == pytest.approx([206, 26, 103], abs=2)  # 4, 0.5, -2
    assert not np.array_equal(overlaid(Further(), image, known, vocabulary), Canvas(image).finish())


def test_a_value_of_each_object_is_a_text_at_its_box(image, prediction, vocabulary):
    ages = torch.tensor([31.5, 4.25])
    prediction.instances.add_field("further", ages)
    task = Further("region")
    picture = task.draw(np.zeros_like(image), prediction, vocabulary, threshold=0.1)
    assert all(len(pixels_of(picture, class_colours(vocabulary)[name])) > 300 for name in ("person", "horse"))
    one = task.draw(np.zeros_like(image), prediction, vocabulary)
    assert len(pixels_of(one, class_colours(vocabulary)["horse"])) == 0  # its score is 0.2
    found = task.view(prediction, vocabulary, 0.1)
    assert isinstance(found, ObjectsWithValues) and found.names == ["person", "horse"]
    assert found.values.tolist() == ages.tolist() and len(task.view(prediction, vocabulary, 0.5)) == 1
    empty = task.draw(np.zeros_like(image), prediction, vocabulary, threshold=1.0)
    assert 0 < (empty > 0).any(2).mean() < 0.1  # a note that there is none


def test_a_view_is_the_scores_of_a_map_or_the_vector_itself(vocabulary):
    scores, vector = torch.rand(2, 120, 160), torch.rand(4)
    assert Further().view(further(ScoreMap(scores, (160, 120))), vocabulary, 0.5) is scores
    assert Further("derived").view(further(vector), vocabulary, 0.5) is vector
    assert Further().view(ImagePrediction((160, 120)), vocabulary, 0.5) is None
