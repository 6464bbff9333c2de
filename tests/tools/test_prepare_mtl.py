"""The archives of multi-task papers: put in place from folders and archives, counted, and indexed."""

import tarfile

import numpy as np
import pytest
import torch
from mtl_sets import PERSON, draw_scene, write_anno, write_nyud, write_pascal
from PIL import Image

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.datasets import PascalContextMTLDataset
from maskrcnn_benchmark.data.pascal_parts import PartIndex
from maskrcnn_benchmark.data.preparation import mtl_placing
from maskrcnn_benchmark.data.preparation.mtl_placing import place_mtl
from maskrcnn_benchmark.data.preparation.part_index import index_parts
from maskrcnn_benchmark.utils.errors import UserError
from tools import prepare_data

SCENES = {"2008_000002": draw_scene(), "2008_000003": draw_scene(with_person=False)}


@pytest.fixture
def pascal(tmp_path):
    return write_pascal(tmp_path / "from" / "PASCAL_MT", SCENES, voc12=["2008_000002"])


@pytest.fixture
def datasets(tmp_path):
    folder = tmp_path / "datasets"
    folder.mkdir()
    return folder


def pack(folder, inside):
    path = folder.parent / "archive.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, inside)
    return path


def few_images(monkeypatch, number=2):
    archives = {name: each._replace(images={"train": number, "val": number}) for name, each in ARCHIVES.items()}
    monkeypatch.setattr(mtl_placing, "ARCHIVES", archives)


ARCHIVES = dict(mtl_placing.ARCHIVES)


def test_published_counts():
    assert ARCHIVES["pascal_context_mtl"].images == {"train": 4998, "val": 5105}
    assert ARCHIVES["nyud_mtl"].images == {"train": 795, "val": 654}


@pytest.mark.parametrize("given", ["PASCAL_MT", ""])
def test_a_folder_or_the_one_above_is_linked_to(pascal, datasets, given):
    source = pascal if given else pascal.parent
    assert "a link to" in place_mtl(source, "pascal_context_mtl", datasets)
    assert (datasets / "pascal_context_mtl").resolve() == pascal.resolve()
    assert "was there" in place_mtl(source, "pascal_context_mtl", datasets)


def test_a_folder_is_copied_on_request(pascal, datasets):
    place_mtl(pascal, "pascal_context_mtl", datasets, copy=True)
    placed = datasets / "pascal_context_mtl"
    assert not placed.is_symlink() and len(PascalContextMTLDataset(placed, "val")) == 2


@pytest.mark.parametrize("inside", ["PASCALContext", ".", "home/me/PASCAL_MT"])
def test_an_archive_is_unpacked_wherever_its_folder_lies_and_nothing_else_is_taken(pascal, datasets, inside):
    (pascal / "run.sh").write_text("rm -rf /")
    (pascal / "JPEGImages" / "more.py").write_text("")
    place_mtl(pack(pascal, inside), "pascal_context_mtl", datasets)
    placed = datasets / "pascal_context_mtl"
    dataset, original = (PascalContextMTLDataset(folder, "train") for folder in (placed, pascal))
    assert dataset.completeness() == original.completeness() and all(not s.missing for s in dataset.completeness())
    assert not (placed / "run.sh").exists() and not (placed / "JPEGImages" / "more.py").exists()
    assert sorted(path.name for path in datasets.iterdir()) == ["pascal_context_mtl"]


def test_other_archives_and_folders_are_refused(pascal, datasets, tmp_path):
    with pytest.raises(UserError, match=r"NYUD: .* holds no gt_sets/train\.txt with a folder images"):
        place_mtl(pascal, "nyud_mtl", datasets)
    with pytest.raises(UserError, match=r"NYUD: .* holds no gt_sets/train\.txt with images; is it another archive"):
        place_mtl(pack(pascal, "PASCAL_MT"), "nyud_mtl", datasets)
    with pytest.raises(UserError, match=r"PASCAL_MT: there is no .*nothing\.tgz"):
        place_mtl(tmp_path / "nothing.tgz", "pascal_context_mtl", datasets)
    assert not list(datasets.iterdir())


def test_the_tool_says_what_is_complete_and_indexes_the_parts(pascal, datasets, monkeypatch, capsys):
    few_images(monkeypatch)
    (pascal / "sal_distill" / "2008_000003.png").unlink()
    arguments = ["--pascal-mt", str(pascal), "--data-dir", str(datasets), "--workers", "1"]
    assert prepare_data.main(arguments) == 0
    said = capsys.readouterr().out
    assert "ok       pascal_context_mtl_train: 2 of 2 images" in said
    assert "missing  pascal_context_mtl_val, saliency: 1 of 2 labels: 1 of 2 files are missing in sal_distill" in said
    assert "complete are 4 of 5 tasks: semantic, part, normals, boundary" in said
    assert (datasets / "pascal_context_mtl" / "human_parts.index.sqlite").is_file()
    assert prepare_data.main(["--data-dir", str(datasets)]) == 0  # alone it says it again
    assert "complete are 4 of 5 tasks" in capsys.readouterr().out


@pytest.mark.parametrize("layout", ["NYUDv2", "NYUD_MT"])
def test_maps_of_another_size_are_found_before_a_training_reads_them(datasets, tmp_path, capsys, monkeypatch, layout):
    few_images(monkeypatch)
    mixed = write_nyud(tmp_path / "NYUD_MT", SCENES, layout=layout)
    for path in (mixed / "images").iterdir():
        Image.open(path).resize((56, 42)).save(path)
    write_nyud(tmp_path / "larger", {"2008_000003": draw_scene((56, 42))}, layout=layout)
    for folder in ("depth", "edge", "segmentation"):
        (path,) = (tmp_path / "larger" / folder).iterdir()
        path.rename(mixed / folder / path.name)
    assert prepare_data.main(["--nyud", str(mixed), "--data-dir", str(datasets)]) == 1
    said = capsys.readouterr().out
    for folder, number in (("depth", "1 map"), ("edge", "1 map"), ("segmentation", "1 map"), ("normals", "2 maps")):
        assert f"missing  nyud_mtl, {folder}: {number} of another size than the image, such as 2008_000002" in said


def test_lists_of_another_length_than_published_fail(datasets, tmp_path, capsys):
    root = write_nyud(tmp_path / "NYUD_MT", SCENES, layout="NYUD_MT")
    assert prepare_data.main(["--nyud", str(root), "--data-dir", str(datasets)]) == 1
    said = capsys.readouterr().out
    assert "missing  nyud_mtl_train: 2 of 795 images: it is not the published list" in said
    assert "nyud_mtl: complete are 4 of 4 tasks: semantic, normals, depth, boundary" in said


def test_the_catalog_opens_what_is_placed_and_says_how_to_get_it(pascal, datasets):
    cfg = default_cfg.clone()
    cfg.DATASETS.DATA_DIR = str(datasets)
    cfg.MODEL.SEMANTIC_ON = True
    with pytest.raises(UserError, match="make data PASCAL_MT=FILE"):
        build_dataset(cfg, "pascal_context_mtl_train", None, is_train=True)
    place_mtl(pascal, "pascal_context_mtl", datasets)
    for split, number in (("train", 2), ("val", 2), ("trainval", 2)):
        assert len(build_dataset(cfg, f"pascal_context_mtl_{split}", None, is_train=True)) == number
    with pytest.raises(UserError, match="make data NYUD=FILE"):
        build_dataset(cfg, "nyud_mtl_val", None, is_train=False)


def test_samples_of_the_index_are_those_of_the_files(pascal):
    plain = PascalContextMTLDataset(pascal, "train")
    expected = [plain.get_annotations(index) for index in range(2)]
    index_parts(pascal / "human_parts", SCENES)
    indexed = PascalContextMTLDataset(pascal, "train")
    assert indexed.parts.index is not None
    for index, known in enumerate(expected):
        found = indexed.get_annotations(index)
        assert indexed.tasks_of(index) == plain.tasks_of(index)
        assert torch.equal(found.instances.bbox, known.instances.bbox)
        for field in ("masks", "parts"):
            assert found.instances.has_field(field) == known.instances.has_field(field)
        if known.instances.has_field("parts"):
            both = (each.instances.get_field("parts").labels for each in (found, known))
            assert torch.equal(*both)


def test_a_file_that_changed_since_is_read_itself(pascal):
    index_parts(pascal / "human_parts", SCENES)
    mask = np.zeros((30, 40), bool)
    mask[3:6, 4:9] = True
    write_anno(pascal / "human_parts" / "2008_000002.mat", [(PERSON, mask, [("lfoot", mask)])])
    objects = PascalContextMTLDataset(pascal, "train").get_annotations(0).instances
    assert objects.bbox.tolist() == [[4, 3, 8, 5]]
    assert objects.get_field("parts").labels.unique().tolist() == [0, 6]


@pytest.mark.parametrize("before, after", [("head", None), (None, "head")])
def test_whether_a_changed_file_has_parts_is_read_from_it_and_the_index_is_made_again(pascal, before, after):
    mask = np.zeros((30, 40), bool)
    mask[3:6, 4:9] = True
    path = pascal / "human_parts" / "2008_000002.mat"
    for name in (before, after):
        write_anno(path, [(PERSON, mask, [(name, mask)] if name else [])])
        if name == before:
            index_parts(path.parent, SCENES)
    assert ("part" in PascalContextMTLDataset(pascal, "train").tasks_of(0)) == (after is not None)
    index = PartIndex(index_parts(path.parent, SCENES))
    assert index.find("2008_000002", path.read_bytes()) is not None
    assert index.entries()["2008_000002"][2] == (after is not None)
    written = index.path.stat().st_mtime_ns
    assert index_parts(path.parent, SCENES).stat().st_mtime_ns == written  # it is current: left as it is


def test_a_damaged_index_is_one_line(pascal):
    path = index_parts(pascal / "human_parts", SCENES)
    path.write_bytes(b"SQLite format 3\0" + bytes(2000))
    with pytest.raises(UserError, match=r"human_parts\.index\.sqlite cannot be read .* remove it, `make data`"):
        PascalContextMTLDataset(pascal, "train")
