"""The shipped configurations: each merges, and those that the original has too say what the original says.

The folder of DETAIL_PARITY_DATA, or the one above it, may hold upstream_configs.json ({file: {option: value}}): then
every option of every file is compared. Without it, the table below holds what defines each file.
"""

import copy
import json
import os
from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.tasks.task import enabled_tasks, tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

ROOT = Path(__file__).parents[2] / "configs"
# None of the original's
OURS = ("detail/", "pascal_context/", "nyud/", "bases/", "timm/", "new_baselines/", "e2e_cascade")
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.yaml"))

# File, trunk, what it answers, classes with background, and: learning rate x images a step x iterations
ORIGINALS = """
./
  e2e_faster_rcnn_R_101_FPN_1x                    R-101-FPN       boxes                81 0.02x16x90000
  e2e_faster_rcnn_R_50_C4_1x                      R-50-C4         boxes                81 0.01x8x180000
  e2e_faster_rcnn_R_50_FPN_1x                     R-50-FPN        boxes                81 0.02x16x90000
  e2e_faster_rcnn_X_101_32x8d_FPN_1x              R-101-FPN-32x8d boxes                81 0.01x8x180000
  e2e_keypoint_rcnn_R_50_FPN_1x                   R-50-FPN        boxes+joints         2  0.02x16x90000
  e2e_mask_rcnn_R_101_FPN_1x                      R-101-FPN       boxes+masks          81 0.02x16x90000
  e2e_mask_rcnn_R_50_C4_1x                        R-50-C4         boxes+masks          81 0.01x8x180000
  e2e_mask_rcnn_R_50_FPN_1x                       R-50-FPN        boxes+masks          81 0.02x16x90000
  e2e_mask_rcnn_R_50_FPN_1x_periodically_testing  R-50-FPN        boxes+masks          81 0.02x16x90000
  e2e_mask_rcnn_X_101_32x8d_FPN_1x                R-101-FPN-32x8d boxes+masks          81 0.01x8x180000
  rpn_R_101_FPN_1x                                R-101-FPN       rpn                  81 0.02x16x90000
  rpn_R_50_C4_1x                                  R-50-C4         rpn                  81 0.02x16x90000
  rpn_R_50_FPN_1x                                 R-50-FPN        rpn                  81 0.02x16x90000
  rpn_X_101_32x8d_FPN_1x                          R-101-FPN-32x8d rpn                  81 0.02x16x90000
caffe2/
  e2e_faster_rcnn_R_101_FPN_1x_caffe2             R-101-FPN       boxes                81 0.001x16x40000
  e2e_faster_rcnn_R_50_C4_1x_caffe2               R-50-C4         boxes                81 0.001x16x40000
  e2e_faster_rcnn_R_50_FPN_1x_caffe2              R-50-FPN        boxes                81 0.001x16x40000
  e2e_faster_rcnn_X_101_32x8d_FPN_1x_caffe2       R-101-FPN-32x8d boxes                81 0.001x16x40000
  e2e_keypoint_rcnn_R_50_FPN_1x_caffe2            R-50-FPN        boxes+joints         2  0.02x16x90000
  e2e_mask_rcnn_R_101_FPN_1x_caffe2               R-101-FPN       boxes+masks          81 0.001x16x40000
  e2e_mask_rcnn_R_50_C4_1x_caffe2                 R-50-C4         boxes+masks          81 0.001x16x40000
  e2e_mask_rcnn_R_50_FPN_1x_caffe2                R-50-FPN        boxes+masks          81 0.001x16x40000
  e2e_mask_rcnn_X-152-32x8d-FPN-IN5k_1.44x_caffe2 R-152-FPN-32x8d boxes+masks          81 0.001x16x40000
  e2e_mask_rcnn_X_101_32x8d_FPN_1x_caffe2         R-101-FPN-32x8d boxes+masks          81 0.001x16x40000
cityscapes/
  e2e_faster_rcnn_R_50_FPN_1x_cocostyle           R-50-FPN        boxes                9  0.01x16x24000
  e2e_mask_rcnn_R_50_FPN_1x_binarymask            R-50-FPN        boxes+masks          9  0.01x16x24000
  e2e_mask_rcnn_R_50_FPN_1x_cocostyle             R-50-FPN        boxes+masks          9  0.01x16x24000
  e2e_mask_rcnn_R_50_FPN_1x_poly                  R-50-FPN        boxes+masks          11 0.01x8x24000
dcn/
  e2e_faster_rcnn_dconv_R_50_FPN_1x               R-50-FPN-dconv  boxes                81 0.02x16x90000
  e2e_faster_rcnn_mdconv_R_50_FPN_1x              R-50-FPN-mdconv boxes                81 0.02x16x90000
  e2e_mask_rcnn_dconv_R_50_FPN_1x                 R-50-FPN-dconv  boxes+masks          81 0.02x16x90000
  e2e_mask_rcnn_mdconv_R_50_FPN_1x                R-50-FPN-mdconv boxes+masks          81 0.02x16x90000
gn_baselines/
  e2e_faster_rcnn_R_50_FPN_1x_gn                  R-50-FPN-GN     boxes                81 0.02x16x90000
  e2e_faster_rcnn_R_50_FPN_Xconv1fc_1x_gn         R-50-FPN-GN     boxes-Xconv1fc       81 0.02x16x90000
  e2e_mask_rcnn_R_50_FPN_1x_gn                    R-50-FPN-GN     boxes+masks          81 0.02x16x90000
  e2e_mask_rcnn_R_50_FPN_Xconv1fc_1x_gn           R-50-FPN-GN     boxes+masks-Xconv1fc 81 0.02x16x90000
  scratch_e2e_faster_rcnn_R_50_FPN_3x_gn          R-50-FPN-GN     boxes                81 0.02x16x270000
  scratch_e2e_faster_rcnn_R_50_FPN_Xconv1fc_3x_gn R-50-FPN-GN     boxes-Xconv1fc       81 0.02x16x270000
  scratch_e2e_mask_rcnn_R_50_FPN_3x_gn            R-50-FPN-GN     boxes+masks          81 0.02x16x270000
  scratch_e2e_mask_rcnn_R_50_FPN_Xconv1fc_3x_gn   R-50-FPN-GN     boxes+masks-Xconv1fc 81 0.02x16x270000
pascal_voc/
  e2e_faster_rcnn_R_50_C4_1x_1_gpu_voc            R-50-C4         boxes                21 0.001x1x70000
  e2e_faster_rcnn_R_50_C4_1x_4_gpu_voc            R-50-C4         boxes                21 0.004x4x17500
  e2e_mask_rcnn_R_50_FPN_1x_cocostyle             R-50-FPN        boxes+masks          21 0.01x16x24000
quick_schedules/
  e2e_faster_rcnn_R_50_C4_quick                   R-50-C4         boxes                81 0.005x2x2000
  e2e_faster_rcnn_R_50_FPN_quick                  R-50-FPN        boxes                81 0.005x4x2000
  e2e_faster_rcnn_X_101_32x8d_FPN_quick           R-101-FPN-32x8d boxes                81 0.005x2x2000
  e2e_keypoint_rcnn_R_50_FPN_quick                R-50-FPN        boxes+joints         2  0.005x4x2000
  e2e_mask_rcnn_R_50_C4_quick                     R-50-C4         boxes+masks          81 0.005x4x2000
  e2e_mask_rcnn_R_50_FPN_quick                    R-50-FPN        boxes+masks          81 0.005x4x2000
  e2e_mask_rcnn_X_101_32x8d_FPN_quick             R-101-FPN-32x8d boxes+masks          81 0.005x2x2000
  rpn_R_50_C4_quick                               R-50-C4         rpn                  81 0.005x4x2000
  rpn_R_50_FPN_quick                              R-50-FPN        rpn                  81 0.005x4x2000
retinanet/
  retinanet_R-101-FPN_1x                          R-101-FPN       retinanet            81 0.005x8x180000
  retinanet_R-101-FPN_P5_1x                       R-101-FPN       retinanet-P5         81 0.005x8x180000
  retinanet_R-50-FPN_1x                           R-50-FPN        retinanet            81 0.005x8x180000
  retinanet_R-50-FPN_1x_quick                     R-50-FPN        retinanet            81 0.005x4x4000
  retinanet_R-50-FPN_P5_1x                        R-50-FPN        retinanet-P5         81 0.005x8x180000
  retinanet_X_101_32x8d_FPN_1x                    R-101-FPN-32x8d retinanet            81 0.0025x4x360000
test_time_aug/
  e2e_mask_rcnn_R_50_FPN_1x                       R-50-FPN        boxes+masks          81 0.02x16x90000
"""

PEOPLE = ("keypoints_coco_2014_train keypoints_coco_2014_valminusminival", "keypoints_coco_2014_minival")

# What the files of a folder train on, and what they are tested on; the first entry that begins a file's path holds
DATA = {
    "caffe2/e2e_keypoint": PEOPLE,
    "caffe2/": ("", "coco_2014_minival"),
    "cityscapes/e2e_mask_rcnn_R_50_FPN_1x_binarymask": (
        "cityscapes_mask_instance_train",
        "cityscapes_mask_instance_val",
    ),
    "cityscapes/e2e_mask_rcnn_R_50_FPN_1x_poly": ("cityscapes_poly_instance_train", "cityscapes_poly_instance_val"),
    "cityscapes/": (
        "cityscapes_fine_instanceonly_seg_train_cocostyle",
        "cityscapes_fine_instanceonly_seg_val_cocostyle",
    ),
    "e2e_keypoint": PEOPLE,
    "pascal_voc/e2e_faster": ("voc_2007_train voc_2007_val", "voc_2007_test"),
    "pascal_voc/e2e_mask": ("voc_2012_train_cocostyle", "voc_2012_val_cocostyle"),
    "quick_schedules/e2e_keypoint": ("keypoints_coco_2014_minival", "keypoints_coco_2014_minival"),
    "quick_schedules/": ("coco_2014_minival", "coco_2014_minival"),
    "retinanet/retinanet_R-50-FPN_1x_quick": ("coco_2014_minival", "coco_2014_minival"),
    "": ("coco_2014_train coco_2014_valminusminival", "coco_2014_minival"),
}

# Numbers of the runs of Caffe2's Detectron whose weights the files under caffe2/ name
CAFFE2_RUNS = {
    "e2e_faster_rcnn_R-50-C4_1x": 35857197,
    "e2e_faster_rcnn_R-50-FPN_1x": 35857345,
    "e2e_faster_rcnn_R-101-FPN_1x": 35857890,
    "e2e_faster_rcnn_X-101-32x8d-FPN_1x": 36761737,
    "e2e_mask_rcnn_R-50-C4_1x": 35858791,
    "e2e_mask_rcnn_R-50-FPN_1x": 35858933,
    "e2e_mask_rcnn_R-101-FPN_1x": 35861795,
    "e2e_mask_rcnn_X-101-32x8d-FPN_1x": 36761843,
    "e2e_mask_rcnn_X-152-32x8d-FPN-IN5k_1.44x": 37129812,
    "e2e_keypoint_rcnn_R-50-FPN_1x": 37697547,
}


def rows():
    """{file: (trunk, answers, classes, schedule)} of `ORIGINALS`."""
    table, folder = {}, ""
    for line in ORIGINALS.split("\n"):
        if line.endswith("/"):
            folder = line.removeprefix("./")
        elif line:
            stem, *values = line.split()
            table[f"{folder}{stem}.yaml"] = tuple(values)
    return table


def load(name):
    config = copy.deepcopy(cfg)
    config.merge_from_file(ROOT / name)
    return config


def describe(config):
    """A row of `ORIGINALS`."""
    model, solver = config.MODEL, config.SOLVER
    resnets = model.RESNETS
    trunk = model.BACKBONE.CONV_BODY.removesuffix("-RETINANET")
    if resnets.NUM_GROUPS > 1:
        trunk += f"-{resnets.NUM_GROUPS}x{resnets.WIDTH_PER_GROUP}d"
    if resnets.TRANS_FUNC == "BottleneckWithGN":
        trunk += "-GN"
    if any(resnets.STAGE_WITH_DCN):
        trunk += "-mdconv" if resnets.WITH_MODULATED_DCN else "-dconv"
    if model.RETINANET_ON:
        answers = "retinanet" if model.RETINANET.USE_C5 else "retinanet-P5"
    elif model.RPN_ONLY:
        answers = "rpn"
    else:
        answers = "boxes" + "+masks" * model.MASK_ON + "+joints" * model.KEYPOINT_ON
    if model.ROI_BOX_HEAD.FEATURE_EXTRACTOR == "FPNXconv1fcFeatureExtractor":
        answers += "-Xconv1fc"
    schedule = f"{solver.BASE_LR}x{solver.IMS_PER_BATCH}x{solver.MAX_ITER}"
    return trunk, answers, str(model.ROI_BOX_HEAD.NUM_CLASSES), schedule


def options(config):
    return {key: _option(config, key) for key in config.keys_of_options()}


def _option(config, key):
    for name in key.split("."):
        config = config[name]
    return config


def test_every_file_of_the_original_is_here_at_its_path():
    assert len(rows()) == 59
    assert [name for name in FILES if not name.startswith(OURS)] == sorted(rows())


@pytest.mark.parametrize("name", FILES)
def test_a_configuration_merges_and_says_what_it_is(name):
    assert enabled_tasks(load(name))
    first, second = (ROOT / name).read_text().split("\n")[:2]
    assert first.startswith("# ") and first.endswith(".") and len(first) <= 120
    assert second.startswith(("_BASE_: ", "MODEL:"))


def test_runs_of_the_eight_tasks_have_folders_of_their_own_and_proposals_for_any_number_of_images_a_process():
    for name in (name for name in FILES if name.startswith("detail/")):
        config = load(name)
        assert config.OUTPUT_DIR.endswith(Path(name).stem)
        assert not config.MODEL.RPN.FPN_POST_NMS_PER_BATCH, name


@pytest.mark.parametrize("key", TASKS)
def test_single_task_configurations_turn_on_their_task(key):
    for name in (f"mini_{key}_R_18_FPN", f"e2e_{key}_R_50_FPN_1x"):
        needed = {key} | ({"detection"} if key in ("instance", "keypoint", "part") else set())
        assert {task.key for task in enabled_tasks(load(f"detail/{name}.yaml"))} == needed


@pytest.mark.parametrize(
    "name, base, weights",
    [
        ("mini_equal_weights_R_18_FPN", "mini_R_18_FPN", {}),
        ("mini_field_weights_R_18_FPN", "mini_R_18_FPN", {"PART": 2.0, "BOUNDARY": 50.0}),
        ("e2e_multitask_field_weights_R_50_FPN_1x", "e2e_multitask_R_50_FPN_1x", {"PART": 2.0, "BOUNDARY": 50.0}),
    ],
)
def test_baselines_of_loss_weights_differ_from_the_tuned_ones_in_nothing_else(name, base, weights):
    ours, tuned = options(load(f"detail/{name}.yaml")), options(load(f"detail/{base}.yaml"))
    for key in TASKS:
        option = f"MULTITASK.LOSS_WEIGHTS.{key.upper()}"
        assert ours.pop(option) == weights.get(key.upper(), 1.0)
        tuned.pop(option)
    assert {key for key, value in ours.items() if value != tuned[key]} == {"OUTPUT_DIR"}
    assert ours["MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT"] == 0.95


@pytest.mark.parametrize("name", sorted(rows()))
def test_the_originals_files_describe_the_originals_models(name):
    config = load(name)
    assert describe(config) == rows()[name]
    train, test = next(pair for start, pair in DATA.items() if name.startswith(start))
    sets = config.DATASETS
    assert (" ".join(sets.TRAIN), " ".join(sets.TEST)) == (train, test)
    padding = 0 if config.MODEL.BACKBONE.CONV_BODY.endswith("C4") else 32
    assert padding == config.DATALOADER.SIZE_DIVISIBILITY


@pytest.mark.parametrize("name", sorted(rows()))
def test_the_originals_files_begin_from_the_originals_weights(name):
    weight = load(name).MODEL.WEIGHT
    if name.startswith("caffe2/"):
        run, title = weight.removeprefix("catalog://Caffe2Detectron/COCO/").split("/")
        assert int(run) == CAFFE2_RUNS[title]
        assert title.replace("-", "_") == name.removeprefix("caffe2/").removesuffix("_caffe2.yaml").replace("-", "_")
    elif "scratch" in name:
        assert weight == ""
    elif "X_101" in name:
        assert weight == "catalog://ImageNetPretrained/FAIR/20171220/X-101-32x8d"
    else:
        depth = "101" if "101" in name else "50"
        assert weight == f"catalog://ImageNetPretrained/MSRA/R-{depth}" + "-GN" * name.startswith("gn_baselines/")


@pytest.mark.parametrize(
    "name, values",
    [
        ("e2e_mask_rcnn_R_50_FPN_1x_periodically_testing", {"SOLVER.TEST_PERIOD": 2500}),
        (
            "test_time_aug/e2e_mask_rcnn_R_50_FPN_1x",
            {
                "TEST.BBOX_AUG.ENABLED": True,
                "TEST.BBOX_AUG.SCALES": (400, 500, 600, 700, 900, 1000, 1100, 1200),
                "TEST.BBOX_AUG.MAX_SIZE": 2000,
                "TEST.BBOX_AUG.SCALE_H_FLIP": True,
            },
        ),
        (
            "cityscapes/e2e_mask_rcnn_R_50_FPN_1x_poly",
            {
                "INPUT.MIN_SIZE_TRAIN": (800, 832, 864, 896, 928, 960, 992, 1024, 1024),
                "INPUT.MAX_SIZE_TEST": 2048,
                "OUTPUT_DIR": "runs/cityscapes_poly",
            },
        ),
        (
            "pascal_voc/e2e_faster_rcnn_R_50_C4_1x_1_gpu_voc",
            {"MODEL.RPN.ANCHOR_SIZES": (128, 256, 512), "MODEL.RPN.POST_NMS_TOP_N_TEST": 300, "SOLVER.STEPS": (50000,)},
        ),
        ("rpn_R_50_C4_1x", {"MODEL.RPN.PRE_NMS_TOP_N_TEST": 12000, "MODEL.RPN.POST_NMS_TOP_N_TEST": 2000}),
        ("rpn_R_50_FPN_1x", {"MODEL.RPN.PRE_NMS_TOP_N_TRAIN": 12000, "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 2000}),
        (
            "gn_baselines/scratch_e2e_mask_rcnn_R_50_FPN_3x_gn",
            {
                "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": 0,
                "MODEL.ROI_MASK_HEAD.USE_GN": True,
                "SOLVER.STEPS": (210000, 250000),
            },
        ),
        ("quick_schedules/e2e_keypoint_rcnn_R_50_FPN_quick", {"MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 256}),
    ],
)
def test_what_one_file_alone_sets(name, values):
    config = load(f"{name}.yaml")
    assert {key: _option(config, key) for key in values} == values


@pytest.fixture(scope="module")
def upstream():
    folder = Path(os.environ.get("DETAIL_PARITY_DATA", "nowhere"))
    for path in (folder / "upstream_configs.json", folder.parent / "upstream_configs.json"):
        if path.is_file():
            return json.loads(path.read_text())
    pytest.skip("set DETAIL_PARITY_DATA to a folder in or below the one of upstream_configs.json to run this test")


def test_every_option_of_every_file_is_the_originals(upstream):
    assert sorted(upstream) == sorted(rows())
    for name, values in upstream.items():
        expected = copy.deepcopy(cfg)
        expected.merge_from_list([item for pair in values.items() for item in pair])
        assert options(load(name)) == options(expected), name
