"""Merging options: types, nearest names, and the record of what was given."""

import copy

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def config():
    return cfg.clone()


def test_file_and_command_line_replace_defaults(config, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("MODEL:\n  MASK_ON: True\nINPUT:\n  MIN_SIZE_TRAIN: (640, 800)\nSOLVER:\n  BASE_LR: 1\n")
    config.merge_from_file(path)
    config.merge_from_list(["SOLVER.MAX_ITER", "7", "SOLVER.STEPS", "(3, 5)"])
    assert config.MODEL.MASK_ON is True
    assert config.INPUT.MIN_SIZE_TRAIN == (640, 800)
    assert config.SOLVER.BASE_LR == 1.0 and isinstance(config.SOLVER.BASE_LR, float)
    assert config.SOLVER.MAX_ITER == 7
    assert config.SOLVER.STEPS == (3, 5)


def test_a_file_may_build_on_another(config, tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVER:\n  MAX_ITER: 10\n  BASE_LR: 0.5\n")
    (tmp_path / "child.yaml").write_text('_BASE_: "base.yaml"\nSOLVER:\n  MAX_ITER: 20\n')
    config.merge_from_file(tmp_path / "child.yaml")
    assert (config.SOLVER.MAX_ITER, config.SOLVER.BASE_LR) == (20, 0.5)


def test_a_base_is_found_beside_the_file_that_names_it(config, tmp_path):
    (tmp_path / "family").mkdir()
    (tmp_path / "base.yaml").write_text("SOLVER:\n  MAX_ITER: 10\n")
    (tmp_path / "family" / "middle.yaml").write_text('_BASE_: "../base.yaml"\nSOLVER:\n  BASE_LR: 0.5\n')
    (tmp_path / "family" / "child.yaml").write_text('_BASE_: "middle.yaml"\n')
    config.merge_from_file(str(tmp_path / "family" / "child.yaml"))
    assert (config.SOLVER.MAX_ITER, config.SOLVER.BASE_LR) == (10, 0.5)


@pytest.mark.parametrize("circle", [["a.yaml"], ["b.yaml", "a.yaml"]], ids=["itself", "through another"])
def test_a_file_that_builds_on_itself_is_refused(config, tmp_path, circle):
    for name, base in zip(["a.yaml", "b.yaml"], circle):
        (tmp_path / name).write_text(f"_BASE_: {base}\n")
    with pytest.raises(UserError, match=r"builds on itself through _BASE_: \S*a\.yaml -> .*a\.yaml"):
        config.merge_from_file(tmp_path / "a.yaml")


def test_a_missing_base_is_named_with_the_file_that_wants_it(config, tmp_path):
    (tmp_path / "base.yaml").write_text("")
    (tmp_path / "child.yaml").write_text('_BASE_: "bsae.yaml"\n')
    with pytest.raises(
        UserError, match=r"bsae\.yaml, which \S*child\.yaml names as its _BASE_; did you mean .*base\.yaml"
    ):
        config.merge_from_file(tmp_path / "child.yaml")


def test_a_base_is_one_path(config, tmp_path):
    (tmp_path / "child.yaml").write_text("_BASE_: [a.yaml, b.yaml]\n")
    with pytest.raises(UserError, match=r"child\.yaml: _BASE_ takes the path of one file, not the list"):
        config.merge_from_file(tmp_path / "child.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.MASK_N", True], "did you mean MODEL.MASK_ON?"),
        (["MODEL.SALIENCY_ON", True], "TORCH_DETECTRON_ENV_MODULE names the file that adds it"),
        (["MODEL.MAS", True], "unknown option MODEL.MAS; options that begin so: MODEL.MASK_ON"),
        (["SOLVER.BASE_LR", "fast"], "SOLVER.BASE_LR takes a float"),
        (["MODEL.MASK_ON", 1], "MODEL.MASK_ON takes a bool"),
        (["MODEL.RPN", 1], "MODEL.RPN is a group of options"),
        (["SOLVER.BASE_LR"], "options come in pairs"),
    ],
)
def test_bad_options_are_named_with_a_remedy(config, options, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?").replace("(", r"\(")):
        config.merge_from_list(options)


def test_bad_key_in_a_file_names_the_file(config, tmp_path):
    path = tmp_path / "typo.yaml"
    path.write_text("MODEL:\n  BACKBNE:\n    CONV_BODY: R-50-FPN\n")
    with pytest.raises(UserError, match=r"typo\.yaml: unknown option MODEL\.BACKBNE"):
        config.merge_from_file(path)


def test_missing_file_names_a_near_one(config, tmp_path):
    (tmp_path / "mini.yaml").write_text("")
    with pytest.raises(UserError, match=r"no such config file.*did you mean .*mini\.yaml"):
        config.merge_from_file(tmp_path / "minni.yaml")


def test_configs_that_come_with_the_package_are_found_from_any_folder(config, tmp_path, monkeypatch):
    inside = tmp_path / "site" / "configs" / "few.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text("MODEL: {MASK_ON: True}")
    monkeypatch.setattr("maskrcnn_benchmark.config.node.PACKAGE", tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    config.merge_from_file("configs/few.yaml")
    assert config.MODEL.MASK_ON is True


def test_broken_yaml_is_one_line(config, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("MODEL: [1, 2\nX: {")
    with pytest.raises(UserError, match="is not valid yaml") as error:
        config.merge_from_file(path)
    assert "\n" not in str(error.value)


def test_given_options_are_remembered_through_copies(config):
    config.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 81])
    for tree in (config, config.clone(), copy.deepcopy(config)):
        assert tree.is_given("MODEL.ROI_BOX_HEAD.NUM_CLASSES")
        assert not tree.is_given("MODEL.RETINANET.NUM_CLASSES")
    assert not cfg.is_given("MODEL.ROI_BOX_HEAD.NUM_CLASSES")


def test_obsolete_options_are_ignored_with_a_warning(config):
    with pytest.warns(UserWarning, match=r"AMP_VERBOSE has no effect"):
        config.merge_from_list(["AMP_VERBOSE", True])


def test_a_frozen_config_refuses_changes(config):
    config.freeze()
    with pytest.raises(UserError, match="frozen"):
        config.merge_from_list(["MODEL.MASK_ON", True])
