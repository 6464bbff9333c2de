"""Videos and webcams frame by frame, and pictures into a video file."""

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten, open_output, put_in_place, temporary_file
from maskrcnn_benchmark.utils.pictures import decoding

# FFmpeg prints about damaged files by itself, which an error here says; OpenCV reads this when it first uses FFmpeg
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
CODECS = ("avc1", "mp4v")  # H.264 plays everywhere but is in few builds of OpenCV; MPEG-4 is in all
USUAL_RATE = 25.0  # frames per second where a video does not say
MOST_PIXELS = 1 << 26  # of a frame: twice that of 8K. FFmpeg holds a dozen of them
WEBCAM_RATE = 10.0  # of the file that a webcam's pictures go to
_FRAMES_BETWEEN_CHECKS = 25  # at how full the disk is
_PROBE_BYTES = 1 << 20  # more than fits into what is left of a disk that has just refused some frames


@dataclass(frozen=True)
class Clip:
    """What a frame is a part of.

    Attributes:
        name: what files about the whole are called, without suffix.
        rate: frames per second of those that are predicted on.
        is_live: whether it comes from a webcam, so that frames are as far apart as it took to predict on them.
    """

    name: str
    rate: float
    is_live: bool = False


def is_video(path: str | os.PathLike) -> bool:
    """Whether a path is called as a video is."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def webcam_number(source: Any) -> int | None:
    """The number in a webcam's source, an integer or "webcam:0"; None for any other source."""
    if isinstance(source, int) and not isinstance(source, bool):
        return source
    if isinstance(source, str) and source.startswith("webcam:"):
        number = source.partition(":")[2]
        if not number.isdecimal():
            raise UserError(f"{source}: a webcam is named by its number, such as webcam:0")
        return int(number)
    return None


def count_video_frames(path: str | os.PathLike, every: int = 1) -> int | None:
    """How many frames of a video will be predicted on, as far as it says, or None. Errors are those of `read_video`."""
    with _capture(path) as capture:
        count = _told_count(capture)
    return math.ceil(count / every) if count else None


def read_video(
    path: str | os.PathLike, every: int = 1, cut_short: Callable[[str, str], Any] | None = None
) -> Iterator[tuple[int, float, Image.Image, Clip]]:
    """The frames of a video, one in memory at a time.

    Args:
        path: the file.
        every: take each so many-th frame; those between are not decoded to pictures.
        cut_short: function (path, reason) called after the last frame of a video that has fewer than it promises; None
            warns.

    Yields:
        (number of the frame from 0, seconds from the beginning, PIL RGB image, `Clip`).

    Raises:
        UserError: the file is no video, its codec is unknown, or not one frame can be decoded.
    """
    with _capture(path) as capture:
        rate, told, number = _rate(capture), _told_count(capture), 0
        clip = Clip(Path(path).stem, rate / every)
        while _grab(capture, path):
            if number % every == 0:
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or number / rate
                picture = _picture(capture, path)
                if picture is None:
                    break
                yield number, seconds, picture, clip
            number += 1
    if not number:
        raise UserError(f"{path} holds no frame that can be decoded; it is damaged, or OpenCV lacks its codec")
    if number + _uncertainty(told) < told:
        reason = f"{path} gave {number} of the {told} frames that it promises; it is cut short or damaged"
        if cut_short is None:
            warnings.warn(reason, stacklevel=2)
        else:
            cut_short(str(path), reason)


def read_webcam(number: int, every: int = 1) -> Iterator[tuple[int, float, Image.Image, Clip]]:
    """The pictures of a webcam until it stops, as `read_video` yields them."""
    with _quiet_opencv():
        capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise UserError(f"there is no webcam {number}, or another program has it")
    try:
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is old when it is its turn is of no use
        clip, start, seen = Clip(f"webcam{number}", WEBCAM_RATE, is_live=True), time.monotonic(), 0
        while _grab(capture, f"webcam {number}"):
            if seen % every == 0:
                picture = _picture(capture, f"webcam {number}")
                if picture is None:
                    break
                yield seen, time.monotonic() - start, picture, clip
            seen += 1
    finally:
        capture.release()


class VideoFile:
    """An .mp4 that takes the place of `path` when it is closed. Pictures are all of the size of the first.

    OpenCV says nothing of a disk that takes no more, so that it is checked here.

    Args:
        path: the file.
        clip: the `Clip` that the pictures are of.
    """

    def __init__(self, path: str | os.PathLike, clip: Clip) -> None:
        self.path = Path(path)
        self.clip = clip
        self._part: Any = None
        self._temporary = contextlib.ExitStack()
        self._writer: Any = None
        self._written = 0

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """Write a picture, uint8 [H, W, 3] RGB; of a live clip so often that the file keeps pace with the clock.

        Raises `NotWritten` once the disk is full.
        """
        height, width = (side + side % 2 for side in picture.shape[:2])  # codecs want even sides
        if self._writer is None:
            self._size = width, height
            self._part = self._temporary.enter_context(temporary_file(self.path, ".mp4"))
            self._writer = _open_writer(self._part, self.clip.rate, self._size)
        if self._written % _FRAMES_BETWEEN_CHECKS == 0:
            _check_room(self.path)
        if width != self._size[0]:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        picture = picture[: self._size[1]]  # of the same width: the strip of a legend is higher or lower
        beside, below = self._size[0] - picture.shape[1], self._size[1] - picture.shape[0]
        picture = cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        due = self._written + 1
        if self.clip.is_live:
            due = max(due, math.floor(seconds * self.clip.rate) + 1)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        with _quiet_opencv():  # it prints that a frame was not written, which `close` finds out and says
            for _ in range(due - self._written):
                self._writer.write(bgr)
        self._written = due

    def close(self) -> None:
        """Finish the file, of the pictures that came. Raises `NotWritten` for one that is not whole."""
        if self._writer is None:
            self._temporary.close()
            return
        with _quiet_opencv():
            self._writer.release()
        self._writer = None
        with self._temporary:
            _check_whole(self._part, self.path, self._written)
            put_in_place(self._part, self.path)


def _check_room(path):
    """Raise `NotWritten` if the disk of a file to be is full; OpenCV would go on for hours."""
    disk = os.statvfs(path.parent)
    if disk.f_blocks and not disk.f_bavail:  # some file systems do not say how large they are
        with temporary_file(path) as probe:
            _append(probe, path)


def _check_whole(part, path, frames):
    """Raise `NotWritten` unless a video that was written has its index, which comes last and counts its frames."""
    with _quiet_opencv():
        capture = cv2.VideoCapture(str(part.resolve()), cv2.CAP_FFMPEG)
    told = _told_count(capture) if capture.isOpened() else 0
    capture.release()
    if not told or told + _uncertainty(frames) < frames:
        _append(part, path)
        raise NotWritten(f"cannot write {path}: OpenCV wrote {told} of {frames} frames; choose another folder")


def _append(part, path):
    """Have the disk say why it takes no more of a file that will not be used, if it takes no more: `NotWritten`."""
    with open_output(part, "ab", path, durable=True) as file:
        file.write(bytes(_PROBE_BYTES))


def can_show_windows() -> bool:
    """Whether OpenCV can open a window here: opencv-python-headless cannot, nor can any without a display."""
    info = cv2.getBuildInformation()
    line = next((line for line in info.splitlines() if line.strip().startswith("GUI:")), "")
    has_display = os.name == "nt" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return bool(line) and "NONE" not in line and has_display


@contextlib.contextmanager
def _capture(path):
    """An open `cv2.VideoCapture` of a video file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such video: {path}")
    with _quiet_opencv(), decoding(path):
        capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)  # no other back end: some read NAME%d as many
    try:
        if not capture.isOpened():
            raise UserError(
                f"{path} cannot be opened as a video; it is damaged or cut short, or OpenCV lacks its codec"
            )
        width, height = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MOST_PIXELS:
            raise UserError(f"{path} has frames of {width:.0f}x{height:.0f} pixels; at most {MOST_PIXELS} are read")
        yield capture
    finally:
        capture.release()


@contextlib.contextmanager
def _quiet_opencv():
    """Without what OpenCV prints about a file or a device that cannot be opened: an error says it."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def _rate(capture):
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and 0 < rate <= 1000 else USUAL_RATE


def _told_count(capture):
    """How many frames a file promises; 0 where it does not."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 0 < count < 1 << 31 else 0


def _uncertainty(count):
    """How many frames more or less than it promises a whole file may have."""
    return max(2, count // 100)


def _grab(capture, name):
    """Whether there is one more frame."""
    with decoding(name):
        return capture.grab()


def _picture(capture, name):
    """The frame that was grabbed as a PIL RGB image, or None if it cannot be decoded."""
    with decoding(name):
        good, picture = capture.retrieve()
    return Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])) if good else None


def _open_writer(path, rate, size):
    with _quiet_opencv():
        for codec in CODECS:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
            if writer.isOpened():
                return writer
    raise UserError(f"cannot write a video: this OpenCV knows none of {', '.join(CODECS)}; choose --show none")
