"""Names in a config find their builder, or the error names the nearest."""

import pytest

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.registry import Registry
from maskrcnn_benchmark.utils.errors import UserError


def test_decorator_and_call_both_register():
    builders = Registry("thing", "MODEL.THING")

    @builders.register("a")
    def build_a():
        return 1

    builders.register("b", len)
    assert builders["a"]() == 1
    assert builders["b"] is len


def test_a_name_taken_is_refused():
    builders = Registry("thing", "MODEL.THING")
    builders.register("a", len)
    with pytest.raises(ValueError, match="already registered"):
        builders.register("a", max)


def test_unknown_name_gives_option_and_nearest_name():
    import maskrcnn_benchmark.modeling.backbone  # noqa: F401

    with pytest.raises(UserError, match=r"MODEL.BACKBONE.CONV_BODY: .*'R-50-FPM'; did you mean R-50-FPN\?"):
        registry.BACKBONES["R-50-FPM"]


def test_names_far_from_all_list_what_there_is():
    with pytest.raises(UserError, match="known: none"):
        Registry("thing", "MODEL.THING")["x"]
