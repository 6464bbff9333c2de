"""The page of pictures: a column per task, and one of scenes where the tasks are enough for it."""

import pytest

from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.engine.inference import InferenceNetwork
from maskrcnn_benchmark.experiments.pictures import draw_pictures
from maskrcnn_benchmark.tasks.task import TASKS


@pytest.mark.parametrize(
    ("keys", "titles"), [(("instance", "semantic"), ["the scene"]), (("detection", "semantic"), [])]
)
def test_a_column_of_scenes_needs_masks_and_a_semantic_map(small, tmp_path, keys, titles):
    (loader,) = make_data_loader(small.cfg, is_train=False)
    tasks, network = [TASKS[key] for key in keys], InferenceNetwork(small.model, "cpu")
    page = draw_pictures(network, loader.dataset, tasks, tmp_path / "pictures.html", 1).read_text(encoding="utf-8")
    headings = [part.partition("</h3>")[0] for part in page.split("<h3>")[1:]]
    assert headings == [*(task.title for task in tasks), *titles]
