"""Maps of added tasks: any channels and dtype come back as they were, and what does not fit is refused at the door."""

import json
import logging
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.layout import files_of
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps, LabelMaps
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions, tasks_of
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task
from maskrcnn_benchmark.utils.errors import UserError

WIDTH, HEIGHT = SIZE = 6, 4
DTYPES = ("uint8", "uint16", "float32")


class Images:
    """Two images of one size, each annotated for every task."""

    vocabulary = Vocabulary(thing_names=("cat", "dog"))
    layout = ""

    def __init__(self, size=SIZE):
        self.size = size

    def __len__(self):
        return 2

    def get_img_info(self, index):
        return {"image_id": index, "file_name": f"{'ab'[index]}.jpg", "width": self.size[0], "height": self.size[1]}

    def image_id(self, index):
        return index

    def category_ids(self):
        return {1: 1, 2: 2}

    def class_ids(self):
        return {"cat": 1, "dog": 2}

    def part_ids(self):
        return {}

    def tasks_of(self, index):
        return {"normals", "saliency"} if index == 0 else set()


class Normals(Task):
    """A map per image, declared by what `ArrayMaps` takes."""

    key = "normals"

    def __init__(self, **declared):
        self.declared = declared

    def files(self):
        return (ArrayMaps(self.key, **self.declared),)


class Saliency(Task):
    """A map per image that declares nothing."""

    key = "saliency"


def written(folder, task, stored, size=SIZE):
    with PredictionWriter(folder, Images(size), [task]) as writer:
        writer.write(0, {task.key: stored})
        writer.finish()
    return folder


def read_back(folder, task, size=SIZE):
    return PredictionReader(Images(size), find_predictions(folder, [task]), [task]).read(0)[task.key]


def whole_range(dtype, shape):
    """Arrays of any values of a dtype."""
    if dtype == "float32":
        return arrays(np.float32, shape, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
    return arrays(dtype, shape)


@given(st.sampled_from(DTYPES), st.integers(1, 5), array_shapes(min_dims=2, max_dims=2, max_side=9), st.data())
def test_every_dtype_and_number_of_channels_comes_back_as_it_was(tmp_path_factory, dtype, channels, sides, data):
    array = data.draw(whole_range(dtype, sides if channels == 1 else (channels, *sides)))
    task, size = Normals(dtype=dtype, channels=channels), sides[::-1]
    folder = written(tmp_path_factory.mktemp("maps"), task, array, size)
    read = read_back(folder, task, size)
    assert read.dtype == array.dtype and read.shape == array.shape and np.array_equal(read, array)


@given(st.sampled_from(DTYPES), st.integers(1, 4), st.data())
def test_an_output_is_stored_written_read_and_drawn_to_within_half_a_step(tmp_path_factory, dtype, channels, data):
    scores = data.draw(arrays(np.float32, (channels, 3, 2), elements=st.floats(0, 1, width=32)))
    task = Normals(dtype=dtype, channels=channels)

    def encoded(output):
        return task.encode(ImagePrediction((2, 3), outputs={"normals": output}), Images.vocabulary)

    stored = encoded(ScoreMap(torch.from_numpy(scores), (2, 3)))
    read = read_back(written(tmp_path_factory.mktemp("maps"), task, stored, (2, 3)), task, (2, 3))
    assert read.dtype == stored.dtype and np.array_equal(read, stored)
    drawn = task.decode(read, (2, 3), Images.vocabulary)
    step = {"uint8": 1 / 255, "uint16": 1 / 65535, "float32": 0}[dtype]
    assert drawn.size == (2, 3) and np.abs(drawn.scores.numpy() - scores).max() <= step / 2 + 1e-7
    assert np.array_equal(encoded(drawn), stored)


def test_pictures_where_a_png_can_hold_them_and_arrays_elsewhere():
    suffixes = {(dtype, n): ArrayMaps("x", dtype=dtype, channels=n).suffix for dtype in DTYPES for n in (1, 2, 3, 4)}
    assert [key for key, suffix in suffixes.items() if suffix == ".png"] == [("uint8", 1), ("uint8", 3), ("uint16", 1)]
    assert set(suffixes.values()) == {".png", ".npy"}


# Sixteen bits used to come back as eight, colours were written and then refused, floats failed
def test_sixteen_bits_are_sixteen_bits(tmp_path):
    array = np.full((HEIGHT, WIDTH), 1000, np.uint16)
    array[0, :2] = 3000, 65535
    task = Normals(dtype="uint16")
    assert np.array_equal(read_back(written(tmp_path, task, array), task), array)
    with Image.open(tmp_path / "normals" / "a.png") as image:
        assert image.mode == "I;16" and image.getpixel((1, 0)) == 65535


def test_three_channels_are_a_coloured_picture(tmp_path):
    array = np.arange(3 * HEIGHT * WIDTH, dtype=np.uint8).reshape(3, HEIGHT, WIDTH)
    task = Normals(channels=3)
    assert np.array_equal(read_back(written(tmp_path, task, array), task), array)
    with Image.open(tmp_path / "normals" / "a.png") as image:
        assert image.mode == "RGB" and image.getpixel((1, 0)) == (1, 25, 49)


def test_floats_are_an_array_that_anybody_can_load(tmp_path):
    array = np.linspace(-1, 1, 2 * HEIGHT * WIDTH, dtype=np.float32).reshape(2, HEIGHT, WIDTH)
    task = Normals(dtype="float32", channels=2, low=-1, high=1)
    assert np.array_equal(read_back(written(tmp_path, task, array), task), array)
    assert np.array_equal(np.load(tmp_path / "normals" / "a.npy", allow_pickle=False), array)


def test_a_task_that_declares_nothing_has_grey_pictures(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    assert np.array_equal(read_back(written(tmp_path, Saliency(), array), Saliency()), array)
    with Image.open(tmp_path / "saliency" / "a.png") as image:
        assert image.mode == "L"
    legend = json.loads((tmp_path / "classes.json").read_text())
    assert legend["encodings"] == {"saliency": "PNG of 8 bits, 1 channel"}
    drawn = to_prediction({"saliency": array}, SIZE, Images.vocabulary, [Saliency()]).outputs["saliency"]
    assert drawn.scores.shape == (1, HEIGHT, WIDTH) and drawn.scores[0, 0, 5] == pytest.approx(5 / 255)


def full(value, dtype="uint8", shape=(HEIGHT, WIDTH)):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize(
    ("declared", "stored", "message"),
    [
        ({}, full(1, "uint16"), r"is uint16 \[4, 6\], but its map is uint8 \[4, 6\]"),
        ({}, full(1.0, "float64"), r"is float64 \[4, 6\], but its map is uint8 \[4, 6\]"),
        ({}, full(1, shape=(WIDTH, HEIGHT)), r"is uint8 \[6, 4\], but its map is uint8 \[4, 6\]"),
        ({}, full(1, shape=(1, HEIGHT, WIDTH)), r"is uint8 \[1, 4, 6\], but its map is uint8 \[4, 6\]"),
        ({"channels": 3}, full(1, shape=(HEIGHT, WIDTH, 3)), r"is uint8 \[4, 6, 3\], but its map is uint8 \[3, 4, 6\]"),
        ({"channels": 2}, full(1), r"is uint8 \[4, 6\], but its map is uint8 \[2, 4, 6\]"),
        ({}, [[1]], "is a list, but its map is uint8"),
        ({"dtype": "float32"}, full(np.nan, "float32"), "holds nan or infinity, which its task does not allow"),
        ({"dtype": "float32"}, full(-np.inf, "float32"), "holds nan or infinity"),
        ({"dtype": "float32", "finite": False, "high": 1}, full(np.inf, "float32"), "holds the value inf"),
        ({"high": 1}, full(2), "holds the value 2, but its range is any to 1"),
        (
            {"dtype": "float32", "low": -1, "high": 1},
            full(-1.5, "float32"),
            "the value -1.5, but its range is -1 to 1",
        ),
    ],
)
def test_what_a_map_cannot_hold_is_refused_at_the_door(tmp_path, declared, stored, message):
    with pytest.raises(UserError, match="normals: the prediction on image 0 .*" + message) as caught:
        written(tmp_path, Normals(**declared), stored)
    assert "\n" not in str(caught.value) and not list((tmp_path / "normals").iterdir())


def test_nan_is_kept_where_a_task_allows_it(tmp_path):
    array = full(0.5, "float32")
    array[1, 2] = np.nan
    task = Normals(dtype="float32", finite=False, low=0, high=1)
    assert np.array_equal(read_back(written(tmp_path, task, array), task), array, equal_nan=True)


def test_other_dtypes_cannot_be_declared():
    with pytest.raises(ValueError, match="maps of normals are uint8, uint16 or float32 of 1 or more channels"):
        ArrayMaps("normals", dtype="float64")


@pytest.fixture
def put(tmp_path):
    """put(content or array, suffix) -> reads it as the map of an image, two channels of float or as declared."""

    def place(content, declared=None, suffix=".npy"):
        declared = {"dtype": "float32", "channels": 2} if declared is None else declared
        (tmp_path / "normals").mkdir()
        path = tmp_path / "normals" / f"a{suffix}"
        if isinstance(content, np.ndarray) and suffix == ".npy":
            np.save(path, content)
        elif isinstance(content, Image.Image):
            content.save(path)
        else:
            path.write_bytes(content)
        return read_back(tmp_path, Normals(**declared))

    return place


def npy(head, data=b""):
    text = head.encode() + b" " * (117 - len(head)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


HEAD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4, 6)}"


def test_arrays_of_others_are_read_in_any_order_of_axes_and_bytes(tmp_path):
    array = np.linspace(0, 1, 48, dtype=np.float32).reshape(2, HEIGHT, WIDTH)
    (tmp_path / "normals").mkdir()
    for other in (np.asfortranarray(array), array.astype(">f4"), array):
        np.save(tmp_path / "normals" / "a.npy", other)
        read = read_back(tmp_path, Normals(dtype="float32", channels=2))
        assert read.dtype == np.float32 and read.flags["C_CONTIGUOUS"] and np.array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 4, 5), np.float32), r"holds float32 \[2, 4, 5\], but its map is float32 \[2, 4, 6\]"),
        (np.zeros((2, 4, 6)), r"holds float64 \[2, 4, 6\]"),
        (np.array([{}]), r"holds object \[1\]"),
        (npy(HEAD.replace("(2, 4, 6)", "(2, 40000, 60000)")), r"holds float32 \[2, 40000, 60000\]"),
        (npy(HEAD, bytes(100)), "has 100 bytes of data, not those of its head"),
        (npy(HEAD, bytes(2 * 4 * 6 * 4 + 1)), "has 193 bytes of data"),
        (npy(HEAD[:-1]), "cannot be decoded"),
        (npy("-" * 117), "cannot be decoded"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF, "cannot be decoded"),
        (b"", "cannot be decoded"),
        (b"PNG?", "cannot be decoded"),
        (pickle.dumps([1, 2]), "cannot be decoded"),
        (np.full((2, 4, 6), np.nan, np.float32), "a.npy holds nan or infinity"),
    ],
)
def test_what_is_no_such_array_is_one_line(put, content, message):
    with pytest.raises(UserError, match=message) as caught:
        put(content)
    assert "\n" not in str(caught.value) and "normals/a.npy" in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("declared", "picture", "message"),
    [
        ({}, Image.new("I;16", SIZE), "has 16 bits per pixel; its maps are PNGs of 8 bits"),
        ({"dtype": "uint16"}, Image.new("L", SIZE), "has 8 bits per pixel; its maps are PNGs of 16 bits"),
        ({}, Image.new("RGB", SIZE), "holds colours; save one number per pixel, as a grey PNG"),
        ({}, Image.new("P", SIZE), "holds places of a palette; save one number per pixel, as a grey PNG"),
        ({"channels": 3}, Image.new("L", SIZE), "holds one number per pixel; save three numbers per pixel, as an RGB"),
        (
            {"channels": 3},
            Image.new("RGBA", SIZE),
            "holds colours; save three numbers per pixel, as an RGB PNG",
        ),
        ({}, Image.new("L", (HEIGHT, WIDTH)), "is 4x6 pixels, but its image is 6x4"),
        ({"high": 3}, Image.new("L", SIZE, 4), "a.png holds the value 4, but its range is any to 3"),
    ],
)
def test_a_picture_of_another_kind_is_refused_and_not_converted(put, declared, picture, message):
    with pytest.raises(UserError, match=message):
        put(picture, declared, ".png")


def test_arrays_have_to_be_there_and_others_are_passed_over(tmp_path, caplog):
    task = Normals(dtype="float32")
    folder = written(tmp_path, task, full(0.5, "float32"))
    (folder / "normals" / "a.npy").rename(folder / "normals" / "c.npy")
    with pytest.raises(UserError, match=r"has no \.npy file for 1 images that are annotated for normals: first a"):
        read_back(folder, task)
    written(tmp_path, task, full(0.5, "float32"))
    with caplog.at_level(logging.WARNING):
        read_back(folder, task)
    assert "1 maps are of no image of the data set (such as c.npy)" in caplog.text


def test_two_tasks_cannot_write_one_file():
    class Other(Normals):
        key = "other"

        def files(self):
            return (ArrayMaps("other", "normals"),)

    with pytest.raises(UserError, match="'normals' is a file of two tasks, the second 'other'; rename"):
        files_of([Normals(), Other()])


class Layers(Task):
    """Two files, of which the second holds a class per pixel with a map of certainties beside it."""

    key = "layers"

    def files(self):
        certain = ArrayMaps("layers_certain", dtype="uint16", encodings={"certain": "16 bits"})
        labels = LabelMaps("layers", count=3, shift=1, beside={"_certain": certain}, encodings={"label": "1 + class"})
        return ArrayMaps("depth", dtype="float32"), labels


def test_a_task_of_several_files_stores_what_each_holds(tmp_path):
    stored = {"depth": full(2.5, "float32"), "layers": (full(2), full(700, "uint16"))}
    folder = written(tmp_path, Layers(), stored)
    assert sorted(path.name for path in folder.iterdir()) == ["classes.json", "depth", "layers", "layers_certain"]
    with Image.open(folder / "layers" / "a.png") as image:
        assert image.mode == "P" and image.getpixel((0, 0)) == 3
    read = PredictionReader(Images(), find_predictions(folder, [Layers()]), [Layers()]).read(0)["layers"]
    assert (read["depth"] == 2.5).all() and (read["layers"][0] == 2).all() and (read["layers"][1] == 700).all()
    assert tasks_of({"depth": folder}, [Layers()]) == []
    assert [file.key for file in files_of([Layers()])] == ["depth", "layers"]
    drawn = to_prediction({"layers": stored}, SIZE, Images.vocabulary, [Layers()]).outputs["layers"]
    assert drawn.scores[0, 0, 0] == 2.5
    labels = Layers().files()[1]
    assert labels.decode(full(2), SIZE, Images.vocabulary).scores[:, 0, 0].tolist() == [0, 0, 1]
    Image.new("L", SIZE, 4).save(folder / "layers" / "a.png")
    with pytest.raises(UserError, match=r"a\.png holds the value 4, but classes are 1 to 3"):
        PredictionReader(Images(), find_predictions(folder, [Layers()]), [Layers()]).read(0)


def test_whole_numbers_are_not_made_of_what_is_no_share():
    file = ArrayMaps("depth")
    assert file.hold(torch.tensor([[[0.0, 1.0003, 0.5]]])).tolist() == [[0, 255, 128]]
    for value in (2.0, -0.5, float("nan")):
        with pytest.raises(
            ValueError, match=r"depth: a map of uint8 holds shares 0\.\.1, but the output has values from"
        ):
            file.hold(torch.tensor([[[0.5, value]]]))
