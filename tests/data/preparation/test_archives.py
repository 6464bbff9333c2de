"""Archives of strangers: whatever their readers raise is one line, and nothing is written outside of what was asked."""

import gzip
import io
import os
import struct
import tarfile
import zipfile

import pytest

from maskrcnn_benchmark.data.preparation.archives import Limits, copy_files, is_archive, list_files
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import NotWritten

LIMITS = Limits(100, 1 << 20)
FILES = {f"d/{i}.txt": b"some words " * (9 * i + 1) for i in range(4)}


def zipped(files=FILES, method=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(mode="w:gz", files=FILES):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def unpacked(path, folder):
    """{name: content} of what an archive holds."""
    sizes = list_files(path, LIMITS)
    targets = {name: folder / f"out{i}" for i, name in enumerate(sizes)}
    copy_files(path, targets, sizes)
    return {name: target.read_bytes() for name, target in targets.items()}


def written(folder, data):
    path = folder / "a.bin"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_was_zipped_comes_out_again(tmp_path, method):
    assert unpacked(written(tmp_path, zipped(method=method)), tmp_path) == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_a_tar_archive_holds_comes_out_again(tmp_path, mode):
    assert unpacked(written(tmp_path, tarred(mode)), tmp_path) == FILES


def test_damaged_archives_are_one_line_that_names_them(tmp_path, fuzzing):
    sound = [zipped(method=method) for method in (0, 8, 12, 14)] + [tarred(f"w{kind}") for kind in ("", ":gz", ":xz")]
    sound.append(gzip.compress(b"words" * 99))
    refused = 0
    for rng in fuzzing.seeds("archives", 300):
        path = written(tmp_path, fuzzing.damage_bytes(rng, rng.choice(sound))[0])
        try:
            if is_archive(path):
                unpacked(path, tmp_path)
        except UserError as error:
            refused += 1
            assert "a.bin" in str(error) and "\n" not in str(error)
    assert refused > 60 and len(os.listdir(tmp_path)) <= 6


def test_an_entry_without_a_name_is_refused(tmp_path):
    data = zipped({"x": b"1"})
    place = data.index(b"PK\1\2")
    data = data[: place + 28] + bytes(2) + data[place + 30 : place + 46] + data[place + 47 :]
    end = data.index(b"PK\5\6")
    data = data[: end + 12] + struct.pack("<I", end - place) + data[end + 16 :]
    with pytest.raises(UserError, match=r"a\.bin: its entry '' has no name; nothing of this archive is unpacked"):
        list_files(written(tmp_path, data), LIMITS)


def test_a_directory_of_too_many_entries_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = written(tmp_path, zipped({f"{i}": b"" for i in range(300)}))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the directory was read"))
    with pytest.raises(UserError, match=r"a\.bin holds more than 100 entries"):
        list_files(path, LIMITS)


def test_a_header_that_claims_gigabytes_is_no_reason_to_read_them(tmp_path):
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    data = header.tobuf(tarfile.GNU_FORMAT) + bytes(20 << 20)
    path = written(tmp_path, gzip.compress(data, 1))
    with pytest.raises(UserError, match=r"a\.bin"):
        list_files(path, Limits(100, 1 << 20))


def test_a_full_disk_is_not_said_to_be_the_archives_fault(tmp_path):
    path = written(tmp_path, zipped())
    sizes = list_files(path, LIMITS)
    with pytest.raises(NotWritten, match=r"^cannot write .*nowhere/file: No such file or directory"):
        copy_files(path, {"d/1.txt": tmp_path / "nowhere" / "file"}, sizes)


def test_links_within_an_archive_are_told_and_left_out(tmp_path, caplog):
    path = tmp_path / "linked.tar"
    with tarfile.open(path, "w") as archive:
        for name, target in (("a.png", None), ("b.png", "a.png"), ("c.png", "a.png")):
            member = tarfile.TarInfo(name)
            if target:
                member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    assert list_files(path, Limits(10, 100)) == {"a.png": 0}
    assert "2 links, such as b.png, left out" in caplog.text
