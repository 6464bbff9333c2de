"""NYUD-v2's archives of four tasks, in both of their forms."""

import logging

import numpy as np
import pytest
from mtl_sets import draw_scene, edges_of, write_nyud
from PIL import Image

from maskrcnn_benchmark.data.datasets import NYUDMTLDataset
from maskrcnn_benchmark.utils.errors import UserError

SCENES = {"0001": draw_scene(), "0002": draw_scene(shift=3)}


@pytest.fixture(params=["NYUDv2", "NYUD_MT"])
def root(tmp_path, request):
    return write_nyud(tmp_path / request.param, SCENES, layout=request.param)


def test_class_k_of_the_file_is_k_less_one_and_zero_is_ignored(root):
    dataset = NYUDMTLDataset(root, "train")
    labels = dataset.get_annotations(1).semantic.labels.numpy()
    rooms = SCENES["0002"].rooms.astype(int)
    assert (labels == np.where(rooms == 0, 255, rooms - 1)).all()
    assert len(dataset.vocabulary.semantic_names) == 40 and dataset.vocabulary.semantic_names[30] == "person"
    assert dataset.vocabulary.thing_names == () and dataset.vocabulary.parts is None


def test_edges_are_those_of_the_file(root):
    edges = NYUDMTLDataset(root, "val").get_annotations(0).boundary.edges.numpy()
    assert edges.any() and (edges == edges_of(SCENES["0001"])).all()


def test_edges_of_0_and_1_in_a_png_are_refused(tmp_path):
    root = write_nyud(tmp_path / "NYUDv2", SCENES, layout="NYUDv2")
    Image.fromarray(edges_of(SCENES["0001"]).astype(np.uint8)).save(root / "edge" / "0001.png")
    with pytest.raises(UserError, match=r"0001\.png holds only 0 and 1; edges are 255"):
        NYUDMTLDataset(root, "val").get_annotations(0)


def test_normals_and_depth_are_named_for_the_tasks_that_read_them(root):
    image = NYUDMTLDataset(root, "train").image(0)
    suffix = "png" if root.name == "NYUDv2" else "npy"
    assert image.map_file("depth") == root / "depth" / "0001.npy"
    assert image.map_file("normals") == root / "normals" / f"0001.{suffix}"
    assert image.map_file("saliency") is None and image.valid_normals() is None


def test_tasks_are_those_that_the_archive_has(root):
    dataset = NYUDMTLDataset(root, "train")
    assert {"semantic", "boundary"} <= dataset.tasks and not {"detection", "part", "occlusion"} & dataset.tasks
    assert {state.task for state in dataset.completeness()} == {"semantic", "boundary", "normals", "depth"}


def test_two_resolutions_that_are_mixed_are_one_line(root):
    image = root / "images" / ("0001.png" if root.name == "NYUDv2" else "0001.jpg")
    Image.new("RGB", (64, 48)).save(image)
    of_arrays = r"0001\.npy holds float32 \[30, 40\], but edges are 0 and 1, as float32 \[48, 64\]; .*the same release"
    of_pictures = r"0001\.png is 40x30 pixels, but its .*64x48; take image and annotations"
    edges = of_pictures if root.name == "NYUDv2" else of_arrays
    for task, words in (("semantic", of_pictures), ("boundary", edges)):
        with pytest.raises(UserError, match=words):
            NYUDMTLDataset(root, "train", tasks=[task]).get_annotations(0)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, ">f8"])
def test_edges_of_arrays_have_any_type_of_numbers(tmp_path, dtype):
    root = write_nyud(tmp_path, SCENES, layout="NYUD_MT")
    edges = edges_of(SCENES["0001"])
    np.save(root / "edge" / "0001.npy", np.asfortranarray(edges.astype(dtype)))
    assert (NYUDMTLDataset(root, "val").get_annotations(0).boundary.edges.numpy() == edges).all()


def test_a_value_beyond_40_is_refused(root):
    Image.fromarray(np.full((30, 40), 41, np.uint8)).save(root / "segmentation" / "0001.png")
    with pytest.raises(UserError, match="holds the value 41, but NYUD-v2 has 0 to 40"):
        NYUDMTLDataset(root, "train").get_annotations(0)


def test_a_missing_folder_is_told(root, caplog):
    for path in (root / "edge").iterdir():
        path.unlink()
    (root / "edge").rmdir()
    with caplog.at_level(logging.WARNING):
        dataset = NYUDMTLDataset(root, "train")
    assert "boundary: there is no folder edge; images without this label: 2" in caplog.text
    assert dataset.get_annotations(0).boundary is None


def test_arrays_that_are_damaged_or_of_objects_are_one_line(tmp_path):
    root = write_nyud(tmp_path, SCENES, layout="NYUD_MT")
    path = root / "edge" / "0001.npy"
    dataset = NYUDMTLDataset(root, "train", tasks=["boundary"])
    whole = path.read_bytes()
    np.save(path, np.array([[{}]]), allow_pickle=True)
    objects = path.read_bytes()
    for content in (b"", whole[:50], whole[:-100], whole.replace(b"(30, 40)", b"(9930, 40)"[:8]), objects):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"0001\.npy (cannot be decoded|has \d+ bytes of data|holds (object|float32 \[9930))"
        ):
            dataset.get_annotations(0)
