"""Putting the archives of multi-task papers where the catalog looks, and saying how complete they are."""

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from maskrcnn_benchmark.data.mtl_files import IMAGES, Completeness, MTLDataset
from maskrcnn_benchmark.data.nyud_mtl import NYUDMTLDataset
from maskrcnn_benchmark.data.pascal_context_mtl import PascalContextMTLDataset
from maskrcnn_benchmark.data.preparation.archives import Limits, copy_files, list_files
from maskrcnn_benchmark.data.preparation.placing import link, room_for
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import copy_file
from maskrcnn_benchmark.utils.text import counted


class Archive(NamedTuple):
    """What is known of a published archive.

    Attributes:
        dataset: its layout.
        variable: what `make data` calls it.
        folders: names that its folder has in the copies that go round.
        images: {split: number of images of the published lists}.
    """

    dataset: type[MTLDataset]
    variable: str
    folders: tuple[str, ...]
    images: dict[str, int]


ARCHIVES = {
    "pascal_context_mtl": Archive(
        PascalContextMTLDataset, "PASCAL_MT", ("PASCAL_MT", "PASCALContext"), {"train": 4998, "val": 5105}
    ),
    "nyud_mtl": Archive(NYUDMTLDataset, "NYUD", ("NYUDv2", "NYUD_MT"), {"train": 795, "val": 654}),
}
# Some hundred thousand files of a few GB
LIMITS = Limits(entries=1_000_000, size=64 << 30)


def place_mtl(source: str | os.PathLike, name: str, data_dir: str | os.PathLike, copy: bool = False) -> str:
    """Put an archive at `data_dir`/`name`: unpacked, or as a link to the folder that it was unpacked to.

    An archive is unpacked beside its place and moved there when it is whole; nothing but what the layout reads is taken
    from it. What is there already stays: then nothing is done.

    Args:
        source: the archive, or a folder of it unpacked, or the one above that.
        name: a key of `ARCHIVES`.
        data_dir: the folder of data sets.
        copy: copy a folder instead of a link to it.

    Returns:
        one line that says what was done.

    Raises:
        UserError: `source` is not there, is another archive, is unsafe or damaged, or `data_dir` cannot be written to.
    """
    archive, source, target = ARCHIVES[name], Path(source), Path(data_dir) / name
    if target.is_dir():
        return f"{target}: was there; nothing was changed, move it away to have it replaced"
    if source.is_dir():
        folder = _root_of(source, archive)
        if not copy:
            return link(folder, target)
        files = {path: target.name for path in folder.rglob("*") if path.is_file()}
        with room_for(target, sum(path.stat().st_size for path in files)) as fresh:
            for path in files:
                place = fresh / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy_file(path, place)
            os.rename(fresh, target)
        return f"{target}: {counted(len(files), 'file')} of {folder}"
    if not source.is_file():
        raise UserError(f"{archive.variable}: there is no {source}; docs/pascal_context.md says where to look for it")
    sizes = list_files(source, LIMITS)
    inside = _root_in_archive(source, sizes, archive)
    wanted = {file: file.removeprefix(inside) for file in sizes if file.startswith(inside)}
    wanted = {file: place for file, place in wanted.items() if _is_read(place, archive.dataset)}
    with room_for(target, sum(sizes[file] for file in wanted)) as fresh:
        for folder in {fresh / PurePosixPath(place).parent for place in wanted.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        copy_files(source, {file: fresh / place for file, place in wanted.items()}, {f: sizes[f] for f in wanted})
        os.rename(fresh, target)
    return f"{target}: {counted(len(wanted), 'file')} of {source}"


def image_counts(name: str, data_dir: str | os.PathLike) -> list[tuple[str, int, int]]:
    """(split, number of images of its list, number that is published) of an archive that is in place."""
    archive = ARCHIVES[name]
    folder = Path(data_dir) / name
    return [(split, len(archive.dataset(folder, split, tasks=())), n) for split, n in archive.images.items()]


def label_counts(name: str, data_dir: str | os.PathLike) -> dict[str, list[Completeness]]:
    """{split: how complete each task is} of an archive that is in place."""
    archive = ARCHIVES[name]
    return {split: archive.dataset(Path(data_dir) / name, split, tasks=()).completeness() for split in archive.images}


def misfit_maps(name: str, data_dir: str | os.PathLike) -> dict[str, list[str]]:
    """{folder: images of which it holds a map of another size} of an archive that is in place."""
    return ARCHIVES[name].dataset(Path(data_dir) / name, "trainval", tasks=()).misfits()


def _marks(archive: Archive) -> tuple[str, str]:
    """Two paths that the folder of an archive has."""
    return f"{archive.dataset.LISTS}/train.txt", archive.dataset.FOLDERS[IMAGES].name


def _root_of(source: Path, archive: Archive) -> Path:
    lists, images = _marks(archive)
    for folder in (source, *(source / name for name in archive.folders)):
        if (folder / lists).is_file() and (folder / images).is_dir():
            return folder
    raise UserError(
        f"{archive.variable}: {source} holds no {lists} with a folder {images} beside it, nor does "
        f"{' or '.join(archive.folders)} in it; name the folder that has them"
    )


def _root_in_archive(source: Path, names: dict[str, int], archive: Archive) -> str:
    """What the names of files in an archive begin with, such as "PASCAL_MT/"; "" where they begin with nothing."""
    lists, images = _marks(archive)
    found = [name.removesuffix(lists) for name in names if name == lists or name.endswith(f"/{lists}")]
    found = [root for root in found if any(name.startswith(f"{root}{images}/") for name in names)]
    if len(found) != 1:
        what = "no" if not found else "more than one"
        raise UserError(f"{archive.variable}: {source} holds {what} {lists} with images; is it another archive?")
    return found[0]


def _is_read(place: str, dataset: type[MTLDataset]) -> bool:
    """Whether a layout reads a file at a place below its folder."""
    path = PurePosixPath(place)
    if path.suffix == ".txt" and path.parts[0] == PurePosixPath(dataset.LISTS).parts[0]:
        return True
    folders = {folder.name: folder.suffixes for folder in dataset.FOLDERS.values()}
    return path.suffix in folders.get(str(path.parent), ())
