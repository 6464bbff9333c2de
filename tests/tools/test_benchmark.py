"""The benchmark's arithmetic and its command line; no timing is asserted on."""

import importlib.util
import json
import math
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.tasks.task import enabled_tasks, tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    """The tool as a module; its subjects are modules beside it."""
    spec = importlib.util.spec_from_file_location("benchmark_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOL.parent))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def timing(benchmark):
    return sys.modules["benchmarks.timing"]


class FakeClock:
    """A clock that only the actions move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


def test_actions_take_turns_and_warm_up_is_not_timed(timing):
    clock, order = FakeClock(), []

    def action(name, cost):
        def run(turn):
            order.append((name, turn))
            clock.spend(cost)

        return run

    seconds = timing.take_turns({"a": action("a", 2.0), "b": action("b", 3.0)}, rounds=2, warmup=1, clock=clock)
    assert order == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert seconds == {"a": [2.0, 2.0], "b": [3.0, 3.0]}


def test_shuffled_rounds_have_all_actions_in_orders_of_their_own(timing):
    clock, order = FakeClock(), []

    def action(name, cost):
        return lambda turn: (order.append(name), clock.spend(cost))

    actions = {name: action(name, cost) for name, cost in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    seconds = timing.take_turns(actions, rounds=12, warmup=1, clock=clock, shuffled=True)
    assert seconds == {"a": [1.0] * 12, "b": [2.0] * 12, "c": [3.0] * 12}
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(names) == list("abc") for names in rounds) and len(set(rounds)) > 3


def test_an_interruption_keeps_the_whole_rounds(timing):
    clock = FakeClock()

    def stop_in_third_round(turn):
        clock.spend(1.0)
        if turn == 2:
            raise KeyboardInterrupt

    actions = {"a": lambda turn: clock.spend(1.0), "b": stop_in_third_round}
    seconds = timing.take_turns(actions, rounds=5, warmup=1, clock=clock)
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_an_interruption_before_any_whole_round_ends_the_run(timing):
    def stop(turn):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timing.take_turns({"a": stop}, rounds=5, warmup=1)


def test_ratios_compare_medians(benchmark, timing):
    seconds = {"eight tasks, train": [3.0, 90.0, 3.2], "Mask R-CNN, train": [2.0, 2.0, 2.0]}
    seconds |= {"eight tasks, infer": [1.5], "Mask R-CNN, infer": [1.0]}
    seconds |= {f"only {key}, train": [0.8] for key in TASKS}
    ratios = benchmark.multitask.ratios_of(timing.medians(seconds))
    assert ratios == {
        "train_ratio_vs_mask_rcnn": pytest.approx(1.6),
        "infer_ratio_vs_mask_rcnn": pytest.approx(1.5),
        "train_ratio_vs_eight_single_task": pytest.approx(0.5),
    }


def test_ratios_of_balancing_are_medians_over_the_rounds(benchmark):
    seconds = {"plain sum": [1.0, 2.0, 4.0], "fixed weights": [1.5, 2.0, 4.0], "upgrad at features": [1.2, 2.6, 4.4]}
    seconds |= {
        "upgrad at parameters": [3.0, 4.0, 8.0],
        "combiner alone": [0.003, 0.004, 0.1],
        "sum alone": [0.001] * 3,
    }
    assert benchmark.balancing.ratios_of(seconds) == {
        "fixed_overhead_ratio": pytest.approx(1.0),
        "fixed_overhead_error": pytest.approx(math.sqrt(math.pi / 2 / 12 / 3)),  # of 1.5, 1, 1: variance 1/12
        "feature_level_ratio": pytest.approx(1.2),
        "parameter_level_ratio": pytest.approx(2.0),
        "combiner_ms": pytest.approx(3.0),
    }


def test_all_methods_are_timed_if_asked_for(benchmark):
    few, all_methods = (benchmark.balancing.variants_of(cfg.clone(), wanted) for wanted in (False, True))
    assert list(few) == ["fixed weights", "upgrad at features", "upgrad at parameters"]
    assert {"famo", "uncertainty", "mgda at features", "config at features", "moco at parameters"} < set(all_methods)
    assert all_methods["modo at parameters"].SOLVER.ACCUMULATE_STEPS == 2
    assert len(all_methods) == len(WEIGHTINGS) + len(AGGREGATIONS) + 1  # "fixed" and "upgrad" are among the three
    chosen = [(v.MULTITASK.WEIGHTING, v.MULTITASK.AGGREGATION, v.MULTITASK.GRADIENTS_AT) for v in few.values()]
    assert chosen == [("fixed", "", "features"), ("fixed", "upgrad", "features"), ("fixed", "upgrad", "parameters")]
    assert all_methods["famo"].MULTITASK.WEIGHTING == "famo" and all_methods["famo"].MULTITASK.AGGREGATION == ""


SMALL = ["SOLVER.IMS_PER_BATCH", "2", "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MAX_SIZE_TRAIN", "64"]
MINI = str(TOOL.parents[1] / "configs" / "detail" / "mini_R_18_FPN.yaml")


def test_the_plain_step_moves_the_weights_as_the_combiner_with_fixed_weights_does(benchmark):
    config = cfg.clone()
    config.merge_from_file(MINI)
    config.merge_from_list([*SMALL, "SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.01])
    (batch,), vocabulary = benchmark.multitask.training_batches(config, 1, False)
    benchmark.multitask.bind_vocabulary(config, vocabulary)
    networks = benchmark.balancing.PlainStep(config, vocabulary), benchmark.multitask.Network(config, vocabulary)
    start = [p.detach().clone() for p in networks[0].model.parameters()]
    for network in networks:
        torch.manual_seed(1)
        network.train_step(batch)
    plain, combined = (list(network.model.parameters()) for network in networks)
    torch.testing.assert_close(plain, combined, rtol=1e-4, atol=1e-6)
    assert sum(not before.equal(after) for before, after in zip(start, plain)) > 0.9 * len(start)


def test_predicting_is_measured_on_a_network_of_ones_own(benchmark, small, capsys):
    argv = ["predict", "--checkpoint", small.checkpoint, "--image", str(small.images[0])]
    argv += ["--rounds", "2", "--warmup", "1", "--starts", "1"]
    threads = torch.get_num_threads()
    result = benchmark.predict.measure(benchmark.parse_arguments(argv))
    torch.set_num_threads(threads)
    assert result["objects"] == 6 and result["tasks"][:8] == list(TASKS) and result["checkpoint"] == small.checkpoint
    assert 0 < result["draw_ms"] < 1000 * result["cold_start_seconds"]
    assert "overhead_ms: " in capsys.readouterr().out


def test_the_network_that_is_measured_by_default_keeps_all_boxes(benchmark, tmp_path):
    image = benchmark.predict.draw_photograph(tmp_path / "photograph.jpg")
    predictor = benchmark.predict.Predictor(benchmark.predict.untrained_checkpoint(MINI, tmp_path), device="cpu")
    result = predictor(image).with_thresholds({"detection": 0.0})
    assert (
        result.size == (500, 375) and len(result.detection) == predictor.network.cfg.MODEL.ROI_HEADS.DETECTIONS_PER_IMG
    )


def test_balancing_is_measured_at_a_tiny_size(benchmark, capsys):
    argv = ["balancing", "--config-file", MINI, "--rounds", "1", "--warmup", "1", "--batches", "1", *SMALL]
    result = benchmark.balancing.measure(benchmark.parse_arguments(argv))
    keys = ("fixed_overhead_ratio", "feature_level_ratio", "parameter_level_ratio")
    assert all(result[key] > 0 for key in keys) and "combiner_ms" in result
    assert set(result["seconds"]) == {
        *("plain sum", "fixed weights", "upgrad at features", "upgrad at parameters", "combiner alone", "sum alone"),
    }
    assert "parameter_level_ratio" in capsys.readouterr().out


def test_the_table_shows_median_and_spread_in_milliseconds(timing):
    table = timing.format_table({"train": [0.1, 0.3, 0.2]}).splitlines()
    assert table[1].split() == ["train", "200.0", "ms", "100.0", "ms", "300.0", "ms"]


def test_networks_to_compare_differ_only_in_their_tasks(benchmark):
    variants = benchmark.multitask.variants_of(cfg.clone())
    tasks = {name: [task.key for task in enabled_tasks(variant)] for name, variant in variants.items()}
    assert tasks["eight tasks"] == list(TASKS)
    assert tasks["Mask R-CNN"] == ["detection", "instance"]
    assert tasks["only keypoint"] == ["detection", "keypoint"]
    assert tasks["only part"] == ["detection", "part"]
    assert tasks["only semantic"] == ["semantic"]
    assert len(variants) == 10


def test_a_whole_image_part_head_needs_no_detection(benchmark):
    config = cfg.clone()
    config.MODEL.PART_HEAD = "fpn"
    only_part = benchmark.multitask.variants_of(config)["only part"]
    assert [task.key for task in enabled_tasks(only_part)] == ["part"]


def test_memory_of_a_process_and_its_children_is_counted_together(benchmark):
    memory = sys.modules["benchmarks.memory"]
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system does not tell the memory of processes")
    script = "x = bytearray(60 * 2**20); print(len(x), flush=True); input()"
    with memory.PeakMemory() as alone:
        pass
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    with memory.PeakMemory() as together:
        pass
    child.communicate(b"\n")
    assert 55 < together.mib - alone.mib < 120


@pytest.mark.parametrize("task", ["detection", "instance", "keypoint"])
def test_our_evaluation_gives_pycocotools_figures_on_the_made_up_rows(benchmark, task):
    rows = benchmark.evaluation.coco_set(task, 6)
    ours, theirs = benchmark.evaluation.score_by_us(task, *rows), benchmark.evaluation.score_by_pycocotools(task, *rows)
    assert ours.tolist() == theirs.tolist() and 0 < ours[0] < 1


def test_the_whole_evaluation_is_measured_on_made_up_answers(benchmark, tmp_path):
    found = benchmark.evaluation.measure_whole(tmp_path, 3, 1)
    assert all(0 < value < 1 for value in found["headlines"].values()) and list(found["headlines"]) == list(TASKS)
    assert found["all_metrics_minutes_5105"] > 0


@pytest.mark.slow
def test_exchanges_are_measured_beside_none_with_the_heads_per_image_alone(benchmark):
    options = ["SOLVER.IMS_PER_BATCH", "2", "MODEL.TASK_EXCHANGE.CHANNELS", "8", "INPUT.MIN_SIZE_TRAIN", "(64,)"]
    args = benchmark.parse_arguments(["exchange", "--rounds", "1", "--warmup", "1", "--batches", "1", *options])
    result = benchmark.exchange.measure(args)
    assert list(result["sizes"]) == ["none", "distillation", "attention"]
    assert result["ratios"]["none, train"] == result["ratios"]["none, infer"] == 1.0
    none, *others = result["sizes"].values()
    assert all(other[key] > none[key] > 0 for other in others for key in none)


def test_the_command_line_has_a_subject_its_options_and_config_options(benchmark):
    args = benchmark.parse_arguments(["multitask", "--json", "a.json", "--rounds", "3", "SOLVER.BASE_LR", "0.1"])
    assert (args.subject, args.json, args.rounds, args.device) == ("multitask", "a.json", 3, "cpu")
    assert args.opts == ["SOLVER.BASE_LR", "0.1"]


@pytest.mark.parametrize("argv", [[], ["speed"], ["multitask", "--rounds", "0"], ["multitask", "--rounds", "many"]])
def test_a_senseless_command_line_ends_with_usage(benchmark, argv, capsys):
    with pytest.raises(SystemExit) as leaving:
        benchmark.parse_arguments(argv)
    assert leaving.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_file_that_could_not_be_written_is_refused_before_measuring(benchmark, tmp_path):
    args = benchmark.parse_arguments(["multitask", "--json", str(tmp_path / "nowhere" / "a.json")])
    with pytest.raises(UserError, match="there is no folder"):
        benchmark.check_before_measuring(args)


def test_an_unknown_device_is_refused_before_measuring(benchmark):
    args = benchmark.parse_arguments(["multitask", "--device", "gpu"])
    with pytest.raises(UserError, match="--device is 'gpu', but must be auto, cpu, cuda or cuda:NUMBER"):
        benchmark.check_before_measuring(args)


def test_main_writes_what_was_measured_with_the_machine(benchmark, tmp_path, monkeypatch):
    monkeypatch.setitem(benchmark.MEASURES, "balancing", lambda args: {"ratio": args.rounds / 2})
    benchmark.main(["balancing", "--rounds", "3", "--json", str(tmp_path / "a.json")])
    result = json.loads((tmp_path / "a.json").read_text())
    assert (result["subject"], result["ratio"]) == ("balancing", 1.5)
    assert result["threads"] >= 1 and result["torch"]


def test_ratios_of_the_detector(benchmark):
    median = {"ours, train": 1.0, "torchvision, train": 2.0, "ours, infer": 3.0, "torchvision, infer": 4.0}
    expected = {"train_ratio_vs_torchvision": 0.5, "infer_ratio_vs_torchvision": 0.75}
    assert benchmark.detector.ratios_of(median, {}) == expected
    memory = {"ours": 900.0, "torchvision": 1000.0}
    assert benchmark.detector.ratios_of(median, memory) == {**expected, "memory_ratio_vs_torchvision": 0.9}


def test_the_masks_of_both_detectors_are_drawn_before_the_clock_starts(benchmark):
    detector = benchmark.detector
    args = benchmark.parse_arguments(["detector", "--height", "480", "--width", "640", "--objects", "3"])
    images, objects = detector.make_batch(args, 2)
    batch = images, detector.drawn(objects, 640, 480, "cpu")
    (ours, _), (theirs, _) = detector.Ours.targets_of(None, batch), detector.Torchvision.targets_of(None, batch)
    masks = ours.instances.get_field("masks")
    assert masks.mode == "mask" and masks.get_mask_tensor().shape == (3, 480, 640)
    assert torch.equal(masks.get_mask_tensor(), theirs["masks"]) and torch.equal(ours.instances.bbox, theirs["boxes"])
    inside = theirs["masks"].sum((1, 2)) / (theirs["boxes"][:, 2:] - theirs["boxes"][:, :2]).prod(1)
    assert (abs(inside - torch.pi / 4) < 0.1).all()  # ellipses in their boxes


def test_both_detectors_compute_in_the_precision_of_the_options(benchmark):
    args = benchmark.parse_arguments(["detector", "DTYPE", "bfloat16", "TF32", "False", "TEST.TF32", "True"])
    precision = benchmark.detector.Precision(benchmark.detector.read_config(args), "cpu")
    assert precision.dtype == "bfloat16"
    with precision.float32_of_training():
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    with precision.of_inference():
        assert torch.backends.cuda.matmul.fp32_precision == "tf32" and not torch.is_autocast_enabled("cpu")


def test_both_detectors_start_from_the_same_weights(benchmark):
    args = benchmark.parse_arguments(["detector", "--height", "64", "--width", "96"])
    ours, theirs = (network.model.state_dict() for network in benchmark.detector.build_networks(args).values())
    pairs = {
        "backbone.body.layer3.4.conv2.weight": "backbone.body.layer3.4.conv2.weight",
        "backbone.fpn.fpn_inner2.weight": "backbone.fpn.inner_blocks.1.0.weight",
        "rpn.head.conv.weight": "rpn.head.conv.0.0.weight",
        "roi_heads.box.predictor.cls_score.weight": "roi_heads.box_predictor.cls_score.weight",
        "roi_heads.mask.predictor.mask_fcn_logits.weight": "roi_heads.mask_predictor.mask_fcn_logits.weight",
    }
    for name, other in pairs.items():
        assert torch.equal(ours[name], theirs[other]), name


def test_a_function_runs_in_a_process_of_its_own(benchmark, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    memory = sys.modules["benchmarks.memory"]
    assert memory.in_fresh_process(os.getpid) != os.getpid()
    answer, peak = memory.in_fresh_process(time.sleep, 0.5, watch=True)
    assert answer is None and peak > 1
    with pytest.raises(ValueError, match="math domain error"):
        memory.in_fresh_process(math.sqrt, -1.0)
    with pytest.raises(RuntimeError, match="ended with code 3"):
        memory.in_fresh_process(os._exit, 3)


def test_growth_is_the_peak_of_a_block(benchmark):
    memory = sys.modules["benchmarks.memory"]
    with memory.Growth() as growth, mmap.mmap(-1, 64 * memory.MIB) as block:  # what was freed before is not used again
        block.write(b"x" * len(block))
    assert 60 < growth.mib < 200


def test_annotations_and_images_of_a_data_set_belong_together(benchmark, tmp_path):
    for argv, message in (
        (["--annotations", "a.json"], "belong together"),
        (["--annotations", "a.json", "--images", str(tmp_path)], "a.json is not there"),
    ):
        with pytest.raises(UserError, match=message):
            benchmark.dataset.measure(benchmark.parse_arguments(["dataset", *argv]))


def test_the_plain_way_makes_dictionaries_by_image(benchmark):
    content = {
        "images": [{"image_id": 7}, {"image_id": 8}],
        "categories": [{"category_id": 2}],
        "parts": [{"part_id": 5}],
        "annos_segmentation": [{"id": 1, "image_id": 8, "category_id": 2, "parts": [{"part_id": 5}]}],
        "annos_joints": [{"person_id": 3, "image_id": 8}],
    }
    tables = sys.modules["benchmarks.dataset_processes"].tables_by_image(content)
    image = tables["images"][8]
    assert (image["annotations"], image["categories"], image["parts"], image["keypoints"]) == ([1], [2], [5], [3])
    assert tables["images"][7]["annotations"] == [] and tables["parts"][5]["images"] == [8]
    assert set(tables["segmentations"]) == {1} and set(tables["joints"]) == {3}


@pytest.mark.slow  # eight processes that import PyTorch
def test_a_whole_measurement_of_a_small_set(benchmark, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    small = ["--full-size", "6", "--workers", "1", "--read", "2", "--samples", "1", "--loaded", "4"]
    args = benchmark.parse_arguments(
        ["dataset", "--folder", str(tmp_path / "kept"), "--rounds", "1", "--warmup", "1", *small]
    )
    result = benchmark.dataset.measure(args)
    keys = ("prepare_seconds", "prepare_peak_mib", "open_seconds", "sample_ms", "json_load_seconds", "json_load_mib")
    assert all(result[key] > 0 for key in keys) and {"open_mib", "worker_mib"} <= set(result)
    assert set(result["sample_split_ms"]) == {
        *("decode", "records", "targets", "jitter", "resize", "flip", "tensor", "collate"),
    }
    speeds = [result[f"loader_images_per_second_{workers}"] for workers in (0, 1, 2)]
    assert min(speeds) > 0 and result["loader_scaling_2"] == pytest.approx(speeds[2] / speeds[0])
    assert 18 < result["image_mib"] < 19 and 0 < result["target_mib"] < 5
    assert (tmp_path / "kept" / "full_size" / "annotations.json").is_file()
    assert "json.load and dictionaries" in capsys.readouterr().out


def test_a_file_of_cocos_size_is_in_cocos_layout_and_the_same_for_the_same_seed(benchmark, tmp_path):
    write = sys.modules["benchmarks.coco_size"].write_coco_size
    size = write(tmp_path / "a.json", 40, 290)
    content = json.loads((tmp_path / "a.json").read_text())
    assert (len(content["images"]), len(content["annotations"]), len(content["categories"])) == (40, 290, 80)
    assert size == (tmp_path / "a.json").stat().st_size == write(tmp_path / "b.json", 40, 290)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    dataset = COCODataset(tmp_path / "a.json", None, False, keep_crowd=True)
    found = [dataset.get_annotations(index).instances for index in range(40)]
    assert sum(map(len, found)) == 290 and all(instances.has_field("masks") for instances in found)


@pytest.mark.slow  # five processes that import PyTorch
def test_a_whole_measurement_of_opening_coco(benchmark, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    args = benchmark.parse_arguments(["coco", "--folder", str(tmp_path), "--full-size", "1500"])
    result = benchmark.coco_dataset.measure(args)
    assert result["coco_read_images"] == result["coco_json_load_images"] == 1500
    assert 1400 < result["coco_first_open_images"] == result["coco_open_images"] == result["coco_loader_images"] < 1500
    assert 0 < result["coco_json_mb"] < result["coco_index_mb"] < 2 * result["coco_json_mb"]
    assert "every later opening" in capsys.readouterr().out


def test_a_file_to_measure_that_is_not_there_is_refused(benchmark):
    with pytest.raises(UserError, match=r"a\.json is not there"):
        benchmark.coco_dataset.measure(benchmark.parse_arguments(["coco", "--annotations", "a.json"]))


def test_ratios_of_the_backbone_count_a_small_part_beside_the_step_of_its_round(benchmark):
    seconds = {"two tasks, trained": [10.0, 20.0, 10.0], "two tasks, frozen": [5.0, 12.0, 6.0]}
    seconds |= {"eight tasks, trained": [20.0] * 3, "eight tasks, frozen": [16.0, 15.0, 14.0]}
    seconds |= {"average of the weights": [0.1] * 3, "optimizer": [0.3] * 3, "optimizer, LAYER_DECAY": [0.5] * 3}
    assert benchmark.backbone.ratios_of(seconds) == {
        "frozen_step_ratio": pytest.approx(0.6),
        "frozen_step_ratio_eight_tasks": pytest.approx(0.75),
        "ema_overhead_ratio": pytest.approx(1.01),
        "layer_decay_overhead_ratio": pytest.approx(1.02),
    }


def test_a_backbone_is_measured_at_a_tiny_size(benchmark, capsys):
    pytest.importorskip("timm")
    options = ["MODEL.BACKBONE.TIMM.NAME", "convnext_atto", "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", "32"]
    argv = ["backbone", "--config-file", MINI, "--size", "64", "--batch", "1", "--batches", "1", "--cpu-time"]
    argv += ["--rounds", "1", "--warmup", "1", "MODEL.BACKBONE.CONV_BODY", "timm-FPN", *options]
    result = benchmark.backbone.measure(benchmark.parse_arguments(argv))
    keys = ("frozen_step_ratio", "frozen_step_ratio_eight_tasks", "ema_overhead_ratio", "layer_decay_overhead_ratio")
    assert all(result[key] > 0 for key in keys) and result["backbone"] == "convnext_atto"
    groups = result["optimizer_groups"]
    assert groups["optimizer"] < 5 < 15 < groups["optimizer, LAYER_DECAY"]
    assert "ema_overhead_ratio" in capsys.readouterr().out
    args = benchmark.parse_arguments(["backbone", "--cpu-time", "--device", "cuda"])
    with pytest.raises(UserError, match="--cpu-time says nothing of --device cuda"):
        benchmark.backbone.measure(args)


@pytest.mark.parametrize(("state", "modules_learn"), [("trained", True), ("frozen", False)])
def test_the_variants_of_the_backbone_freeze_all_of_it_or_nothing(benchmark, state, modules_learn):
    variants = benchmark.backbone.variants_of(cfg.clone())
    two, eight = (variants[f"{tasks}, {state}"] for tasks in ("two tasks", "eight tasks"))
    assert [task.key for task in enabled_tasks(two)] == ["semantic", "classification"]
    assert [task.key for task in enabled_tasks(eight)] == list(TASKS)
    assert {each.MODEL.BACKBONE.FREEZE_CONV_BODY_AT == 0 for each in (two, eight)} == {modules_learn}
