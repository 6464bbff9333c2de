"""The weights of a network are found in a file whatever other programs have wrapped around them."""

import pytest
import torch
from tiny_models import mark, skeleton
from torch import nn
from torch.optim.swa_utils import AveragedModel

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.checkpoint import Checkpointer, DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights

SHAPES = {
    "stem.conv1.weight": (4, 3, 7, 7),
    "stem.bn1.weight": (4,),
    "stem.bn1.running_var": (4,),
    "layer1.0.conv1.weight": (4, 4, 1, 1),
    "layer1.0.conv2.weight": (4, 4, 3, 3),
    "layer1.1.conv1.weight": (4, 4, 1, 1),
    "layer2.0.conv1.weight": (8, 4, 1, 1),
    "layer2.0.conv2.weight": (8, 8, 3, 3),
}
LATERAL = "backbone.fpn.fpn_inner1.weight"


@pytest.fixture(scope="module")
def model():
    return skeleton({**{f"backbone.body.{name}": shape for name, shape in SHAPES.items()}, LATERAL: (2, 4, 1, 1)})


def resnet(word="", prefix=""):
    """The tensors as torchvision, timm and those who train with them name them, with the numbers of a word."""
    return {prefix + name.removeprefix("stem."): mark(word + name, shape) for name, shape in SHAPES.items()}


CLASSIFIER = {"fc.weight": torch.ones(10, 8), "fc.bias": torch.ones(10)}
TEACHER, STUDENT = resnet("teacher"), resnet("student")


def under(prefix, *dictionaries):
    return {prefix + name: tensor for each in dictionaries for name, tensor in each.items()}


def taken(model, checkpoint):
    """The word of `resnet` whose numbers a file gives."""
    weights, rest = fitting_weights(model, cfg, checkpoint, "a.pth")
    assert rest == {}
    for word in ("", "student", "teacher"):
        if all(weights[name].equal(mark(word + name, shape)) for name, shape in SHAPES.items()):
            return word
    raise AssertionError("the weights are mixed")


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "module.encoder_q.", "student."),
        *("module.base_encoder.", "teacher.", "backbone.body.", "visual.trunk.", "backbone.0.body."),
        *("module._orig_mod.model.backbone.", "backbone.model._orig_mod.module."),
    ],
)
@pytest.mark.parametrize("wrappers", [(), ("state_dict",), ("model", "weights"), ("optimal_model",)])
def test_prefixes_and_wrappers_of_any_kind(model, prefix, wrappers):
    checkpoint = under(prefix, resnet(), CLASSIFIER)
    for wrapper in wrappers:
        checkpoint = {wrapper: checkpoint, "epoch": 3}
    assert taken(model, checkpoint) == ""


# What each project writes -> whose weights are taken, how the line goes on
FILES = {
    "MoCo v1, v2": (
        {
            "state_dict": {
                **under("module.encoder_q.", STUDENT, CLASSIFIER),
                **under("module.encoder_k.", TEACHER, CLASSIFIER),
                "module.queue": torch.ones(2, 3),
            },
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
        },
        "student",
        '8 tensors are taken from its entry "state_dict" without the prefix "module.encoder_q."; left: '
        "module.encoder_q.fc (2), module.encoder_k (10), module.queue (1)",
    ),
    "MoCo v3": (
        {"state_dict": {**under("module.momentum_encoder.", TEACHER), **under("module.base_encoder.", STUDENT)}},
        "student",
        'without the prefix "module.base_encoder."; left: module.momentum_encoder (8)',
    ),
    "DINO": (
        {
            "student": under("module.backbone.", STUDENT),
            "teacher": {**under("backbone.", TEACHER), "head.mlp.0.weight": torch.ones(3)},
        },
        "teacher",
        '8 tensors are taken from its entry "teacher" without the prefix "backbone."; left: head (1), "student" (8)',
    ),
    "student and teacher in one": (
        {**under("student.", STUDENT), **under("teacher.", TEACHER)},
        "teacher",
        '8 tensors are taken without the prefix "teacher."; left: student (8)',
    ),
    "SimSiam": (
        {"state_dict": {**under("module.encoder.", STUDENT), "module.predictor.0.weight": torch.ones(2)}},
        "student",
        'without the prefix "module.encoder."; left: module.predictor (1)',
    ),
    "BYOL": (
        {"state_dict": {**under("target_encoder.net.", TEACHER), **under("online_encoder.net.", STUDENT)}},
        "student",
        'without the prefix "online_encoder.net."; left: target_encoder (8)',
    ),
    "Lightning": (
        {
            "state_dict": {**under("model.net.", STUDENT), "criterion.weight": torch.ones(3)},
            "hyper_parameters": {"lr": 0.1},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
        },
        "student",
        'without the prefix "model.net."; left: criterion (1)',
    ),
    "timm": (
        {"state_dict": {**STUDENT, **CLASSIFIER}, "state_dict_ema": TEACHER, "optimizer": {"state": STUDENT}},
        "teacher",
        '8 tensors are taken from its entry "state_dict_ema"; left: "state_dict" (10)',
    ),
    "a classifier": ({**STUDENT, **CLASSIFIER}, "student", "a.pth: 8 tensors are taken; left: fc (2)"),
    "an average": (
        {"model": STUDENT, "model_ema": TEACHER},
        "teacher",
        'from its entry "model_ema"; left: "model" (8)',
    ),
    "an average inside": (
        {"state_dict": STUDENT, "ema": {"decay": 0.9, "module": TEACHER}},
        "teacher",
        'from its entry "ema.module"; left: "state_dict" (8)',
    ),
    "an average of less": (
        {"model": STUDENT, "ema": {name: TEACHER[name] for name in list(TEACHER)[:5]}},
        "student",
        '8 tensors are taken from its entry "model"; left: "ema" (5)',
    ),
    "distillation": (
        {"student": STUDENT, "teacher": {**TEACHER, **{f"layer2.{block}.w": torch.ones(1) for block in range(1, 9)}}},
        "student",
        '8 tensors are taken from its entry "student"; left: "teacher" (16)',
    ),
    "SWA": (
        {**under("module.", STUDENT), "n_averaged": torch.tensor(4)},
        "student",
        'without the prefix "module."; left: n_averaged (1)',
    ),
    "VISSL": (
        {"classy_state_dict": {"base_model": {"model": {"trunk": under("_feature_blocks.", STUDENT), "heads": {}}}}},
        "student",
        'from its entry "classy_state_dict.base_model.model.trunk" without the prefix "_feature_blocks."',
    ),
    "DeepSpeed": (
        {"module": under("backbone.", STUDENT), "ds_config": {"a": 1}, "param_shapes": [{"a": torch.Size([1])}]},
        "student",
        'from its entry "module" without the prefix "backbone."; left: nothing',
    ),
    "mmdetection": (
        {"meta": {"epoch": 1}, "state_dict": {**under("backbone.", STUDENT), "neck.convs.0.weight": torch.ones(2)}},
        "student",
        'without the prefix "backbone."; left: neck (1)',
    ),
}


OF_ONE_NETWORK = {"SimSiam", "Lightning", "a classifier", "SWA", "DeepSpeed", "mmdetection", "VISSL"}


@pytest.mark.parametrize("project", FILES)
def test_what_projects_write_is_found_and_said(model, caplog, project):
    checkpoint, word, line = FILES[project]
    caplog.set_level("INFO")
    assert taken(model, checkpoint) == word
    said = [record for record in caplog.records if line in record.getMessage()]
    # predict and export show no more than warnings
    assert [record.levelname for record in said] == ["INFO" if project in OF_ONE_NETWORK else "WARNING"], caplog.text


def test_a_model_that_pytorch_has_averaged_and_compiled_in_part(model):
    averaged = AveragedModel(model)
    with torch.no_grad():
        for parameter in averaged.parameters():
            parameter.fill_(7)
    state = {name.replace("layer1.", "layer1._orig_mod."): tensor for name, tensor in averaged.state_dict().items()}
    weights, _ = fitting_weights(model, cfg, {"state_dict": state}, "a.pth")
    assert set(weights) == set(model.state_dict())
    assert all(tensor.eq(7).all() for tensor in weights.values())


def test_our_own_checkpoint_is_taken_as_it_is_with_all_that_it_holds(model, caplog):
    caplog.set_level("INFO")
    checkpoint = {"model": model.state_dict(), "iteration": 3, "optimizer": {"state": {}}}
    weights, rest = fitting_weights(model, cfg, checkpoint, "a.pth")
    assert list(weights) == list(model.state_dict()) and rest == {"iteration": 3, "optimizer": {"state": {}}}
    assert not caplog.records


def test_a_training_resumes_from_its_own_weights_whatever_was_saved_beside_them(tmp_path):
    trained, fresh = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2))
    average = {name: tensor + 1 for name, tensor in trained.state_dict().items()}
    Checkpointer(trained, save_dir=str(tmp_path)).save("model_final", iteration=1, ema=average)
    DetectronCheckpointer(cfg, fresh, save_dir=str(tmp_path)).load()
    assert fresh[0].weight.equal(trained[0].weight)
    DetectronCheckpointer(cfg, fresh).load(str(tmp_path / "model_final.pth"))
    assert fresh[0].weight.equal(average["0.weight"])


@pytest.mark.parametrize(
    "tensors, message",
    [
        (
            {"features.0.weight": torch.ones(64, 3, 3, 3), "features.0.bias": torch.ones(64)},
            r'none of its 2 tensors fits this model \(the file has "features.0.weight", the model '
            r'"backbone.body.stem.conv1.weight"\)',
        ),
        (
            under("net.", {name: tensor.repeat_interleave(2, 0) for name, tensor in resnet().items()}),
            r'\("stem.conv1.weight" has the shape \(8, 3, 7, 7\) in the file, and "backbone.body.stem.conv1.weight" '
            r"\(4, 3, 7, 7\) in the model\)",
        ),
    ],
    ids=["names", "shapes"],
)
def test_where_nothing_fits_a_name_of_the_file_stands_beside_one_of_the_model(model, tmp_path, tensors, message):
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message):
        DetectronCheckpointer(cfg, model).load(str(tmp_path / "a.pth"))


@pytest.mark.parametrize("checkpoint, entries", [({}, "none at all"), ({"epoch": 3, "args": {}}, "'epoch', 'args'")])
def test_a_file_without_tensors_is_named_as_such(model, checkpoint, entries):
    with pytest.raises(UserError, match=rf"a\.pth holds no dictionary of tensors \(its entries: {entries}\)"):
        fitting_weights(model, cfg, checkpoint, "a.pth")


def test_a_network_that_is_not_taken_hides_no_other(model):
    odd = {
        "backbone.fpn.inner_blocks.0.0.weight": torch.ones(2),
        "roi_heads.box_predictor.bbox_pred.weight": torch.ones(()),
    }
    assert taken(model, {"model": STUDENT, "ema": odd}) == "student"
    with pytest.raises(UserError, match="its tensors are not those of a network of torchvision"):
        fitting_weights(model, cfg, {"model": odd}, "a.pth")


def test_names_that_many_layers_have_are_no_network(model):
    blocks = {f"stage{stage}.{block}.conv1.weight": torch.ones(4, 4, 1, 1) for stage in range(3) for block in range(6)}
    weights, _ = fitting_weights(model, cfg, blocks, "a.pth")
    assert set(weights) == set(blocks)


def test_a_value_that_should_be_a_tensor_is_named(model):
    with pytest.raises(UserError, match=r"not a dictionary of tensors \(look at 'net.layer1.0.conv1.weight'\)"):
        fitting_weights(model, cfg, {"model": {**resnet(prefix="net."), "net.layer1.0.conv1.weight": 5}}, "a.pth")


def test_half_precision_keeps_the_epsilon():
    from torchvision.ops import FrozenBatchNorm2d

    frozen = nn.Module()
    frozen.stem = nn.Module()
    frozen.stem.conv1, frozen.stem.bn1 = nn.Conv2d(3, 4, 7, bias=False), FrozenBatchNorm2d(4, eps=0)
    halves = {name: tensor.to(torch.bfloat16) for name, tensor in resnet().items()}
    weights, _ = fitting_weights(frozen, cfg, halves, "a.pth")
    assert weights["stem.bn1.running_var"].equal(halves["bn1.running_var"].float() + 1e-5)


def test_a_resnet_whose_layers_are_numbered_in_a_sequence(model):
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5"}
    for prefix in ("", "0.", "backbone.", "module.backbone."):
        parts = ((name.partition("."), tensor) for name, tensor in resnet().items())
        numbered = {prefix + places[first] + dot + rest: tensor for (first, dot, rest), tensor in parts}
        assert taken(model, {"state_dict": {**numbered, "projection_head.0.weight": torch.ones(2, 8)}}) == ""


def test_counts_of_batches_that_became_fractions_with_all_other_numbers_are_left():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    halves = {name: tensor.to(torch.float16) for name, tensor in network.state_dict().items()}
    weights, _ = fitting_weights(network, cfg, {"model": halves}, "a.pth")
    assert weights.keys() == halves.keys() - {"1.num_batches_tracked"}


@pytest.mark.parametrize("wants_average", [True, False])
def test_an_option_chooses_between_our_weights_and_their_average(model, tmp_path, caplog, wants_average):
    caplog.set_level("INFO")
    ours, wanted = cfg.clone(), 2.0 if wants_average else 1.0
    ours.TEST.EMA = wants_average
    sets = {
        key: {n: torch.full_like(t, v) for n, t in model.state_dict().items()} for key, v in (("model", 1), ("ema", 2))
    }
    checkpoint = {"model": sets["model"], "model_ema": sets["ema"], "ema_updates": 7, "iteration": 9, "vocabulary": {}}
    weights, rest = fitting_weights(model, ours, checkpoint, "a.pth")
    assert all(tensor.eq(wanted).all() for tensor in weights.values())
    assert rest == {"iteration": 9, "vocabulary": {}}
    assert [record.levelname for record in caplog.records] == ["INFO"] and "TEST.EMA" in caplog.text
    # a test of the last checkpoint takes what a training that goes on from it does not
    torch.save(checkpoint, tmp_path / "model_final.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_final.pth"))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for owner, value in ((None, wanted), (optimizer, 1.0)):
        entries = DetectronCheckpointer(ours, model, owner, save_dir=str(tmp_path)).load()
        assert all(parameter.eq(value).all() for parameter in model.parameters())
        assert ("model_ema" in entries) == (owner is not None)
    # as does one that goes on from a named file, and one that begins from its weights does not
    path = str(tmp_path / "model_final.pth")
    for begins, value in ((True, wanted), (False, 1.0)):
        entries = DetectronCheckpointer(ours, model, optimizer).load(path, only_weights=begins)
        assert all(parameter.eq(value).all() for parameter in model.parameters())
        assert ("ema_updates" in entries) == (not begins)
    # in a file of another program the names decide
    weights, _ = fitting_weights(model, ours, {"model": sets["model"], "teacher": sets["ema"]}, "a.pth")
    assert all(tensor.eq(wanted).all() for tensor in weights.values())


def test_a_damaged_average_of_ours_is_the_users_error(model):
    checkpoint = {"model": model.state_dict(), "model_ema": 3, "ema_updates": 7}
    with pytest.raises(UserError, match=r"its entry model_ema is damaged: it is no dictionary; TEST\.EMA False takes"):
        fitting_weights(model, cfg, checkpoint, "a.pth")
