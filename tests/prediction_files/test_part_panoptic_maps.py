"""Segments with parts in TIFFs: written and read back, those of others, and what is refused in one line."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import (
    PartPanopticPrediction,
    encode_codes,
    read_scene,
)
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.panoptic_map import PanopticMap
from maskrcnn_benchmark.structures.part_codes import PartCodes
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import UNKNOWN, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part_panoptic import PART_PANOPTIC
from maskrcnn_benchmark.utils.errors import UserError

WIDTH, HEIGHT = SIZE = 6, 4
CHAIR, PERSON, SKY = range(3)


class Images:
    """Two images of one size, both annotated."""

    layout = ""
    vocabulary = Vocabulary(("chair", "person"), ("chair", "person", "sky"), parts=PartSet.from_names("ppp57", {}))

    def __len__(self):
        return 2

    def get_img_info(self, index):
        return {"image_id": index, "file_name": f"{'ab'[index]}.jpg", "width": WIDTH, "height": HEIGHT}

    def image_id(self, index):
        return index

    def category_ids(self):
        return {1: 1, 2: 2}

    def class_ids(self):
        return {"chair": 1, "person": 2, "sky": 3}

    def part_ids(self):
        return {}

    def tasks_of(self, index):
        return {"part_panoptic"}


CODES = PartCodes.of(Images.vocabulary)


def scene(rows=((PERSON, 3), (SKY, -1), (PERSON, 0))):
    """Two persons, of which the second has unknown parts, before the sky; the last row of pixels is void."""
    ids, parts = np.full((HEIGHT, WIDTH), 2, np.int32), np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[:3, :2], ids[1:3, 4:], ids[3] = 1, 3, 0
    parts[:2, :2], parts[2, :2], parts[1:3, 4:] = 43, 48, UNKNOWN
    return PartPanopticMap(PanopticMap.of_rows(ids, [(kind, k, 0.7, False) for kind, k in rows]), parts)


def written(folder, dataset=None, count=2):
    dataset = dataset or Images()
    stored = PartPanopticPrediction.of(scene(), dataset.vocabulary)
    with PredictionWriter(folder, dataset, [PART_PANOPTIC]) as writer:
        for index in range(count):
            writer.write(index, {"part_panoptic": stored})
        writer.finish()
    return stored


def reader(folder, dataset=None):
    return PredictionReader(dataset or Images(), find_predictions(folder, [PART_PANOPTIC]), [PART_PANOPTIC])


def test_written_scenes_come_back(tmp_path):
    stored = written(tmp_path)
    found = reader(tmp_path).read(1)["part_panoptic"]
    assert (found.scene.parts == stored.scene.parts).all() and found.codes.sids.tolist() == [9, 15, 84]
    for name in ("classes", "objects", "scores", "is_crowd"):
        of_both = [getattr(each.segments, name)[each.segments.ids - 1] for each in (found.scene, stored.scene)]
        assert (of_both[0] == of_both[1])[:3].all()
    with Image.open(tmp_path / "part_panoptic" / "a.tif") as image:
        assert image.mode == "I" and np.asarray(image)[0].tolist() == [1500101, 1500101, 84, 84, 84, 84]
        assert np.asarray(image)[1:, 4].tolist() == [15002, 15002, 0]


def test_the_legend_numbers_classes_and_parts(tmp_path):
    written(tmp_path)
    rows = json.loads((tmp_path / "classes.json").read_text())["part_panoptic"]
    assert {"sid": 9, "name": "chair"} in rows and {"sid": 84, "name": "sky"} in rows
    assert [row for row in rows if row["sid"] == 15][:2] == [
        {"sid": 15, "name": "person"},
        {"sid": 15, "pid": 1, "name": "person/head"},
    ]

    class Others(Images):
        parts = PartSet.from_names("all", {"person": ["head", "torso"]})
        vocabulary = Vocabulary(("chair", "person"), ("chair", "person", "sky"), parts=parts)

    words = r"names 9 classes for part_panoptic and the data set 5; value 5 .*choose the classes and the part set"
    with pytest.raises(UserError, match=words):
        reader(tmp_path, Others())


def test_a_stored_scene_can_be_drawn(tmp_path):
    stored = written(tmp_path)
    prediction = to_prediction({"part_panoptic": stored}, SIZE, Images.vocabulary, [PART_PANOPTIC])
    assert prediction.outputs["part_panoptic"].value is stored.scene
    drawn = PART_PANOPTIC.draw(np.zeros((HEIGHT, WIDTH, 3), np.uint8), prediction, Images.vocabulary)
    assert drawn.shape[1] == 480 and len(np.unique(drawn.reshape(-1, 3), axis=0)) > 4


def picture(values, mode=None, kind="TIFF"):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values), mode).save(buffer, kind)
    return buffer.getvalue()


def test_pngs_of_three_channels_are_read(tmp_path):
    """As the authors of the metric write them: class, object and part, 255 for none and for an unknown part."""
    channels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    channels[0], channels[1], channels[2] = (15, 1, 2), (15, 2, 255), (84, 1, 1)
    (tmp_path / "a.png").write_bytes(picture(channels, kind="PNG"))
    found = read_scene(tmp_path / "a.png", SIZE, CODES)
    assert found.segments.ids[:, 0].tolist() == [1, 2, 3, 0] and found.segments.classes.tolist() == [
        PERSON,
        PERSON,
        SKY,
    ]
    assert found.parts[:, 0].tolist() == [44, UNKNOWN, 0, 0]
    channels[0, 0] = (15, 1, 200)
    (tmp_path / "a.png").write_bytes(picture(channels, kind="PNG"))
    with pytest.raises(UserError, match="holds the class 15 and the part 200; numbers are 1 to 99, or 255"):
        read_scene(tmp_path / "a.png", SIZE, CODES)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_tiffs_of_other_depths_are_read(tmp_path, dtype):
    codes = np.full((HEIGHT, WIDTH), 84, dtype)
    (tmp_path / "a.tif").write_bytes(picture(codes))
    assert (read_scene(tmp_path / "a.tif", SIZE, CODES).segments.classes == SKY).all()


GOOD = np.full((HEIGHT, WIDTH), 15001, np.int32)
BAD = {
    "empty": (b"", "a.tif is empty; replace it"),
    "no TIFF": (b"sid, iid, pid", "a.tif is not an image that can be read"),
    "cut off": (encode_codes(GOOD)[:60], "a.tif cannot be decoded"),
    "another size": (encode_codes(GOOD.T.copy()), "a.tif is 4x6 pixels, but its image is 6x4; resize the map"),
    "colours": (picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), "a.tif holds no whole numbers, one per pixel"),
    "fractions": (picture(GOOD.astype(np.float32)), "a.tif holds no whole numbers, one per pixel"),
    "no label": (encode_codes(np.full_like(GOOD, 500)), "a.tif holds the number 500, which is no label"),
    "no class": (encode_codes(np.full_like(GOOD, 7001)), "a.tif holds the class 7, which is none of the data set's"),
    "no part": (encode_codes(np.full_like(GOOD, 1500109)), "a.tif holds the part 9 of person"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_line(tmp_path, name):
    content, words = BAD[name]
    written(tmp_path)
    (tmp_path / "part_panoptic" / "a.tif").write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        reader(tmp_path).read(0)
    assert "\n" not in str(error.value)


def test_an_image_without_a_file_is_told(tmp_path):
    written(tmp_path, count=1)
    with pytest.raises(UserError, match=r"has no \.tif file for 1 images that are annotated .*first b\.tif"):
        reader(tmp_path)


def test_classes_that_two_digits_do_not_number_are_scored_but_not_written(tmp_path):
    class Many(Images):
        vocabulary = Vocabulary((), tuple(f"class {k}" for k in range(100)), parts=Images.vocabulary.parts)

    assert PART_PANOPTIC.files()[0].describe(Many.vocabulary) == {"part_panoptic": []}
    with pytest.raises(UserError, match="cannot be written: there are 100 classes, but labels of two digits number 99"):
        written(tmp_path, Many())
