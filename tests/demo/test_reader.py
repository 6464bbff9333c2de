"""Reading in another process: the same images and sentences, and an end to whatever hangs, crashes or grows."""

import os
import signal
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.demo import reader as module
from maskrcnn_benchmark.demo.reader import Reader
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.utils.errors import UserError

posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are those of POSIX")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a photo.png"
    Image.effect_noise((2000, 1500), 80).save(path)
    return path


def does(monkeypatch, code):
    """Have the process do something else."""
    monkeypatch.setattr(module, "_CODE", f"from maskrcnn_benchmark.demo import reader; reader._limit(30); {code}")


def test_it_reads_as_the_reader_of_this_process(image):
    ours, theirs = read_upload(image), Reader()(image)
    assert (theirs.name, theirs.notes) == (ours.name, ours.notes) and "shrunk" in theirs.notes[0]
    assert (np.asarray(theirs.image) == np.asarray(ours.image)).all()


@pytest.mark.parametrize(
    "content, limits", [(b"", {}), (b"words", {}), (None, {"most_pixels": 99}), (None, {"most_bytes": 9})]
)
def test_its_sentences_are_those_of_the_reader_of_this_process(image, content, limits):
    if content is not None:
        image.write_bytes(content)
    said = []
    for read in (read_upload, Reader()):
        with pytest.raises(UserError) as caught:
            read(image, **limits)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_folder_of_an_upload_is_no_place_to_import_from(image, tmp_path, monkeypatch):
    for name in ("json", "numpy", "PIL", "resource"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir("/")
    assert Reader()(image).name == "a photo"


def test_what_takes_too_long_is_ended(image, monkeypatch):
    does(monkeypatch, "import threading; threading.Event().wait()")
    with pytest.raises(UserError, match=r"a photo\.png was not read within 0\.2 seconds"):
        Reader(seconds=0.2)(image)


@posix
def test_what_crashes_its_decoder_is_told(image, monkeypatch):
    does(monkeypatch, f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    with pytest.raises(UserError, match=r"a photo\.png cannot be read: its decoder was ended by the system"):
        Reader()(image)


@posix
def test_what_takes_too_much_memory_is_told(image, monkeypatch):
    does(monkeypatch, "reader.read_upload = lambda *_: bytes(4 << 30); reader.main()")
    with pytest.raises(UserError, match=r"a photo\.png takes too much memory"):
        Reader()(image)


@posix
def test_it_writes_no_file(image, tmp_path, monkeypatch):
    target = tmp_path / "written"
    does(monkeypatch, f"import pathlib; pathlib.Path({str(target)!r}).write_text('x' * 99)")
    with pytest.raises(RuntimeError, match="File too large"):
        Reader()(image)
    assert target.stat().st_size == 0


def test_a_mistake_of_ours_keeps_its_trace(image, monkeypatch):
    does(monkeypatch, "1 / 0")
    with pytest.raises(RuntimeError, match=r"Traceback(.|\n)*ZeroDivisionError"):
        Reader()(image)


@posix
def test_closing_ends_what_is_at_work_and_reads_nothing_more(image, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "begun")
    does(monkeypatch, f"open({str(tmp_path / 'begun')!r}, 'w').close(); import threading; threading.Event().wait()")
    reader, said = Reader(), []

    def read():
        with pytest.raises(UserError) as caught:
            reader(image)
        said.append(str(caught.value))

    thread = threading.Thread(target=read)
    thread.start()
    (tmp_path / "begun").read_bytes()  # until the process is there
    reader.close()
    thread.join(20)
    assert not thread.is_alive() and "ended by the system" in said[0]
    with pytest.raises(UserError, match="about to end"):
        reader(image)
