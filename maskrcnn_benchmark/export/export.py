"""Export a trained network and check the file against it: a file that predicts otherwise is not left behind."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.export.onnx_file import read_onnx, write_onnx
from maskrcnn_benchmark.export.parity import Parity
from maskrcnn_benchmark.export.program_file import read_program, write_program
from maskrcnn_benchmark.export.reference import Reference
from maskrcnn_benchmark.export.refusals import check_exportable, check_packages
from maskrcnn_benchmark.export.report import report_lines
from maskrcnn_benchmark.export.signature import signature_of
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.sources import Frame, frames_of
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir, open_output, put_in_place, temporary_file, writing


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: that of the file.
        write: function (`TrainedNetwork`, tasks, open binary file).
        read: function path -> (function image uint8 [3, H, W] -> {output: array}, with an attribute `metadata`).
    """

    name: str
    write: Callable[[TrainedNetwork, Sequence[str], BinaryIO], None]
    read: Callable[[Path], Callable[[np.ndarray], dict[str, np.ndarray]]]


FORMATS = {
    "onnx": Format("model.onnx", write_onnx, read_onnx),
    "program": Format("model.pt2", write_program, read_program),
}
DRAWN_IMAGES = 4


def export_network(
    predictor: Predictor,
    formats: Sequence[str],
    output: str | os.PathLike,
    images: Sequence[Any] = (),
    check_only: bool = False,
    say: Callable[[str], object] = print,
) -> bool:
    """Write a network in some formats, each file only if it predicts as the network does.

    Args:
        predictor: `predict.Predictor` on a CPU, whose network and tasks are exported.
        formats: keys of `FORMATS`.
        output: the folder.
        images: what to check with: files, folders or patterns; drawn images without any.
        check_only: write nothing, and check the files that are there.
        say: function of a line, told what is done and found.

    Returns:
        whether all files predict as the network does. One that does not is removed, unless `check_only`.

    Raises:
        UserError: the network cannot be exported, a package is missing, or an image or file cannot be read.
    """
    network = predictor.network
    check_exportable(network.cfg, network.model)
    if "onnx" in formats:
        check_packages()
    frames = list(frames_of(list(images))) if images else drawn_frames()
    mkdir(output)
    tasks = []
    for key in predictor.tasks:
        if TASKS[key].per == "derived":
            say(f"{TASKS[key].title} is made from what other tasks predict, and is no output of the file")
        else:
            tasks.append(key)
    say(f"predicting on {len(frames)} images, to compare with")
    expected = _predictions_of_network(Reference(network), _counted(frames, "network"))
    good = True
    for key in formats:
        kind = FORMATS[key]
        path = Path(output) / kind.name
        if check_only:
            if not path.is_file():
                raise UserError(f"{path} is not there to be checked; export it without --check-only")
            good &= _is_same(network, path, kind, expected, say)
        else:
            good &= _write_checked(network, tasks, path, kind, expected, say)
    return good


def drawn_frames() -> list[Frame]:
    """Images to check with where nobody has any: drawn scenes, wide, upright and of odd size."""
    with writing("the folder of temporary files"), tempfile.TemporaryDirectory() as folder:
        drawn = write_mini_detail(Path(folder) / "drawn", num_train=0, num_val=DRAWN_IMAGES)
        frames = list(frames_of(str(drawn / "images")))
    frames[1] = Frame(frames[1].image.transpose(Image.Transpose.ROTATE_90), f"{frames[1].name} upright")
    width, height = frames[2].image.size
    frames[2] = Frame(frames[2].image.crop((0, 0, width - 11, height - 6)), f"{frames[2].name} cropped")
    return frames


def _counted(images, what):
    return tqdm(images, desc=what, unit="image", disable=None)


def _predictions_of_network(reference, frames):
    """[(name, input array, outputs, seconds)] of each image."""
    predictions = []
    for frame in frames:
        start = time.perf_counter()
        outputs = reference(frame.image)
        predictions.append((frame.name, reference.input_of(frame.image), outputs, time.perf_counter() - start))
    return predictions


def _write_checked(network, tasks, path, kind, expected, say):
    say(f"writing {path.name}; its operations are traced and translated, which takes seconds to minutes")
    with temporary_file(path, path.suffix) as temporary:
        start = time.perf_counter()
        with open_output(temporary, "wb", path) as file:
            kind.write(network, tasks, file)
        say(f"wrote {path.name} in {time.perf_counter() - start:.1f} s, {temporary.stat().st_size / 1e6:.1f} MB")
        same = _is_same(network, temporary, kind, expected, say)
        if same:
            put_in_place(temporary, path)
            say(f"{path} predicts as the network does")
        else:
            path.unlink(missing_ok=True)  # an older one is of another network, or of other options
            say(f"{path.name} is not kept")
        return same


def _is_same(network, path, kind, expected, say):
    """Whether a file predicts as the network did; says the differences by task."""
    run, parity, seconds = kind.read(path), Parity(signature_of(network.model)), []
    for name, image, outputs, _ in _counted(expected, kind.name):
        start = time.perf_counter()
        found = run(image)
        seconds.append(time.perf_counter() - start)
        parity.compare(outputs, found, name)
    took = statistics.median(each[3] for each in expected), statistics.median(seconds)
    for line in report_lines(parity, [np.shape(image)[:0:-1] for _, image, *_ in expected], *took):
        say(line)
    return not parity.faults
