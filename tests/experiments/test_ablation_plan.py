"""What an ablation trains: subsets, methods, and the options of every run."""

from pathlib import Path

import pytest

from maskrcnn_benchmark.experiments.ablation_plan import (
    QUIET,
    Method,
    check_options,
    expand_subsets,
    make_plan,
    make_variant,
    resolve_method,
)
from maskrcnn_benchmark.experiments.planned_runs import read_config
from maskrcnn_benchmark.tasks.task import enabled_tasks, tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

DETAIL = Path(__file__).parents[2] / "configs" / "detail"
MINI = DETAIL / "mini_R_18_FPN.yaml"
KNOWN = ("fixed", "uncertainty"), ("pcgrad", "config"), ("attention", "distillation")
FIXED = resolve_method("fixed", *KNOWN)
PCGRAD = resolve_method("pcgrad", *KNOWN)


@pytest.fixture(scope="module")
def cfg():
    return read_config(MINI)


def names(words, cfg):
    return [subset.name for subset in expand_subsets(words, cfg)]


def plan(cfg, words, methods=(FIXED,), seeds=(0,), options=()):
    return make_plan(cfg, expand_subsets(words, cfg), methods, seeds, options, "out")


def test_groups_of_subsets(cfg):
    assert names(["single"], cfg) == list(TASKS)
    assert names(["all"], cfg) == ["all"]
    pairs = names(["pairs"], cfg)
    assert len(pairs) == len(set(pairs)) == 28
    assert pairs[:2] == ["detection+instance", "detection+keypoint"] and pairs[-1] == "occlusion+classification"
    every = names(["subsets"], cfg)
    assert len(every) == len(set(every)) == 255
    assert {*TASKS, *pairs, "all"} <= set(every)


def test_a_subset_is_trained_once_in_the_tables_order_and_single_tasks_come_first(cfg):
    words = ["boundary+semantic", "all", "semantic+boundary", "boundary", "single", "+".join(TASKS)]
    assert names(words, cfg) == ["boundary", *(key for key in TASKS if key != "boundary"), "semantic+boundary", "all"]


def test_tasks_to_choose_from_are_those_of_the_config():
    cfg = read_config(MINI, ["MODEL.KEYPOINT_ON", "False", "MODEL.PART_ON", "False"])
    assert len(names(["pairs"], cfg)) == 15
    (everything,) = expand_subsets(["all"], cfg)
    assert everything.tasks == tuple(key for key in TASKS if key not in ("keypoint", "part"))


def test_one_task_that_is_all_there_is_has_its_own_name():
    assert names(["all", "single"], read_config(DETAIL / "mini_semantic_R_18_FPN.yaml")) == ["semantic"]


def test_answers_per_box_bring_detection_along(cfg):
    (subset,) = expand_subsets(["semantic+keypoint"], cfg)
    assert (subset.tasks, subset.trained) == (("keypoint", "semantic"), ("detection", "keypoint", "semantic"))
    for key in TASKS:
        (subset,) = expand_subsets([key], cfg)
        assert subset.tasks == (key,)
        assert ("detection" in subset.trained) == (key in ("detection", "instance", "keypoint", "part"))
    (subset,) = expand_subsets(["part"], read_config(MINI, ["MODEL.PART_HEAD", "fpn"]))
    assert subset.trained == ("part",)


def differences(cfg, other):
    def value(node, key):
        for name in key.split("."):
            node = node[name]
        return node

    return {key for key in cfg.keys_of_options() if value(cfg, key) != value(other, key)}


@pytest.mark.parametrize("key", TASKS)
def test_a_single_task_is_trained_as_its_own_config_trains_it(cfg, key):
    (run,) = plan(cfg, [key], options=["SOLVER.MAX_ITER", "1250"])
    assert run.folder == Path("out") / "runs" / key / "alone" / "seed0"
    of_file = read_config(DETAIL / f"mini_{key}_R_18_FPN.yaml")
    quiet = {"TEST.NUM_PICTURES", "TEST.NUM_EXAMPLES", "TEST.TRIVIAL"}
    assert differences(read_config(MINI, run.options), of_file) == {*quiet, "OUTPUT_DIR"}


def test_methods_are_for_several_tasks_and_seeds_are_the_outer_loop(cfg):
    runs = plan(cfg, ["semantic", "semantic+boundary"], [FIXED, PCGRAD], [3, 5, 3])
    assert [run.name for run in runs] == [
        f"{name}/seed{seed}"
        for seed in (3, 5)
        for name in ("semantic/alone", "semantic+boundary/fixed", "semantic+boundary/pcgrad")
    ]
    made = read_config(MINI, runs[-1].options)
    assert [task.key for task in enabled_tasks(made)] == ["semantic", "boundary"]
    assert (made.MULTITASK.WEIGHTING, made.MULTITASK.AGGREGATION, made.SOLVER.SEED) == ("fixed", "pcgrad", 5)


def test_a_single_task_is_plain_whatever_the_config_combines_with(cfg):
    weighted = read_config(MINI, ["MULTITASK.WEIGHTING", "uncertainty", "MODEL.TASK_EXCHANGE.NAME", "attention"])
    (run,) = plan(weighted, ["semantic"])
    made = ("MODEL.TASK_EXCHANGE.NAME", "none", "MULTITASK.WEIGHTING", "fixed", "MULTITASK.AGGREGATION", "")
    assert run.options[-8:] == (*made, "SOLVER.SEED", "0")


def test_the_users_options_win_over_what_is_left_out_for_speed(cfg):
    (run,) = plan(cfg, ["semantic"], options=["TEST.NUM_PICTURES", "3", "SOLVER.MAX_ITER", "7"])
    made = read_config(MINI, run.options)
    assert (made.TEST.NUM_PICTURES, made.TEST.NUM_EXAMPLES, made.SOLVER.MAX_ITER) == (3, 0, 7)
    assert run.options[: len(QUIET)] == QUIET


@pytest.mark.parametrize(
    ("name", "weighting", "aggregation", "exchange"),
    [
        ("fixed", "fixed", "", "none"),
        ("uncertainty", "uncertainty", "", "none"),
        ("config", "fixed", "config", "none"),
        ("attention", "fixed", "", "attention"),
        ("uncertainty+pcgrad", "uncertainty", "pcgrad", "none"),
        ("pcgrad+distillation+uncertainty", "uncertainty", "pcgrad", "distillation"),
    ],
)
def test_a_method_names_a_weighting_an_aggregation_an_exchange_or_several(name, weighting, aggregation, exchange):
    options = ("MULTITASK.WEIGHTING", weighting, "MULTITASK.AGGREGATION", aggregation)
    assert resolve_method(name, *KNOWN) == Method(name, ("MODEL.TASK_EXCHANGE.NAME", exchange, *options))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda cfg: expand_subsets(["semantics"], cfg), "no task 'semantics'; did you mean 'semantic'?"),
        (lambda cfg: expand_subsets(["pair"], cfg), "did you mean 'pairs'?"),
        (
            lambda cfg: expand_subsets(["part+semantic"], read_config(DETAIL / "mini_semantic_R_18_FPN.yaml")),
            "MODEL.PART_ON is False in the config",
        ),
        (lambda cfg: resolve_method("pcgrd", *KNOWN), "did you mean 'pcgrad'?"),
        (lambda cfg: resolve_method("atention", *KNOWN), "did you mean 'attention'?"),
        (lambda cfg: resolve_method("pcgrad+config", *KNOWN), "give one aggregation, not pcgrad and config"),
        (lambda cfg: make_variant("a/b", ["DTYPE", "float32"]), "the name becomes a folder"),
        (lambda cfg: make_variant("a", ["DTYPE"]), "give its options in quotes"),
        (lambda cfg: make_variant("a", ["SOLVER.SEED", "1"]), "SOLVER.SEED differs from run to run: give --seeds"),
        (lambda cfg: check_options(["OUTPUT_DIR", "x"]), "OUTPUT_DIR differs from run to run: give --output"),
        (lambda cfg: check_options(["MULTITASK.WEIGHTING", "famo"]), "give --methods"),
        (lambda cfg: check_options(["MODEL.TASK_EXCHANGE.NAME", "attention"]), "give --methods"),
        (
            lambda cfg: plan(cfg, ["all"], [FIXED, make_variant("fixed", ["DTYPE", "float16"])]),
            "two methods are called",
        ),
        (lambda cfg: plan(cfg, ["all"], [make_variant("alone", ["DTYPE", "float16"])]), "two methods are called"),
    ],
)
def test_mistakes_name_the_remedy(cfg, mistake, message):
    with pytest.raises(UserError) as caught:
        mistake(cfg)
    assert message in str(caught.value) and "\n" not in str(caught.value)
