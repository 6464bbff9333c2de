"""What becomes of a stream of results: pictures, videos, JSON files and a folder that the evaluation reads."""

import contextlib
import io
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.predict.result_files import ResultWriter
from maskrcnn_benchmark.predict.video import VideoFile
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.files import atomic_write, mkdir

LAYOUTS = ("overlay", "grid", "panels", "none")
JPEG_QUALITY = 92
LARGEST_JPEG = 65500  # pixels of a side, of the format itself


@dataclass
class Done:
    """What came of a source.

    Attributes:
        images: how many were answered.
        skipped: what was passed over, list of sentences.
        seconds: how long it took.
    """

    images: int = 0
    skipped: list = field(default_factory=list)
    seconds: float = 0.0


def write_results(predictor, source, writers, total=None, **how):
    """Answer a source and hand every result to every writer.

    Args:
        predictor: a `Predictor`.
        source, how: as `Predictor.stream` takes them, without `skipped`: what cannot be read is named and passed over.
        writers: objects with `add(result)` and `finish()`. An `add` that returns True ends it all.
        total: how many images there are, for the progress bar, or None.

    Returns:
        `Done`.

    Raises:
        Interrupted: by Ctrl-C; what was answered until then is written.
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
            for result in predictor.stream(source, skipped=skipped, **how):
                wants_to_stop = [writer.add(result) for writer in writers]
                done.images += 1
                bar.update()
                if any(wants_to_stop):
                    break
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted after {done.images} images; what was answered until then is written") from None
    done.seconds = time.perf_counter() - start
    return done


class PictureFiles:
    """Draws results: an image into a file, the frames of a video into a video.

    Args:
        folder: where to.
        layout: "overlay" or "grid", one picture of all tasks, or "panels", one picture of each.
        tasks, scale: as `Result.draw` takes them.
    """

    def __init__(self, folder, layout, tasks=None, scale=None):
        self.folder = Path(folder)
        self.layout = layout
        self._how = {"tasks": tasks, "scale": scale}
        self._videos = {}
        mkdir(self.folder)

    def add(self, result):
        """Draw a `Result`."""
        for ending, picture in draw(result, self.layout, **self._how).items():
            if result.clip is None:
                self._write_image(f"{result.name}{ending}", picture, result.path)
            else:
                self._video(f"{result.clip.name}{ending}", result).add(np.asarray(picture), result.seconds)

    def finish(self):
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

    def _video(self, name, result):
        if name not in self._videos:
            for video in [v for n, v in self._videos.items() if v.clip != result.clip]:  # of the video before
                video.close()
            path = self.folder / f"{name}.mp4"
            _refuse_to_overwrite(path, result.path)
            self._videos[name] = VideoFile(path, result.clip)
        return self._videos[name]


class JsonFiles:
    """Writes `Result.to_json` into one file per image of a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        mkdir(self.folder)

    def add(self, result):
        """Write a `Result`."""
        with atomic_write(self.folder / f"{result.name}.json", durable=False) as file:
            file.write(result.to_json().encode())

    def finish(self):
        """Nothing is left to do."""


class AnswerFolder:
    """Writes into a folder that `tools/evaluate.py --predictions` reads, see `result_files.ResultWriter`."""

    def __init__(self, folder, vocabulary, tasks):
        self._stack = contextlib.ExitStack()
        self._writer = self._stack.enter_context(ResultWriter(folder, vocabulary, tasks))

    def add(self, result):
        """Take in a `Result`."""
        self._writer.add(result)

    def finish(self):
        """Write the lists."""
        with self._stack:
            self._writer.finish()


class Window:
    """Shows results in a window until q or Escape is pressed in it."""

    def __init__(self, layout, tasks=None, scale=None):
        self.layout = layout
        self._how = {"tasks": tasks, "scale": scale}

    def add(self, result):
        """Show a `Result`; returns whether that is enough."""
        for ending, picture in draw(result, self.layout, **self._how).items():
            cv2.imshow(f"{result.clip.name if result.clip else result.name}{ending}", np.asarray(picture)[:, :, ::-1])
        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)

    def finish(self):
        """Close the window."""
        cv2.destroyAllWindows()


def draw(result, layout, tasks=None, scale=None):
    """{ending of a file's name: PIL picture} of a `Result` in a layout of `LAYOUTS`."""
    if layout == "panels":
        return {f"_{task}": result.draw(task, scale=scale) for task in tasks or result.tasks}
    return {"": result.draw(tasks, layout=layout, scale=scale)}


def _refuse_to_overwrite(path, source):
    if source and Path(source).exists() and path.exists() and path.samefile(source):
        raise UserError(f"{path} is what is answered, and its picture would take its place; choose another folder")
