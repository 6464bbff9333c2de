"""What the demo does, without its page: predicts on images one at a time, keeps them for a while, draws them anew."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from maskrcnn_benchmark.demo.uploads import MOST_BYTES, MOST_PIXELS, read_upload
from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.predict.sources import Frame
from maskrcnn_benchmark.tasks.scene import makes_scene
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.html_page import encoded

if TYPE_CHECKING:
    from maskrcnn_benchmark.predict.predictor import Predictor

MOST_KEPT_BYTES = 1 << 30  # of all users' images with their predictions
PANELS_KEPT = 32  # drawings of one image
LAYOUTS = ("grid", "overlay", "scene")  # a picture per task, all on the photograph, or one of all segments
FORGOTTEN = "this image is no longer kept; pick or upload it again"


@dataclass(frozen=True)
class View:
    """What a user wants to see of an image. Raises `UserError` for a layout that is not in `LAYOUTS`.

    Attributes:
        tasks: keys of the tasks that are switched on.
        thresholds: {task key: threshold}.
        layout: one of `LAYOUTS`.
    """

    tasks: tuple
    thresholds: dict
    layout: str = LAYOUTS[0]

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UserError(f"there is no layout {self.layout}, but {', '.join(LAYOUTS)}")


class Shown:
    """An image with its prediction, drawn as often as its user likes; the network is not run again.

    Attributes:
        predicted: its `PredictedImage`, under the thresholds that were asked for last.
        seconds: what the network took.
        notes: sentences about how the file was read.
        view: what its page shows, the `View` that was drawn last; None before.
    """

    def __init__(self, predicted: PredictedImage, seconds: float, notes: Iterable[str] = ()) -> None:
        self.predicted = predicted
        self.seconds = seconds
        self.notes = list(notes)
        self.view: Any = None
        self._panels: OrderedDict[tuple[str, float], bytes] = OrderedDict()

    def panels(self, view: View) -> dict[str, bytes]:
        """{title: bytes of a JPEG} for a `View`: "image", the photograph, and by task key a drawing of each task.

        What was drawn before is not drawn again. In other layouts it is one picture, called by the layout.
        """
        self._under(view)
        if view.layout != "grid":
            return {view.layout: encoded(np.asarray(self.picture(view)), "JPEG")}
        return {"image": self._photograph, **{task: self._panel(task, view.thresholds[task]) for task in view.tasks}}

    def picture(self, view: View) -> Image.Image:
        """One picture of all that a `View` shows: PIL RGB image."""
        return self._under(view).draw(view.tasks, layout=view.layout)

    def json(self) -> str:
        """The whole prediction as text, whatever the thresholds are (`PredictedImage.to_json`); the scene if shown."""
        return self.predicted.to_json(scene=self.view is not None and self.view.layout == "scene")

    def objects(self, view: View) -> list[tuple[str, float, list[float]]] | None:
        """Detected objects, best first: list of (class, score, [x1, y1, x2, y2]); None without a detector."""
        found = self._under(view).detection
        if found is None:
            return None
        return list(zip(found.names, found.scores.tolist(), found.boxes.tolist()))

    def labels(self, view: View) -> list[tuple[str, float]] | None:
        """Image labels that reach their threshold, the likeliest first: list of (name, probability), or None."""
        probabilities = self.predicted.classification
        if probabilities is None:
            return None
        order = probabilities.argsort(descending=True, stable=True)
        known = zip(order.tolist(), probabilities[order].tolist())
        names = self.predicted.vocabulary.image_label_names
        return [(names[k], value) for k, value in known if value >= view.thresholds["classification"]]

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.predicted.nbytes

    def _under(self, view):
        """The predicted image under the thresholds of a view; it is kept, with what it had to compute."""
        if any(self.predicted.thresholds[task] != value for task, value in view.thresholds.items()):
            self.predicted = self.predicted.with_thresholds(view.thresholds)
        return self.predicted

    @cached_property
    def _photograph(self):
        return encoded(Canvas(self.predicted.image).finish(), "JPEG")

    def _panel(self, task, threshold):
        key = (task, threshold)
        if key not in self._panels:
            picture = self.predicted.draw(task, {task: threshold})
            self._panels[key] = encoded(np.asarray(picture), "JPEG")
            while len(self._panels) > PANELS_KEPT:
                self._panels.popitem(last=False)
        return self._panels[key]


class Kept:
    """Images of all users by their tokens; beyond a number of bytes, those that were not asked for longest go."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._shown: OrderedDict[str, Shown] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._shown)

    def put(self, shown: Shown) -> str:
        """Keep a `Shown`; returns its token, which cannot be guessed."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._shown[token] = shown
            while len(self._shown) > 1 and sum(each.nbytes for each in self._shown.values()) > self._most_bytes:
                self._shown.popitem(last=False)
        return token

    def get(self, token: str) -> Shown:
        """The `Shown` of a token. Raises `UserError` where it is no longer kept."""
        with self._lock:
            if token not in self._shown:
                raise UserError(FORGOTTEN)
            self._shown.move_to_end(token)
            return self._shown[token]

    def drop(self, token: str) -> None:
        """Forget an image, if it is still there."""
        with self._lock:
            self._shown.pop(token, None)


class Demo:
    """A network that predicts for many users, one forward pass at a time.

    Args:
        predictor: a `Predictor`.
        samples: paths of images that users can pick.
        most_pixels, most_bytes: limits of an upload.
        most_kept_bytes: limit of all images that are kept.

    Attributes:
        tasks: keys of the tasks that the network predicts.
        layouts: those of `LAYOUTS` for which it predicts enough.
        kept: the `Kept` images.
        passes: how often the network was run.
        seconds: what the last time took, None before.
    """

    def __init__(
        self,
        predictor: "Predictor",
        samples: Iterable[Path] = (),
        most_pixels: int = MOST_PIXELS,
        most_bytes: int = MOST_BYTES,
        most_kept_bytes: int = MOST_KEPT_BYTES,
    ) -> None:
        self.predictor = predictor
        self.samples = list(samples)
        self.most_pixels = most_pixels
        self.most_bytes = most_bytes
        self.tasks = predictor.tasks
        self.layouts = tuple(layout for layout in LAYOUTS if layout != "scene" or makes_scene(self.tasks))
        self.kept = Kept(most_kept_bytes)
        self.passes = 0
        self.seconds: float | None = None
        self._lock = threading.Lock()

    def predict(self, path: str | Path, read: Callable = read_upload) -> str:
        """Predict on the image in a file and keep it: its token. Raises `UserError`, a sentence for the user.

        Args:
            read: reads the file, such as a `demo.reader.Reader` for those of strangers.
        """
        upload = read(path, self.most_pixels, self.most_bytes)
        with self._lock:
            start = time.perf_counter()
            (predicted,) = self.predictor.predict([Frame(upload.image, upload.name)])
            self.seconds = time.perf_counter() - start
            self.passes += 1
        return self.kept.put(Shown(predicted, self.seconds, upload.notes))

    def sample(self, index: Any) -> Path:
        """The path of a sample. Raises `UserError` for a number that no sample has."""
        if not isinstance(index, int) or not 0 <= index < len(self.samples):
            raise UserError("there is no such sample")
        return self.samples[index]

    def view(self, switches: Iterable[bool], thresholds: Iterable[float], layout: str = LAYOUTS[0]) -> View:
        """A `View` from a switch and a threshold for each of `tasks`, in their order."""
        on = tuple(task for task, switch in zip(self.tasks, switches) if switch)
        return View(on, dict(zip(self.tasks, map(float, thresholds))), layout)

    def has_threshold(self, task: str) -> bool:
        """Whether a threshold changes what is shown of a task."""
        return TASKS[task].has_threshold(self.predictor.network.cfg)
