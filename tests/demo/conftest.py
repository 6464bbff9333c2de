"""The network that the demo of these tests shows."""

import pytest

FEWER = (
    *("MODEL.MASK_ON", False, "MODEL.KEYPOINT_ON", False, "MODEL.PART_ON", False, "MODEL.OCCLUSION_ON", False),
    *("INPUT.MIN_SIZE_TEST", 64),
)


@pytest.fixture(scope="session")
def small(save_small_network, tmp_path_factory):
    """A network of few tasks, which a page shows sooner, as `save_small_network` returns it."""
    return save_small_network(tmp_path_factory.mktemp("small_demo"), *FEWER)
