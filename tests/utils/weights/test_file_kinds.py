"""What is taken for weights and holds none is named as what it is, with the remedy."""

import argparse
import collections
import gzip
import io
import json
import pathlib
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint


def in_memory(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def archive(**entries):
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)

    return in_memory(write)


TORCH = in_memory(lambda file: torch.save({"model": {"w": torch.ones(300)}}, file))
TAR = tarfile.TarInfo("weights.pth").tobuf() + bytes(1024)
SHARDS = {"metadata": {"total_size": 9}, "weight_map": {"w": "model-00001-of-00002.safetensors"}}
KINDS = {
    "pointer.pth": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "a Git LFS pointer, .*lfs pull",
    ),
    "page.pth": (
        b"\n<!DOCTYPE html><html><title>Virus scan warning</title>",
        r"a web page \(HTML or XML\), .*download",
    ),
    "denied.pkl": (b"\xef\xbb\xbf<?xml version='1.0'?><Code>AccessDenied</Code>", r"a web page \(HTML or XML\)"),
    "error.pth": (b'{"error": "not found"}', "JSON, not weights"),
    "model.safetensors.index.json": (
        json.dumps(SHARDS).encode(),
        r"the index .* in several files \(model-00001-of-00002\.safetensors, \.\.\.\), not weights; load each",
    ),
    "link.pth": (b"https://example.com/weights.pth\r\n", "a text with a link, .*give the link"),
    "annexed.pth": (b"../.git/annex/objects/3x/MD5E-s102.pth\n", "a git-annex pointer, .*`git annex get`"),
    "a.pth.dvc": (b"outs:\n- md5: 0f\n  size: 9\n  path: a.pth\n", "a DVC pointer, .*`dvc pull`"),
    "latin.pth": ("<html><title>Für Gäste</title>".encode("latin-1"), r"a web page \(HTML or XML\)"),
    "powershell.pth": ("<html>".encode("utf-16"), r"a web page \(HTML or XML\)"),
    "photo.pth": (
        in_memory(lambda file: Image.new("RGB", (9, 9)).save(file, "PNG")),
        "a picture or video, not weights",
    ),
    "photo.jpg": (in_memory(lambda file: Image.new("RGB", (9, 9)).save(file, "JPEG")), "a picture or video"),
    "noise.pth": (bytes(range(1, 200)) * 9, "damaged or no file of weights"),
    "read.me": ("Gewichte für später\n".encode(), "a text file"),
    "a.pth.gz": (gzip.compress(TORCH), "a gzip archive, not weights; unpack it"),
    "tar.pth": (TAR, "a tar archive, not weights; unpack it"),
    "zip.pth": (archive(**{"weights.pth": TORCH}), r"a zip archive of weights\.pth, not weights; unpack it"),
    "none.zip": (archive(), "an empty zip archive"),
    "a.npz": (in_memory(lambda file: np.savez(file, a=np.ones(2))), r"NumPy arrays \(\.npz\), not weights"),
    "a.npy": (in_memory(lambda file: np.save(file, np.ones(2))), r"a NumPy array \(\.npy\), not weights"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5, as Keras writes it, not weights"),
    "new.keras": (archive(**{"config.json": b"{}", "model.weights.h5": b"0"}), "a network of Keras"),
    "network.pth": (b"\x08\x0a\x12\x07pytorch\x1a\x032.9:\x10", "an ONNX network"),
    "script.pt": (
        archive(**{"a/data.pkl": b"\x80\x02}.", "a/code/a.py": b""}),
        r"a TorchScript archive, .*state_dict\(\)",
    ),
    "empty.pth": (b"", "empty; fetch"),
    "blank.safetensors": (b"\n", "empty; fetch"),
    "zeros.pth": (bytes(5000), "filled with zeros"),
    "cut.pth": (TORCH[:700], "damaged: .* cut off on its way; fetch it again"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_another_kind_is_named(tmp_path, name):
    data, message = KINDS[name]
    (tmp_path / "unrelated.pth").write_bytes(TORCH)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"{name} is {message}") as caught:
        DetectronCheckpointer(cfg, nn.Linear(2, 2)).load(str(tmp_path / name))
    assert "unrelated" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder, not weights; give a file in it"):
        read_checkpoint(tmp_path)


def test_pickles_that_python_2_wrote_as_text_are_still_read(tmp_path):
    (tmp_path / "old.pkl").write_bytes(b"(dp0\nS'blobs'\np1\n(dp2\nsS'note'\nS'see http://x'\ns.")
    assert read_checkpoint(tmp_path / "old.pkl") == {"blobs": {}, "note": "see http://x"}


WEIGHTS = collections.OrderedDict(w=torch.ones(2))
HELD = {
    "argparse.Namespace": {"model": WEIGHTS, "epoch": 1, "args": argparse.Namespace(lr=0.1)},
    "pathlib.*PosixPath": {"model": WEIGHTS, "out": pathlib.PosixPath("x")},
    "numpy.*scalar": {"model": WEIGHTS, "best": np.float64(0.5)},
}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", HELD)
def test_more_than_tensors_is_named_with_the_entry_to_save_alone(tmp_path, name, is_zip):
    path = tmp_path / "a.pth"
    torch.save(HELD[name], path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match=rf'a\.pth was refused: it asks for {name}, .* save its "model" alone'):
        read_checkpoint(path)


def test_the_entry_is_called_as_in_the_file(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": WEIGHTS, "hyper_parameters": {"cfg": argparse.Namespace()}}, path)
    with pytest.raises(UserError, match='save its "state_dict" alone'):
        read_checkpoint(path)
    torch.save({"student": WEIGHTS, "teacher": WEIGHTS, "ema": {"decay": 0.9}, "args": argparse.Namespace()}, path)
    with pytest.raises(UserError, match='save its "student" or "teacher" alone'):
        read_checkpoint(path)
    torch.save({"args": argparse.Namespace(), "model": WEIGHTS}, path)
    with pytest.raises(UserError, match='save its "model" alone'):
        read_checkpoint(path)
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(UserError, match=r"asks for torch\.nn\.modules\.linear\.Linear, .* save its state_dict\(\)$"):
        read_checkpoint(path)


def test_weights_that_were_saved_on_a_gpu_load_without_one(tmp_path):
    entries = {}
    with zipfile.ZipFile(io.BytesIO(TORCH)) as saved:
        for name in saved.namelist():
            data = saved.read(name)
            entries[name] = data.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:1") if name.endswith(".pkl") else data
    assert sum(b"cuda:1" in data for data in entries.values()) == 1
    (tmp_path / "gpu.pth").write_bytes(archive(**entries))
    assert read_checkpoint(tmp_path / "gpu.pth")["model"]["w"].equal(torch.ones(300))
