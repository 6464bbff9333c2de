"""MATLAB's files: read as scipy reads them, and refused where they are of version 7.3, damaged or hostile."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from maskrcnn_benchmark.data import mat_file
from maskrcnn_benchmark.data.mat_file import read_mat
from maskrcnn_benchmark.utils.errors import UserError

HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind, dims, *more, name=b"LabelMap"):
    flags, size = element(6, struct.pack("<II", kind, 0)), element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, flags + size + element(1, name) + b"".join(more))


@pytest.mark.parametrize("packed", [True, False])
def test_a_variable_is_read_as_it_was_written(tmp_path, packed):
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    savemat(tmp_path / "a.mat", {"LabelMap": labels, "other": 1}, do_compression=packed)
    assert read_mat(tmp_path / "a.mat", "LabelMap").tolist() == labels.tolist()


def test_version_7_3_is_refused_with_the_remedy(tmp_path):
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n"
    for data in (header, header[512:] + bytes(100)):
        (tmp_path / "a.mat").write_bytes(data)
        with pytest.raises(UserError, match=r"a\.mat is a \.mat file of MATLAB 7\.3 .* save\(\.\.\., '-v7'\)"):
            read_mat(tmp_path / "a.mat", "LabelMap")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"not MATLAB", "no header of MATLAB 5 to 7"),
        (HEADER + struct.pack("<II", 14, 1000), "cut off"),
        (HEADER + element(15, b"no zlib"), "decompressing"),
        (HEADER + array(1, (1 << 20, 1)), "more elements than there are"),
        (HEADER + array(1, (1 << 16, 1 << 16)), "impossible size"),
        (HEADER + array(9, (-1, 1)), "impossible size"),
        (HEADER + array(3, (1, 1)), "an object or a sparse array"),
        (HEADER + array(9, (2, 2), struct.pack("<II", 2, 100)), "longer than what holds it"),
    ],
)
def test_damaged_and_hostile_files_are_one_line(tmp_path, content, words):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UserError, match=f"a\\.mat cannot be read as a \\.mat file .*{words}.*unpack it again"):
        read_mat(tmp_path / "a.mat", "LabelMap")


def test_arrays_within_arrays_without_end_are_refused(tmp_path):
    inner = array(9, (1, 1), element(2, b"\1"), name=b"")
    for _ in range(40):
        inner = array(1, (1, 1), inner, name=b"")
    (tmp_path / "a.mat").write_bytes(HEADER + inner)
    with pytest.raises(UserError, match="deeper"):
        read_mat(tmp_path / "a.mat", "LabelMap")


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(mat_file, "MOST_UNPACKED", 1 << 20)
    (tmp_path / "a.mat").write_bytes(HEADER + element(15, zlib.compress(bytes(8 << 20))))
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        read_mat(tmp_path / "a.mat", "LabelMap")
    monkeypatch.setattr(mat_file, "MOST_BYTES", 1 << 10)
    with pytest.raises(UserError, match="has more than 0 MiB"):
        read_mat(tmp_path / "a.mat", "LabelMap")


def test_sparse_arrays_missing_variables_and_missing_files_are_named(tmp_path):
    savemat(tmp_path / "a.mat", {"LabelMap": csc_array(np.eye(3))})
    with pytest.raises(UserError, match="a sparse array"):
        read_mat(tmp_path / "a.mat", "LabelMap")
    savemat(tmp_path / "b.mat", {"other": 1})
    with pytest.raises(UserError, match="no variable 'LabelMap'"):
        read_mat(tmp_path / "b.mat", "LabelMap")
    with pytest.raises(UserError, match=r"cannot read .*c\.mat"):
        read_mat(tmp_path / "c.mat", "LabelMap")
