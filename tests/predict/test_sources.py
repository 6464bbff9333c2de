"""Every kind of source gives its images in order, under names of their own; what is not there or damaged is said."""

import http.server
import io
import itertools
import os
import resource
import threading
import types

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.predict import remote
from maskrcnn_benchmark.predict.sources import count_frames, frames_of, holds_several
from maskrcnn_benchmark.predict.video import Clip, VideoFile, read_video, webcam_number
from maskrcnn_benchmark.utils.errors import UserError

COUNT, RATE = 12, 10.0


def save(path, grey=100, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey,) * 3).save(path)
    return path


def write_video(path, codec="MJPG", count=COUNT):
    """A video whose frame k is of the grey value 20 * k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), RATE, (32, 24))
    assert writer.isOpened()
    for k in range(count):
        writer.write(np.full((24, 32, 3), 20 * k % 256, np.uint8))
    writer.release()
    return path


def names(source, **how):
    return [frame.name for frame in frames_of(source, **how)]


def test_a_folder_by_name_and_with_subfolders_only_when_asked(tmp_path):
    for name in ("b.png", "a.jpg", "deep/c.JPG", ".hidden.png", "deep/.thumbs/d.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert names(tmp_path) == ["a", "b"] and names(tmp_path, recursive=True) == ["a", "b", "c"]
    assert count_frames(tmp_path) == 2 and count_frames(str(tmp_path), recursive=True) == 3
    assert names(str(tmp_path / "*.png")) == ["b"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"holds no image or video.*subfolders are not searched"):
        names(empty)


def test_images_of_one_name_get_numbers(tmp_path):
    paths = [save(tmp_path / name) for name in ("a/x.png", "b/x.png", "x_2.png", "c/x.png")]
    assert names(paths) == ["x", "x_2", "x_2_2", "x_3"]


def test_pictures_in_memory():
    grey = np.full((4, 5), 7, np.uint8)
    sources = [grey, torch.from_numpy(np.dstack([grey] * 3)), Image.fromarray(grey)]
    frames = list(frames_of(sources))
    assert [frame.name for frame in frames] == ["image_000000", "image_000001", "image_000002"]
    assert all(np.array_equal(np.asarray(frame.image), np.dstack([grey] * 3)) for frame in frames)
    with pytest.raises(ValueError, match="uint8"):
        list(frames_of(np.zeros((4, 5, 3))))
    with pytest.raises(TypeError, match="not a float"):
        list(frames_of(3.5))


def test_turned_unless_asked_not_to(tmp_path):
    picture = Image.new("RGB", (8, 6))
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "turned.jpg", exif=exif)
    (stored,), (turned,) = frames_of(tmp_path / "turned.jpg", rotate=False), frames_of(tmp_path / "turned.jpg")
    assert stored.image.size == (8, 6) and turned.image.size == (6, 8)
    picture.save(tmp_path / "turned.tif", exif=exif)
    for name in ("turned.jpg", "turned.tif"):
        with Image.open(tmp_path / name) as opened:  # asking twice gives the same
            assert [frame.image.size for frame in frames_of([opened, opened])] == [(6, 8)] * 2


def test_what_is_damaged_is_passed_over_and_named(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    (tmp_path / "c.jpg").write_text("no image")
    save(tmp_path / "d.png")
    told = []
    assert names(tmp_path, skipped=lambda path, reason: told.append((path, reason))) == ["a", "d"]
    assert [path for path, _ in told] == [str(tmp_path / "b.png"), str(tmp_path / "c.jpg")]
    assert all(path in reason for path, reason in told)
    with pytest.raises(UserError, match=r"b\.png cannot be decoded"):
        names(tmp_path)


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v"), (".webm", "VP80")])
def test_a_video_frame_by_frame(tmp_path, suffix, codec):
    path = write_video(tmp_path / f"street{suffix}", codec)
    frames = list(frames_of(path))
    assert [frame.name for frame in frames] == [f"street_{k:06d}" for k in range(COUNT)]
    assert [frame.seconds for frame in frames] == pytest.approx([k / RATE for k in range(COUNT)], abs=1e-3)
    greys = [np.asarray(frame.image).mean() for frame in frames]
    assert greys == pytest.approx([20 * k for k in range(COUNT)], abs=4)
    assert frames[0].image.mode == "RGB" and frames[0].path == str(path)
    assert {frame.clip for frame in frames} == {Clip("street", RATE)}
    assert holds_several(str(path)) and count_frames(path) == COUNT


def test_some_frames_of_a_video(tmp_path):
    path = write_video(tmp_path / "street.avi")
    frames = list(frames_of(path, every=5))
    assert [frame.name for frame in frames] == ["street_000000", "street_000005", "street_000010"]
    assert [np.asarray(frame.image).mean() for frame in frames] == pytest.approx([0, 100, 200], abs=4)
    assert frames[0].clip.rate == RATE / 5 and count_frames(path, every=5) == 3
    with pytest.raises(UserError, match="every must be 1 or more"):
        names(path, every=0)


def test_one_frame_is_read_at_a_time(tmp_path):
    path = write_video(tmp_path / "street.avi")
    first = list(itertools.islice(read_video(path), 2))
    assert [number for number, *_ in first] == [0, 1]  # and the file is closed, so that it can be removed
    path.unlink()


def test_images_and_videos_of_a_folder_go_together(tmp_path):
    save(tmp_path / "a.png")
    write_video(tmp_path / "b.avi", count=2)
    save(tmp_path / "c.png")
    assert names(tmp_path) == ["a", "b_000000", "b_000001", "c"] and count_frames(tmp_path) == 4


def test_a_video_that_is_cut_short_gives_what_it_has_and_is_named(tmp_path):
    whole = write_video(tmp_path / "whole.avi", count=100).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    told = []
    found = names(cut, skipped=lambda path, reason: told.append(reason))
    assert 10 <= len(found) < 90
    assert told == [f"{cut} gave {len(found)} of the 100 frames that it promises; it is cut short or damaged"]
    with pytest.warns(UserWarning, match="cut short or damaged"):
        assert names(cut) == found


def test_a_video_that_is_none(tmp_path):
    path = tmp_path / "junk.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(
        UserError, match=r"junk\.mp4 cannot be opened as a video; it is damaged or cut short, or OpenCV"
    ):
        names(path)
    assert count_frames(path) == 0  # nothing is raised before it is its turn
    write_video(tmp_path / "empty.avi", count=0)
    with pytest.raises(UserError, match=r"empty\.avi (holds no frame|cannot be opened)"):
        names(tmp_path / "empty.avi")


class FakeCamera:
    """Three pictures, then nothing."""

    def __init__(self, number):
        self.left = 3 if number == 0 else 0
        self.is_open = number == 0

    def isOpened(self):
        return self.is_open

    def set(self, key, value):
        return True

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.full((6, 8, 3), (10, 20, 30), np.uint8)

    def release(self):
        self.is_open = False


def test_a_webcam(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    frames = list(frames_of("webcam:0"))
    assert [frame.name for frame in frames] == ["webcam0_000000", "webcam0_000001", "webcam0_000002"]
    assert np.asarray(frames[0].image)[0, 0].tolist() == [30, 20, 10]  # RGB
    assert frames[0].clip.is_live and frames[0].seconds <= frames[1].seconds <= frames[2].seconds
    assert names(0) == [frame.name for frame in frames] and count_frames([0]) is None and holds_several(0)
    with pytest.raises(UserError, match="there is no webcam 7"):
        names(7)
    with pytest.raises(UserError, match="named by its number"):
        webcam_number("webcam:front")
    assert webcam_number(True) is None


@pytest.mark.parametrize("size", [(32, 24), (31, 23)])
def test_pictures_become_a_video(tmp_path, size):
    video = VideoFile(tmp_path / "out.mp4", Clip("out", 8.0))
    for k in range(5):
        video.add(np.full((size[1], size[0], 3), (200, 40 * k, 10), np.uint8), k / 8)
        assert not video.path.exists()
    video.close()
    frames = list(read_video(video.path))
    assert len(frames) == 5 and frames[0][2].size == (32, 24) and frames[0][3].rate == 8.0
    assert np.asarray(frames[3][2]).mean((0, 1)) == pytest.approx((200, 120, 10), abs=6)
    assert list(tmp_path.iterdir()) == [video.path]


def test_a_live_video_keeps_pace_with_the_clock(tmp_path):
    video = VideoFile(tmp_path / "live.mp4", Clip("live", 10.0, is_live=True))
    for seconds in (0.0, 0.05, 0.5, 1.0):
        video.add(np.zeros((24, 32, 3), np.uint8), seconds)
    video.close()
    assert len(list(read_video(video.path))) == 11


class Server(http.server.BaseHTTPRequestHandler):
    """/photo.png is an image, /text none, /cut ends too early, /there leads to the image and others elsewhere."""

    ELSEWHERE = {"/there": "/photo.png", "/file": "file:///etc/hostname", "/ftp": "ftp://localhost/a.png"}

    def do_GET(self):
        if self.path in self.ELSEWHERE:
            self.send_response(302)
            self.send_header("Location", self.ELSEWHERE[self.path])
            self.end_headers()
            return
        if self.path not in ("/photo.png?x=1", "/photo.png", "/text", "/cut"):
            self.send_error(404)
            return
        buffer = io.BytesIO()
        Image.new("RGB", (8, 6), (1, 2, 3)).save(buffer, "PNG")
        data = b"words" if self.path == "/text" else buffer.getvalue()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (9 if self.path == "/cut" else 0)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_addresses_only_when_they_are_allowed(server):
    with pytest.raises(UserError, match="nothing is fetched unasked"):
        names(f"{server}/photo.png")
    for place, name in (("photo.png?x=1", "photo"), ("there", "there")):
        (frame,) = frames_of(f"{server}/{place}", allow_urls=True)
        assert frame.name == name and np.asarray(frame.image)[0, 0].tolist() == [1, 2, 3]
    assert not holds_several(f"{server}/photo.png")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("text", "is not an image"),
        ("missing.png", "cannot be fetched.*Not Found"),
        ("file", "leads to file:///etc/hostname; images are fetched over http and https only"),
        ("ftp", "leads to ftp://localhost/a.png; images are fetched over http and https only"),
        ("cut", "cannot be fetched"),
    ],
)
def test_what_an_address_may_not_be(server, place, message):
    with pytest.raises(UserError, match=message):
        names(f"{server}/{place}", allow_urls=True)


def test_an_address_of_another_kind_or_too_much(server, monkeypatch):
    with pytest.raises(UserError, match="over http and https only"):
        names("file:///etc/hostname", allow_urls=True)
    monkeypatch.setattr(remote, "MOST_BYTES", 20)
    with pytest.raises(UserError, match="which is no image to predict on"):
        names(f"{server}/photo.png", allow_urls=True)


def test_a_video_that_the_disk_does_not_take_whole_is_one_line_and_leaves_nothing(tmp_path):
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "out.mp4").write_bytes(b"the former")
    video = VideoFile(tmp_path / "out.mp4", Clip("out", 8.0))
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, former[1]))
    try:
        for k in range(30):
            video.add(np.roll(noise, k, 0), k / 8)
        with pytest.raises(UserError, match=r"cannot write .*out\.mp4: File too large; "):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert os.listdir(tmp_path) == ["out.mp4"] and (tmp_path / "out.mp4").read_bytes() == b"the former"


def test_a_video_ends_when_the_disk_is_full(tmp_path, monkeypatch):
    video = VideoFile(tmp_path / "out.mp4", Clip("out", 8.0))
    picture = np.zeros((32, 48, 3), np.uint8)
    video.add(picture, 0.0)
    real = os.open

    def open_full(path, flags, mode=0o777, **folder):
        return real("/dev/full" if flags & os.O_APPEND else path, flags & ~os.O_EXCL, mode, **folder)

    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_blocks=9, f_bavail=0))
    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(UserError, match=r"cannot write .*out\.mp4: No space left on device"):
        for k in range(1, 60):
            video.add(picture, k / 8)
    monkeypatch.undo()
    video.close()
    assert os.listdir(tmp_path) == ["out.mp4"]
