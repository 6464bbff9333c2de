"""The files that are written while a network is tested: their form, their names, and several processes at once."""

import json
import os

import numpy as np
import pytest
import torch.distributed as dist
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.datasets import ConcatDataset, DetailDataset
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.occlusion import OcclusionPrediction
from maskrcnn_benchmark.tasks.part import PartPrediction
from maskrcnn_benchmark.tasks.task import TASKS

CATEGORIES = {284: ("person", False), 420: ("sky", True), 98: ("dog", False)}  # in no order, as in the real file


@pytest.fixture
def dataset(tmp_path):
    """Three images of 6x4 pixels in Detail's layout, without a picture and without an annotation."""
    return write_dataset(tmp_path / "annotations.json", [11, 5, 7])


def write_dataset(path, ids, parts="person", file_name="2008_{:06d}.jpg"):
    content = {
        "images": [
            {"image_id": key, "file_name": file_name.format(key), "width": 6, "height": 4, "phase": "val"}
            for key in ids
        ],
        "categories": [
            {"category_id": key, "name": name, "onlysemantic": stuff, "parts": [79, 21] if name == "person" else []}
            for key, (name, stuff) in CATEGORIES.items()
        ],
        "parts": [{"part_id": 79, "name": "torso"}, {"part_id": 21, "name": "head"}],
    }
    path.write_text(json.dumps(content))
    return DetailDataset(path, None, "val", parts=parts)


def code():
    mask = np.zeros((4, 6), np.uint8, order="F")
    mask[1:3, 2:5] = 1
    return coco_mask.encode(mask)


def every_prediction():
    ramp = np.arange(24, dtype=np.uint8).reshape(4, 6)
    joints = [0.5] * 42
    return {
        "detection": [{"category_id": 2, "bbox": [0.1, 0.25, 3.0, 2.0], "score": 0.7, "area": 6.0, "iscrowd": 0}],
        "instance": [{"category_id": 1, "segmentation": code(), "score": 0.6}],
        "keypoint": [{"category_id": 2, "keypoints": joints, "score": 0.5}],
        "part": PartPrediction(
            ramp % 3, [{"category_id": 2, "score": 0.4, "parts": [{"part": 2, "segmentation": code()}]}]
        ),
        "semantic": ramp % 3,
        "boundary": ramp * 10,
        "occlusion": OcclusionPrediction(ramp * 9, ramp.astype(np.uint16) * 2800),
        "classification": np.array([0.25, 1.0, 1 / 3]),
    }


def write(dataset, folder, answers):
    """Write {index: {task: answer}} and return the writer's folder."""
    tasks = [TASKS[key] for key in TASKS if any(key in each for each in answers.values())]
    with PredictionWriter(folder, dataset, tasks) as writer:
        for index, each in answers.items():
            writer.write(index, each)
        writer.finish()
    return folder


def test_lists_speak_of_the_files_own_images_and_categories(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {1: every_prediction()})
    read = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    # dogs come before people in the official order: label 1 is category 98, label 2 is 284
    assert read["bbox.json"] == [{"image_id": 5, "category_id": 284, "score": 0.7, "bbox": [0.1, 0.25, 3.0, 2.0]}]
    text = {"size": [4, 6], "counts": code()["counts"].decode()}
    assert read["segm.json"] == [{"image_id": 5, "category_id": 98, "score": 0.6, "segmentation": text}]
    person = {"image_id": 5, "category_id": 284, "score": 0.5, "keypoints": [0.5] * 42}
    assert read["keypoints.json"] == [person] and read["detail_keypoints.json"] == {"pred": [person]}
    part = {"part_id": 79, "part": "torso", "segmentation": text}
    assert read["parts.json"] == [{"image_id": 5, "category_id": 284, "score": 0.4, "parts": [part]}]
    # every digit of a score survives
    scores = {"image_id": 5, "category_score": [0.25, 1.0, 1 / 3]}
    assert read["classification.json"] == {"pred": [scores]}


def test_groups_of_parts_have_no_number_of_the_file(tmp_path):
    grouped = write_dataset(tmp_path / "annotations.json", [5], parts="person6")
    folder = write(grouped, tmp_path / "out", {0: {"part": every_prediction()["part"]}})
    (row,) = json.loads((folder / "parts.json").read_text())
    assert [(part["part"], "part_id" in part) for part in row["parts"]] == [("torso", False)]


def test_maps_are_pngs_under_the_names_of_the_images(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {1: every_prediction()})
    ramp = np.arange(24).reshape(4, 6)
    modes = {}
    for name, expected in (
        ("semantic", ramp % 3 + 1),
        ("part", ramp % 3),
        ("boundary", ramp * 10),
        ("occlusion", ramp * 9),
        ("occlusion_direction", ramp * 2800),
    ):
        assert [path.name for path in (folder / name).iterdir()] == ["2008_000005.png"]
        with Image.open(folder / name / "2008_000005.png") as image:
            modes[name] = image.mode
            assert (np.array(image) == expected).all(), name
    assert modes == {"semantic": "P", "part": "P", "boundary": "L", "occlusion": "L", "occlusion_direction": "I;16"}


def test_palettes_are_pascals_colours(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {0: {"semantic": every_prediction()["semantic"]}})
    with Image.open(folder / "semantic" / "2008_000011.png") as image:
        colours = np.array(image.getpalette()).reshape(-1, 3)
    # from the development kit's table: background, aeroplane, bicycle, bird, person, void
    assert colours[[0, 1, 2, 3, 15]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128]]
    assert colours[255].tolist() == [224, 224, 192]


def test_a_legend_says_what_the_numbers_mean(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {0: every_prediction()})
    legend = json.loads((folder / "classes.json").read_text())
    assert legend["things"] == [{"category_id": 98, "name": "dog"}, {"category_id": 284, "name": "person"}]
    assert legend["semantic"][2] == {"value": 3, "name": "sky", "category_id": 420}
    assert legend["part_set"] == "person24" and legend["part"][0] == {"value": 1, "name": "head", "things": ["person"]}
    assert legend["joints"] == list(DETAIL_JOINTS.names)
    assert [label["category_id"] for label in legend["image_labels"]] == [98, 284, 420]
    assert "65534" in legend["encodings"]["occlusion_direction"]


def test_images_without_objects_are_in_no_list_and_rows_follow_the_images(dataset, tmp_path):
    (row,) = every_prediction()["detection"]
    rows = {2: [row], 0: [dict(row, score=0.1), dict(row, score=0.9)], 1: []}
    folder = write(dataset, tmp_path / "out", {index: {"detection": each} for index, each in rows.items()})
    written = json.loads((folder / "bbox.json").read_text())
    assert [(each["image_id"], each["score"]) for each in written] == [(11, 0.1), (11, 0.9), (7, 0.7)]
    nothing = write(dataset, tmp_path / "none", {index: {"detection": []} for index in range(3)})
    assert json.loads((nothing / "bbox.json").read_text()) == []


def test_a_network_that_tells_no_objects_apart_writes_no_list_of_parts(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {0: {"part": PartPrediction(np.zeros((4, 6), np.uint8))}})
    assert sorted(path.name for path in folder.iterdir()) == ["classes.json", "part"]


def test_an_evaluation_that_fails_leaves_the_lists_of_the_one_before(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out", {0: every_prediction()})
    before = {path.name: path.read_text() for path in folder.glob("*.json")}
    with pytest.raises(RuntimeError), PredictionWriter(folder, dataset, [TASKS["detection"]]) as writer:
        writer.write(1, every_prediction())
        raise RuntimeError
    assert {path.name: path.read_text() for path in folder.glob("*.json")} == before
    assert not list(folder.glob(".*"))


def test_joined_data_sets_name_maps_by_what_tells_their_images_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (
        write_dataset(tmp_path / name / "annotations.json", ids, file_name="2008_000001.jpg")
        for name, ids in (("a", [1]), ("b", [2]))
    )
    boundary = {"boundary": every_prediction()["boundary"]}
    apart = write(ConcatDataset([first, second]), tmp_path / "apart", {0: boundary, 1: boundary})
    assert sorted(path.name for path in (apart / "boundary").iterdir()) == ["1.png", "2.png"]
    alike = write(ConcatDataset([first, first]), tmp_path / "alike", {0: boundary, 1: boundary})
    assert sorted(path.name for path in (alike / "boundary").iterdir()) == ["0.png", "1.png"]


class Numbered(AnnotatedDataset):
    """Ten images with ids that lead out of the folder."""

    vocabulary = Vocabulary(thing_names=("cat", "dog", "person"))
    ids = tuple(f"../{index}" for index in range(10))

    def get_img_info(self, index):
        return {"image_id": self.ids[index], "width": 6, "height": 4, "file_name": "same.jpg"}


def test_ids_that_are_no_file_names_are_not_used_as_such(tmp_path):
    folder = write(Numbered(), tmp_path / "out", {3: {"boundary": every_prediction()["boundary"]}})
    assert [path.name for path in (folder / "boundary").iterdir()] == ["3.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def _write_a_share(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    (row,) = every_prediction()["detection"]
    with PredictionWriter(folder, Numbered(), [TASKS["detection"], TASKS["part"]]) as writer:
        # the second process also answers image 4, which the first has, and is the only one that tells objects apart
        for index in (8, 0, 4, 2, 6) if rank == 0 else (9, 4, 3, 1):
            writer.write(index, {"detection": [dict(row, score=float(index))] * 2})
            if rank:
                writer.write(index, {"part": PartPrediction(np.zeros((4, 6), np.uint8), [])})
        writer.finish()
    dist.destroy_process_group()


def test_two_processes_write_each_image_once_and_lose_none(tmp_path, in_two_processes):
    in_two_processes(_write_a_share, str(tmp_path), start_method="fork")
    rows = json.loads((tmp_path / "bbox.json").read_text())
    assert [row["score"] for row in rows] == [index for index in (0, 1, 2, 3, 4, 6, 8, 9) for _ in range(2)]
    assert json.loads((tmp_path / "parts.json").read_text()) == []
    assert not list(tmp_path.glob(".*"))
