"""`Predictor`: one line from a checkpoint and a photograph to the predictions of all tasks."""

import contextlib
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.engine.dense_aug import build_test_augmentation
from maskrcnn_benchmark.engine.precision import inference_precision
from maskrcnn_benchmark.predict.folding import fold_batch_norm
from maskrcnn_benchmark.predict.predicted_image import PredictedImage, merge_thresholds
from maskrcnn_benchmark.predict.prefetch import prefetch
from maskrcnn_benchmark.predict.sources import Frame, frames_of, holds_several, is_live
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork, load_network
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks, with_requirements
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.threads import keep_forks_alive

# Of one image at the size in which the network sees it: at most this many pixels, some GiB of activations
MOST_PIXELS = 1 << 25


class Predictor:
    """Predicts on images with a trained network.

        from maskrcnn_benchmark import Predictor
        predictor = Predictor("output/mini_R_18_FPN/model_final.pth")
        predicted = predictor("photo.jpg")
        predicted.detection.boxes, predicted.semantic, predicted.draw().save("predicted.png")

    Images are resized as in testing, and frozen and trained batch norms are folded into the convolutions. Several
    images in one batch are padded to one size, so that numbers near their borders differ a little from those of one
    at a time. They are computed in float32, whatever the network was trained in, unless the options TEST.DTYPE and
    TEST.TF32 say otherwise.

    Attributes:
        network: the `TrainedNetwork`.
        tasks: keys of the tasks that are predicted.
        vocabulary: the `Vocabulary` that names the labels.
        thresholds: {task key: threshold} of the predicted images, by default those of the tasks.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike | TrainedNetwork,
        config_file: str = "",
        options: Sequence[Any] = (),
        device: str | torch.device | None = None,
        thresholds: Mapping[str, float] | None = None,
        tasks: Sequence[str] | None = None,
    ) -> None:
        """Load a network.

        Args:
            checkpoint: what `predict.trained_network.load_network` takes, or a `TrainedNetwork`, which is folded then.
            config_file, options, device: as `predict.trained_network.load_network` takes them.
            thresholds: {task key: threshold}; what it leaves out has its default.
            tasks: keys of the tasks that are wanted; None wants all that the network has. Heads of others are not run.
        """
        network = checkpoint
        if not isinstance(network, TrainedNetwork):
            options = [*options, *_switches(tasks)]
            network = load_network(network, config_file, options, device)
        self.network = network
        self.vocabulary = network.vocabulary
        self.thresholds = merge_thresholds(thresholds)
        cfg = network.cfg
        check_options(cfg)
        if cfg.MODEL.RPN_ONLY and not cfg.MODEL.RETINANET_ON:
            raise UserError(f"{network.path} ends after its proposals (MODEL.RPN_ONLY), which are no task")
        self.tasks = tuple(task.key for task in enabled_tasks(cfg) if tasks is None or task.key in tasks)
        lacking = sorted(set(tasks or ()).difference(self.tasks))
        if lacking:
            predicted = ", ".join(task.key for task in enabled_tasks(cfg)) or "none of them"
            raise UserError(f"{network.path} does not predict {', '.join(lacking)}, but {predicted}")
        self._model = network.model
        self._device = torch.device(cfg.MODEL.DEVICE)
        fold_batch_norm(self._model)
        self._transforms = build_byte_transforms(cfg, is_train=False)
        self._augmentation = build_test_augmentation(cfg, self._model, self.vocabulary)

    def __call__(
        self, source: Any, batch_size: int = 1, **how: Any
    ) -> PredictedImage | list[PredictedImage] | Iterator[PredictedImage]:
        """Predict on images.

        Args:
            source: one image (a path, a PIL image, or an array or tensor uint8 [H, W, 3] RGB), or several: a list of
                these, a folder, a pattern such as "shots/*.jpg", a video, a webcam (an integer or "webcam:0").
            batch_size: images that the network sees at a time.
            how: `skipped`, `rotate`, `every`, `recursive`, `allow_urls` of `predict.sources.frames_of`.

        Returns:
            a `PredictedImage` for one image, a list of them for a list, and an iterator over them for a folder, a
            pattern, a video or a webcam, which may hold more than fits into memory.

        Raises:
            UserError: a file is missing, damaged or no image; the message names it.
        """
        if isinstance(source, list | tuple):
            return list(self.stream(source, batch_size, **how))
        if holds_several(source):
            return self.stream(source, batch_size, **how)
        (predicted,) = self.stream(source, **how)
        return predicted

    def stream(self, source: Any, batch_size: int = 1, **how: Any) -> Iterator[PredictedImage]:
        """An iterator over the predicted images of a source, a batch at a time. Arguments as in a call."""
        if batch_size < 1:
            raise UserError(f"the batch size must be 1 or more, not {batch_size}")
        frames = self._fitting(frames_of(source, **how), how.get("skipped"))
        if holds_several(source) and not is_live(source):
            frames = prefetch(frames, batch_size)  # a quarter of the time for photographs of 12 megapixels on a CPU
        with contextlib.closing(frames):
            while batch := list(itertools.islice(frames, batch_size)):
                yield from self.predict(batch)

    def predict(self, frames: Sequence[Frame]) -> list[PredictedImage]:
        """The `PredictedImage`s of a list of `Frame`s, in one batch. Raises `UserError` for one that is too large."""
        for frame in frames:
            self._check_size(frame.image.size)
        images = [frame.image for frame in frames]
        predictions = self._predict(images)
        return [
            PredictedImage(
                np.asarray(frame.image),
                prediction,
                self.vocabulary,
                self.tasks,
                frame.name,
                frame.path,
                self.thresholds,
                frame.seconds,
                frame.clip,
                self.network.cfg,
            )
            for frame, prediction in zip(frames, predictions)
        ]

    @torch.inference_mode()
    def _predict(self, images):
        """`ImagePrediction`s on the CPU, boxes in pixels of the images, maps as coarse as the heads left them."""
        keep_forks_alive()
        cfg = self.network.cfg
        with inference_precision(cfg.TEST.DTYPE, cfg.TEST.TF32, self._device):
            if self._augmentation is not None:
                outputs = self._augmentation(images, self._device)
            else:
                batch = [self._transforms(image)[0] for image in images]
                outputs = self._model(to_image_list(batch, cfg.DATALOADER.SIZE_DIVISIBILITY).to(self._device))
        return [_in_pixels_of(image.size, ImagePrediction.of(output)) for image, output in zip(images, outputs)]

    def _fitting(self, frames, skipped):
        """The frames, those passed over that are too large."""
        for frame in frames:
            try:
                self._check_size(frame.image.size)
            except UserError as error:
                if skipped is None:
                    raise
                skipped(frame.path or frame.name, f"{frame.path or frame.name}: {error}")
                continue
            yield frame

    def _check_size(self, size):
        """Refuse an image that would take more memory than a machine has, before anything is made of it."""
        options = self.network.cfg.INPUT
        scale = min(options.MIN_SIZE_TEST / min(size), options.MAX_SIZE_TEST / max(size))
        pixels = math.prod(size) * scale**2
        reason = f"INPUT.MIN_SIZE_TEST {options.MIN_SIZE_TEST}, MAX_SIZE_TEST {options.MAX_SIZE_TEST}); lower them"
        if options.SQUASH:
            pixels, reason = math.prod(options.SQUASH), f"INPUT.SQUASH {options.SQUASH}); lower it"
        if options.CROP:
            pixels, reason = math.prod(size), "INPUT.CROP keeps its own pixels); make it smaller"
        if pixels > MOST_PIXELS:
            raise UserError(
                f"an image of {size[0]}x{size[1]} would be shown to the network with {pixels / 1e6:.0f} million pixels "
                f"({reason}"
            )

    def __repr__(self) -> str:
        return f"Predictor({os.fspath(self.network.path)!r}, tasks: {', '.join(self.tasks)}, on {self._device})"


def _in_pixels_of(size, prediction):
    prediction = prediction.to("cpu")
    boxes = {key: output for key, output in prediction.outputs.items() if isinstance(output, BoxList)}
    prediction.outputs.update((key, output.resize(size)) for key, output in boxes.items())
    return prediction


def _switches(tasks):
    """Options that turn off the heads of all other tasks but those that the tasks wanted may be made from."""
    if tasks is None:
        return []
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise UserError(f"tasks must be of {', '.join(TASKS)}, not {unknown[0] if unknown else 'none'}")
    wanted = with_requirements(tasks)
    return [word for task in TASKS.values() if task.key not in wanted for word in (f"MODEL.{task.switch}", False)]
