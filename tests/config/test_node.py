"""Merging options: types, nearest names, and the record of what was given."""

import copy
import os
import pickle

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Number


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


@pytest.mark.parametrize("rows", ["((1, 2, 3, 4),)", "[[1, 2, 3, 4]]"])
def test_rows_of_numbers_become_those_of_the_default(config, tmp_path, rows):
    (tmp_path / "a.yaml").write_text(f"MODEL:\n  ROI_BOX_HEAD:\n    CASCADE:\n      BBOX_REG_WEIGHTS: {rows}\n")
    config.merge_from_file(tmp_path / "a.yaml")
    again = cfg.clone()
    again.merge_from_list(["MODEL.ROI_BOX_HEAD.CASCADE.BBOX_REG_WEIGHTS", rows])
    for each in (config, again):
        weights = each.MODEL.ROI_BOX_HEAD.CASCADE.BBOX_REG_WEIGHTS
        assert weights == ((1.0, 2.0, 3.0, 4.0),) and isinstance(weights[0][0], float)


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
        (["MODEL.FLOW_ON", True], "TORCH_DETECTRON_ENV_MODULE names the file that adds it"),
        (["MODEL.MAS", True], "unknown option MODEL.MAS; options that begin so: MODEL.MASK_ON"),
        (["SOLVER.BASE_LR", "fast"], "SOLVER.BASE_LR takes a number from 0 to 1,000, such as 0.001, not "),
        (["SOLVER.BASE_LR", 10**400], "SOLVER.BASE_LR takes a number from 0 to 1,000, such as 0.001, not "),
        (["MODEL.MASK_ON", 1], "MODEL.MASK_ON takes True or False, such as False, not 1"),
        (["MODEL.RPN", 1], "MODEL.RPN is a group of options"),
        (["SOLVER.BASE_LR"], "options come in pairs"),
        (["SOLVER.BASE_LR", "=", "0.1"], "write KEY=VALUE without spaces"),
        (["my.yaml"], "give a file with --config-file FILE"),
        (["my.yaml", "SOLVER.SEED", "1"], "give a file with --config-file FILE"),
        (["SOLVER.STEPS", "(1,", "2)"], "put quotes around a value that has spaces"),
        (["lr=0.1"], "unknown option lr; did you mean SOLVER.BASE_LR?"),
        (["epochs", "12"], "unknown option epochs; did you mean SOLVER.MAX_EPOCHS?"),
        (
            ["SOLVER.MAX_ITER", "1.5"],
            "SOLVER.MAX_ITER takes an integer from 0 to 1,000,000,000, such as 40000, not 1.5",
        ),
    ],
)
def test_bad_options_are_named_with_a_remedy(config, options, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?").replace("(", r"\(")):
        config.merge_from_list(options)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["MODEL.MASK_ON=true"], True),
        (["MODEL.MASK_ON", "False"], False),
        (["MODEL.MASK_ON", "on"], True),
        (["MODEL.MASK_ON=FALSE"], False),
        (["SOLVER.BASE_LR", "1e-3"], 0.001),
        (["SOLVER.MAX_ITER=9e4"], 90000),
        (["SOLVER.STEPS", "[180,230]"], (180, 230)),
        (["SOLVER.STEPS=180,230"], (180, 230)),
        (["SOLVER.STEPS", "'(180, 230)'"], (180, 230)),
        (["SOLVER.STEPS", "180"], (180,)),
        (["SOLVER.STEPS", "null"], ()),
        (["DATASETS.TEST", "coco_a,coco_b"], ("coco_a", "coco_b")),
        (["DATASETS.TEST", "(coco_a, 'coco_b')"], ("coco_a", "coco_b")),
        (["DATASETS.TEST", "coco_a"], ("coco_a",)),
        (["DATASETS.TEST", "None"], ()),
        (["MODEL.WEIGHT", "null"], ""),
        (["MODEL.WEIGHT=a=b.pth"], "a=b.pth"),
    ],
)
def test_a_value_may_be_typed_as_yaml_python_or_a_shell_writes_it(config, words, value):
    config.merge_from_list(words)
    assert config.value_of(words[0].partition("=")[0]) == value


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


def test_an_added_option_is_one_of_all_copies_and_of_no_other_config(config):
    option = Option("MODEL.FLOW_HEAD.SCALE", 1.0, Number(0, 2), "Of the flow")
    config.add(option)
    config.add(option)  # once more is no error
    copies = config.clone(), pickle.loads(pickle.dumps(config))
    assert [each.record_of(option.key) == option for each in (config, *copies, cfg)] == [True, True, True, False]
    assert config.records()[-1] == option


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (Option("SOLVER.BASE_LR", 1.0, Number(0, 2), ""), "SOLVER.BASE_LR is there already"),
        (Option("MODEL.RPN", 1.0, Number(0, 2), ""), "MODEL.RPN is there already"),
        (Option("SOLVER.BASE_LR.FAST", 1.0, Number(0, 2), ""), "BASE_LR is an option, not a group"),
        (Option("MODEL.FLOW", 3.0, Number(0, 2), ""), "the default of MODEL.FLOW is 3.0, but must be"),
    ],
)
def test_an_option_that_cannot_be_added_is_named(config, option, message):
    with pytest.raises(ValueError, match=message):
        config.add(option)


def test_a_frozen_config_takes_no_option(config):
    config.freeze()
    with pytest.raises(ValueError, match=r"the config is frozen, so MODEL\.FLOW cannot be added"):
        config.add(Option("MODEL.FLOW", 1.0, Number(0, 2), ""))


@pytest.mark.parametrize("text", ["{[1]}", "2021", "1j", "b'x'", "{1: 2}", "(1, 2)", "0x" + "f" * 5000, "..."])
def test_an_option_of_text_takes_what_was_typed(config, text):
    config.merge_from_list(["MODEL.WEIGHT", text[:4000]])
    assert text[:4000] == config.MODEL.WEIGHT


def test_quotes_around_a_text_are_no_part_of_it(config):
    config.merge_from_list(["MODEL.WEIGHT", "'a b.pth'", "OUTPUT_DIR", '"(1, 2)"'])
    assert (config.MODEL.WEIGHT, config.OUTPUT_DIR) == ("a b.pth", "(1, 2)")


@pytest.mark.parametrize(
    "value",
    [
        "{[1]}",
        "(" * 3000,
        "-" * 4000 + "1",
        "[" * 5000,
        "9" * 5000,
        "1" * 100_000,
        "\0",
        "{1, 2}",
        "1j",
        "b''",
        {},
        {1: 2},
    ],
)
def test_whatever_is_typed_for_a_number_is_one_short_line(config, value):
    for key in ("SOLVER.BASE_LR", "SOLVER.MAX_ITER", "INPUT.MIN_SIZE_TRAIN", "MODEL.MASK_ON"):
        with pytest.raises(UserError, match=f"the command line: {key} ") as error:
            config.merge_from_list([key, value])
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("key", ["X" * 100_000, "A.B\nC", "." * 5000, "", "MODEL."])
def test_an_unknown_option_is_one_short_line(config, key):
    with pytest.raises(UserError, match="unknown option") as error:
        config.merge_from_list([key, 1])
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


def test_a_chain_of_bases_has_an_end(config, tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: {number + 1}.yaml\n")
    with pytest.raises(UserError, match=r"0\.yaml: more than 16 files build on one another through _BASE_"):
        config.merge_from_file(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("/dev/zero", "cannot read /dev/zero: it is not a regular file"),
        ("'{folder}'", "is not a regular file"),
        ("'{pipe}'", "is not a regular file"),
        ("x" * 900, "cannot read the config file .*, which .*a.yaml names as its _BASE_: File name too long"),
        ("x" * 5000, "a.yaml: _BASE_ takes the path of one file, not the str 'xxx"),
        ('"a\\0b"', "a.yaml: _BASE_ takes the path of one file"),
        ("''", "a.yaml: _BASE_ takes the path of one file"),
    ],
)
def test_a_base_is_a_file_that_can_be_read(config, tmp_path, base, message):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "a.yaml").write_text(f"_BASE_: {base.format(folder=tmp_path, pipe=pipe)}\n")
    with pytest.raises(UserError, match=message) as error:
        config.merge_from_file(tmp_path / "a.yaml")
    assert len(str(error.value)) < 500
