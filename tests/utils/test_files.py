"""Writing files: whole or not at all, under names of their own, and in one line where the disk takes no more."""

import contextlib
import errno
import json
import multiprocessing
import os
import threading

import pytest
import torch

from maskrcnn_benchmark.utils import files
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import (
    NotWritten,
    atomic_write,
    copy_file,
    open_lock,
    open_output,
    open_to_append,
    put_in_place,
    remove_left_overs,
    temporary_file,
    workshop,
    writing,
)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG)


@pytest.fixture
def full(monkeypatch):
    """Makes the disk take no more at one of the calls that write: full("write"), full("fsync", errno)."""

    def full(step, number=errno.ENOSPC):
        def fail(*arguments):
            raise OSError(number, os.strerror(number))

        def open_full(path, flags, mode=0o777, **folder):
            descriptor = real(path, flags, mode, **folder)
            if flags & os.O_EXCL:
                os.dup2(real("/dev/full", os.O_WRONLY), descriptor)
            return descriptor

        real = os.open
        replaced = {"write": ("open", open_full), "fsync": ("fsync", fail), "rename": ("replace", fail)}
        monkeypatch.setattr(os, *replaced[step])

    return full


CALLS = [("write", errno.ENOSPC), *((step, number) for step in ("fsync", "rename") for number in DISK_ERRORS)]


@pytest.mark.parametrize(("step", "number"), CALLS)
def test_whatever_the_disk_says_at_whatever_step_is_one_line_and_the_old_file_stays(tmp_path, full, step, number):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    full(step, number)
    with pytest.raises(NotWritten) as caught, atomic_write(path) as file:
        file.write(b"new")
    line = str(caught.value)
    assert line.startswith(f"cannot write {path}: {os.strerror(number)}; ") and "\n" not in line
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("number", DISK_ERRORS)
def test_each_error_of_a_disk_has_its_own_remedy(number):
    remedy = str(files.not_written("x", OSError(number, "words"))).partition("words; ")[2]
    assert len(remedy) > 20 and ("choose another folder" in remedy)


def test_the_runtime_error_of_torch_on_a_full_disk_is_the_disks(tmp_path, full):
    full("write")
    with pytest.raises(NotWritten, match=r"x\.pth: No space left on device"), atomic_write(tmp_path / "x.pth") as file:
        torch.save({"weights": torch.zeros(100_000)}, file)
    assert os.listdir(tmp_path) == []


def test_an_error_that_a_library_keeps_to_itself_is_raised_all_the_same(tmp_path, full):
    full("write")
    refused = pytest.raises(NotWritten, match="No space left on device")
    with refused, atomic_write(tmp_path / "x") as file, contextlib.suppress(OSError):
        file.write(bytes(100_000))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("cannot be pickled"), ZeroDivisionError(), FileNotFoundError(2, "no")])
def test_an_error_that_is_no_disks_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    assert caught.value is error and os.listdir(tmp_path) == []
    with pytest.raises((AttributeError, TypeError)), atomic_write(tmp_path / "x") as file:
        torch.save(threading.Lock(), file)
    assert os.listdir(tmp_path) == []


def test_a_file_of_the_user_that_cannot_be_written_is_never_another_files_fault(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "x"):
        open(tmp_path / "missing")  # noqa: SIM115
    words = r"cannot write .*x: Read-only file system; that file system is read-only"
    with pytest.raises(NotWritten, match=words), writing(tmp_path / "x"):
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_limit_on_the_size_of_files_is_said(tmp_path):
    resource = pytest.importorskip("resource")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, former[1]))
    try:
        with pytest.raises(NotWritten, match=r"File too large; .*ulimit -f"), atomic_write(tmp_path / "x") as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert os.listdir(tmp_path) == []


def test_a_new_file_has_the_permissions_that_open_would_give(tmp_path):
    former = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "ours") as file:
            file.write(b"1")
        with temporary_file(tmp_path / "placed") as temporary:
            put_in_place(temporary, tmp_path / "placed")
        (tmp_path / "plain").write_bytes(b"1")
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("ours", "placed", "plain"), 0o640)


@pytest.mark.parametrize("durable", [True, False])
def test_a_link_at_the_place_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path, durable):
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "x"
    path.symlink_to(outside)
    with atomic_write(path, durable) as file:
        file.write(b"new")
    assert outside.read_bytes() == b"mine" and path.read_bytes() == b"new" and not path.is_symlink()


def test_links_at_every_name_that_could_be_foreseen_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (".x.tmp", "x.partial", ".x.part", f".x.{os.getpid()}.part", ".x.part.mp4", ".x", "log", "lock"):
        (folder / name).symlink_to(outside)
    with atomic_write(folder / "x") as file:
        file.write(b"new")
    with temporary_file(folder / "x", ".mp4") as temporary:
        assert not temporary.is_symlink() and temporary.name.endswith(".mp4")
    for opened in (open_to_append, open_lock):
        with pytest.raises(NotWritten, match="it is a symbolic link, which is not followed: remove it"):
            opened(folder / "log")
    with pytest.raises(NotWritten, match="symbolic link"), open_output(folder / "log", "wb"):
        pass
    assert outside.read_bytes() == b"mine"


def test_a_device_or_a_folder_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, words in (("pipe", "it is a device, a pipe or a socket"), ("folder", "it is a folder: remove it")):
        with pytest.raises(NotWritten, match=words), atomic_write(tmp_path / name):
            pass
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"] and not (tmp_path / "pipe").is_file()


def test_of_writers_at_one_time_each_ends_well_and_one_of_them_decides(tmp_path):
    path, start = tmp_path / "x.json", threading.Barrier(8)

    def write(number):
        start.wait()
        for _ in range(20):
            with atomic_write(path, durable=False) as file:
                for _ in range(50):
                    file.write(json.dumps([number] * 100).encode() + b"\n")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 50 and len(set(lines)) == 1 and os.listdir(tmp_path) == ["x.json"]


def die_while(make, path):
    with make(path):
        os._exit(9)


def left_by_a_killed_process(make, path):
    """The name of what a process left that was killed while it wrote `path`."""
    before = set(os.listdir(path.parent))
    process = multiprocessing.get_context("fork").Process(target=die_while, args=(make, path))
    process.start()
    process.join()
    (name,) = set(os.listdir(path.parent)) - before
    assert name.startswith(f".{path.name}.{process.pid}-") and name.endswith(".tmp")
    return name


@pytest.mark.parametrize("make", [atomic_write, temporary_file, workshop])
def test_the_next_who_writes_into_a_folder_removes_what_a_killed_process_left(tmp_path, make, caplog):
    left_by_a_killed_process(make, tmp_path / "other")
    (tmp_path / ".hidden.tmp").write_bytes(b"mine")
    with atomic_write(tmp_path / "x") as file:
        file.write(b"1")
    assert sorted(os.listdir(tmp_path)) == [".hidden.tmp", "x"]
    assert caplog.messages == [f"removed 1 temporary file(s) that killed processes have left in {tmp_path}"]


def test_what_a_process_at_work_or_another_machine_has_made_stays(tmp_path):
    name = left_by_a_killed_process(atomic_write, tmp_path / "x")
    _, target, owner, *_ = name.split(".")
    number, born, machine, random = owner.split("-")
    (tmp_path / name).rename(tmp_path / f".{target}.{number}-{born}-00000000-{random}.tmp")  # another machine's
    with temporary_file(tmp_path / "y") as at_work:
        assert remove_left_overs(tmp_path) == 0 and at_work.exists() and len(os.listdir(tmp_path)) == 2
    own, _, _, _ = at_work.name.split(".")[2].split("-")
    reused = tmp_path / f".{target}.{own}-{1}-{machine}-{random}.tmp"  # a former process of the same number
    reused.touch()
    assert remove_left_overs(tmp_path) == 1 and not reused.exists()


def test_a_link_that_is_named_as_a_left_over_takes_nothing_with_it(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "mine").touch()
    name = left_by_a_killed_process(workshop, folder / "x")
    (folder / name).rmdir()
    (folder / name).symlink_to(outside, target_is_directory=True)
    assert remove_left_overs(folder) == 1 and os.listdir(folder) == [] and os.listdir(outside) == ["mine"]


def test_a_name_as_long_as_file_systems_allow_can_be_written(tmp_path):
    name = "ü" * 120 + ".json"
    with atomic_write(tmp_path / name) as file:
        file.write(b"1")
    assert os.listdir(tmp_path) == [name]


def test_a_copy_says_which_of_the_two_files_is_at_fault(tmp_path, full):
    (tmp_path / "source").write_bytes(bytes(3_000_000))
    copy_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == bytes(3_000_000)
    with pytest.raises(UserError, match=r"cannot read .*missing: No such file"):
        copy_file(tmp_path / "missing", tmp_path / "third")
    full("write")
    with pytest.raises(NotWritten, match=r"cannot write .*fourth: No space left on device"):
        copy_file(tmp_path / "source", tmp_path / "fourth")


def test_what_lies_in_a_workshop_is_called_by_its_name_to_be(tmp_path, full):
    full("write")
    with pytest.raises(NotWritten) as caught, workshop(tmp_path / "set") as fresh:
        fresh.mkdir()
        with open_output(fresh / "a.jpg") as file:
            file.write(b"1")
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'set' / 'a.jpg'}: No space left")
    assert os.listdir(tmp_path) == []
