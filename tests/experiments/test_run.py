"""A whole run on a few drawn images: train, evaluate, draw, run again, resume, test."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data import class_weights
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.results import read_interactions, read_results
from maskrcnn_benchmark.experiments.comparison import compare_folders
from maskrcnn_benchmark.experiments.comparison_report import format_text
from maskrcnn_benchmark.experiments.run import test as run_test
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.utils.errors import UserError

ROOT = Path(__file__).parents[2]
MINI = ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml"


def make_cfg(folder, data, *options):
    cfg = default_cfg.clone()
    cfg.merge_from_file(MINI)
    cfg.merge_from_list(["DATASETS.DATA_DIR", str(data), "OUTPUT_DIR", str(folder), *SMALL, *options])
    return cfg


# two dense tasks on a thin trunk: everything but the region heads, which have tests of their own
SMALL = (
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.DETECTION_ON", False, "MODEL.MASK_ON", False, "MODEL.KEYPOINT_ON", False, "MODEL.PART_ON", False),
    *("MODEL.BOUNDARY_ON", False, "MODEL.OCCLUSION_ON", False, "MODEL.RESNETS.STEM_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", 8, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 32),
    *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64, "DATALOADER.NUM_WORKERS", 0),
    *("SOLVER.MAX_ITER", 3, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 2, "SOLVER.TEST_PERIOD", 2),
    *("TEST.NUM_PICTURES", 2, "TEST.NUM_EXAMPLES", 1, "MULTITASK.LOG_PERIOD", 2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    write_mini_detail(folder / "mini_detail", num_train=6, num_val=4, seed=1)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    """(output folder, model) of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(make_cfg(folder, data))


def test_a_run_leaves_everything_that_is_promised(finished):
    folder, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        *("config.yml", "log.txt", "last_checkpoint", "model_0000002.pth", "model_final.pth", "results.json"),
        *("tensorboard", "pictures.html", "pictures", "interactions.png", "inference", "run.json"),
    }
    assert len(list((folder / "pictures").iterdir())) == 2
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["semantic", "classification", "interactions"]
    for result in (results["semantic"], results["classification"]):
        assert (
            set(result) >= {"headline", "metrics", "trivial", "protocol", "per_class"}
            and result["headline"] in result["metrics"]
        )
        assert result["metrics"].keys() == result["trivial"].keys()
    log = (folder / "log.txt").read_text()
    assert "semantic segmentation" in log and str(folder / "pictures.html") in log
    assert "gradient conflicts at iteration 2:" in log and str(folder / "interactions.png") in log


def test_a_run_records_itself_and_can_be_compared(finished):
    folder, _ = finished
    comparison = compare_folders([folder])
    (run,) = comparison.runs
    assert comparison.problems == [] and (run.state, run.iteration, run.seed) == ("finished", 3, 0)
    assert run.record["starts"][0]["from_iteration"] == 0 and run.record["starts"][0]["iteration"] == 3
    assert 0 < run.training_seconds <= run.record["seconds"]
    assert set(run.curves) >= {"total", "lr", "task/semantic", "task/classification", "test/semantic/mIoU"}
    assert comparison.scores[0]["semantic"] == run.results["semantic"]["metrics"]["mIoU"]
    assert "semantic segmentation mIoU" in format_text(comparison)


def test_what_the_tasks_did_to_one_another_is_in_every_result_of_the_checkpoint(finished, data):
    folder, _ = finished
    written = json.loads((folder / "results.json").read_text())["interactions"]
    assert written["tasks"] == ["semantic", "classification"] and written["looks"] == [1, 1]
    (_, cosine), (again, _) = written["cosine"]
    assert cosine == again and -1 <= cosine <= 1 and written["conflict"][0][1] == (cosine < 0)
    assert all(norm > 0 for norm in written["norm"])
    run_test(make_cfg(folder, data))
    tested = folder / "inference" / "mini_detail_val"
    assert read_interactions(tested / "results.json") == written
    assert '<section id="interactions">' in (tested / "report.html").read_text()


def test_a_finished_run_makes_its_conflict_matrix_again_from_the_checkpoint(finished, data, tmp_path):
    folder, _ = finished
    (tmp_path / "model_final.pth").write_bytes((folder / "model_final.pth").read_bytes())
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_final.pth"))
    train(make_cfg(tmp_path, data))
    written = read_interactions(folder / "results.json")
    assert written is not None and read_interactions(tmp_path / "results.json") == written
    assert (tmp_path / "interactions.png").read_bytes() == (folder / "interactions.png").read_bytes()


def test_the_saved_config_holds_the_class_counts_and_builds_the_same_run(finished, data):
    folder, _ = finished
    cfg = default_cfg.clone()
    cfg.merge_from_file(folder / "config.yml")
    assert cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES == 21 and str(folder) == cfg.OUTPUT_DIR
    results = run_test(cfg)
    again = read_results(folder / "results.json")["semantic"]
    assert results["mini_detail_val"]["semantic"]["metrics"] == again["metrics"]


def test_weights_that_were_counted_go_on_with_the_checkpoint_and_need_no_data(data, tmp_path, monkeypatch, caplog):
    def weights_of(*options):
        options = ("MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS", "median_frequency", "SOLVER.TEST_PERIOD", 0, *options)
        model = train(make_cfg(tmp_path, data, *options), skip_test=True)
        return model.fpn_heads.heads["semantic"].class_weights.tolist()

    begun = weights_of("SOLVER.MAX_ITER", 1)
    assert len(begun) == 21 and len(set(begun)) > 5
    stored = default_cfg.clone()
    stored.merge_from_file(tmp_path / "config.yml")
    assert stored.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS[0] == "median_frequency"
    monkeypatch.setattr(class_weights, "count_classes", None)
    caplog.clear()
    with caplog.at_level("WARNING"):
        assert weights_of("SOLVER.MAX_ITER", 2) == weights_of("SOLVER.MAX_ITER", 2) == begun  # goes on; is finished
        assert "CLASS_WEIGHTS" not in caplog.text
        weights_of("SOLVER.MAX_ITER", 3, "MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS", (("sky", 2.0),))
    assert "CLASS_WEIGHTS: ['median_frequency', ['aeroplane'" in caplog.text and "takes effect" in caplog.text


def test_the_trivial_predictor_can_be_left_out(finished, data, tmp_path):
    folder, _ = finished
    results = run_test(make_cfg(tmp_path, data, "TEST.TRIVIAL", False, "MODEL.WEIGHT", str(folder / "model_final.pth")))
    assert all(result["trivial"] == {} for result in results["mini_detail_val"].values())
    assert not list(tmp_path.rglob("trivial.json"))


def test_a_finished_run_is_not_trained_again_and_makes_only_what_is_missing(finished, data, caplog):
    folder, model = finished
    before = (folder / "results.json").stat().st_mtime_ns
    (folder / "pictures.html").unlink()
    with caplog.at_level("INFO"):
        again = train(make_cfg(folder, data))
    assert "this training is finished (3 iterations)" in caplog.text and "Start training" not in caplog.text
    assert "Start evaluation" not in caplog.text
    assert (folder / "results.json").stat().st_mtime_ns == before and (folder / "pictures.html").is_file()
    assert all(a.equal(b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


def test_a_finished_run_keeps_config_record_and_results_whatever_options_are_given(finished, data, caplog):
    folder, model = finished
    kept = ("config.yml", "run.json", "results.json")
    before = [(folder / name).read_bytes() for name in kept]
    again = train(make_cfg(folder, data, "SOLVER.BASE_LR", 0.5, "SOLVER.OPTIMIZER", "SGD", "MODEL.BOUNDARY_ON", True))
    assert [(folder / name).read_bytes() for name in kept] == before
    assert "SOLVER.BASE_LR: 0.003 -> 0.5" in caplog.text and "MODEL.BOUNDARY_ON: False -> True" in caplog.text
    assert "raise SOLVER.MAX_ITER" in caplog.text and "another OUTPUT_DIR" in caplog.text
    assert all(a.equal(b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("SOLVER.OPTIMIZER", "SGD"), "cannot change SOLVER.OPTIMIZER: 'AdamW' -> 'SGD'"),
        (("MODEL.BOUNDARY_ON", True), "of another model .* differ MODEL.BOUNDARY_ON: False -> True"),
        (("MULTITASK.WEIGHTING", "dwa"), "loss_combiner .* differ MULTITASK.WEIGHTING: 'fixed' -> 'dwa'"),
        (("MULTITASK.WEIGHTING", "uncertainty"), "optimizer .* differ MULTITASK.WEIGHTING: 'fixed' -> 'uncertainty'"),
    ],
)
def test_a_longer_training_that_cannot_go_on_so_leaves_everything_as_it_was(finished, data, tmp_path, options, message):
    folder, _ = finished
    for name in ("model_final.pth", "config.yml", "results.json", "run.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_final.pth"))
    with pytest.raises(UserError, match=message):
        train(make_cfg(tmp_path, data, "SOLVER.MAX_ITER", 5, *options))
    for name in ("config.yml", "results.json", "run.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_longer_training_goes_on_and_replaces_the_results(finished, data, tmp_path):
    folder, _ = finished
    for name in ("model_final.pth", "results.json", "run.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_final.pth"))
    train(make_cfg(tmp_path, data, "SOLVER.MAX_ITER", 5, "SOLVER.WEIGHT_DECAY", 0.25))
    checkpoint = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert checkpoint["iteration"] == 5 and checkpoint["optimizer"]["param_groups"][0]["weight_decay"] == 0.25
    assert (tmp_path / "results.json").read_bytes() != (folder / "results.json").read_bytes()
    assert read_interactions(tmp_path / "results.json")["looks"] == [2, 2]
    starts = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert [(start["from_iteration"], start["iteration"]) for start in starts] == [(0, 3), (3, 5)]
    changed = {"SOLVER.MAX_ITER": [3, 5], "SOLVER.WEIGHT_DECAY": [0.01, 0.25]}
    assert [start["changed_options"] for start in starts] == [{}, changed]


def test_skip_test_ends_after_training(data, tmp_path):
    train(make_cfg(tmp_path, data, "SOLVER.MAX_ITER", 1), skip_test=True)
    assert (tmp_path / "model_final.pth").is_file() and not (tmp_path / "results.json").exists()
    assert not (tmp_path / "interactions.png").exists()  # nobody looked


def test_a_checkpoint_of_other_classes_is_refused(finished, data, tmp_path):
    folder, _ = finished
    checkpoint = torch.load(folder / "model_final.pth", weights_only=True)
    checkpoint["vocabulary"]["semantic_names"][0] = "spaceship"
    torch.save(checkpoint, tmp_path / "model_final.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_final.pth"))
    with pytest.raises(UserError, match=r"trained on other classes.*OUTPUT_DIR"):
        train(make_cfg(tmp_path, data))
    assert not (tmp_path / "run.json").exists()  # a refusal leaves the record of the run that is there alone


def test_testing_without_weights_is_the_users_error(data, tmp_path):
    with pytest.raises(UserError, match=r"no weights to test.*--ckpt"):
        run_test(make_cfg(tmp_path, data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("MODEL.WEIGHT", "gone.pth"), "no such checkpoint: gone.pth; correct the path"),
        (("MODEL.WEIGHT", str(MINI)), "mini_R_18_FPN.yaml "),
        (("MODEL.WEIGHT", "catalog://ImageNet/Gone"), "Gone"),
        (("TEST.SINGLE_TASK_RESULTS", "gone.json"), "single-task results .*gone.json"),
        (("DATASETS.TRAIN", ("coco_2017_train",)), "data set 'coco_2017_train' is not there"),
        (("DATASETS.VOCABULARY", "voc_2012_val"), "data set 'voc_2012_val' is not there"),
        (("DATASETS.TEST", ("mini_detail_val", "voc_2012_vol")), "unknown data set 'voc_2012_vol'"),
    ],
)
def test_what_a_run_needs_and_has_not_is_told_before_anything_is_made(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        train(make_cfg(tmp_path / "out", tmp_path / "data", *options))
    with pytest.raises(UserError, match=f"{message}|no weights to test"):
        run_test(make_cfg(tmp_path / "out", tmp_path / "data", *options))
    assert list(tmp_path.iterdir()) == []


def test_a_test_needs_no_training_data_and_warns_of_heads_that_the_weights_lack(finished, data, tmp_path, caplog):
    folder, model = finished
    gone = ("DATASETS.TRAIN", ("gone_train",), "TEST.TRIVIAL", False, "MODEL.BOUNDARY_ON", True)
    expected = read_results(folder / "results.json")["semantic"]["metrics"]
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    for weights in (folder / "model_final.pth", tmp_path / "bare.pth"):
        caplog.clear()
        results = run_test(make_cfg(tmp_path, data, *gone), str(weights))["mini_detail_val"]
        assert results["semantic"]["metrics"] == expected
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        lacking, shared = [text for text in warnings if text.startswith("the weights lack")]
        assert "of the head for boundary detection" in lacking and "turn it off with MODEL.BOUNDARY_ON False" in lacking
        assert "edge_decoder" in shared
        is_bare = weights.name == "bare.pth"
        assert any("bare.pth does not name its classes" in text for text in warnings) == is_bare
        assert ("its classes are taken to be those of mini_detail_val" in warnings) == is_bare


@pytest.mark.parametrize("name", ["voc_2012_train", "coco_2017_train"])
def test_known_names_stand_in_for_training_data_if_they_are_as_many_as_the_config_says(
    finished, data, tmp_path, caplog, name
):
    _, model = finished
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    options = ("MODEL.SEMANTIC_HEAD.NUM_CLASSES", 21, "MODEL.CLASSIFICATION_ON", False, "TEST.TRIVIAL", False)
    cfg = make_cfg(tmp_path, data, "DATASETS.TRAIN", (name,), *options)
    with contextlib.suppress(UserError):  # the test set may have other names
        run_test(cfg, str(tmp_path / "bare.pth"))
    assert cfg.MODEL.SEMANTIC_HEAD.NUM_CLASSES == 21
    assert ("taken to be those of mini_detail_val" in caplog.text) == (name == "coco_2017_train")


def test_damaged_results_are_the_users_error(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json is damaged: it is not valid JSON .*; remove it"):
        read_results(tmp_path / "results.json")


def _weights(folder):
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_eight_tasks_killed_and_resumed_equal_uninterrupted_bit_for_bit(tmp_path, data, number):
    command = [sys.executable, ROOT / "tools" / "train_net.py", "--config-file", MINI, "--skip-test"]
    command += ["DATASETS.DATA_DIR", data, "SOLVER.MAX_ITER", "8", "SOLVER.CHECKPOINT_PERIOD", "2"]
    command += ["SOLVER.IMS_PER_BATCH", "2", "SOLVER.LOG_PERIOD", "1", "MULTITASK.LOG_PERIOD", "3", "OUTPUT_DIR"]
    command = [str(word) for word in command]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    process = subprocess.Popen([*command, str(tmp_path / "killed")])
    while not list((tmp_path / "killed").glob("model_0000004.pth")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait() == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / "killed" / "model_final.pth").exists()
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    whole, killed = _weights(tmp_path / "whole"), _weights(tmp_path / "killed")
    assert whole.keys() == killed.keys() and all(whole[name].equal(killed[name]) for name in whole)


@pytest.mark.parametrize("method", ["moco", "db_mtl", "excess_mtl"])
def test_methods_that_keep_rows_of_gradients_go_on_from_a_checkpoint_bit_for_bit(data, tmp_path, method):
    options = ("MULTITASK.AGGREGATION", method, "MULTITASK.GRADIENTS_AT", "parameters", "MULTITASK.LOG_PERIOD", 0)
    whole = train(make_cfg(tmp_path / "whole", data, *options), skip_test=True).state_dict()
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    (tmp_path / "stopped" / "model_final.pth").unlink()
    (tmp_path / "stopped" / "last_checkpoint").write_text(str(tmp_path / "stopped" / "model_0000002.pth"))
    resumed = train(make_cfg(tmp_path / "stopped", data, *options), skip_test=True).state_dict()
    assert all(torch.equal(whole[name], value) for name, value in resumed.items())


def test_a_run_in_epochs_ends_early_with_its_best_network_and_goes_on_with_more_patience(
    data, tmp_path, monkeypatch, caplog
):
    def run(patience, *found):
        scores = iter(found)
        monkeypatch.setattr("maskrcnn_benchmark.engine.trainer.score_of", lambda results, metric: next(scores))
        train(make_cfg(tmp_path, data, *options, "SOLVER.BEST.PATIENCE", patience))
        return {name: torch.load(tmp_path / f"model_{name}.pth", weights_only=True) for name in ("best", "final")}

    caplog.set_level("INFO")
    options = ("SOLVER.MAX_EPOCHS", 2, "SOLVER.EMA_DECAY", 0.9, "SOLVER.BEST.METRIC", "gain", "TEST.NUM_PICTURES", 1)
    first = run(1, 0.4, 0.3)
    assert "SOLVER.MAX_EPOCHS 2 of 6 images are 6 iterations of 2 images" in caplog.text
    assert {name: checkpoint["iteration"] for name, checkpoint in first.items()} == {"best": 2, "final": 4}
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["state"], record["iteration"], record["max_iteration"]) == ("finished", 4, 6)
    assert record["best"] == {"metric": "gain", "value": 0.4, "iteration": 2}
    text = format_text(compare_folders([tmp_path]))
    assert "4 of 6, ended early" in text and "gain 40.0 at" in text
    assert (tmp_path / "results.json").is_file() and (tmp_path / "pictures.html").is_file()
    results = run_test(make_cfg(tmp_path, data))["mini_detail_val"]
    assert "the average of the weights is taken" in caplog.text
    written = read_results(tmp_path / "results.json")
    assert all(results[key]["metrics"] == pytest.approx(written[key]["metrics"], nan_ok=True) for key in results)

    caplog.clear()
    run(1)  # the same command again
    assert "this training is finished (4 iterations): to go on, raise SOLVER.BEST.PATIENCE" in caplog.text
    second = run(2, 0.5)  # by the evaluation of the finished network
    assert {name: checkpoint["iteration"] for name, checkpoint in second.items()} == {"best": 6, "final": 6}
    assert second["final"]["best_evaluation"]["value"] == second["best"]["best_evaluation"]["value"] == 0.5
    assert f"Best network, gain 50.0 at iteration 6: {tmp_path / 'model_best.pth'}" in caplog.text


def test_a_metric_that_is_not_measured_is_told_before_the_training(data, tmp_path):
    with pytest.raises(UserError, match=r"SOLVER\.BEST\.METRIC is 'semantic/mIOU', .*did you mean 'mIoU'"):
        train(make_cfg(tmp_path, data, "SOLVER.BEST.METRIC", "semantic/mIOU"))
    assert not list(tmp_path.glob("*.pth"))
