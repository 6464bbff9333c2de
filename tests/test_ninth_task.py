"""The worked ninth task of docs/adding_a_task.md, a file outside the package, does all that the eight tasks do."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from example_task import example
from PIL import Image

from maskrcnn_benchmark import Predictor
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.data.vocabulary_map import VocabularyMap
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.results import format_table, read_results
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.experiments.run import test as run_test
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.prediction_files.encodings import encode_strength
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions, tasks_of
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks, enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "focus.py"
YAML = f"""
_BASE_: "{ROOT}/configs/detail/mini_R_18_FPN.yaml"
MODEL:
  DEVICE: cpu
  FOCUS_ON: True
  RESNETS: {{STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 8, BACKBONE_OUT_CHANNELS: 16}}
  ROI_BOX_HEAD: {{MLP_HEAD_DIM: 16}}
  ROI_MASK_HEAD: {{CONV_LAYERS: [8]}}
  ROI_KEYPOINT_HEAD: {{CONV_LAYERS: [8]}}
  ROI_PART_HEAD: {{CONV_LAYERS: [8]}}
  DENSE_TRUNK: {{CHANNELS: 16}}
MULTITASK:
  LOG_PERIOD: 0
  LOSS_WEIGHTS: {{FOCUS: 2.0}}
INPUT: {{MIN_SIZE_TRAIN: [64], MAX_SIZE_TRAIN: 96, MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 96}}
SOLVER: {{IMS_PER_BATCH: 2, MAX_ITER: 2, WARMUP_ITERS: 1}}
TEST: {{IMS_PER_BATCH: 2, NUM_PICTURES: 1, NUM_EXAMPLES: 1}}
"""


@pytest.fixture(scope="module", autouse=True)
def focus():
    """The example, registered for the tests of this file alone."""
    with example("focus") as module:
        yield module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the embedded data set, few images of it, and the config file."""
    folder = tmp_path_factory.mktemp("ninth")
    write_mini_detail(folder / "mini_detail", num_train=6, num_val=3, seed=1)
    (folder / "nine.yaml").write_text(YAML)
    return folder


def nine_tasks():
    cfg = default_cfg.clone()
    cfg.merge_from_file(ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml")
    cfg.MODEL.FOCUS_ON = True
    return enabled_tasks(cfg)


def nine_cfg(folder, output, *options):
    cfg = default_cfg.clone()
    cfg.merge_from_file(folder / "nine.yaml")
    cfg.merge_from_list(["DATASETS.DATA_DIR", str(folder), "OUTPUT_DIR", str(output), *options])
    return cfg


def network(cfg):
    """(model, one batch of images and targets) of a config."""
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    torch.manual_seed(0)
    return build_detection_model(cfg, vocabulary), next(iter(make_data_loader(cfg)))[:2]


def open_mini(folder, split="train", **options):
    return DetailDataset(
        folder / "mini_detail" / "annotations.json", folder / "mini_detail" / "images", split, **options
    )


@pytest.fixture(scope="module")
def run(folder):
    """Output folder of a run of two iterations."""
    train(nine_cfg(folder, folder / "run"))
    return folder / "run"


def test_the_documentation_quotes_the_file():
    text = (ROOT / "docs" / "adding_a_task.md").read_text()
    quoted = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(quoted) >= 5
    source = EXAMPLE.read_text()
    indented = {block: [textwrap.indent(block, " " * depth) for depth in (0, 4, 8)] for block in quoted}
    assert [block for block, forms in indented.items() if not any(form in source for form in forms)] == []


def test_a_run_ends_with_a_table_of_nine_rows_and_pictures(run):
    results = read_results(run / "results.json")
    assert list(results) == [task.key for task in nine_tasks()] and len(results) == 12  # three are derived
    metrics, trivial = results["focus"]["metrics"], results["focus"]["trivial"]
    assert set(metrics) == set(trivial) == {"maxF", "MAE", "mIoU"}
    assert all(0 < value < 1 for value in (*metrics.values(), *trivial.values()))
    rows = format_table(results).splitlines()[2:]
    assert [row.split("  ")[0] for row in rows[:12]] == [task.title for task in nine_tasks()]
    assert re.match(r"focus +maxF +[\d.]+ +[\d.]+  MAE [\d.]+  mIoU [\d.]+$", rows[11])
    assert "<h3>focus</h3>" in (run / "pictures.html").read_text()
    assert "beta^2 = 0.3" in (run / "inference" / "mini_detail_val" / "report.html").read_text()


def test_written_maps_score_the_same_and_are_read_by_the_test_again(folder, run):
    answers = run / "inference" / "mini_detail_val"
    assert len(list((answers / "focus").glob("*.png"))) == 3
    dataset = open_mini(folder, "val", parts="person")
    evaluation = Evaluation([TASKS["focus"]], workers=1)
    sources = find_predictions(answers, TASKS.values())
    assert tasks_of(sources, TASKS.values()) == nine_tasks()
    reader = PredictionReader(dataset, sources, evaluation.tasks)
    figures = score_files(evaluation, dataset, reader)["focus"].scores.metrics
    assert figures == read_results(answers / "results.json")["focus"]["metrics"]
    again = run_test(nine_cfg(folder, run, "TEST.NUM_EXAMPLES", 0))["mini_detail_val"]
    assert again["focus"]["metrics"] == figures


def test_a_run_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(folder, run, tmp_path):
    whole = train(nine_cfg(folder, tmp_path / "whole", "SOLVER.MAX_ITER", 4, "SOLVER.SCHEDULE", "step"), True)
    train(nine_cfg(folder, tmp_path / "parts", "SOLVER.MAX_ITER", 2, "SOLVER.SCHEDULE", "step"), True)
    resumed = train(nine_cfg(folder, tmp_path / "parts", "SOLVER.MAX_ITER", 4, "SOLVER.SCHEDULE", "step"), True)
    weights, expected = (model.fpn_heads.heads["focus"].predict.weight for model in (resumed, whole))
    assert torch.equal(weights, expected) and not torch.equal(weights, torch.zeros_like(weights))


def test_a_batch_is_learnt_by_heart(folder, tmp_path):
    cfg = nine_cfg(folder, tmp_path, "SOLVER.BASE_LR", 0.01)
    model, (images, targets) = network(cfg)
    step = TrainingStep(
        model, build_loss_combiner(cfg, enabled_tasks(cfg)), make_optimizer(cfg, model), "cpu", clip_norm=10.0
    )
    losses = [step(images, targets, list).losses["loss_focus"] for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]


def test_gradients_of_nine_tasks_are_joined(folder, tmp_path):
    cfg = nine_cfg(folder, tmp_path, "MULTITASK.AGGREGATION", "pcgrad", "MULTITASK.LOG_PERIOD", 1)
    model, (images, targets) = network(cfg)
    step = TrainingStep(model, build_loss_combiner(cfg, enabled_tasks(cfg)), make_optimizer(cfg, model), "cpu")
    outcome = step(images, targets, list)
    assert outcome.tasks["focus"] == pytest.approx(2 * outcome.losses["loss_focus"])
    assert outcome.gradient_statistics.norms["focus"] > 0
    assert {("boundary", "focus"), ("classification", "focus")} <= set(outcome.gradient_statistics.cosines)


def test_an_image_without_a_label_adds_no_loss(folder, tmp_path):
    model, (images, targets) = network(nine_cfg(folder, tmp_path))
    images = model.batch(images)
    features = model.backbone(images.tensors)
    head = model.fpn_heads
    both = head(features, images, targets)[1]["loss_focus"]
    alone = []
    for absent in (0, 1):
        labels = [ImageAnnotations(t.size, labels={} if i == absent else t.labels) for i, t in enumerate(targets)]
        alone.append(head(features, images, labels)[1]["loss_focus"])
    pixels = [target.size[0] * target.size[1] for target in targets]
    assert both.item() == pytest.approx((alone[1] * pixels[0] + alone[0] * pixels[1]).item() / sum(pixels), rel=1e-5)
    assert "loss_focus" not in head(features, images, [ImageAnnotations(target.size) for target in targets])[1]


def test_labels_go_through_every_transform():
    label = torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.uint8)
    annotations = ImageAnnotations((3, 2), labels={"focus": SemanticMap(label)})
    assert annotated_tasks(annotations) == {"focus"}

    def after(changed):
        return changed.labels["focus"].labels.tolist()

    assert after(annotations.transpose(0)) == [[1, 1, 0], [1, 0, 0]]
    assert after(annotations.transpose(0).transpose(0)) == label.tolist()
    assert after(annotations.crop((1, 0, 3, 2))) == [[1, 1], [0, 1]]
    assert after(annotations.pad((4, 2))) == [[0, 1, 1, IGNORE_INDEX], [0, 0, 1, IGNORE_INDEX]]
    assert after(annotations.resize((6, 2))) == [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]]


def test_the_largest_object_of_the_embedded_data_set_is_its_label(folder):
    dataset = open_mini(folder, tasks=("focus", "instance"))
    assert dataset.tasks == {"focus", "instance"}
    annotations = dataset.get_annotations(0)
    masks = annotations.instances.get_field("masks").get_mask_tensor().reshape(len(annotations.instances), -1)
    assert annotations.labels["focus"].labels.sum() == masks.sum(1).max()
    alone = open_mini(folder, tasks=("focus",)).get_annotations(0)
    assert alone.instances is None and annotated_tasks(alone) == {"focus"}
    assert "focus" not in annotated_tasks(open_mini(folder, tasks=("boundary",)).get_annotations(0))


def write_maps(folder, names, size=None):
    dataset = open_mini(folder, tasks=())
    (folder / "mini_detail" / "focus").mkdir()
    for index, value in enumerate(names):
        info = dataset.get_img_info(index)
        width, height = size or (info["width"], info["height"])
        values = np.full((height, width), 127, np.uint8)
        values[:, : width // 2] = value
        Image.fromarray(values).save(folder / "mini_detail" / "focus" / f"{Path(info['file_name']).stem}.png")


def test_maps_beside_the_images_come_before_anything_else(tmp_path):
    write_mini_detail(tmp_path / "mini_detail", num_train=4, num_val=1, seed=1)
    write_maps(tmp_path, names=[255, 128])
    dataset = open_mini(tmp_path, tasks=("focus",))
    label = dataset.get_annotations(1).labels["focus"].labels
    half = label.shape[1] // 2
    assert label[:, :half].eq(1).all() and label[:, half:].eq(0).all()
    assert annotated_tasks(dataset.get_annotations(2)) == dataset.tasks_of(2) == set()
    assert dataset.leave_out_unannotated() == 2 and len(dataset) == 2


def test_a_map_of_another_size_is_named(tmp_path):
    write_mini_detail(tmp_path / "mini_detail", num_train=2, num_val=1, seed=1)
    write_maps(tmp_path, names=[255], size=(8, 8))
    with pytest.raises(UserError, match=r"focus/\S+\.png is 8x8 pixels, but its image is"):
        open_mini(tmp_path).get_annotations(0)


def test_a_data_set_without_labels_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(type(TASKS["focus"]), "label_reader", lambda self, dataset: None)
    with pytest.raises(UserError, match=r"MODEL\.FOCUS_ON is on, but data set \S+ has no labels for focus; turn"):
        build_datasets(nine_cfg(folder, tmp_path))


def test_other_names_leave_the_label_alone(folder):
    dataset = open_mini(folder)
    names = VocabularyMap(dataset.vocabulary, dataset.vocabulary, TASKS.values())
    annotations = dataset.get_annotations(0)
    assert "focus" in names.tasks()
    assert names(annotations).labels["focus"] is annotations.labels["focus"]


def test_the_trivial_answer_is_the_mean_label(folder):
    dataset = open_mini(folder, tasks=("focus",))
    left, none = torch.zeros(64, 64, dtype=torch.uint8), torch.zeros(64, 64, dtype=torch.uint8)
    left[:, :32] = 1
    labels = [ImageAnnotations((64, 64), labels={"focus": SemanticMap(label)}) for label in (left, none)]
    predictor = TrivialPredictor([TASKS["focus"]], dataset.vocabulary).fit(labels)
    answer = predictor.predict((64, 64)).outputs["focus"].scores
    assert answer.shape == (1, 64, 64)
    assert answer[0, :, :30].eq(0.5).all() and answer[0, :, 34:].eq(0).all()


def test_a_task_without_trivial_answer_and_without_files_has_figures_all_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(type(TASKS["focus"]), "trivial", Task.trivial)
    monkeypatch.setattr(type(TASKS["focus"]), "files", lambda self: ())
    # without a file that says what is written, the numbers of the output are scored
    monkeypatch.setattr(
        type(TASKS["focus"]), "encode", lambda self, *given: encode_strength(Task.encode(self, *given)[0])
    )
    others = [option for task in TASKS.values() if task.key != "focus" for option in (f"MODEL.{task.switch}", False)]
    train(nine_cfg(folder, tmp_path, "SOLVER.MAX_ITER", 1, "TEST.NUM_PICTURES", 0, *others))
    results = read_results(tmp_path / "results.json")
    assert results["focus"]["trivial"] == {} and 0 <= results["focus"]["metrics"]["maxF"] <= 1
    assert not (tmp_path / "inference" / "mini_detail_val" / "focus").exists()


def test_a_checkpoint_alone_answers_all_nine(folder, run, tmp_path):
    result = Predictor(run / "model_final.pth", device="cpu")(next((folder / "mini_detail" / "images").glob("*.jpg")))
    width, height = result.size
    assert result.tasks == tuple(task.key for task in nine_tasks())
    assert result.focus.shape == (1, height, width) and 0 <= result.focus.min() <= result.focus.max() <= 1
    light, dark = (result.draw("focus", {"focus": value}) for value in (0.0, 1.0))
    assert light.size == dark.size and light.tobytes() != dark.tobytes()
    result.save(tmp_path)
    written = np.asarray(Image.open(tmp_path / "focus" / f"{result.name}.png"))
    assert np.abs(written / 255 - result.focus[0].numpy()).max() <= 0.5 / 255 + 1e-6


def test_figures_are_those_of_a_case_worked_by_hand(focus):
    evaluator = focus.FocusEvaluator(TASKS["focus"], Vocabulary())
    truth = torch.tensor([[1, 1, 0, IGNORE_INDEX]], dtype=torch.uint8)
    target = ImageAnnotations((4, 1), image_id=1, labels={"focus": SemanticMap(truth)})
    nothing = ImageAnnotations((4, 1), image_id=2, labels={"focus": SemanticMap(torch.zeros(1, 4).byte())})
    records = [
        evaluator.record(np.array([[255, 51, 102, 255]], np.uint8), target),
        evaluator.record(np.array([[0, 0, 255, 255]], np.uint8), nothing),
    ]
    scores = evaluator.summarize(records)
    # up to 51: P 2/3, R 1, IoU 2/3; up to 102: P 1/2, R 1/2; above: P 1, R 1/2, IoU 1/2
    assert scores.metrics["maxF"] == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))
    assert 1.3 * 0.5 / 0.8 > 1.3 * (2 / 3) / (0.3 * 2 / 3 + 1)
    assert scores.metrics["mIoU"] == pytest.approx(2 / 3)
    assert scores.metrics["MAE"] == pytest.approx(((0 + 0.8 + 0.4) / 3 + 0.5) / 2)
    assert evaluator.image_score(records[0]) == pytest.approx(scores.metrics["maxF"])
    assert np.isnan(evaluator.image_score(records[1]))
    assert evaluator.summarize([records[1]]).reason == "no image has a pixel in focus"


def test_the_tools_take_the_file_from_the_environment(folder, tmp_path):
    """In a process of its own, with workers that read images and score."""
    options = [
        *("SOLVER.MAX_ITER", "1", "DATALOADER.NUM_WORKERS", "1"),
        *("TEST.NUM_PICTURES", "0", "TEST.NUM_EXAMPLES", "0"),
    ]
    files = ["--config-file", folder / "nine.yaml", "DATASETS.DATA_DIR", folder, "OUTPUT_DIR", tmp_path]
    environment = {**os.environ, "TORCH_DETECTRON_ENV_MODULE": str(EXAMPLE), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "tools" / "train_net.py", *files, "MODEL.FOCUS_ON", "True", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^focus +maxF +\d", done.stderr + done.stdout, re.MULTILINE)
    del environment["TORCH_DETECTRON_ENV_MODULE"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "unknown option MODEL.FOCUS_ON" in done.stderr
