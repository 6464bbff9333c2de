"""Saliency, normals and depth of multi-task archives, against the formulas that they were drawn by."""

import numpy as np
import pytest
from mtl_sets import FLOOR_NORMAL, METRES, draw_scene, write_nyud, write_pascal

from maskrcnn_benchmark.data.datasets import NYUDMTLDataset, PascalContextMTLDataset
from maskrcnn_benchmark.data.detail.categories import CATEGORY_IDS
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

pytestmark = pytest.mark.skipif("saliency" not in TASKS, reason="without the tasks saliency, normals and depth")
SCENE = draw_scene()


def angles(first, second):
    """Degrees between vectors [3, N]."""
    return np.degrees(np.arccos((first * second).sum(0).clip(-1, 1)))


def test_saliency_is_what_is_above_a_half(tmp_path):
    dataset = PascalContextMTLDataset(write_pascal(tmp_path, {"a": SCENE}), "train")
    assert "saliency" in dataset.tasks
    assert (dataset.get_annotations(0).labels["saliency"].labels.numpy() == SCENE.salient).all()


def test_normals_of_pascal_hold_where_the_class_is_one_of_indoors(tmp_path):
    dataset = PascalContextMTLDataset(write_pascal(tmp_path, {"a": SCENE}), "train")
    normals = dataset.get_annotations(0).labels["normals"].normals.numpy()
    sky = SCENE.label_map == CATEGORY_IDS["sky"]
    assert not normals[:, sky].any() and np.allclose(np.linalg.norm(normals[:, ~sky], axis=0), 1, atol=1e-5)
    assert angles(normals[:, ~sky], SCENE.normals[:, ~sky]).max() < 0.5  # 8 bits


@pytest.mark.parametrize("layout", ["NYUDv2", "NYUD_MT"])
def test_normals_and_depth_of_rooms_are_those_of_sphere_and_planes(tmp_path, layout):
    dataset = NYUDMTLDataset(write_nyud(tmp_path, {"a": SCENE}, layout=layout), "train")
    assert {"normals", "depth", "semantic", "boundary"} <= dataset.tasks
    labels = dataset.get_annotations(0).labels
    normals, depth = labels["normals"].normals.numpy(), labels["depth"].depth.numpy()
    floor = (SCENE.rooms == 2) & (np.arange(40) > 0)
    assert angles(normals[:, floor], FLOOR_NORMAL[:, None]).max() < 0.5
    assert angles(normals.reshape(3, -1), SCENE.normals.reshape(3, -1)).max() < 0.5
    assert np.allclose(depth, SCENE.depth, atol=1e-6)
    assert np.allclose(np.diff(depth[24:, 5]), -METRES * 0.5, atol=1e-5)  # the floor rises evenly


def test_a_mirror_turns_normals_and_a_scale_divides_depth(tmp_path):
    dataset = NYUDMTLDataset(write_nyud(tmp_path, {"a": SCENE}), "train")
    annotations = dataset.get_annotations(0)
    mirrored = annotations.transpose(0).labels["normals"].normals.numpy()
    expected = annotations.labels["normals"].normals.numpy()[:, :, ::-1] * np.array([-1, 1, 1])[:, None, None]
    assert np.allclose(mirrored, expected, atol=1e-6)
    doubled = annotations.resize((80, 60)).labels["depth"].depth.numpy()
    assert np.allclose(doubled[::2, ::2], SCENE.depth / 2, atol=0.01)


def test_maps_of_another_size_are_one_line(tmp_path):
    root = write_nyud(tmp_path, {"a": SCENE}, layout="NYUD_MT")
    np.save(root / "depth" / "a.npy", draw_scene((20, 10)).depth)
    with pytest.raises(UserError, match=r"depth/a\.npy"):
        NYUDMTLDataset(root, "train", tasks=["depth"]).get_annotations(0)
