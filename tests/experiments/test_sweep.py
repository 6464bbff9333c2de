"""A sweep from its words to its comparison, with a training that leaves its results at once."""

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.experiments.sweep import folder_word, parse_sweep, plan_sweep, run_name, run_sweep, split_values
from maskrcnn_benchmark.utils.errors import Interrupted, UserError

HERE = Path(__file__).parent
MINI = HERE.parents[1] / "configs" / "detail" / "mini_R_18_FPN.yaml"
LOW, HIGH = "SOLVER.BASE_LR_0.001", "SOLVER.BASE_LR_0.01"
RATES = "SOLVER.BASE_LR=1e-3,0.01"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    write_mini_detail(folder / "mini_detail", num_train=2, num_val=1, seed=1)
    return str(folder)


class Sweeps:
    """Calls sweeps into one folder."""

    def __init__(self, folder, data):
        self.folder, self.output, self.data = folder, folder / "out", data

    def plan(self, *sweeps, options=(), skip_test=False):
        options = ["DATASETS.DATA_DIR", self.data, "OUTPUT_DIR", str(self.output), *options]
        return plan_sweep(MINI, sweeps, options, skip_test)

    def __call__(self, scores, *sweeps, places=({},), **more):
        """The runs that failed, by name: what they said last."""
        (self.folder / "scores.json").write_text(json.dumps(scores))
        command = [sys.executable, str(HERE / "fake_sweep_training.py"), str(self.folder / "scores.json")]
        command += ["--skip-test"] if more.get("skip_test") else []
        base, runs = self.plan(*sweeps, **more)
        failed = run_sweep(runs, base, command, MINI, places)
        return {run.name: words for run, words in failed.items()}

    def calls(self, name):
        path = self.output / name / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.fixture
def sweep(tmp_path, data):
    return Sweeps(tmp_path, data)


def test_each_value_is_a_run_and_they_are_compared(sweep, capsys):
    assert sweep({LOW: 0.4, HIGH: 0.5}, RATES, options=["SOLVER.MAX_ITER", "9"]) == {}
    (call,) = sweep.calls(LOW)
    assert call["options"]["OUTPUT_DIR"] == str(sweep.output / LOW)
    assert (call["options"]["SOLVER.BASE_LR"], call["options"]["SOLVER.MAX_ITER"]) == ("0.001", "9")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["semantic", "segmentation", "mIoU", "40.0", "50.0", "(+25.0)"] in rows
    assert ["SOLVER.BASE_LR", "0.001", "0.01"] in rows
    figures = json.loads((sweep.output / "comparison.json").read_text())
    assert figures["runs"][1]["delta_m"] == pytest.approx(0.25)
    assert "Options that differ" in (sweep.output / "comparison.html").read_text()


def test_a_grid_has_every_combination_and_seeds_show_chance(sweep, capsys):
    scores = {f"{rate}+SOLVER.SEED_{seed}": 0.4 + 0.1 * seed for rate in (LOW, HIGH) for seed in (0, 2)}
    base, runs = sweep.plan(RATES, "SOLVER.SEED=0,2")
    assert base == sweep.output and [run.name for run in runs] == [
        f"{rate}+SOLVER.SEED_{seed}" for seed in (0, 2) for rate in (LOW, HIGH)
    ]
    assert sweep(scores, RATES, "SOLVER.SEED=0,2") == {}
    assert ["semantic", "segmentation", "mIoU", *(["50.0", "±", "14.1"] * 2)] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]


def test_what_is_done_is_not_repeated_and_more_values_can_be_asked_for(sweep):
    sweep({LOW: 0.4}, "SOLVER.BASE_LR=0.001")
    sweep({LOW: 0.4, HIGH: 0.5}, RATES)
    sweep({}, RATES)
    assert len(sweep.calls(LOW)) == len(sweep.calls(HIGH)) == 1


def test_a_run_that_fails_is_named_and_the_others_go_on(sweep):
    assert sweep({HIGH: 0.5}, RATES) == {LOW: "error: out of luck"}
    assert len(sweep.calls(HIGH)) == 1 and (sweep.output / "comparison.html").is_file()
    assert sweep({LOW: 0.4}, RATES) == {}


def test_nothing_to_compare_is_no_error(sweep):
    assert len(sweep({}, RATES)) == 2
    assert not (sweep.output / "comparison.html").exists()


def test_ctrl_c_ends_in_good_order_and_the_same_command_goes_on(sweep):
    with pytest.raises(Interrupted, match="0 of 2 runs are done; run the same command again to go on"):
        sweep({LOW: "interrupt", HIGH: 0.5}, RATES)
    assert (sweep.output / LOW / "last_checkpoint").is_file() and not sweep.calls(HIGH)
    assert sweep({LOW: 0.4, HIGH: 0.5}, RATES) == {}
    assert len(sweep.calls(LOW)) == 2 and len(sweep.calls(HIGH)) == 1


def test_without_tests_a_run_is_done_when_it_is_trained(sweep):
    assert sweep({LOW: 0.4, HIGH: 0.4}, RATES, skip_test=True) == {}
    assert sweep({}, RATES, skip_test=True) == {} and len(sweep.calls(LOW)) == 1
    assert sweep({LOW: 0.4, HIGH: 0.4}, RATES) == {} and len(sweep.calls(LOW)) == 2  # now it is tested


def test_gpus_are_shared_out(sweep):
    places = [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    assert sweep({LOW: 0.4, HIGH: 0.5}, RATES, places=places) == {}
    assert {sweep.calls(name)[0]["gpu"] for name in (LOW, HIGH)} == {"2", "5"}


def test_runs_of_other_options_are_not_mixed(sweep):
    sweep({LOW: 0.4, HIGH: 0.5}, RATES)
    with pytest.raises(UserError, match=r"was trained with SOLVER.MAX_ITER 1250, not 9: choose another OUTPUT_DIR"):
        sweep.plan(RATES, options=["SOLVER.MAX_ITER", "9"])


def test_a_folder_with_a_run_is_no_folder_for_a_sweep(sweep):
    sweep.output.mkdir()
    (sweep.output / "config.yml").write_text("")
    with pytest.raises(UserError, match=r"has a run in it; give the sweep a folder of its own: OUTPUT_DIR .*out_sweep"):
        sweep.plan(RATES)


@pytest.mark.parametrize(
    ("sweeps", "options", "message"),
    [
        (["SOLVER.BASE_LRR=1,2"], [], "unknown option SOLVER.BASE_LRR; did you mean SOLVER.BASE_LR?"),
        (
            ["SOLVER.BASE_LR=0.1,fast"],
            [],
            "SOLVER.BASE_LR takes a number from 0 to 1,000, such as 0.003, not 'fast'",
        ),
        (["SOLVER.BASE_LR=0.1,"], [], "SOLVER.BASE_LR takes a number from"),
        (["SOLVER=1,2"], [], "SOLVER is a group of options"),
        (["SOLVER.BASE_LR"], [], "give KEY=a,b,c"),
        (["=1"], [], "give KEY=a,b,c"),
        (["SOLVER.STEPS=(1,2"], [], "')' is missing at the end"),
        (["SOLVER.STEPS=1,2)"], [], "the bracket ')' closes nothing"),
        (["OUTPUT_DIR=a,b"], [], "each run has a folder of its own"),
        (["SOLVER.SEED=1", "SOLVER.SEED=2"], [], "--sweep SOLVER.SEED is given twice"),
        (["SOLVER.SEED=1,2"], ["SOLVER.SEED", "3"], "SOLVER.SEED is swept over, so it cannot be set for all runs"),
    ],
)
def test_mistakes_show_before_anything_starts(sweep, sweeps, options, message):
    with pytest.raises(UserError) as caught:
        sweep.plan(*sweeps, options=options)
    assert message in str(caught.value) and "the command line" not in str(caught.value)
    assert not sweep.output.exists()


@pytest.mark.filterwarnings("ignore:.*has no effect any more")
def test_an_option_without_effect_is_refused(sweep):
    with pytest.raises(UserError, match="AMP_VERBOSE has no effect any more"):
        sweep.plan("AMP_VERBOSE=True,False")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        ("(10,20),(20,30)", ["(10,20)", "(20,30)"]),
        ("[1,(2,3)], 4", ["[1,(2,3)]", "4"]),
        ("'a,b',c", ["'a,b'", "c"]),
        (",x", ["", "x"]),
        ("", [""]),
    ],
)
def test_commas_within_brackets_and_quotes_belong_to_a_value(text, values):
    assert split_values(text) == values


def test_values_are_of_one_form_and_count_once():
    def values(text):
        return parse_sweep(text, default_cfg.clone()).values

    assert values("SOLVER.BASE_LR=1e-2,0.01,1") == ("0.01", "1.0")
    assert values("SOLVER.STEPS=(10,20),5") == ("(10, 20)", "(5,)")
    assert values("MULTITASK.AGGREGATION=,pcgrad") == ("", "pcgrad")
    assert values("MODEL.WEIGHT='1e3',x") == ("'1e3'", "x")
    assert values("DATASETS.TRAIN=('a_train','b_train'),a_train") == ("('a_train', 'b_train')", "('a_train',)")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        *(("0.01", "0.01"), ("-1", "-1"), ("1e-05", "1e-05"), ("True", "True"), ("R-50-FPN", "R-50-FPN")),
        *(
            ("(10, 20)", "10-20"),
            ("(5,)", "5"),
            ("()", "none"),
            ("", "none"),
            ("('a_train', 'b_val')", "a_train-b_val"),
        ),
    ],
)
def test_readable_names_of_folders(value, word):
    assert folder_word(value) == word


VALUES = st.one_of(
    st.text(st.characters(codec="ascii"), max_size=60).filter(lambda text: not text.startswith("(")),
    st.lists(st.one_of(st.integers(-20, 20), st.text("ab-, '(1", max_size=4)), max_size=4).map(
        lambda v: repr(tuple(v))
    ),
)


@given(VALUES, VALUES)
def test_two_values_have_two_folders_that_any_file_system_takes(one, other):
    # "" and () are never values of one option, nor are 5 and (5,), or a-b and ('a-b',)
    if one.startswith("(") == other.startswith("(") and one != other:
        assert folder_word(one) != folder_word(other)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", folder_word(one)) and folder_word(one) not in (".", "..")
    assert len(run_name([("MODEL.A_VERY_LONG_GROUP.OF_OPTIONS", one)] * 9)) < 250
