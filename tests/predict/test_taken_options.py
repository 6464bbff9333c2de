"""What a config that came along with weights may say: everything else comes from the user, and nothing costs much."""

import logging

import pytest
import torch
from added_tasks import restored_tasks

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.defaults import CLASSES, region_pooling
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.predict.taken_options import BOUNDS, DEMANDS, NOT_TAKEN, TAKEN, bound_of, is_taken, take_options
from maskrcnn_benchmark.predict.trained_network import load_network, testing_config
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, Task, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer
from maskrcnn_benchmark.utils.yaml_file import parse_yaml

testing_config.__test__ = False


def taken(tree, **arguments):
    cfg = default_cfg.clone()
    take_options(cfg, tree, "their.pth", **arguments)
    return cfg


def tree_of(key, value):
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def test_every_entry_of_the_list_is_an_option_or_a_group():
    options = default_cfg.keys_of_options()
    for entry in TAKEN:
        assert any(option == entry or (entry.endswith(".") and option.startswith(entry)) for option in options), entry
    bounds = [*BOUNDS, *(key for task in TASKS.values() for key in task.bounds())]
    assert set(NOT_TAKEN) <= set(options) and set(bounds) <= set(options)
    assert all(is_taken(key) and bound_of(key) is not None for key in bounds)


def test_our_own_configs_are_within_all_bounds():
    cfg = taken(parse_yaml(default_cfg.dump(), "the defaults"))
    assert all(cfg.value_of(key) == default_cfg.value_of(key) for key in cfg.keys_of_options() if is_taken(key))
    assert all(demand.of(cfg) < demand.most / 2 for demand in DEMANDS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DATASETS.DATA_DIR", "/etc"),
        ("OUTPUT_DIR", "/etc"),
        ("PATHS_CATALOG", "/tmp/trap.py"),
        ("MODEL.WEIGHT", "http://trap/"),
        ("MODEL.WEIGHT", {"A": 1}),
        ("MODEL.DEVICE", "cuda:7"),
        ("MODEL.COMPILE", True),
        ("DATALOADER.NUM_WORKERS", 1000),
        ("TEST.SINGLE_TASK_RESULTS", "/etc/passwd"),
        ("TEST.IMS_PER_BATCH", 10**6),
        ("TEST.NUM_EXAMPLES", 10**6),
        ("SOLVER.MAX_ITER", "no number"),
        ("NOBODY.KNOWS", 1),
    ],
)
def test_what_is_the_users_is_left_and_told(key, value, caplog):
    with caplog.at_level(logging.INFO):
        cfg = taken(tree_of(key, value))
    assert cfg == default_cfg
    assert f"their.pth: 1 of its options are of its training or its machine and are not taken ({key}" in caplog.text


def test_nothing_is_told_of_what_is_the_same_here(caplog):
    with caplog.at_level(logging.INFO):
        taken({"OUTPUT_DIR": ".", "SOLVER": {"STEPS": [30000]}})
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DATALOADER.SIZE_DIVISIBILITY", 1024),
        ("DATALOADER.SIZE_DIVISIBILITY", 60000),
        ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 16),
        ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 100000),
        ("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 10**6),
        ("MODEL.RPN.PRE_NMS_TOP_N_TEST", 10**6),
        ("MODEL.SEMANTIC_HEAD.NUM_CLASSES", 16_000),
        ("MODEL.TASK_EXCHANGE.GRID", 64),
        ("INPUT.PIXEL_STD", [0, 0, 0]),
        ("INPUT.PIXEL_STD", [1.0]),
        ("INPUT.PIXEL_MEAN", [float("nan")] * 3),
        ("INPUT.MIN_SIZE_TEST", 16384),
        ("TEST.BBOX_AUG.SCALES", [100] * 60),
        ("TEST.EDGE_MAX_DISTANCE", 0.9),
        ("DATASETS.TEST", ["../../etc/passwd"]),
        ("DATASETS.TRAIN", ["/etc/passwd"]),
        ("DATASETS.TEST", [5]),
        ("DATASETS.VOCABULARY", "a/b"),
        ("MODEL.BACKBONE.CONV_BODY", 5),
        ("MODEL.MASK_ON", "maybe"),
    ],
)
def test_what_asks_for_too_much_or_makes_no_sense_is_refused(key, value):
    tree = {"INPUT": {"MAX_SIZE_TEST": 4096}} | tree_of(key, value)
    with pytest.raises(UserError) as caught:
        taken(tree)
    message = str(caught.value)
    assert message.startswith("their.pth: ") and key.rpartition(".")[2] in message and "\n" not in message


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"INPUT.MIN_SIZE_TEST": 4096, "INPUT.MAX_SIZE_TEST": 4096}, "GiB of feature maps"),
        ({"MODEL.RESNETS.STEM_OUT_CHANNELS": 8192}, "GiB of feature maps"),
        (
            {
                "MODEL.SEMANTIC_ON": True,
                "MODEL.BOUNDARY_ON": True,
                "MODEL.TASK_EXCHANGE.NAME": "attention",
                "MODEL.TASK_EXCHANGE.CHANNELS": 2048,
            },
            "GiB of feature maps",
        ),
        ({"MODEL.RPN.POST_NMS_TOP_N_TEST": 20_000}, "GiB of pooled features"),
        (
            {
                "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 64,
                "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
                "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 16,
            },
            "million samples of pooling",
        ),
        (
            {
                "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 32,  # 4.1 million in each stage
                "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
                "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 16,
                "MODEL.CLS_AGNOSTIC_BBOX_REG": True,
                "MODEL.ROI_BOX_HEAD.CASCADE.ENABLED": True,
            },
            "million samples of pooling",
        ),
        (
            {
                "MODEL.MASK_ON": True,
                "MODEL.ROI_MASK_HEAD.RESOLUTION": 256,
                "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 4000,
            },
            "GiB of masks and maps of regions",
        ),
        ({"MODEL.RETINANET_ON": True, "MODEL.RETINANET.NUM_CLASSES": 4000}, "GiB of anchors"),
    ],
)
def test_what_asks_for_too_much_together_is_refused(changes, what):
    tree = {}
    for key, value in changes.items():
        node = tree
        *groups, name = key.split(".")
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    with pytest.raises(
        UserError, match=f"their.pth: its options ask for .* {what} for one image, .*--config-file FILE"
    ):
        taken(tree)


class Material(Task):
    """A task of one's own: a map of materials for each detected box."""

    key, title, switch, per, requires = "material", "materials", "MATERIAL_ON", "region", ("detection",)
    losses, headline = ("loss_material",), "accuracy"

    def options(self):
        classes = Option("MODEL.MATERIAL_HEAD.NUM_CLASSES", 10, CLASSES, "Materials")
        side = Option("MODEL.MATERIAL_HEAD.RESOLUTION", 28, Integer(1, 512), "Side of the map")
        return [*region_pooling("MATERIAL_HEAD"), classes, side]

    def region_options(self, cfg):
        return cfg.MODEL.MATERIAL_HEAD

    def planes(self, cfg):
        return cfg.MODEL.MATERIAL_HEAD.NUM_CLASSES

    def bounds(self):
        return {"MODEL.MATERIAL_HEAD.NUM_CLASSES": Integer(1, 9000)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NUM_CLASSES": 9001}, r"MODEL\.MATERIAL_HEAD\.NUM_CLASSES is 9001, but .* from 1 to 9,?000"),
        ({"RESOLUTION": 300}, r"MODEL\.MATERIAL_HEAD\.RESOLUTION is 300, but .* from 1 to 256"),
        ({"POOLER_SAMPLING_RATIO": 9}, r"MODEL\.MATERIAL_HEAD\.POOLER_SAMPLING_RATIO is 9, but .* from 0 to 8"),
        ({"NUM_CLASSES": 9000, "RESOLUTION": 56}, "GiB of masks and maps of regions"),
        ({"POOLER_RESOLUTION": 64, "POOLER_SAMPLING_RATIO": 8}, "million samples of pooling"),
    ],
)
def test_the_head_of_an_added_task_is_bounded_as_well(changes, message):
    with restored_tasks():
        register_task(Material())
        assert taken({"MODEL": {"MATERIAL_ON": True}}).MODEL.MATERIAL_ON
        with pytest.raises(UserError, match=f"^their.pth: .*{message}"):
            taken({"MODEL": {"MATERIAL_ON": True, "MATERIAL_HEAD": changes}})


def test_the_user_may_ask_for_more():
    cfg = taken({"DATALOADER": {"SIZE_DIVISIBILITY": 60000}}, given=["DATALOADER.SIZE_DIVISIBILITY"])
    assert cfg.DATALOADER.SIZE_DIVISIBILITY == 0  # the user's own comes later


def test_the_names_count_too():
    names = tuple(map(str, range(1000)))
    large = Vocabulary(semantic_names=names)
    tree = {
        "MODEL": {"SEMANTIC_ON": True, "DETECTION_ON": False},
        "INPUT": {"MIN_SIZE_TEST": 1500, "MAX_SIZE_TEST": 3000},
    }
    taken(tree)
    with pytest.raises(UserError, match=r"its options ask for 1\.\d GiB of class maps for one image"):
        taken(tree, vocabulary=large)


def rewritten(small, folder, **entries):
    path = folder / "changed.pth"
    torch.save(torch.load(small.checkpoint, weights_only=True) | entries, path)
    return str(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"thing_names": [5]}, r"thing_names\[0\] is 5, but must be text"),
        ({"thing_names": ["a\nb"]}, r"thing_names\[0\] is 'a\\nb'"),
        ({"thing_names": ["x" * 10_000]}, "at most 200 characters"),
        ({"thing_names": "person"}, "thing_names is 'person', but must be a list"),
        ({"semantic_names": ["x"] * 5000}, "SEMANTIC_HEAD.NUM_CLASSES, which must be an integer from 1 to 1,024"),
        ({"joints": {"name": "x"}}, "joints has no 'names'"),
        ({"parts": []}, "parts is a list of 0"),
    ],
)
def test_names_that_are_none_are_refused(small, tmp_path, names, message):
    path = rewritten(small, tmp_path, vocabulary=small.vocabulary.to_dict() | names)
    for load in (lambda: load_network(path, device="cpu"), lambda: testing_config(path)):
        with pytest.raises(UserError, match=message) as caught:
            load()
        assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("owner", "part", "message"),
    [
        ("joints", {"skeleton": [[0, 99]]}, "joints.skeleton names a keypoint beyond the 14 there are"),
        ("joints", {"flip_pairs": [[0, 1], [1, 2]]}, "flip_pairs name a keypoint twice"),
        ("joints", {"sigmas": [0.1]}, "sigmas has 1 entries for 14 names"),
        ("joints", {"sigmas": [float("nan")] * 14}, r"sigmas\[0\] is nan"),
        ("parts", {"flip_indices": [0, 1]}, "flip_indices are no mirror"),
        ("parts", {"owners": []}, "parts.owners has 0 entries"),
        ("parts", {"name": "mine"}, "parts.name is 'mine', but must be one of"),
    ],
)
def test_links_between_names_lead_to_names(small, tmp_path, owner, part, message):
    tree = small.vocabulary.to_dict()
    path = rewritten(small, tmp_path, vocabulary=tree | {owner: tree[owner] | part})
    with pytest.raises(UserError, match=f"entry 'vocabulary' is damaged: .*{message}"):
        load_network(path, device="cpu")


def test_the_folder_of_a_strangers_data_is_not_followed(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small.cfg.clone()
    config.DATASETS.DATA_DIR = str(tmp_path / "theirs")
    path = rewritten(small, tmp_path, config=config.dump())
    assert testing_config(path)[0].DATASETS.DATA_DIR == "datasets"
    assert testing_config(path, ["DATASETS.DATA_DIR", "mine"])[0].DATASETS.DATA_DIR == "mine"
    (tmp_path / "config.yml").write_text(config.dump())  # what lies beside weights is a stranger's as well
    assert testing_config(rewritten(small, tmp_path, config=None))[0].DATASETS.DATA_DIR == "datasets"
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("config", [5, ["a"], b"MODEL: {}", {"MODEL": {}}])
def test_a_config_that_is_no_text_is_damaged(small, tmp_path, config):
    with pytest.raises(
        UserError, match=r"its entry 'config' is damaged: it is no text; name another with --config-file"
    ):
        load_network(rewritten(small, tmp_path, config=config), device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * float("nan"), "hold numbers that are no weights"),
        (lambda t: t.to(torch.complex64), "has numbers of type complex64"),
        (lambda t: t.to(torch.int8), "has numbers of type int8, where the network has float32"),
        (lambda t: t[:0], "of another shape"),
    ],
)
def test_weights_that_are_none_are_refused(small, tmp_path, change, message):
    name = "rpn.head.conv.weight"
    weights = torch.load(small.checkpoint, weights_only=True)["model"]
    with pytest.raises(
        UserError, match=rf"{message}.*" + name.replace(".", r"\.") if "type" not in message else message
    ):
        load_network(rewritten(small, tmp_path, model={**weights, name: change(weights[name])}), device="cpu")


def test_one_tensor_cannot_fill_a_network_of_gigabytes(small, tmp_path):
    layers = 30
    config = small.cfg.clone()
    config.MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS = (512,) * layers
    weights = torch.load(small.checkpoint, weights_only=True)["model"]
    weights = {name: tensor for name, tensor in weights.items() if "keypoint.feature_extractor" not in name}
    base = "roi_heads.keypoint.feature_extractor"
    weights |= {f"{base}.conv_fcn1.weight": torch.zeros(512, 16, 3, 3), "weight": torch.zeros(512, 512, 3, 3)}
    weights |= {"bias": torch.zeros(512), "kps_score_lowres.weight": torch.zeros(512, 14, 4, 4)}
    del weights["roi_heads.keypoint.predictor.kps_score_lowres.weight"]
    path = rewritten(small, tmp_path, model=weights, config=config.dump())
    with pytest.raises(UserError, match=r"MiB of weights, and the network of its config \d+; name"):
        load_network(path, device="cpu")


def test_how_photographs_of_a_test_set_are_turned_is_the_networks():
    assert taken({"INPUT": {"EXIF": "apply"}}).INPUT.EXIF == "apply"


def test_a_data_set_may_be_called_in_any_language():
    assert taken({"DATASETS": {"TRAIN": ["\u00fcbung_1", "\u6c34"]}}).DATASETS.TRAIN == ("\u00fcbung_1", "\u6c34")
