"""Takes a task of docs/examples/ through everything that a task does, with a tiny network and a few drawn images."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from added_tasks import restored_tasks
from PIL import Image

from maskrcnn_benchmark import Predictor
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.experiments.comparison import compare_folders
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.export.network import ExportableNetwork
from maskrcnn_benchmark.export.parity import Parity
from maskrcnn_benchmark.export.reference import Reference
from maskrcnn_benchmark.export.refusals import check_exportable
from maskrcnn_benchmark.export.signature import signature_of
from maskrcnn_benchmark.export.suppression import apart_nms
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.tasks.task import TASKS, Task
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
TINY = f"""
_BASE_: "{ROOT}/configs/detail/mini_R_18_FPN.yaml"
MODEL:
  DEVICE: cpu
  RESNETS: {{STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 8, BACKBONE_OUT_CHANNELS: 16}}
  ROI_BOX_HEAD: {{MLP_HEAD_DIM: 16}}
  ROI_MASK_HEAD: {{CONV_LAYERS: [8]}}
  ROI_KEYPOINT_HEAD: {{CONV_LAYERS: [8]}}
  ROI_PART_HEAD: {{CONV_LAYERS: [8]}}
  DENSE_TRUNK: {{CHANNELS: 16}}
  ROI_HEADS: {{SCORE_THRESH: 0.0, DETECTIONS_PER_IMG: 10}}
MULTITASK: {{LOG_PERIOD: 0}}
INPUT: {{MIN_SIZE_TRAIN: [64], MAX_SIZE_TRAIN: 96, MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 96}}
SOLVER: {{IMS_PER_BATCH: 2, MAX_ITER: 2, WARMUP_ITERS: 1, SEED: 1, SCHEDULE: step}}
DATALOADER: {{NUM_WORKERS: 0}}
TEST: {{IMS_PER_BATCH: 2, NUM_PICTURES: 1, NUM_EXAMPLES: 1}}
"""


@contextlib.contextmanager
def example(name: str) -> Iterator[ModuleType]:
    """The module docs/examples/NAME.py, its task registered within the block alone."""
    module_name = f"{name}_example"
    with restored_tasks():
        module = import_file(module_name, ROOT / "docs" / "examples" / f"{name}.py", make_importable=True)
        try:
            module.setup_environment()
            yield module
        finally:
            del sys.modules[module_name]


class ExampleRun:
    """A training of two iterations, and what is made of it.

    Args:
        folder: an empty one.
        key: of the example's task.
        others: keys of the tasks that are on beside it.
        maps: whether the drawn images have maps of saliency, normals and depth.
    """

    def __init__(self, folder: Path, key: str, others: tuple[str, ...] = (), maps: bool = False) -> None:
        self.folder, self.key, self.others = folder, key, others
        write_mini_detail(folder / "mini_detail", num_train=6, num_val=3, seed=1, maps=maps)
        (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
        self.output = folder / "run"
        self.model = train(self.cfg(self.output))

    @property
    def task(self) -> Task:
        return TASKS[self.key]

    def cfg(self, output: Path, *options: Any) -> ConfigNode:
        """The config, on the drawn images."""
        cfg = default_cfg.clone()
        cfg.merge_from_file(self.folder / "tiny.yaml")
        for key, task in TASKS.items():
            setattr(cfg.MODEL, task.switch, key in (self.key, *self.others))
        cfg.merge_from_list(["DATASETS.DATA_DIR", str(self.folder), "OUTPUT_DIR", str(output), *options])
        return cfg

    def dataset(self, split: str = "val", **options: Any) -> DetailDataset:
        return DetailDataset(self.folder / "mini_detail" / "annotations.json", self.image_folder, split, **options)

    @property
    def image_folder(self) -> Path:
        return self.folder / "mini_detail" / "images"

    @property
    def predictions(self) -> Path:
        """The folder of the files that the test wrote."""
        return self.output / "inference" / "mini_detail_val"

    @property
    def result(self) -> dict:
        """The task's entry in results.json."""
        return read_results(self.output / "results.json")[self.key]

    def metrics_from_files(self) -> dict[str, float]:
        """The metrics of the predictions that the test wrote."""
        tasks = [task for key, task in TASKS.items() if key in (self.key, *self.others)]
        dataset = self.dataset(tasks=[task.key for task in tasks])
        reader = PredictionReader(dataset, find_predictions(self.predictions, tasks), tasks)
        return score_files(Evaluation([self.task]), dataset, reader)[self.key].scores.metrics

    def predictor(self, **options: Any) -> Predictor:
        return Predictor(self.output / "model_final.pth", device="cpu", **options)

    def image(self, index: int = 0) -> Image.Image:
        """A photograph of the validation set."""
        return Image.open(sorted(self.image_folder.iterdir())[index]).convert("RGB")

    def panels(self) -> dict[str, np.ndarray]:
        """{"photograph", "overlay", "prediction", "ground truth": picture uint8 [H, W, 3]} of a validation image."""
        dataset = self.dataset(tasks=(self.key, *self.others))
        photograph, annotations, _ = dataset[0]
        predictor = self.predictor(thresholds=dict.fromkeys((self.key, *self.others), 0.0))
        predicted = predictor(photograph)
        return {
            "photograph": np.asarray(photograph),
            "overlay": np.asarray(predicted.draw([self.key], layout="overlay", scale=1)),
            "prediction": np.asarray(predicted.draw(self.key, scale=1)),
            "ground truth": self.task.draw(np.asarray(photograph), annotations, dataset.vocabulary, scale=1),
        }

    def exported(self) -> Parity:
        """The network in the form in which it is exported, held against itself on a photograph."""
        network = self.predictor().network
        check_exportable(network.cfg, network.model)
        reference, parity = Reference(network), Parity(signature_of(network.model))
        with torch.no_grad():
            outputs = ExportableNetwork(network.model, network.cfg, apart_nms)(
                torch.from_numpy(reference.input_of(self.image()))
            )
        found = {name: tensor.numpy() for name, tensor in outputs.items()}
        parity.compare(reference(self.image()), found, "a photograph")
        return parity

    def is_resumed_exactly(self) -> bool:
        """Whether an iteration, a stop and another iteration give the weights of two iterations in a row."""
        train(self.cfg(self.folder / "parts", "SOLVER.MAX_ITER", 1), skip_test=True)
        parts = train(self.cfg(self.folder / "parts"), skip_test=True).state_dict()
        whole = self.model.state_dict()
        return list(parts) == list(whole) and all(torch.equal(parts[name], whole[name]) for name in whole)

    def comparison(self) -> Any:
        """The run beside a copy of it."""
        copied = shutil.copytree(self.output, self.folder / "copy")
        return compare_folders([str(self.output), str(copied)])
