"""What becomes of a stream of predicted images: pictures, videos, JSON files and a folder that the evaluation reads."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.predict.result_files import ResultWriter
from maskrcnn_benchmark.predict.video import VideoFile
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.utils.text import counted

if TYPE_CHECKING:
    from maskrcnn_benchmark.predict.predictor import Predictor

JPEG_QUALITY = 92
LARGEST_JPEG = 65500  # pixels of a side, of the format itself


@dataclass
class Done:
    """What came of a source.

    Attributes:
        images: how many were predicted on.
        skipped: what was passed over, list of sentences.
        seconds: how long it took.
    """

    images: int = 0
    skipped: list = field(default_factory=list)
    seconds: float = 0.0


def write_results(
    predictor: "Predictor", source: Any, writers: Sequence[Any], total: int | None = None, **how: Any
) -> Done:
    """Predict on a source and hand every predicted image to every writer.

    Args:
        predictor: a `Predictor`.
        source, how: as `Predictor.stream` takes them, without `skipped`: what cannot be read is named and passed over.
        writers: objects with `add(predicted)` and `finish()`. An `add` that returns True ends it all.
        total: how many images there are, for the progress bar, or None.

    Returns:
        `Done`.

    Raises:
        Interrupted: by Ctrl-C; what was predicted until then is written.
    """
    done, start = Done(), time.perf_counter()
    bar = tqdm(total=total, unit="image", desc="predict", disable=None)

    def skipped(path, reason):
        done.skipped.append(reason)
        bar.update()
        tqdm.write(f"skipped: {line_of(reason)}", file=sys.stderr)

    try:
        with contextlib.ExitStack() as stack:
            for writer in writers:
                stack.callback(writer.finish)  # each of them, whatever another one's disk says
            stack.enter_context(bar)
            for predicted in predictor.stream(source, skipped=skipped, **how):
                wants_to_stop = [writer.add(predicted) for writer in writers]
                done.images += 1
                bar.update()
                if any(wants_to_stop):
                    break
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted after {counted(done.images, 'image')}; what was predicted until then is written"
        ) from None
    done.seconds = time.perf_counter() - start
    return done


class PictureFiles:
    """Draws predictions: an image into a file, the frames of a video into a video.

    Args:
        folder: where to.
        layout: "overlay", "grid" or "scene", one picture of all tasks, or "panels", one picture of each.
        tasks, scale: as `PredictedImage.draw` takes them.
    """

    def __init__(
        self, folder: str | os.PathLike, layout: str, tasks: Sequence[str] | None = None, scale: float | None = None
    ) -> None:
        self.folder = Path(folder)
        self.layout = layout
        self._how: dict[str, Any] = {"tasks": tasks, "scale": scale}
        self._videos: dict[str, VideoFile] = {}
        mkdir(self.folder)

    def add(self, predicted: PredictedImage) -> None:
        """Draw a `PredictedImage`."""
        for ending, picture in draw(predicted, self.layout, **self._how).items():
            if predicted.clip is None:
                self._write_image(f"{predicted.name}{ending}", picture, predicted.path)
            else:
                self._video(f"{predicted.clip.name}{ending}", predicted).add(np.asarray(picture), predicted.seconds)

    def finish(self) -> None:
        """Close the videos."""
        with contextlib.ExitStack() as stack:
            for video in self._videos.values():
                stack.callback(video.close)
            self._videos = {}

    def _write_image(self, name, picture, source):
        fits = max(picture.size) <= LARGEST_JPEG
        path = self.folder / f"{name}{'.jpg' if fits else '.png'}"
        _refuse_to_overwrite(path, source)
        buffer = io.BytesIO()
        picture.save(buffer, **({"format": "JPEG", "quality": JPEG_QUALITY} if fits else {"format": "PNG"}))
        with atomic_write(path, durable=False) as file:
            file.write(buffer.getvalue())

    def _video(self, name, predicted):
        if name not in self._videos:
            for video in [v for n, v in self._videos.items() if v.clip != predicted.clip]:  # of the video before
                video.close()
            path = self.folder / f"{name}.mp4"
            _refuse_to_overwrite(path, predicted.path)
            self._videos[name] = VideoFile(path, predicted.clip)
        return self._videos[name]


class JsonFiles:
    """Writes `PredictedImage.to_json` into one file per image of a folder; `scene` is its argument."""

    def __init__(self, folder: str | os.PathLike, scene: bool = False) -> None:
        self.folder = Path(folder)
        self._scene = scene
        mkdir(self.folder)

    def add(self, predicted: PredictedImage) -> None:
        """Write a `PredictedImage`."""
        with atomic_write(self.folder / f"{predicted.name}.json", durable=False) as file:
            file.write(predicted.to_json(scene=self._scene).encode())

    def finish(self) -> None:
        """Nothing is left to do."""


class PredictionFolder:
    """Writes into a folder that `tools/evaluate.py --predictions` reads, see `result_files.ResultWriter`."""

    def __init__(self, folder: str | os.PathLike, vocabulary: Vocabulary, tasks: Sequence[str]) -> None:
        self._stack = contextlib.ExitStack()
        self._writer = ResultWriter(folder, vocabulary, tasks)
        self._stack.enter_context(self._writer)

    def add(self, predicted: PredictedImage) -> None:
        """Take in a `PredictedImage`."""
        self._writer.add(predicted)

    def finish(self) -> None:
        """Write the lists."""
        with self._stack:
            self._writer.finish()


class Window:
    """Shows predictions in a window until q or Escape is pressed in it."""

    def __init__(self, layout: str, tasks: Sequence[str] | None = None, scale: float | None = None) -> None:
        self.layout = layout
        self._how: dict[str, Any] = {"tasks": tasks, "scale": scale}

    def add(self, predicted: PredictedImage) -> bool:
        """Show a `PredictedImage`; returns whether that is enough."""
        for ending, picture in draw(predicted, self.layout, **self._how).items():
            name = predicted.clip.name if predicted.clip else predicted.name
            cv2.imshow(f"{name}{ending}", np.asarray(picture)[:, :, ::-1])
        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)

    def finish(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()


def draw(
    predicted: PredictedImage, layout: str, tasks: Iterable[str] | None = None, scale: float | None = None
) -> dict[str, Image.Image]:
    """{ending of a file's name: PIL picture} of a `PredictedImage` in a layout: overlay, grid, scene or panels."""
    if layout == "panels":
        return {f"_{task}": predicted.draw(task, scale=scale) for task in tasks or predicted.tasks}
    return {"": predicted.draw(tasks, layout=layout, scale=scale)}


def _refuse_to_overwrite(path, source):
    if source and Path(source).exists() and path.exists() and path.samefile(source):
        raise UserError(f"{path} is what is predicted on, and its picture would take its place; choose another folder")
