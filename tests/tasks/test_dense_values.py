"""Saliency, normals and depth from label files to drawings: what is read, refused, written, scored and shown."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage, file_of
from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.dense_map import DepthMap, NormalMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import DepthScores, ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.depth import read_depth
from maskrcnn_benchmark.tasks.metric_text import metric_scale, metric_text
from maskrcnn_benchmark.tasks.normals import read_normals
from maskrcnn_benchmark.tasks.saliency import read_saliency
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

KEYS = ("saliency", "normals", "depth")
THREE = [TASKS[key] for key in KEYS]
SIZE = (5, 4)  # width, height


class Picture(AnnotatedImage):
    """An image whose maps lie in the folder of the data set."""

    def map_file(self, kind):
        return file_of(self.dataset.root / kind, "a")

    def valid_normals(self):
        return self.dataset.valid


class Pictures(AnnotatedDataset):
    image_class = Picture
    vocabulary = Vocabulary()
    ids = [0]
    valid = None

    def __init__(self, root):
        self.root = root
        self.open_readers(None)

    def get_img_info(self, index):
        return {"width": SIZE[0], "height": SIZE[1], "file_name": "a.jpg"}


def save(root, kind, values, suffix=".png"):
    (root / kind).mkdir(exist_ok=True)
    path = root / kind / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def labels(root, valid=None):
    dataset = Pictures(root)
    dataset.valid = valid
    return dataset.get_annotations(0).labels


def test_only_tasks_whose_files_are_there_have_labels(tmp_path):
    assert Pictures(tmp_path).tasks == set()
    save(tmp_path, "depth", np.full((4, 5), 1500, np.uint16))
    dataset = Pictures(tmp_path)
    assert dataset.tasks == {"depth"} == dataset.tasks_of(0)
    assert dataset.get_annotations(0).labels["depth"].depth.eq(1.5).all()


def test_labels_are_decoded_as_the_field_writes_them(tmp_path):
    grey = np.array([[0, 127, 128, 255, 3]] * 4, np.uint8)
    save(tmp_path, "saliency", grey)
    codes = np.full((4, 5, 3), 127, np.uint8)
    codes[0, 0], codes[0, 1] = (255, 128, 128), (0, 0, 0)
    save(tmp_path, "normals", codes)
    found = labels(tmp_path)
    assert found["saliency"].labels[0].tolist() == [0, 0, 1, 1, 0]
    save(tmp_path, "saliency", grey // 200)
    with pytest.raises(UserError, match="holds only 0 and 1; saliency is 0 to 255"):
        labels(tmp_path)
    save(tmp_path, "saliency", grey)
    normals = found["normals"].normals
    assert normals[:, 0, 0].tolist() == pytest.approx([1, 0.004, 0.004], abs=1e-3)
    assert normals[:, 0, 1].tolist() == pytest.approx([-(3**-0.5)] * 3) and normals[:, 1:].eq(0).all()


def test_normals_hold_where_the_layout_says_so_and_an_image_without_any_is_not_annotated(tmp_path):
    codes = np.full((4, 5, 3), 255, np.uint8)
    valid = np.zeros((4, 5), bool)
    for suffix, values in ((".png", codes), (".npy", np.ones((4, 5, 3), np.float32))):
        path = save(tmp_path, "normals", values, suffix)
        valid[:] = False
        assert "normals" not in labels(tmp_path, valid)
        valid[1, 2] = True
        normals = labels(tmp_path, valid)["normals"].normals
        assert normals[:, 1, 2].tolist() == pytest.approx([3**-0.5] * 3)
        assert (normals != 0).any(dim=0).sum() == 1
        path.unlink()


def test_arrays_are_read_as_well(tmp_path):
    depth = np.array([[0.0, 1.25, 3, 4, 5]] * 4, np.float64)
    save(tmp_path, "depth", depth, ".npy")
    save(tmp_path, "saliency", np.linspace(0, 1, 20, dtype=np.float16).reshape(4, 5), ".npy")
    found = labels(tmp_path)
    assert found["depth"].depth.tolist() == depth.tolist()
    assert found["saliency"].labels.sum() == 10
    save(tmp_path, "depth", np.zeros((4, 5)), ".npy")
    assert "depth" not in labels(tmp_path)  # nobody knows


UINT8, FLOAT = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("read", "kind", "values", "suffix", "message"),
    [
        (read_saliency, "saliency", np.zeros((3, 5), np.uint8), ".png", "is 5x3 pixels, but its image is 5x4; resize"),
        (read_saliency, "saliency", np.zeros((4, 5, 3), np.uint8), ".png", "holds colours; save one number per pixel"),
        (read_saliency, "saliency", FLOAT + 3, ".npy", "holds the value 3, but saliency is 0 to 1"),
        (
            read_saliency,
            "saliency",
            UINT8,
            ".npy",
            r"holds uint8 \[4, 5\], but saliency is 0 to 1, as",
        ),
        (read_normals, "normals", UINT8, ".png", "holds one number per pixel; save three numbers per pixel"),
        (read_normals, "normals", FLOAT, ".npy", r"but normals are vectors \(x, y, z\), as float32 \[3, 4, 5\]"),
        (read_normals, "normals", np.full((3, 4, 5), np.nan, np.float32), ".npy", "nan or infinity; write 0 where"),
        (read_depth, "depth", UINT8, ".png", "has 8 bits per pixel; maps of depth in millimetres are PNGs of 16 bits"),
        (read_depth, "depth", np.zeros((4, 5, 3), np.uint8), ".png", "holds colours"),
        (read_depth, "depth", FLOAT - 1, ".npy", "holds the depth -1; depth is in metres, 0 where it is not known"),
        (read_depth, "depth", FLOAT + 4000, ".npy", "holds the depth 4000; .* divide millimetres by 1000"),
        (read_depth, "depth", np.full((4, 5), np.inf), ".npy", "nan or infinity; write 0 where nothing is known"),
        (read_depth, "depth", np.zeros((2, 5)), ".npy", r"holds float64 \[2, 5\], but depth is in metres"),
    ],
)
def test_wrong_files_are_one_line_with_the_remedy(tmp_path, read, kind, values, suffix, message):
    path = save(tmp_path, kind, values, suffix)
    with pytest.raises(UserError, match=rf"{kind}/a\{suffix} .*{message}") as caught:
        read(path, SIZE)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps") / "mini_maps"
    write_mini_detail(root, num_train=3, num_val=2, seed=1, maps=True)
    return root


def opened(mini, split="val", **options):
    return DetailDataset(mini / "annotations.json", mini / "images", split, tasks=KEYS, **options)


def oracle(annotations):
    """The prediction that repeats annotations."""
    salient, normals, depth = (annotations.labels[key] for key in KEYS)
    outputs = {
        "saliency": ScoreMap((salient.labels == 1)[None].float(), annotations.size),
        "normals": ScoreMap(normals.normals, annotations.size),
        "depth": DepthScores(depth.depth[None], annotations.size),
    }
    return ImagePrediction(annotations.size, outputs=outputs)


def written(mini, folder):
    dataset = opened(mini)
    with PredictionWriter(folder, dataset, THREE) as writer:
        stored = []
        for index in range(len(dataset)):
            prediction = oracle(dataset.get_annotations(index))
            stored.append({task.key: task.encode(prediction, dataset.vocabulary) for task in THREE})
            writer.write(index, stored[-1])
    return dataset, stored


def test_drawn_maps_are_labels_and_files_hold_exactly_what_is_scored(mini, tmp_path):
    dataset, stored = written(mini, tmp_path / "out")
    assert dataset.tasks == set(KEYS)
    reader = PredictionReader(dataset, find_predictions(tmp_path / "out", THREE), THREE)
    for index, held in enumerate(stored):
        read = reader.read(index)
        assert all(np.array_equal(read[key], held[key]) and read[key].dtype == held[key].dtype for key in KEYS)
    found = score_files(Evaluation(THREE), dataset, reader)
    metrics = {key: found[key].scores.metrics for key in KEYS}
    assert metrics["saliency"]["maxF"] == 1 and metrics["depth"]["RMSE"] < 0.0005
    assert metrics["normals"]["mean-error"] < 0.3


def test_arrays_of_others_are_scored_likewise(mini, tmp_path):
    dataset, stored = written(mini, tmp_path / "out")
    names = [path.stem for path in sorted((tmp_path / "out" / "depth").iterdir())]
    for name, held in zip(names, stored):
        for key, values in (
            ("saliency", held["saliency"].astype(np.float32) / 255),
            ("normals", (2 * held["normals"].astype(np.float32) / 255 - 1).transpose(1, 2, 0)),
            ("depth", held["depth"].astype(np.float64) / 1000),
        ):
            (tmp_path / "other" / key).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "other" / key / f"{name}.npy", values)
    results = []
    for folder in ("out", "other"):
        reader = PredictionReader(dataset, find_predictions(tmp_path / folder, THREE), THREE)
        results.append({k: e.scores.metrics for k, e in score_files(Evaluation(THREE), dataset, reader).items()})
    for key in KEYS:
        assert results[0][key] == pytest.approx(results[1][key], abs=1e-4)


def test_a_prediction_comes_back_from_its_file_as_its_output(mini):
    annotations = opened(mini).get_annotations(0)
    prediction = oracle(annotations)
    for task in THREE:
        stored = task.encode(prediction, Vocabulary())
        again = ImagePrediction(prediction.size, outputs={task.key: task.decode(stored, prediction.size, Vocabulary())})
        assert np.array_equal(task.encode(again, Vocabulary()), stored)
        assert task.view(again, Vocabulary(), 0.5).shape[-2:] == prediction.size[::-1]


def test_the_trivial_predictions_are_means_of_what_is_known():
    vectors = torch.zeros(3, 32, 32)
    vectors[2, :, :16], vectors[0, :, 16:] = 1, 1
    unknown = torch.zeros(3, 32, 32)
    unknown[2, :16] = 1
    depth = torch.full((32, 32), 2.0)
    far = torch.full((32, 32), 4.0)
    far[:, :16] = 0
    salient = torch.zeros(32, 32, dtype=torch.uint8)
    salient[:, :16] = 1
    first = {"normals": NormalMap(vectors), "depth": DepthMap(depth), "saliency": SemanticMap(salient)}
    second = {"normals": NormalMap(unknown), "depth": DepthMap(far), "saliency": SemanticMap(salient * 0)}
    images = [ImageAnnotations((32, 32), labels=found) for found in (first, second)]
    outputs = TrivialPredictor(THREE, Vocabulary()).fit(images).predict((32, 32)).outputs
    assert outputs["depth"].scores[0, 5, 3] == 2 and outputs["depth"].scores[0, 5, 28] == 3
    assert outputs["saliency"].scores[0, 5, 3] == 0.5 and outputs["saliency"].scores[0, 5, 28] == 0
    assert outputs["normals"].scores[:, 28, 28].tolist() == pytest.approx([1, 0, 0])
    assert outputs["normals"].scores[:, 3, 28].tolist() == pytest.approx([0.5**0.5, 0, 0.5**0.5])


def test_labels_and_predictions_are_drawn_alike(mini):
    dataset = opened(mini)
    photograph, annotations, _ = dataset[0]
    image = np.asarray(photograph)
    prediction = oracle(annotations)
    for task in THREE:
        drawn = task.draw(image, annotations, dataset.vocabulary, scale=1)
        predicted = task.draw(image, prediction, dataset.vocabulary, scale=1)
        height, width = image.shape[:2]
        assert drawn.shape[0] > height and drawn.shape[1] >= width  # a scale or a legend below
        apart = np.abs(drawn[:height, :width].astype(int) - predicted[:height, :width]).max(axis=2)
        assert (apart > 8).mean() < 0.35 if task.key == "normals" else (apart > 8).mean() < 0.02


def test_a_normal_is_its_colour():
    normals = torch.zeros(3, 120, 160)
    normals[1] = -1
    normals[:, :, 80:] = 0
    known = ImageAnnotations((160, 120), labels={"normals": NormalMap(normals)})
    picture = TASKS["normals"].draw(np.full((120, 160, 3), 9, np.uint8), known, Vocabulary(), scale=1)
    assert picture[60, 40].tolist() == [128, 0, 128] and picture[60, 120].tolist() == [9, 9, 9]


def test_metrics_with_a_unit_are_shown_in_it():
    assert metric_text("normals/mean-error", 14.234) == "14.2°" and metric_text("depth/RMSE", 0.5083) == "0.508 m"
    assert metric_text("depth/RMSE", float("nan")) == "-" and metric_text("depth/delta1", 0.871) == "87.1"
    assert metric_text("semantic/mIoU", 0.4567) == "45.7" and metric_text("a/b", -0.00001, "+") == "+0.0"
    assert metric_scale("depth/RMSE") == (1, "m") and metric_scale("saliency/maxF") == (100, "%")


def test_the_drawn_set_is_the_same_without_maps_but_for_its_pictures(mini, tmp_path):
    plain = write_mini_detail(tmp_path / "plain", num_train=3, num_val=2, seed=1)
    assert (plain / "annotations.json").read_bytes() == (mini / "annotations.json").read_bytes()
    assert sorted(path.name for path in plain.iterdir()) == ["annotations.json", "generator.json", "images"]
    assert "maps" not in json.loads((plain / "generator.json").read_text())
    for path in (plain / "images").iterdir():
        size = Image.open(path).size
        for kind, mode in (("saliency", "L"), ("normals", "RGB"), ("depth", "I;16")):
            with Image.open(mini / kind / f"{path.stem}.png") as image:
                assert (image.size, image.mode) == (size, mode)
    again = write_mini_detail(tmp_path / "again", num_train=3, num_val=2, seed=1, maps=True)
    for path in sorted(again.rglob("*.*")):
        assert path.read_bytes() == (mini / path.relative_to(again)).read_bytes()


def test_drawn_depth_and_normals_agree(mini):
    """Ground comes nearer downwards and faces up; all that has a depth has a normal."""
    dataset = opened(mini, "trainval")
    for index in range(len(dataset)):
        found = dataset.get_annotations(index).labels
        depth, normals = found["depth"].depth, found["normals"].normals
        assert torch.equal(depth > 0, (normals != 0).any(dim=0))
        ground = (normals[1] < -0.99) & (depth > 0)
        both = ground[1:] & ground[:-1]
        assert both.any() and (depth[:-1][both] >= depth[1:][both] - 1e-3).all()
        assert depth.max() <= 41.5 and depth[depth > 0].min() > 0.3
