"""A checkpoint alone is a network; what is not one, or would run code, is refused in one line."""

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from maskrcnn_benchmark.predict.trained_network import choose_device, load_network, testing_config
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.utils.errors import UserError

testing_config.__test__ = False


def rewritten(small, folder, **entries):
    """The checkpoint with other entries (None leaves one out), in another folder."""
    content = torch.load(small.checkpoint, weights_only=True) | entries
    path = folder / "changed.pth"
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return str(path)


def test_a_checkpoint_alone_is_the_network_that_was_saved(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = load_network(small.checkpoint, device="cpu")
    assert network.vocabulary == small.vocabulary and not network.model.training
    assert network.cfg.MODEL == small.cfg.MODEL and network.cfg.INPUT.PIXEL_MEAN == small.cfg.INPUT.PIXEL_MEAN
    for (name, ours), theirs in zip(network.model.state_dict().items(), small.model.state_dict().values()):
        assert torch.equal(ours, theirs), name


def test_options_change_the_config_that_came_along(small):
    network = load_network(
        small.checkpoint, options=["MODEL.DEVICE", "cpu", "MODEL.KEYPOINT_ON", False, "INPUT.MIN_SIZE_TEST", 96]
    )
    assert network.cfg.INPUT.MIN_SIZE_TEST == 96 and "keypoint" not in dict(network.model.roi_heads.named_children())


def test_an_old_checkpoint_takes_a_config_beside_it_or_a_named_one(small, tmp_path):
    old = rewritten(small, tmp_path, config=None)
    with pytest.raises(UserError, match=r"changed.pth carries no config, and there is no .*config.yml; name one with"):
        load_network(old, device="cpu")
    assert load_network(old, small.config_file, device="cpu").cfg.MODEL == small.cfg.MODEL
    (tmp_path / "config.yml").write_text(small.cfg.dump())
    assert load_network(old, device="cpu").cfg.MODEL == small.cfg.MODEL


def test_a_checkpoint_without_names_takes_those_of_its_data_set(small, tmp_path):
    old = rewritten(small, tmp_path, vocabulary=None)
    places = ["DATASETS.DATA_DIR", small.cfg.DATASETS.DATA_DIR]
    assert load_network(old, options=places, device="cpu").vocabulary == small.vocabulary
    with pytest.raises(UserError, match="does not name its classes, and data set mini_detail_train, which does, is"):
        load_network(old, options=["DATASETS.DATA_DIR", str(tmp_path)], device="cpu")


def test_a_model_of_torchvision_gets_the_names_of_coco(tmp_path):
    torch.save(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict(), tmp_path / "foreign.pth")
    config = "configs/e2e_mask_rcnn_R_50_FPN_1x.yaml"
    network = load_network(tmp_path / "foreign.pth", config, ["MODEL.RESNETS.STRIDE_IN_1X1", False], "cpu")
    names = network.vocabulary.thing_names
    assert len(names) == 80 and (names[0], names[79]) == ("person", "toothbrush")
    known = (tmp_path / "foreign.pth").rename(tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
    network = load_network(known, device="cpu")  # needs no config
    assert network.vocabulary.thing_names == names and network.cfg.MODEL.BOX_CONVENTION == "torchvision"


def test_known_names_of_joints():
    from maskrcnn_benchmark.data.known_names import known_vocabulary

    people = known_vocabulary("keypoints_coco_2014_train")
    assert people.thing_names == ("person",) and people.joints == COCO_JOINTS
    assert len(known_vocabulary("voc_2012_val").semantic_names) == 21
    assert known_vocabulary("cityscapes_poly_instance_train").thing_names[-1] == "bicycle"
    assert known_vocabulary("mini_detail_train") is None


def test_nothing_that_a_config_inside_a_file_names_is_run(small, tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = small.cfg.clone()
    config.PATHS_CATALOG = str(trap)
    config.MODEL.WEIGHT = "catalog://whatever"
    changed = rewritten(small, tmp_path, config=config.dump(), vocabulary=None)
    places = ["DATASETS.DATA_DIR", small.cfg.DATASETS.DATA_DIR]
    assert str(trap) != load_network(changed, options=places, device="cpu").cfg.PATHS_CATALOG
    assert str(trap) != testing_config(changed)[0].PATHS_CATALOG
    assert not (tmp_path / "ran").exists()


def test_a_test_needs_the_checkpoint_alone_and_writes_beside_it(small, tmp_path):
    cfg, vocabulary = testing_config(rewritten(small, tmp_path))
    assert vocabulary == small.vocabulary and str(tmp_path) == cfg.OUTPUT_DIR
    assert cfg.DATASETS.TEST == small.cfg.DATASETS.TEST and cfg.DATASETS.DATA_DIR == "datasets"
    cfg, vocabulary = testing_config(rewritten(small, tmp_path, vocabulary=None), ["OUTPUT_DIR", "there"])
    assert (vocabulary, cfg.OUTPUT_DIR) == (None, "there")


@pytest.mark.parametrize("is_beside", [False, True])
def test_a_test_says_where_the_training_found_its_data(small, tmp_path, is_beside):
    catalog = tmp_path / "catalog.py"
    catalog.write_text(
        "class DatasetCatalog:\n    @staticmethod\n    def get(name):\n"
        f"        return dict(factory='COCODataset', args=dict(ann_file={str(catalog)!r}, root={str(tmp_path)!r}))\n"
    )
    config = small.cfg.clone()
    config.merge_from_list(["PATHS_CATALOG", str(catalog), "DATASETS.TEST", ("mine_val",), "DATASETS.DATA_DIR", "mine"])
    changed = rewritten(small, tmp_path, config=None if is_beside else config.dump())
    if is_beside:
        (tmp_path / "config.yml").write_text(config.dump())
    message = f"mine_val.* was trained with PATHS_CATALOG {catalog} DATASETS.DATA_DIR mine, .*: give it again"
    with pytest.raises(UserError, match=message):
        testing_config(changed)
    cfg, _ = testing_config(changed, ["PATHS_CATALOG", str(catalog)])
    assert cfg.DATASETS.TEST == ("mine_val",) and str(catalog) == cfg.PATHS_CATALOG


def without_a_layer(weights):
    return {name: tensor for name, tensor in weights.items() if "mask_fcn_logits" not in name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda c: {"model": without_a_layer(c["model"])}, r"2 of \d+ tensors are missing.*mask_fcn_logits"),
        (lambda c: {"config": c["config"].replace("MLP_HEAD_DIM: 32", "MLP_HEAD_DIM: 8192")}, "another shape"),
        (
            lambda c: {"config": c["config"].replace("MLP_HEAD_DIM: 32", "MLP_HEAD_DIM: 1000000000")},
            "MLP_HEAD_DIM is 1000000000, but must be an integer from 1 to 8,192",
        ),
        (lambda c: {"config": "[1, 2]"}, "is no tree of options"),
        (lambda c: {"config": "MODEL: {MASKS_ON: True}"}, "unknown option MODEL.MASKS_ON; did you mean MODEL.MASK_ON?"),
        (lambda c: {"vocabulary": {"thing_names": 3}}, "entry 'vocabulary' is damaged"),
        (lambda c: {"vocabulary": c["vocabulary"] | {"thing_names": ["cat"]}}, "NUM_CLASSES is set to"),
    ],
)
def test_what_is_no_whole_network_is_refused(small, tmp_path, changes, message):
    content = torch.load(small.checkpoint, weights_only=True)
    with pytest.raises(UserError, match=message):
        load_network(rewritten(small, tmp_path, **changes(content)), device="cpu")


def test_a_gpu_is_taken_where_there_is_one_and_nothing_else_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == torch.device("cuda", 0) and choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="--device is 'gpu', but must be auto, cpu, cuda or cuda:NUMBER"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == torch.device("cpu")
    with pytest.raises(UserError, match="--device is cuda:1, but PyTorch finds no CUDA device here"):
        choose_device("cuda:1")


def test_the_device_of_the_options_counts(small, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    network = load_network(small.checkpoint, options=["MODEL.DEVICE", "cpu"])
    assert network.cfg.MODEL.DEVICE == "cpu" and next(network.model.parameters()).device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^MODEL\.DEVICE is cuda, but .*; add MODEL\.DEVICE cpu to the command"):
        load_network(small.checkpoint, options=["MODEL.DEVICE", "cuda"])
    with pytest.raises(UserError, match=r"^--device is cuda, but"):
        load_network(small.checkpoint, options=["MODEL.DEVICE", "cpu"], device="cuda")


def test_it_predicts_with_the_average_of_the_weights_unless_asked(small, tmp_path):
    checkpoint = torch.load(small.checkpoint, weights_only=True)
    averaged = {
        name: 0.5 * tensor if tensor.is_floating_point() else tensor for name, tensor in checkpoint["model"].items()
    }
    path = tmp_path / "model_final.pth"
    torch.save({**checkpoint, "model_ema": averaged, "ema_updates": 3}, path)
    for options, wanted in ((), averaged), (["TEST.EMA", False], checkpoint["model"]):
        found = load_network(path, options=options, device="cpu").model.state_dict()
        assert all(found[name].equal(tensor) for name, tensor in wanted.items())
