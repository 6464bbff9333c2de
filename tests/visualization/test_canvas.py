"""The canvas: sizes, coordinates and text that does not overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.visualization.canvas import (
    ENTRIES_SHOWN,
    Canvas,
    canvas_scale,
    enlarge_labels,
    enlarge_mask,
    message_panel,
    stacked,
    window_of,
)


@pytest.fixture
def image():
    return np.full((128, 160, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(160, 128, 3.0), (500, 375, 1.0), (2000, 1000, 0.5), (50, 500, 2.0)]
)
def test_small_images_grow_and_large_ones_shrink(width, height, scale):
    assert canvas_scale(width, height) == pytest.approx(scale)


def test_pixel_centres_land_in_the_middle_of_their_enlarged_pixel(image):
    canvas = Canvas(image)
    assert canvas.size == (480, 384)
    assert canvas.place([[0, 0], [159, 127]]).tolist() == [[1, 1], [478, 382]]


def test_overlapping_name_tags_move_to_the_next_free_spot(image):
    canvas = Canvas(np.zeros_like(image))
    canvas.label("person", [(10, 50)], (255, 0, 0))
    canvas.label("person", [(10, 50), (10, 200)], (0, 255, 0))
    picture = canvas.finish()
    reds = np.argwhere((picture == (255, 0, 0)).all(2))
    greens = np.argwhere((picture == (0, 255, 0)).all(2))
    assert reds[:, 0].max() < 60
    assert greens[:, 0].min() > 150


def test_a_name_tag_asked_for_outside_is_moved_inside(image):
    canvas = Canvas(np.zeros_like(image))
    canvas.label("aeroplane", [(470, -30)], (255, 0, 0))
    rows, columns = np.nonzero((canvas.finish() == (255, 0, 0)).all(2))
    assert len(rows) > 200
    assert columns.max() - columns.min() > 40


def test_tint_mixes_only_inside_the_mask(image):
    canvas = Canvas(image)
    mask = np.zeros((384, 480), bool)
    mask[:100, :100] = True
    canvas.tint(mask, (190, 90, 90), 0.5)
    assert canvas.pixels[50, 50].tolist() == [140, 90, 90]
    assert canvas.pixels[200, 200].tolist() == [90, 90, 90]


def test_enlarging_keeps_masks_and_labels_in_place():
    labels = np.zeros((4, 4), np.uint8)
    labels[:2] = 3
    labels[2:, 2:] = 255
    large = enlarge_labels(labels, (40, 40))
    assert sorted(np.unique(large)) == [0, 3, 255]
    assert (large[5, 5], large[35, 35], large[35, 5]) == (3, 255, 0)
    mask = enlarge_mask(labels == 3, (40, 40))
    assert mask[:18].all() and not mask[22:].any()


SIDES = st.one_of(st.integers(1, 40), st.integers(1, 1600))


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.sampled_from((None, 1.0)))
def test_legends_stand_below_the_picture_and_apart_from_one_another(width, height, counts, scale):
    image = np.full((height, width, 3), 90, np.uint8)
    canvas, plain = Canvas(image, scale=scale), Canvas(image, scale=scale)
    wheel = np.full((2 * canvas.text_size,) * 2 + (3,), (0, 0, 250), np.uint8)
    canvas.legend([("in front: left of arrow", wheel)])
    colours = []
    for place, count in enumerate(counts):
        entries = [(f"{'name ' * place}{i}", (250, 10 * i, 40 * place)) for i in range(count)]
        colours += [colour for _, colour in entries[:ENTRIES_SHOWN]]
        canvas.legend(entries)
    for drawn in (canvas, plain):
        drawn.label("tag", [(5, 30)], (255, 0, 255))
    w, h = canvas.size
    picture = canvas.finish()
    assert np.array_equal(picture[:h, :w], plain.finish())
    strip = picture[h:]
    assert (picture[:h, w:] == 255).all()
    assert (strip == (0, 0, 250)).all(2).sum() == len(wheel) ** 2  # samples are whole: nothing lies on them
    for colour in colours:
        assert (strip == colour).all(2).sum() == round(canvas.text_size * 0.8) ** 2


def test_a_legend_is_as_large_whatever_is_found(image):
    def shape(entries):
        canvas = Canvas(image)
        canvas.legend(entries, [f"a rather long name {i}" for i in range(30)])
        return canvas.finish().shape

    few, many = ([(f"a rather long name {i}", (255, 0, 0)) for i in range(count)] for count in (1, 30))
    assert shape([]) == shape(few) == shape(many)
    assert shape(many)[0] > 384 and shape(many)[1] == 480


def test_pictures_of_several_sizes_are_stacked_on_white():
    dark, pale = np.zeros((2, 3, 3), np.uint8), np.full((1, 5, 3), 9, np.uint8)
    both = stacked([dark, pale])
    assert both[:, :, 0].tolist() == [[0, 0, 0, 255, 255]] * 2 + [[9] * 5]


def test_a_message_panel_is_grey_with_words_and_has_the_canvas_size(image):
    panel = message_panel(image, "not annotated")
    assert panel.shape == (384, 480, 3)
    assert panel[0, 0].tolist() == [226, 229, 234]
    assert (panel != panel[0, 0]).any()


def test_an_image_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\], got float64 \[4, 4, 3\]"):
        Canvas(np.zeros((4, 4, 3)))


def test_labels_are_tinted_at_once_as_one_by_one(image):
    image[:] = np.random.default_rng(0).integers(0, 256, image.shape)
    labels = np.random.default_rng(1).integers(0, 4, (384, 480)).astype(np.uint8)
    colours = {1: (250, 10, 99), 3: (0, 77, 255)}
    together, apart = Canvas(image), Canvas(image)
    together.tint_labels(labels, colours, 0.72)
    for label, colour in colours.items():
        apart.tint(labels == label, colour, 0.72)
    assert np.array_equal(together.pixels, apart.pixels)


def test_a_canvas_of_a_given_scale_has_lines_and_text_in_proportion():
    large = Canvas(np.zeros((4000, 6000, 3), np.uint8), scale=1)
    assert large.size == (6000, 4000)
    usual = Canvas(np.zeros((400, 600, 3), np.uint8), scale=1)
    assert large.text_size == pytest.approx(10 * usual.text_size, rel=0.05)
    assert large.line > 8 * usual.line and large.rim > usual.rim
    ribbon = Canvas(np.zeros((60, 4000, 3), np.uint8), scale=1)
    assert ribbon.text_size == 14  # a text of the length's proportion would be higher than the picture


def test_text_of_a_crowd_is_smaller(image):
    def height(count):
        canvas = Canvas(np.zeros_like(image))
        for i in range(count):
            canvas.label("x", [(40 * (i % 10), 40 * (i // 10 + 1))], (255, 0, 0))
        rows, columns = np.nonzero((canvas.finish() == (255, 0, 0)).all(2))
        return np.ptp(rows[columns < 15][rows[columns < 15] < 42]) + 1

    assert height(30) < 0.8 * height(5)


def test_the_window_of_a_mask():
    mask = np.zeros((20, 30), bool)
    mask[3, 4] = mask[10, 8] = True
    assert window_of(mask) == (slice(3, 11), slice(4, 9))
    assert mask[window_of(np.zeros_like(mask))].size == 0
