"""Every option is described by the comment that stands above it."""

import pytest

from maskrcnn_benchmark.config import describe
from maskrcnn_benchmark.utils.imports import import_file

SOURCE = '''
"""Doc string."""
from maskrcnn_benchmark.config.node import ConfigNode as CN

_C = CN()

# ------------------------
# First part
# ------------------------
# What is built
_C.MODEL = CN()
# A number
# of two lines
_C.MODEL.WIDTH = 3
_C.MODEL.HEIGHT = (
    4,
    5,
)
_C.MODEL.DEPTH = 6

_C.MODEL.ALONE = "a"
# ------------------------
# Second part
# ------------------------
# Weight of each loss
_C.WEIGHTS = CN()
_C.WEIGHTS.FIRST = 0.5
# Beginning
_C.START = CN()
# End
_C.STOP = CN()
for name in ("A", "B"):
    _C.START[name] = 1
    _C.STOP[f"{name}_LAST"] = -1


def later(node):
    # Not at the top
    node.OTHER = 1


# The last
_C.LAST = ""
'''


@pytest.fixture
def described(tmp_path):
    path = tmp_path / "defaults.py"
    path.write_text(SOURCE)
    return {option.key: option for option in describe.options(path)}


def test_options_are_listed_in_their_order(described):
    assert list(described) == [
        *("MODEL.WIDTH", "MODEL.HEIGHT", "MODEL.DEPTH", "MODEL.ALONE", "WEIGHTS.FIRST"),
        *("START.A", "START.B", "STOP.A_LAST", "STOP.B_LAST", "LAST"),
    ]


def test_a_comment_covers_the_options_below_it_up_to_a_blank_line_or_the_next_comment(described):
    assert described["MODEL.WIDTH"].comment == "A number of two lines"
    assert described["MODEL.HEIGHT"].comment == described["MODEL.DEPTH"].comment == "A number of two lines"
    assert described["MODEL.ALONE"].comment == ""
    assert described["LAST"].comment == "The last"


def test_the_comment_of_a_group_goes_on_to_its_options_and_to_those_of_a_loop(described):
    assert described["WEIGHTS.FIRST"].comment == "Weight of each loss"
    assert {described[key].comment for key in ("START.A", "START.B")} == {"Beginning"}
    assert {described[key].comment for key in ("STOP.A_LAST", "STOP.B_LAST")} == {"End"}


def test_defaults_are_values_and_sections_are_the_headings(described):
    assert described["MODEL.HEIGHT"].default == (4, 5)
    assert described["STOP.B_LAST"].default == -1
    assert {key for key, option in described.items() if option.section == "First part"} == {
        *("MODEL.WIDTH", "MODEL.HEIGHT", "MODEL.DEPTH", "MODEL.ALONE")
    }
    assert described["LAST"].section == "Second part"


def test_every_option_of_the_package_is_described_once_with_its_default():
    fresh = import_file("fresh_defaults", describe.DEFAULTS)._C
    described = describe.options()
    assert [option.key for option in described] == fresh.keys_of_options()
    for option in described:
        node = fresh
        for name in option.key.split("."):
            node = node[name]
        assert option.default == node
    assert [option.key for option in described if not option.comment or not option.section] == []


def test_a_default_is_shown_as_it_is_typed_and_without_the_place_of_the_package():
    shown = {option.key: describe.show_default(option.default) for option in describe.options()}
    assert shown["MODEL.RPN.ASPECT_RATIOS"] == "(0.5, 1.0, 2.0)"
    assert shown["DTYPE"] == '"float32"'
    assert shown["MODEL.MASK_ON"] == "False"
    assert shown["PATHS_CATALOG"] == '"maskrcnn_benchmark/config/paths_catalog.py"'
