"""The methods in docs/multitask.md, run as they stand there."""

import re
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.tasks.task import enabled_tasks

DOCS = Path(__file__).parents[2] / "docs" / "multitask.md"


@pytest.fixture
def own_methods(monkeypatch):
    """Registers what the script in the docs does, for one test."""
    (script,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    before = dict(WEIGHTINGS), dict(AGGREGATIONS)
    exec(compile(script, DOCS.name, "exec"), {"__name__": "own_methods"})
    yield
    for registry, entries in zip((WEIGHTINGS, AGGREGATIONS), before):
        registry.clear()
        registry.update(entries)
    cfg.remove(cfg.record_of("MULTITASK.RELATIVE.RATE"))


class Network(torch.nn.Module):
    """A trunk of two numbers, and two tasks that pull on them: gradients (3, 0) and (0, 4) at x = 0, losses 2 and 4."""

    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Linear(1, 2, bias=False)
        torch.nn.init.zeros_(self.backbone.weight)

    def forward(self):
        x = self.backbone(torch.ones(1))
        return {"loss_semantic": 3 * x[0] + 2, "loss_boundary": 4 * x[1] + 4}


def combiner(*options):
    config = cfg.clone()
    switches = ["MODEL.DETECTION_ON", False, "MODEL.SEMANTIC_ON", True, "MODEL.BOUNDARY_ON", True]
    config.merge_from_list([*switches, *options])
    return build_loss_combiner(config, enabled_tasks(config))


def gradient(module, network, *missing):
    """The trunk's gradient after a step, without the losses named."""
    network.zero_grad()
    module.begin()
    module.backward({name: loss for name, loss in network().items() if name not in missing})
    module.finish()
    module.learn(list)
    return network.backbone.weight.grad.flatten().tolist()


def test_the_documented_weighting_trains(own_methods):
    module, network = combiner("MULTITASK.WEIGHTING", "relative"), Network()
    module.attach(network)
    assert gradient(module, network) == [3, 4]
    assert gradient(module, network) == pytest.approx([3 / 1.1, 4 / 1.3])  # means 0.9 + 0.2 and 0.9 + 0.4
    gradient(module, network, "loss_boundary")
    other = combiner("MULTITASK.WEIGHTING", "relative")
    other.load_state_dict(module.state_dict())
    assert gradient(other, network) == pytest.approx([3 / (0.9 * (0.9 * 1.1 + 0.2) + 0.2), 4 / (0.9 * 1.3 + 0.4)])


@pytest.mark.parametrize("level", ["features", "parameters"])
def test_the_documented_aggregation_trains(own_methods, level):
    module = combiner("MULTITASK.AGGREGATION", "equal_lengths", "MULTITASK.GRADIENTS_AT", level)
    network = Network()
    module.attach(network)
    assert gradient(module, network) == pytest.approx([3.5, 3.5])
    assert gradient(module, network, "loss_semantic") == pytest.approx([0, 4])


def test_every_method_is_in_the_docs():
    rows = set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), re.MULTILINE))
    assert rows >= set(WEIGHTINGS) | set(AGGREGATIONS)
