"""The conflict matrix shows which tasks conflict, by how much, and which never met."""

import io

import numpy as np
from PIL import Image

from maskrcnn_benchmark.multitask.interactions import GradientStatistics, Interactions
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.interactions import draw_interactions


def drawn(summary):
    return np.asarray(Image.open(io.BytesIO(draw_interactions(summary, TASKS))).convert("RGB")).astype(int)


def of_two(cosine):
    """The picture of two tasks after one look, which saw them together unless the cosine is None."""
    interactions = Interactions(["semantic", "part"])
    cosines = {} if cosine is None else {("semantic", "part"): cosine}
    interactions.record(GradientStatistics({"semantic": 1.0, "part": 3.0}, cosines))
    return drawn(interactions.summary())


def count(picture, red, green, blue):
    """Pixels of about that colour."""
    return (abs(picture - (red, green, blue)) < 12).all(axis=2).sum()


def test_a_conflict_is_red_and_a_common_way_blue():
    # the ends of the range of colours, which the largest cosine takes: two cells of equal size
    red, blue = (103, 0, 31), (5, 48, 97)
    against, along = of_two(-0.4), of_two(0.4)
    assert count(against, *red) > 50_000 and count(against, *blue) == 0
    assert count(along, *blue) > 50_000 and count(along, *red) == 0


def test_small_cosines_are_pale():
    assert count(of_two(-0.01), 103, 0, 31) == 0


def test_the_share_of_conflicts_has_colours_of_its_own():
    always, never = (127, 39, 4), (255, 245, 235)
    assert count(of_two(-0.4), *always) > 50_000 and count(of_two(0.4), *always) == 0
    assert count(of_two(0.4), *never) > 50_000


def test_the_longest_bar_is_the_largest_norm():
    picture = of_two(0.1)
    bars = (abs(picture - (0x00, 0x72, 0xB2)) < 8).all(axis=2)[:, -360:].sum(axis=1)
    first, second = bars[:300].max(), bars[300:].max()
    assert abs(second / first - 3) < 0.1


def test_tasks_that_never_met_stay_grey():
    met, apart = of_two(0.4), of_two(None)
    assert count(apart, 0xEC, 0xEC, 0xEC) > count(met, 0xEC, 0xEC, 0xEC) + 100_000


def test_all_eight_tasks_keep_the_size_of_their_cells():
    interactions = Interactions(list(TASKS))
    interactions.record(GradientStatistics(dict.fromkeys(TASKS, 1.0), {}))
    height, width, _ = drawn(interactions.summary()).shape
    assert height > 8 * 0.6 * 150 and width > 2 * 8 * 0.6 * 150
