"""One line from images to predictions, for every kind of source; tasks that are not wanted are not run."""

import numpy as np
import pytest
import torch
from PIL import Image

import maskrcnn_benchmark
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.sources import Frame
from maskrcnn_benchmark.utils.errors import UserError

LOW = dict.fromkeys(("detection", "instance", "keypoint", "part"), 0.0)


@pytest.fixture(scope="module")
def predictor(small):
    return Predictor(small.checkpoint, device="cpu", thresholds=LOW)


def same(one, other, tolerance=0.0):
    assert torch.allclose(one.detection.boxes, other.detection.boxes, atol=tolerance, rtol=0)
    assert torch.allclose(one.boundary, other.boundary, atol=tolerance, rtol=0)
    assert torch.allclose(one.classification, other.classification, atol=tolerance, rtol=0)


def test_the_package_itself_offers_it():
    assert maskrcnn_benchmark.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        maskrcnn_benchmark.Predicter  # noqa: B018


def test_a_path_a_picture_an_array_and_a_tensor_are_the_same_image(small, predictor):
    path = small.images[0]
    picture = Image.open(path).convert("RGB")
    by_path = predictor(str(path))
    assert by_path.name == path.stem and by_path.path == str(path)
    array = np.asarray(picture)
    for source in (path, picture, array, torch.from_numpy(array.copy())):
        same(predictor(source), by_path)
    assert np.array_equal(by_path.image, array)


def test_several_images(small, predictor, tmp_path):
    results = predictor(small.images[:3])
    assert isinstance(results, list) and [r.name for r in results] == [path.stem for path in small.images[:3]]
    same(results[1], predictor(small.images[1]))
    folder = small.images[0].parent
    stream = predictor(folder)
    assert next(stream).name == small.images[0].stem and len(list(stream)) == len(small.images) - 1
    assert len(list(predictor(str(folder / "*.jpg")))) == len(small.images)


def test_a_batch_answers_as_single_images_do(small, predictor):
    images = [small.images[0]] * 3  # of one size, so that nothing is padded
    for result in predictor(images, batch_size=2):
        same(result, predictor(small.images[0]), tolerance=1e-3)


def test_images_of_other_sizes_come_back_in_their_own_pixels(small, predictor):
    photo = Image.open(small.images[0]).convert("RGB")
    large = predictor(photo.resize((photo.width * 3, photo.height * 3)))
    assert large.semantic.shape == (photo.height * 3, photo.width * 3)
    assert large.detection.boxes.max() > max(photo.size)
    assert predictor(Image.new("RGB", (7, 300))).boundary.shape == (300, 7)


def test_chosen_tasks_alone_are_run(small):
    predictor = Predictor(small.checkpoint, device="cpu", tasks=["semantic", "classification"])
    assert predictor.tasks == ("semantic", "classification") and predictor.network.model.rpn is None
    result = predictor(small.images[0])
    assert result.detection is None and result.boundary is None and result.semantic is not None
    people = Predictor(small.checkpoint, device="cpu", tasks=["keypoint"])
    assert people.tasks == ("keypoint",) and people.network.model.fpn_heads is None
    assert people(small.images[0]).keypoint.keypoints.ndim == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ["flow"]}, "tasks must be of detection.*not flow"),
        ({"tasks": []}, "not none"),
        ({"tasks": ["part"], "options": ["MODEL.PART_ON", False]}, "does not predict part, but detection"),
        ({"thresholds": {"part": -1}}, "from 0 to 1"),
        ({"options": ["MODEL.RPN_ONLY", True]}, "ends after its proposals"),
    ],
)
def test_what_cannot_be_predicted_is_said_before(small, arguments, message):
    with pytest.raises(UserError, match=message):
        Predictor(small.checkpoint, device="cpu", **arguments)


def test_a_size_beyond_any_memory_is_refused(small):
    options = ["INPUT.MIN_SIZE_TEST", 16_384, "INPUT.MAX_SIZE_TEST", 16_384]
    with pytest.raises(UserError, match=r"INPUT\.MIN_SIZE_TEST 16384"):
        Predictor(small.checkpoint, device="cpu", options=options)(small.images[0])
    with pytest.raises(UserError, match=r"INPUT\.MIN_SIZE_TEST 16384"):  # by whatever door it comes
        Predictor(small.checkpoint, device="cpu", options=options).predict([Frame(Image.new("RGB", (9, 9)), "tiny")])


def test_test_time_augmentation_is_kept(small):
    options = ["TEST.BBOX_AUG.ENABLED", True, "TEST.BBOX_AUG.H_FLIP", True]
    predictor = Predictor(small.checkpoint, device="cpu", options=options, thresholds=LOW)
    result = predictor(small.images[0])
    assert len(result.detection) and result.semantic.shape == result.size[::-1]


def precision_inside(predictor, image, monkeypatch):
    """The type of autocast, or None, that the network is called in."""
    forward, seen = predictor.network.model.forward, []

    def watched(*arguments):
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return forward(*arguments)

    monkeypatch.setattr(predictor.network.model, "forward", watched)
    predictor(image)
    return seen


def test_predictions_are_float32_whatever_the_training_was_unless_asked(small, monkeypatch):
    trained_in = ["DTYPE", "bfloat16"]
    exact = Predictor(small.checkpoint, device="cpu", options=trained_in)
    assert precision_inside(exact, small.images[0], monkeypatch) == [None]
    fast = Predictor(small.checkpoint, device="cpu", options=["TEST.DTYPE", "bfloat16"])
    assert precision_inside(fast, small.images[0], monkeypatch) == [torch.bfloat16]
    with pytest.raises(UserError, match=r"^the command line: TEST\.DTYPE is 'half', but must be one of"):
        Predictor(small.checkpoint, device="cpu", options=["TEST.DTYPE", "half"])


def test_mixed_precision(small):
    options = ["TEST.DTYPE", "bfloat16"]
    result = Predictor(small.checkpoint, device="cpu", options=options, thresholds=LOW)(small.images[0])
    assert result.semantic.dtype == torch.uint8 and torch.isfinite(result.boundary.float()).all()
    assert set(result.stored) == set(result.tasks)
