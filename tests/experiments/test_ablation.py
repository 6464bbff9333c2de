"""An ablation from beginning to end, with a training that leaves its results at once."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.experiments.ablation import plan_ablation, run_ablation, summarize_runs
from maskrcnn_benchmark.experiments.ablation_plan import make_variant
from maskrcnn_benchmark.experiments.planned_runs import describe_runs, sole_owner
from maskrcnn_benchmark.utils.errors import Interrupted, UserError

HERE = Path(__file__).parent
MINI = HERE.parents[1] / "configs" / "detail" / "mini_R_18_FPN.yaml"
PLAIN = make_variant("plain", ["SOLVER.BASE_LR", "0.002"])
OTHER = make_variant("other", ["SOLVER.BASE_LR", "0.001"])
TASKS = ("semantic", "boundary", "semantic+boundary")
SCORES = {
    "semantic/alone": {"semantic": [0.4, 0.6]},
    "boundary/alone": {"boundary": [0.5, 0.5]},
    "semantic+boundary/plain": {"semantic": [0.55, 0.5], "boundary": [0.6, 0.5]},
    "semantic+boundary/other": {"semantic": [0.6, 0.6], "boundary": [0.4, 0.4]},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    write_mini_detail(folder / "mini_detail", num_train=2, num_val=1, seed=1)
    return str(folder)


class Ablations:
    """Calls ablations into one folder."""

    def __init__(self, folder, data):
        self.folder, self.output = folder, folder / "out"
        self.options = ["DATASETS.DATA_DIR", data]

    def __call__(self, scores, tasks=TASKS, methods=(PLAIN, OTHER), seeds=(0, 1), options=(), places=({},), **more):
        """The runs that failed, by name: what they said last."""
        (self.folder / "scores.json").write_text(json.dumps(scores))
        command = [sys.executable, str(HERE / "fake_training.py"), str(self.folder / "scores.json")]
        options = [*self.options, *options]
        runs = plan_ablation(MINI, self.output, tasks, methods, seeds, options)
        places = [{"CUDA_VISIBLE_DEVICES": "", **place} for place in places]
        failed = run_ablation(runs, command, MINI, self.output, options, places, **more)
        return {run.name: text for run, text in failed.items()}

    def calls(self, name):
        """What the trainings of one run were given, in order."""
        path = self.output / "runs" / name / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def figures(self):
        return json.loads((self.output / "ablation.json").read_text())


@pytest.fixture
def ablate(tmp_path, data):
    return Ablations(tmp_path, data)


def test_networks_are_compared_with_the_means_of_single_task_networks(ablate, capsys):
    assert ablate(SCORES) == {}
    figures = ablate.figures()
    assert figures["single_task"] == pytest.approx({"semantic": 0.5, "boundary": 0.5})
    plain, other = (figures["networks"][f"semantic+boundary/{name}"] for name in ("plain", "other"))
    # (10 % + 20 %) / 2 and (0 % + 0 %) / 2: mean 7.5 %, deviation 15 % / sqrt 2
    assert [plain["seeds"][seed]["delta_m"] for seed in "01"] == pytest.approx([0.15, 0])
    assert plain["delta_m"] == pytest.approx({"mean": 0.075, "deviation": 0.15 / 2**0.5})
    assert other["delta_m"] == pytest.approx({"mean": 0, "deviation": 0}, abs=1e-12)
    assert figures["pairs"]["other"]["boundary with semantic"] == pytest.approx({"mean": -0.2, "deviation": 0})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["semantic+boundary", "plain", "2", "52.5", "±", "3.5", "55.0", "±", "7.1", "+7.5", "10.6"] in rows
    page = (ablate.output / "ablation.md").read_text()
    assert "| semantic+boundary | plain | 2 | 52.5 ± 3.5 | 55.0 ± 7.1 | +7.5 | 10.6 |" in page
    assert "![Delta_m of each network](ablation.png)" in page
    assert (ablate.output / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_given_its_options_and_keeps_its_last_checkpoint(ablate):
    ablate(SCORES, methods=[PLAIN], seeds=[1], options=["SOLVER.MAX_ITER", "9"])
    (call,) = ablate.calls("semantic+boundary/plain/seed1")
    folder = ablate.output / "runs" / "semantic+boundary" / "plain" / "seed1"
    assert call["options"]["OUTPUT_DIR"] == str(folder)
    assert (call["options"]["SOLVER.SEED"], call["options"]["SOLVER.MAX_ITER"]) == ("1", "9")
    assert call["options"]["SOLVER.BASE_LR"] == "0.002" and call["options"]["MODEL.MASK_ON"] == "False"
    assert (folder / "model_final.pth").is_file() and not (folder / "model_0000100.pth").exists()


def test_what_is_done_is_not_repeated_and_more_can_be_asked_for(ablate):
    ablate(SCORES, methods=[PLAIN], seeds=[0])
    ablate(SCORES)
    names = [f"semantic+boundary/{name}/seed{seed}" for name in ("plain", "other") for seed in (0, 1)]
    assert [len(ablate.calls(name)) for name in names] == [1, 1, 1, 1]
    assert len(ablate.calls("semantic/alone/seed0")) == 1
    assert set(ablate.figures()["networks"]["semantic+boundary/other"]["seeds"]) == {"0", "1"}


def test_runs_of_other_options_are_not_mixed(ablate):
    ablate(SCORES, seeds=[0])
    with pytest.raises(UserError, match=r"seed0 was trained with SOLVER.MAX_ITER 1250, not 9: choose another --output"):
        ablate(SCORES, seeds=[0], options=["SOLVER.MAX_ITER", "9"])
    (ablate.output / "runs/semantic/alone/seed0/ablation_run.json").unlink()
    with pytest.raises(UserError, match="training of unknown options"):
        ablate(SCORES, seeds=[0])


def test_a_failing_run_is_named_with_what_it_said_last_and_the_others_go_on(ablate, capsys):
    scores = {name: values for name, values in SCORES.items() if name != "boundary/alone"}
    failed = ablate(scores, seeds=[0])
    assert failed == {"boundary/alone/seed0": "error: out of luck"}
    figures = ablate.figures()
    assert figures["missing"] == failed and len(ablate.calls("semantic+boundary/other/seed0")) == 1
    assert "No results of boundary/alone/seed0: error: out of luck" in capsys.readouterr().out
    # Delta_m is taken over what is left
    assert figures["left_out"] == {"boundary": "there is no single-task network of it"}
    assert figures["networks"]["semantic+boundary/plain"]["delta_m"]["mean"] == pytest.approx(0.375)
    assert ablate(SCORES, seeds=[0]) == {}
    assert ablate.figures()["missing"] == {}


def test_ctrl_c_ends_trainings_in_good_order_and_the_same_command_goes_on(ablate):
    scores = {**SCORES, "boundary/alone": "interrupt"}
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="1 of 4 runs are done; run the same command again to go on"):
        ablate(scores, seeds=[0])
    assert signal.getsignal(signal.SIGINT) is handler
    folder = ablate.output / "runs" / "boundary" / "alone" / "seed0"
    assert (folder / "last_checkpoint").is_file() and not ablate.calls("semantic+boundary/plain/seed0")
    assert ablate.figures()["missing"]["boundary/alone/seed0"] == "not finished"
    assert ablate(SCORES, seeds=[0]) == {}
    assert len(ablate.calls("boundary/alone/seed0")) == 2 and len(ablate.calls("semantic/alone/seed0")) == 1


def test_trainings_that_run_side_by_side_have_places_of_their_own(ablate):
    places = [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    ablate(SCORES, tasks=["semantic", "boundary"], seeds=[0], places=places)
    assert {ablate.calls(f"{task}/alone/seed0")[0]["gpu"] for task in ("semantic", "boundary")} == {"2", "5"}


def test_single_task_results_from_elsewhere(ablate, tmp_path):
    (tmp_path / "base.json").write_text('{"semantic": 0.5, "boundary": 0.4}')
    ablate(SCORES, tasks=["semantic+boundary"], seeds=[0], baseline=str(tmp_path / "base.json"))
    figures = ablate.figures()
    assert figures["networks"]["semantic+boundary/plain"]["delta_m"] == pytest.approx({"mean": 0.3, "deviation": None})
    assert not (ablate.output / "single_task.json").exists()


def test_without_single_tasks_there_are_scores_alone(ablate, capsys):
    ablate(SCORES, tasks=["semantic+boundary"], seeds=[0])
    out = capsys.readouterr().out
    assert "No Delta_m: add `single` to --tasks" in out and "delta_m" not in out
    assert not (ablate.output / "ablation.png").exists()


def test_only_what_was_asked_for_is_compared_where_detection_comes_along(ablate):
    scores = {"keypoint/alone": {"detection": [0.9], "keypoint": [0.3]}}
    ablate(scores, tasks=["keypoint"], seeds=[0])
    assert ablate.figures()["single_task"] == {"keypoint": 0.3}
    (call,) = ablate.calls("keypoint/alone/seed0")
    assert "MODEL.DETECTION_ON" not in call["options"] and call["options"]["MODEL.MASK_ON"] == "False"


def test_results_without_the_tasks_are_an_error(ablate):
    with pytest.raises(UserError, match="has no scores of semantic; remove"):
        ablate({"semantic/alone": {"boundary": [0.3]}}, tasks=["semantic"], seeds=[0])


def test_one_ablation_at_a_time_works_in_a_folder(ablate):
    with sole_owner(ablate.output), pytest.raises(UserError, match=f"another command.*: process {os.getpid()} on"):
        ablate(SCORES, tasks=["semantic"], seeds=[0])
    assert ablate(SCORES, tasks=["semantic"], seeds=[0]) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": ["DATASETS.TEST", "()"]}, "DATASETS.TEST is empty"),
        ({"seeds": [0, -1]}, "--seeds -1: give 0 or more"),
        ({"methods": [make_variant("x", ["SOLVER.BASE_LRR", "1"])]}, "did you mean SOLVER.BASE_LR?"),
        ({"methods": [make_variant("x", ["MODEL.MASK_ON", "True"])], "tasks": ["all"]}, None),
        ({"methods": [make_variant("x", ["MODEL.BOUNDARY_ON", "False"])]}, "its options turn boundary on or off"),
    ],
)
def test_mistakes_show_before_anything_is_trained(ablate, changes, message):
    arguments = {"tasks": TASKS, "methods": [PLAIN], "seeds": [0], "options": [], **changes}
    if message is None:
        assert len(plan_ablation(MINI, ablate.output, **arguments)) == 1
        return
    with pytest.raises(UserError) as caught:
        plan_ablation(MINI, ablate.output, **arguments)
    assert message in str(caught.value)


def test_the_list_of_runs_says_what_is_done(ablate):
    ablate(SCORES, methods=[PLAIN], seeds=[0])
    (ablate.output / "runs/boundary/alone/seed1").mkdir()
    runs = plan_ablation(MINI, ablate.output, [*TASKS, "keypoint"], [PLAIN], [0, 1], ablate.options)
    lines = {line.split(" (")[0]: line for line in describe_runs(runs).splitlines()}
    assert lines["semantic+boundary/plain/seed0"].startswith(
        "semantic+boundary/plain/seed0 (done): TEST.NUM_PICTURES 0"
    )
    assert "(to do)" in lines["boundary/alone/seed1"] and "MULTITASK.AGGREGATION ''" in lines["boundary/alone/seed1"]
    first, second = summarize_runs(runs, 3).splitlines()
    assert first == "8 runs, of which 3 are done; 3 at a time"
    assert second == "predictions per box need detection: it is trained with keypoint, but not compared there"
