"""Putting PASCAL in Detail in place: from every kind of archive, from hostile and damaged ones, and again."""

import gzip
import importlib.util
import io
import json
import multiprocessing
import os
import shutil
import sqlite3
import stat
import sys
import tarfile
import types
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import toy_panoptic
from PIL import Image

from maskrcnn_benchmark.data.preparation import archives, placing
from maskrcnn_benchmark.data.preparation.archives import Limits, list_files
from maskrcnn_benchmark.data.preparation.placing import place_annotations, place_images
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import workshop

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"
VOC = "VOCdevkit/VOC2010/"
PICTURES = {f"2008_00000{k}.jpg": bytes([k]) * (1000 + k) for k in range(1, 5)}
CONTENT = {"images": [{"image_id": 1, "file_name": "2008_000001.jpg"}, {"image_id": 2, "file_name": "2008_000003.jpg"}]}
JSON = json.dumps(CONTENT).encode()
ROOMY = Limits(entries=1000, size=1 << 20)


def write_tar(path, files, mode="w", more=()):
    """A tar archive of {name: bytes}, and of the `TarInfo` in `more`."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def voc_files():
    names = {f"{VOC}JPEGImages/{name}": content for name, content in PICTURES.items()}
    return {f"{VOC}Annotations/2008_000001.xml": b"<a/>", **names, f"{VOC}JPEGImages/Thumbs.db": b"no image"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def detail(tmp_path):
    """The data set's folder; after a test nothing half-made lies in it."""
    folder = tmp_path / "datasets" / "detail"
    folder.mkdir(parents=True)
    yield folder
    assert not list(folder.glob(".*"))


@pytest.fixture
def voc(tmp_path):
    return write_tar(tmp_path / "VOCtrainval_03-May-2010.tar", voc_files())


@pytest.fixture
def tool(monkeypatch):
    """The tool, with a preparation that makes an index of the tables that the tool looks at."""

    def prepare(source, index=None, images=None, workers=0, progress=False, content=None):
        content = json.loads(Path(source).read_text())
        index = Path(source).with_name("annotations.index.sqlite")
        index.unlink(missing_ok=True)
        with closing(sqlite3.connect(index)) as connection, connection:
            connection.execute("CREATE TABLE images (image_id, file_name)")
            rows = [(row["image_id"], row["file_name"]) for row in content["images"]]
            connection.executemany("INSERT INTO images VALUES (?, ?)", rows)
            for table in ("categories", "parts", "segmentation", "boundary", "occlusion", "joints", "problems"):
                connection.execute(f"CREATE TABLE {table} (number)")
                count = content.get("counts", {}).get(table, 3)
                connection.executemany(f"INSERT INTO {table} VALUES (?)", [(k,) for k in range(count)])
        prepare.calls.append((Path(source), Path(images)))
        return index, True

    prepare.calls = []
    name = "maskrcnn_benchmark.data.preparation.build_index"
    fake = types.ModuleType(name)
    fake.prepare = prepare
    monkeypatch.setitem(sys.modules, name, fake)
    spec = importlib.util.spec_from_file_location("prepare_data", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prepare_data", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_images_come_out_of_every_kind_of_archive_byte_for_byte(tmp_path, detail, kind):
    path = tmp_path / f"voc.{kind}"
    write_zip(path, voc_files()) if kind == "zip" else write_tar(path, voc_files(), f"w:{kind[4:]}")
    assert place_images(path, detail).endswith("images: 4 images put there, 0 were there")
    assert contents(detail / "images") == PICTURES
    assert stat.S_IMODE((detail / "images").stat().st_mode) == stat.S_IMODE(detail.stat().st_mode)


@pytest.mark.parametrize("above", ["", "VOCdevkit", "VOCdevkit/VOC2010", "VOCdevkit/VOC2010/JPEGImages"])
def test_an_unpacked_folder_is_linked_to_or_copied(tmp_path, detail, above):
    for name, content in voc_files().items():
        (tmp_path / "there" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / name).write_bytes(content)
    folder = tmp_path / "there" / above
    assert "a link to" in place_images(folder, detail)
    images = detail / "images"
    assert images.is_symlink() and images.samefile(tmp_path / "there" / VOC / "JPEGImages")
    assert place_images(folder, detail).endswith("already")
    images.unlink()
    place_images(folder, detail, copy=True)
    assert not images.is_symlink() and contents(images) == PICTURES


def test_a_folder_of_jpegs_may_have_any_name(tmp_path, detail):
    (tmp_path / "pictures").mkdir()
    for name, content in PICTURES.items():
        (tmp_path / "pictures" / name).write_bytes(content)
    assert "a link to" in place_images(tmp_path / "pictures", detail)
    assert contents(detail / "images") == PICTURES


def test_what_is_there_stays_and_what_is_missing_comes(voc, detail):
    (detail / "images").mkdir()
    mine = b"m" * len(PICTURES["2008_000001.jpg"])
    (detail / "images" / "2008_000001.jpg").write_bytes(mine)
    (detail / "images" / "mine.jpg").write_bytes(b"mine")
    before = (detail / "images" / "2008_000001.jpg").stat().st_mtime_ns
    assert place_images(voc, detail).endswith("3 images put there, 1 were there")
    assert contents(detail / "images") == {**PICTURES, "2008_000001.jpg": mine, "mine.jpg": b"mine"}
    assert (detail / "images" / "2008_000001.jpg").stat().st_mtime_ns == before
    assert place_images(voc, detail).endswith("0 images put there, 4 were there")


def test_an_image_of_another_size_stops_everything_and_stays(voc, detail):
    (detail / "images").mkdir()
    (detail / "images" / "2008_000002.jpg").write_bytes(b"other")
    with pytest.raises(UserError, match=r"images has 1 image of another size than .*\(such as 2008_000002\.jpg\)"):
        place_images(voc, detail)
    assert contents(detail / "images") == {"2008_000002.jpg": b"other"}


def test_images_that_a_link_leads_to_are_completed_there(tmp_path, voc, detail):
    elsewhere = tmp_path / "disk" / "jpegs"
    elsewhere.mkdir(parents=True)
    (detail / "images").symlink_to(elsewhere)
    place_images(voc, detail)
    assert contents(elsewhere) == PICTURES and (detail / "images").is_symlink()


@pytest.mark.parametrize("kind", ["json", "json.gz", "zip", "tar.gz", "tar"])
def test_the_annotation_file_comes_out_of_every_packing(tmp_path, detail, kind):
    path = tmp_path / f"trainval_withkeypoints.{kind}"
    inside = {"data/trainval_withkeypoints.json": JSON, "data/trainval_merged.json": b"{}", "data/readme.txt": b"hi"}
    if kind == "json":
        path.write_bytes(JSON)
    elif kind == "json.gz":
        path.write_bytes(gzip.compress(JSON))
    elif kind == "zip":
        write_zip(path, {**inside, "__MACOSX/data/trainval_withkeypoints.json": b"shadow"})
    else:
        write_tar(path, inside, "w:gz" if kind == "tar.gz" else "w")
    place_annotations(path, detail)
    assert (detail / "annotations.json").read_bytes() == JSON
    assert (detail / "annotations.json").is_symlink() == (kind == "json")
    assert place_annotations(path, detail).endswith("was there")
    (detail / "annotations.json").unlink()
    place_annotations(path, detail, copy=True)
    assert (detail / "annotations.json").read_bytes() == JSON and not (detail / "annotations.json").is_symlink()


def test_another_annotation_file_is_not_overwritten(tmp_path, detail):
    (detail / "annotations.json").write_bytes(b"{}")
    (tmp_path / "new.json").write_bytes(JSON)
    for path in (tmp_path / "new.json", write_zip(tmp_path / "new.zip", {"new.json": JSON})):
        with pytest.raises(UserError, match=r"annotations\.json is there, of another size than new\.json"):
            place_annotations(path, detail)
    assert (detail / "annotations.json").read_bytes() == b"{}"


def test_several_unknown_json_files_or_none_are_listed(tmp_path, detail):
    with pytest.raises(UserError, match=r"must hold one annotation file, but its JSON files are: a\.json, b\.json"):
        place_annotations(write_zip(tmp_path / "two.zip", {"a.json": b"1", "b.json": b"2"}), detail)
    with pytest.raises(UserError, match="its JSON files are: none"):
        place_annotations(write_zip(tmp_path / "none.zip", {"a.txt": b"1", "b.txt": b"2"}), detail)


OUTSIDE = "leads out of the archive"
LINK = "is a link that leads out of the archive"
HOSTILE = [
    (special("/etc/evil.jpg", tarfile.REGTYPE), OUTSIDE),
    (special("../evil.jpg", tarfile.REGTYPE), OUTSIDE),
    (special(f"{VOC}JPEGImages/../../../../evil.jpg", tarfile.REGTYPE), OUTSIDE),
    (special(f"{VOC}JPEGImages/..\\evil.jpg", tarfile.REGTYPE), "is no name that every system understands"),
    (special("C:/evil.jpg", tarfile.REGTYPE), "is no name that every system understands"),
    (special("link", tarfile.SYMTYPE, "/etc/passwd"), LINK),
    (special("a/b/link", tarfile.SYMTYPE, "../../../x"), LINK),
    (special("a/link", tarfile.LNKTYPE, "../x"), LINK),
    (special("null", tarfile.CHRTYPE), "is a device or another special file"),
    (special("disk", tarfile.BLKTYPE), "is a device or another special file"),
    (special("pipe", tarfile.FIFOTYPE), "is a device or another special file"),
    (special(f"{VOC}JPEGImages/2008_000001.jpg", tarfile.REGTYPE), "occurs twice"),
]


@pytest.mark.parametrize(("member", "reason"), HOSTILE, ids=lambda value: getattr(value, "name", value)[-20:])
def test_one_hostile_entry_and_nothing_is_unpacked(tmp_path, detail, member, reason):
    path = write_tar(tmp_path / "voc.tar", voc_files(), more=[member])
    with pytest.raises(UserError, match=f"{reason}; nothing of this archive is unpacked"):
        place_images(path, detail)
    assert not list(detail.iterdir())
    assert {each.name for each in tmp_path.iterdir()} == {"voc.tar", "datasets"}


@pytest.mark.parametrize("name", ["/evil.json", "a/../../evil.json", "a\\..\\evil.json"])
def test_hostile_names_in_zip_archives_are_refused(tmp_path, detail, name):
    with pytest.raises(UserError, match="nothing of this archive is unpacked"):
        place_annotations(write_zip(tmp_path / "a.zip", {"a.json": JSON, name: b"evil"}), detail)
    assert not list(detail.iterdir())


def test_links_in_zip_archives_are_refused(tmp_path, detail):
    link = zipfile.ZipInfo("a.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link or a special file"):
        place_annotations(tmp_path / "a.zip", detail)


def test_links_within_an_archive_are_no_images(tmp_path, detail):
    more = [special(f"{VOC}JPEGImages/linked.jpg", tarfile.SYMTYPE, "2008_000001.jpg")]
    place_images(write_tar(tmp_path / "voc.tar", voc_files(), more=more), detail)
    assert contents(detail / "images") == PICTURES


def test_limits_on_size_and_count_hold_before_anything_is_written(tmp_path, detail, monkeypatch):
    files = {f"{VOC}JPEGImages/{k}.jpg": b"x" * 1000 for k in range(10)}
    archive = write_tar(tmp_path / "voc.tar.gz", files, "w:gz")
    assert sum(list_files(archive, Limits(10, 10_000)).values()) == 10_000
    with pytest.raises(UserError, match="holds more than 9 entries"):
        list_files(archive, Limits(9, 10_000))
    monkeypatch.setattr(placing, "VOC_LIMITS", Limits(10, 9_999))
    with pytest.raises(UserError, match=r"would unpack to more than .* GiB; it is not the expected archive"):
        place_images(archive, detail)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b"0" * 5_000_000))
    monkeypatch.setattr(placing, "JSON_LIMITS", Limits(1, 1_000_000))
    with pytest.raises(UserError, match="would unpack to more than"):
        place_annotations(bomb, detail)
    assert not list(detail.iterdir())


def test_a_file_longer_or_shorter_than_listed_is_damage(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a": b"12345"})
    for wrong in (4, 6):
        with pytest.raises(UserError, match="another length than its entry says"):
            archives.copy_files(path, {"a": tmp_path / "out"}, {"a": wrong})


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_archives_cut_off_anywhere_leave_nothing(tmp_path, detail, kind):
    path = tmp_path / f"voc.{kind}"
    write_zip(path, voc_files()) if kind == "zip" else write_tar(path, voc_files(), f"w:{kind[4:]}")
    whole = path.read_bytes()
    end = len(whole) if kind != "tar" else whole.rindex(b"no image")  # behind it a tar archive is mere padding
    for part in (0.2, 0.5, 0.9):
        path.write_bytes(whole[: int(end * part)])
        try:
            place_images(path, detail)
        except UserError as error:
            assert not list(detail.iterdir()) and str(path) in str(error)
        else:  # a tar archive may end behind any file
            assert kind == "tar" and contents(detail / "images").items() <= PICTURES.items()
            shutil.rmtree(detail / "images")


def test_encrypted_unknown_and_missing_files_are_the_users_error(tmp_path, detail, voc):
    locked = write_zip(tmp_path / "locked.zip", {"a.json": JSON})
    data = bytearray(locked.read_bytes())
    data[6] |= 1
    data[data.rindex(b"PK\1\2") + 8] |= 1
    locked.write_bytes(data)
    with pytest.raises(UserError, match=r"locked\.zip cannot be read"):
        place_annotations(locked, detail)
    (tmp_path / "noise").write_bytes(b"noise" * 999)
    with pytest.raises(UserError, match="noise is no tar, zip or gzip archive"):
        place_images(tmp_path / "noise", detail)
    with pytest.raises(UserError, match=r"VOC: there is no .*nowhere\.tar; datasets/README\.md"):
        place_images(tmp_path / "nowhere.tar", detail)
    with pytest.raises(UserError, match="holds no folder JPEGImages"):
        place_images(write_tar(tmp_path / "b.tar", {"a/b.jpg": b"1"}), detail)
    with pytest.raises(UserError, match="holds no JPEGs, and no JPEGImages where VOC2010 has it"):
        place_images(tmp_path, detail)


def test_of_several_years_the_right_one_is_taken(tmp_path, detail):
    files = {**voc_files(), "VOCdevkit/VOC2007/JPEGImages/000001.jpg": b"old"}
    place_images(write_tar(tmp_path / "voc.tar", files), detail)
    assert contents(detail / "images") == PICTURES


def _make_and_be_killed(path):
    """What a killed run leaves beside a path."""

    def make():
        with workshop(path):
            os._exit(9)

    process = multiprocessing.get_context("fork").Process(target=make)
    process.start()
    process.join()
    assert [left.name for left in path.parent.glob(".*.tmp")]


def test_an_interruption_leaves_nothing_half_made_and_a_second_run_ends_it(voc, detail, monkeypatch):
    real, calls = os.rename, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(source, target)

    (detail / "images").mkdir()
    monkeypatch.setattr(placing.os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place_images(voc, detail)
    assert contents(detail / "images").items() < PICTURES.items()
    _make_and_be_killed(detail / "images")
    assert place_images(voc, detail).endswith("3 images put there, 1 were there")
    assert contents(detail / "images") == PICTURES


def test_a_full_disk_is_told_before_and_during(voc, detail, monkeypatch):
    monkeypatch.setattr(placing.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10))
    with pytest.raises(UserError, match=r"has 0\.0 GiB free"):
        place_images(voc, detail)
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(placing, "copy_files", full)
    with pytest.raises(UserError, match=r"cannot write .*images: No space left on device"):
        place_images(voc, detail)
    assert not list(detail.iterdir())


def test_one_command_puts_all_in_place_and_says_so(tool, tmp_path, detail, voc, capsys):
    annotations = write_zip(tmp_path / "detail.zip", {"trainval_withkeypoints.json": JSON})
    options = ["--data-dir", str(detail.parent), "--expect", "4"]
    assert tool.main(["--annotations", str(annotations), "--voc", str(voc), *options]) == 0
    assert tool.prepare.calls == [(detail / "annotations.json", detail / "images")]
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok  ") for line in lines[2:])
    for text in ("4 of 4 in", "images with annotations: 2 of 2", "annos_joints: 3 people's joints", "3 findings"):
        assert any(text in line for line in lines), text
    assert tool.main(options) == 0  # nothing given: what is there is checked


def test_what_is_missing_is_said_with_the_remedy(tool, tmp_path, detail, voc, capsys):
    options = ["--data-dir", str(detail.parent)]
    assert tool.main(options) == 1
    out = capsys.readouterr().out
    assert "missing  annotations: no" in out and "make data DETAIL_JSON=FILE" in out
    assert "missing  images of VOC2010: 0 of 10103" in out and "make data VOC=FILE" in out
    content = {"images": [*CONTENT["images"], {"image_id": 3, "file_name": "x.jpg"}], "counts": {"joints": 0}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert tool.main(["--voc", str(voc), "--annotations", str(tmp_path / "a.json"), "--expect", "4", *options]) == 1
    out = capsys.readouterr().out
    assert "missing  images with annotations: 2 of 3: x.jpg and 0 more are not in" in out
    assert "missing  annos_joints: 0 people's joints: without them the keypoint task cannot be trained" in out
    assert "ok       annos_boundary: 3 boundary maps" in out


def test_a_section_that_some_tasks_do_without_is_no_failure(tool, tmp_path, detail, voc):
    (tmp_path / "a.json").write_text(json.dumps({**CONTENT, "counts": {"joints": 0, "parts": 0}}))
    options = ["--voc", str(voc), "--annotations", str(tmp_path / "a.json"), "--expect", "4"]
    assert tool.main([*options, "--data-dir", str(detail.parent)]) == 0


@pytest.fixture
def alone():
    """The tool itself, without the doubles of others."""
    spec = importlib.util.spec_from_file_location("prepare_data_alone", TOOL)
    tool = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "prepare_data_alone", tool)
        spec.loader.exec_module(tool)
    return tool


def test_a_file_in_cocos_panoptic_layout_is_checked_without_an_index(alone, tmp_path, capsys):
    root = tmp_path / "scenes"
    root.mkdir()
    toy_panoptic.save(root, toy_panoptic.content()).rename(root / "annotations.json")
    (root / "panoptic").rename(root / "annotations")
    options = ["--data-dir", str(tmp_path), "--name", "scenes", "--workers", "0"]
    assert alone.main(options) == 1
    out = capsys.readouterr().out
    assert "ok       segments: of 2 images" in out and "images: 0 of 3: 12.jpg and 2 more are not in" in out
    for key in (7, 12, 30):
        Image.new("RGB", (6, 3)).save(root / "images" / f"{key}.jpg")
    assert alone.main(options) == 0 and "ok       images: 3 of 3" in capsys.readouterr().out


def test_a_file_in_cocos_layout_is_prepared_as_such(alone, tmp_path, capsys):
    tool = alone
    images = [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in (1, 2)]
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "segmentation": [], "iscrowd": "0"}
    content = {"images": images, "categories": [{"id": 1, "name": "crate"}], "annotations": [box]}
    folder = tmp_path / "crates"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(content))
    Image.new("RGB", (8, 8)).save(folder / "images" / "1.png")
    options = ["--data-dir", str(tmp_path), "--name", "crates", "--workers", "0"]
    assert tool.main(options) == 1
    out = capsys.readouterr().out
    assert "images: 1 that can be used: 1 image is missing, such as" in out and "2.png of image 2" in out
    Image.new("RGB", (8, 8)).save(folder / "images" / "2.png")
    assert tool.main(options) == 0
    out = capsys.readouterr().out
    assert "iscrowd is not 0 or 1" in out and "segmentation encloses nothing, so its object has a box" in out
    assert "ok       images: 2 that can be used" in out
    content["annotations"] = []
    (folder / "annotations.json").write_text(json.dumps(content))
    assert tool.main(options) == 1
    assert "missing  annotations to train on: none of its 2 images has an annotation" in capsys.readouterr().out
