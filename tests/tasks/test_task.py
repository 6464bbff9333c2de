"""The table of tasks is consistent with itself and with the options."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from added_tasks import restored_tasks

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.task_gradients import own_parameters
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import (
    TASKS,
    Task,
    check_tasks,
    enabled_tasks,
    register_task,
    scored_labels,
    task_of_loss,
    with_requirements,
)
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Number

MINI = Path(__file__).parents[2] / "configs" / "detail" / "mini_R_18_FPN.yaml"


def test_eleven_tasks_with_their_own_losses_and_derived_ones_after_them():
    assert [task.per for task in list(TASKS.values())[11:]] == ["derived"] * len(list(TASKS)[11:])
    assert list(TASKS)[:11] == [
        "detection",
        "instance",
        "keypoint",
        "part",
        "semantic",
        "boundary",
        "occlusion",
        "classification",
        "saliency",
        "normals",
        "depth",
    ]
    losses = [loss for task in TASKS.values() for loss in task.losses]
    assert len(losses) == len(set(losses))
    assert all(loss.startswith("loss_") for loss in losses)


@pytest.mark.parametrize("first", ["keypoint", "classification", "task"])
def test_the_order_of_tasks_does_not_depend_on_which_is_imported_first(first):
    script = f"import maskrcnn_benchmark.tasks.{first}; from maskrcnn_benchmark.tasks import TASKS; print(*TASKS)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(TASKS)


def test_loss_finds_its_task():
    assert task_of_loss("loss_objectness").key == "detection"
    assert task_of_loss("loss_occlusion_direction").key == "occlusion"
    assert task_of_loss("loss_box_reg_stage2").key == "detection"
    with pytest.raises(KeyError, match="loss_focus"):
        task_of_loss("loss_focus")


def test_switches_choose_the_tasks():
    config = cfg.clone()
    assert [task.key for task in enabled_tasks(config)] == ["detection"]
    config.merge_from_list(["MODEL.DETECTION_ON", False, "MODEL.BOUNDARY_ON", True])
    assert [task.key for task in enabled_tasks(config)] == ["boundary"]


def names_by_task(*options):
    """({task key: names of its own parameters}, names of those that are nobody's) of the mini network."""
    config = cfg.clone()
    config.merge_from_file(MINI)
    for switch in ("SALIENCY_ON", "NORMALS_ON", "DEPTH_ON"):
        config.MODEL[switch] = True
    config.merge_from_list(list(options))
    model = build_detection_model(config)
    names = {id(p): name for name, p in model.named_parameters()}
    own = {key: [names.pop(id(p)) for p in found] for key, found in own_parameters(model, TASKS.values()).items()}
    return own, list(names.values())


def test_every_layer_behind_the_shared_ones_is_of_one_task():
    own, shared = names_by_task()
    assert all(bool(found) == bool(TASKS[key].losses) for key, found in own.items())
    assert {name.split(".")[0] for name in own["detection"]} == {"rpn", "roi_heads"}
    assert {".".join(name.split(".")[:2]) for name in own["part"]} == {"roi_heads.part"}
    assert {".".join(name.split(".")[:3]) for name in own["classification"]} == {"fpn_heads.heads.classes"}
    assert {name.split(".")[0] for name in shared if "fpn_heads" not in name} == {"backbone"}
    assert {name.split(".")[1] for name in shared if "fpn_heads" in name} == {"trunk", "edge_decoder"}


def test_a_part_head_for_the_whole_image_is_the_part_tasks_too():
    own, _ = names_by_task("MODEL.PART_HEAD", "fpn")
    assert {".".join(name.split(".")[:3]) for name in own["part"]} == {"fpn_heads.heads.part_map"}


def test_region_features_that_masks_read_from_the_box_head_are_nobodys():
    shares = ("MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR", True)
    config = cfg.clone()
    config.merge_from_list(["MODEL.MASK_ON", True, "MODEL.ROI_MASK_HEAD.PREDICTOR", "MaskRCNNC4Predictor", *shares])
    model = build_detection_model(config)
    own = {id(p) for found in own_parameters(model, TASKS.values()).values() for p in found}
    extractor = list(model.roi_heads["box"].feature_extractor.parameters())
    assert extractor and not any(id(p) in own for p in extractor)
    assert all(id(p) in own for p in model.roi_heads["mask"].predictor.parameters())


def test_a_retinanet_is_detections_own():
    config = cfg.clone()
    config.merge_from_file(MINI.parents[1] / "retinanet" / "retinanet_R-50-FPN_1x.yaml")
    model = build_detection_model(config)
    heads = [name for name, _ in model.named_parameters() if not name.startswith("backbone.")]
    assert len(own_parameters(model, TASKS.values())["detection"]) == len(heads) > 0


def shade(**attributes):
    """A task of an own class with these attributes."""
    given = {"key": "shade", "title": "shade", "switch": "SHADE_ON", "losses": ("loss_shade",), **attributes}
    return type("Shade", (Task,), {**given, "headline": "RMSE"})()


@pytest.fixture
def added():
    with restored_tasks():
        yield


def options_of(*options):
    return {"options": lambda self: list(options)}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"key": "Shade"}, "'Shade' has a key that is no name in lower case"),
        ({"key": "for"}, "'for' has a key that is no name"),
        ({"key": "scores"}, "'scores' has the key of something else that predictions or annotations hold"),
        ({"key": "size"}, "'size' has the key of something else"),
        ({"switch": "shade on"}, "has the switch 'shade on'"),
        ({"losses": "loss_shade"}, "has losses 'loss_shade'; give a tuple of names"),
        ({"losses": ("loss shade",)}, "has the loss 'loss shade'"),
        ({"requires": "detection"}, "has requires 'detection'; give a tuple of names"),
        ({"per": "regions"}, "is per 'regions'; give 'image', 'region' or 'derived'"),
        ({"per": "derived"}, "is derived and has losses"),
        ({"title": ""}, "has the title ''"),
        ({"key": "semantic"}, "'semantic' in common with semantic segmentation"),
        ({"switch": "MASK_ON"}, "'MASK_ON' in common with instance segmentation"),
        ({"losses": ("loss_kp",)}, "'loss_kp' in common with human keypoints"),
        ({"switch": "RETINANET_ON"}, "RETINANET_ON is there already"),
        ({"requires": ("flow",)}, "'shade' requires 'flow', which is no task"),
        (
            options_of(Option("MODEL.SHADE_HEAD.WEIGHT", -1.0, Number(0, 1), "Weight")),
            "default of .*SHADE_HEAD.WEIGHT",
        ),
        (options_of(Option("MODEL.RPN.MIN_SIZE", 1, Integer(0, 9), "Another")), "RPN.MIN_SIZE is there already"),
    ],
)
def test_a_task_that_meets_another_is_refused_and_changes_nothing(attributes, message):
    tasks, options = list(TASKS), cfg.keys_of_options()
    with pytest.raises(ValueError, match=message):
        register_task(shade(**attributes))
    assert list(TASKS) == tasks and cfg.keys_of_options() == options


def test_a_task_is_registered_with_its_options_once(added):
    before, tasks = set(cfg.keys_of_options()), list(TASKS)
    option = Option("MODEL.SHADE_HEAD.CHANNELS", 8, Integer(1, 64), "Channels of the head")
    first = register_task(shade(losses=("loss_shade", "loss_shade_edge"), **options_of(option)))
    assert register_task(shade()) is first and list(TASKS) == [*tasks, "shade"]
    assert cfg.MODEL.SHADE_ON is False and cfg.MODEL.SHADE_HEAD.CHANNELS == 8
    assert set(cfg.keys_of_options()) - before == {
        "MODEL.SHADE_ON",
        "MODEL.SHADE_HEAD.CHANNELS",
        *(f"MULTITASK.{group}.SHADE" for group in ("LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS")),
        *(f"MULTITASK.SINGLE_LOSS_WEIGHTS.LOSS_{name}" for name in ("SHADE", "SHADE_EDGE")),
    }
    for group in ("LOSS_WEIGHTS", "START", "STOP", "LR_FACTORS"):
        assert cfg.MULTITASK[group].SHADE == cfg.MULTITASK[group].SEMANTIC
    other = type("Other", (Task,), {"key": "shade", "title": "another", "switch": "FAR_ON", "headline": "RMSE"})()
    with pytest.raises(ValueError, match="'shade' in common with shade"):
        register_task(other)


def test_a_task_without_losses_has_its_switch_alone(added):
    before = set(cfg.keys_of_options())
    register_task(shade(per="derived", losses=(), requires=("semantic", "boundary")))
    assert set(cfg.keys_of_options()) - before == {"MODEL.SHADE_ON"}
    config = cfg.clone()
    config.merge_from_list(["MODEL.SHADE_ON", True, "MODEL.SEMANTIC_ON", True, "MODEL.BACKBONE.CONV_BODY", "R-18-FPN"])
    assert build_loss_combiner(config, enabled_tasks(config)).tasks == ["detection", "semantic"]
    message = r"MODEL\.BOUNDARY_ON is False, but needed for MODEL\.SHADE_ON; turn it on, or turn those off"
    with pytest.raises(UserError, match=message):
        build_detection_model(config)


def test_a_task_that_follows_is_off_where_one_that_it_requires_is(added):
    register_task(shade(per="derived", losses=(), requires=("semantic", "part_panoptic"), follows=True))
    config = cfg.clone()
    derived = ["PANOPTIC_ON", "PART_PANOPTIC_ON", "SHADE_ON"]
    for switch in ("MASK_ON", "SEMANTIC_ON", "PART_ON", *derived):
        config.MODEL[switch] = True
    assert [task.switch for task in enabled_tasks(config) if task.per == "derived"] == derived
    config.MODEL.PART_ON = False
    assert [task.switch for task in enabled_tasks(config) if task.per == "derived"] == derived[:1]
    config.MODEL.MASK_ON = False
    assert [task.key for task in enabled_tasks(config)] == ["detection", "semantic"]


def test_a_frozen_config_takes_no_task(added):
    cfg.freeze()
    with pytest.raises(ValueError, match="the config is frozen"):
        register_task(shade())
    assert "shade" not in TASKS


def test_the_options_of_an_added_task_are_checked_where_it_is_on(added):
    def check(self, cfg):
        if cfg.MODEL.SEMANTIC_ON:
            yield "MODEL.SHADE_ON and MODEL.SEMANTIC_ON contradict; turn one off"

    register_task(shade(check=check))
    config = cfg.clone()
    config.MODEL.SEMANTIC_ON = True
    check_options(config)
    config.MODEL.SHADE_ON = True
    with pytest.raises(UserError, match=r"^the config: MODEL\.SHADE_ON and MODEL\.SEMANTIC_ON contradict"):
        check_options(config)


def test_what_a_task_needs_is_closed_under_what_that_needs(added):
    register_task(shade(per="derived", losses=(), requires=("part", "semantic")))
    assert with_requirements(["shade", "boundary"]) == {"shade", "part", "detection", "semantic", "boundary"}
    config = cfg.clone()
    assert with_requirements(["part"], config) == {"part", "detection"}
    config.MODEL.PART_HEAD = "fpn"
    assert with_requirements(["part"], config) == {"part"}
    assert with_requirements(["shade"], config) == {"shade", "part", "semantic"}


def test_an_object_is_as_large_as_its_mask_whether_or_not_masks_are_predicted():
    assert scored_labels(["detection", "semantic"]) == {"detection", "instance", "semantic"}
    assert scored_labels(["boundary"]) == {"boundary"}


def test_what_a_training_would_find_at_its_end_is_found_before(added):
    vocabulary = Vocabulary()
    with pytest.raises(UserError, match=r"'shade' cannot be scored: .* give Shade build_evaluator"):
        check_tasks([shade()], vocabulary)
    scored = {"build_evaluator": lambda self, vocabulary, protocols: None}
    odd = shade(**scored, files=lambda self: (ArrayMaps("shade", dtype="float64"),))
    with pytest.raises(UserError, match=r"'shade' cannot be scored: .*uint8, uint16 or float32"):
        check_tasks([odd], vocabulary)
    with pytest.raises(UserError, match="'shade' is a file of two tasks"):
        check_tasks([shade(**scored), shade(**scored, key="far", files=lambda self: (ArrayMaps("shade"),))], vocabulary)
    check_tasks([shade(**scored)], vocabulary)


def test_losses_without_a_head_and_prefixes_without_a_parameter_are_refused(added):
    register_task(shade())
    register_task(shade(key="far", switch="FAR_ON", losses=("loss_far",), parameter_prefixes=("fpn_heads.heads.fur.",)))
    config = cfg.clone()
    config.merge_from_list(["MODEL.SHADE_ON", True, "MODEL.BACKBONE.CONV_BODY", "R-18-FPN"])
    with pytest.raises(ValueError, match=r"'shade' has losses, but no head to train: define Shade\.build_head"):
        build_detection_model(config)
    type(TASKS["far"]).build_head = lambda self, cfg, channels, vocabulary: torch.nn.Conv2d(channels, 1, 1)
    config.merge_from_list(["MODEL.SHADE_ON", False, "MODEL.FAR_ON", True])
    with pytest.raises(UserError, match=r"'far' has the parameter_prefixes \('fpn_heads.heads.fur.',\)"):
        build_detection_model(config)


IN_ANY_ORDER = """
import maskrcnn_benchmark.tasks.{first}
from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.tasks.task import TASKS
print(*TASKS, len(cfg.records()))
"""


@pytest.mark.parametrize("first", ["occlusion", "task", "part"])
def test_the_order_of_tasks_is_the_same_whichever_file_is_imported_first(first):
    said = subprocess.run(
        [sys.executable, "-c", IN_ANY_ORDER.format(first=first)], capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == [*TASKS, str(len(cfg.records()))]
