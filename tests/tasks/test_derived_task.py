"""Tasks that are made from the outputs of others, without a head."""

import pytest
import torch
from added_tasks import registered

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.tasks.task import TASKS, Task, enabled_tasks


class Surprise(Task):
    """Entropy of the semantic scores."""

    key = "surprise"
    title = "entropy of classes"
    switch = "SURPRISE_ON"
    headline = "mean"
    per = "derived"
    requires = ("semantic",)

    def derive(self, outputs, vocabulary):
        def entropy():
            self.computed += 1
            p = outputs["semantic"].scores.softmax(dim=0)
            return -(p * p.log()).sum(dim=0, keepdim=True)

        return ScoreMap.computed(entropy, outputs["semantic"].size)

    computed = 0


class Crowded(Task):
    """How surprising an image is per object: made from a derived output and one per region."""

    key = "crowded"
    title = "surprise per object"
    switch = "CROWDED_ON"
    headline = "mean"
    per = "derived"
    requires = ("surprise", "instance")

    def derive(self, outputs, vocabulary):
        return outputs["surprise"].scores.mean()[None] / len(outputs["detection"])


@pytest.fixture
def derived():
    tasks = [Crowded(), Surprise()]
    with registered(*reversed(tasks)):
        yield tasks


def prediction(*left_out):
    outputs = {
        "semantic": ScoreMap(torch.zeros(4, 6, 8), (8, 6)),
        "detection": BoxList(torch.tensor([[0.0, 0, 3, 3], [1, 1, 4, 4]]), (8, 6)),
    }
    return ImagePrediction((8, 6), outputs={key: outputs[key] for key in outputs if key not in left_out})


def test_outputs_are_made_of_others_where_these_are_there(derived):
    made = derive_outputs(prediction(), TASKS.values(), None)
    torch.testing.assert_close(made.outputs["surprise"].scores, torch.full((1, 6, 8), 4.0).log())
    assert made.outputs["crowded"].item() == pytest.approx(torch.tensor(4.0).log().item() / 2)
    assert list(derive_outputs(prediction("detection"), derived, None).outputs) == ["semantic", "surprise"]
    assert list(derive_outputs(prediction("semantic"), derived, None).outputs) == ["detection"]
    plain = prediction()
    assert derive_outputs(plain, (), None) is plain
    assert derive_outputs(made, derived, None) is made


def test_a_map_is_computed_when_it_is_read(derived):
    surprise = derived[1]
    made = derive_outputs(prediction(), [surprise], None)
    larger = made.resize((16, 12)).to("cpu")
    assert surprise.computed == 0 and made.resize((8, 6)).outputs["surprise"] is made.outputs["surprise"]
    assert larger.outputs["surprise"].scores.shape == (1, 12, 16) and surprise.computed == 1
    assert made.outputs["surprise"].labels.shape == (6, 8) and surprise.computed == 1
    with pytest.raises(ValueError, match=r"must be \['C', 6, 8\].* but are \[6, 8\]"):
        _ = ScoreMap.computed(lambda: torch.zeros(6, 8), (8, 6)).scores


def test_a_network_has_no_head_for_it(derived):
    config = cfg.clone()
    config.merge_from_list(["MODEL.BACKBONE.CONV_BODY", "R-18-FPN", "MODEL.SEMANTIC_ON", True])
    config.merge_from_list(["MODEL.DETECTION_ON", False, "MODEL.SURPRISE_ON", True])
    assert [task.key for task in enabled_tasks(config)] == ["semantic", "surprise"]
    assert list(build_detection_model(config).fpn_heads.heads) == ["semantic"]
