"""Putting PASCAL in Detail where the catalog looks: the images of VOC2010 and the annotation file, never by halves."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from maskrcnn_benchmark.data.preparation.archives import Limits, copy_files, is_archive, list_files
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import copy_file, workshop, writing
from maskrcnn_benchmark.utils.text import counted

ANNOTATIONS, IMAGES = "annotations.json", "images"
JPEG_FOLDER = "JPEGImages"
# Names of the annotation file, the best first: only the first has joints
JSON_NAMES = ("trainval_withkeypoints.json", "trainval_merged.json", "PASCAL_trainval_mergedv3.json")
# VOC2010's own archive has some ten thousands of small files and less than 2 GiB, the annotation file less than 1 GiB
VOC_LIMITS = Limits(entries=200_000, size=16 << 30)
JSON_LIMITS = Limits(entries=10_000, size=8 << 30)

_JPEG = (".jpg", ".jpeg")


def place_images(voc: str | os.PathLike, folder: str | os.PathLike, copy: bool = False) -> str:
    """Put the images of VOC2010 into `folder`/images, next to those that are there.

    An archive is unpacked beside it and moved there when it is whole; of a folder, a symbolic link is made if
    `folder`/images does not exist. Images that are there stay; one of another size than in `voc` is an error.

    Args:
        voc: the archive, or a folder of it unpacked: VOC2010, VOCdevkit, the one above, or that of the JPEGs.
        folder: the data set's.
        copy: copy the images of a folder instead of a link to it.

    Returns:
        one line that says what was done.

    Raises:
        UserError: `voc` is not there, holds no images, is unsafe or damaged, or `folder` cannot be written to.
    """
    voc, target = Path(voc), Path(folder) / IMAGES
    source = _jpeg_folder(voc) if voc.is_dir() else None
    if source is not None:
        if not target.exists() and not copy:
            return link(source, target)
        if target.exists() and source.samefile(target):
            return f"{target}: is {source} already"
        files = {path.name: path for path in source.iterdir() if path.suffix.lower() in _JPEG}
        sizes = {name: path.stat().st_size for name, path in files.items()}
    else:
        files, sizes = _jpegs_in_archive(_existing(voc, "VOC"))
    present = {path.name: path.stat().st_size for path in target.iterdir()} if target.exists() else {}
    others = sorted(name for name in present.keys() & sizes.keys() if present[name] != sizes[name])
    if others:
        raise UserError(
            f"{target} has {counted(len(others), 'image')} of another size than {voc} (such as {others[0]}); nothing "
            "was changed: remove them to have them replaced, or take the same release"
        )
    missing = sorted(sizes.keys() - present.keys())
    if missing:
        # what a link leads to may lie on another disk
        with room_for(target.resolve(), sum(sizes[name] for name in missing)) as fresh:
            fresh.mkdir()
            if source is None:
                copy_files(voc, {files[name]: fresh / name for name in missing}, {files[n]: sizes[n] for n in missing})
            else:
                for name in missing:
                    copy_file(files[name], fresh / name)
            if target.exists():
                for name in missing:
                    os.rename(fresh / name, target / name)
            else:
                os.rename(fresh, target)
    return f"{target}: {counted(len(missing), 'image')} put there, {len(sizes) - len(missing)} were there"


def place_annotations(source: str | os.PathLike, folder: str | os.PathLike, copy: bool = False) -> str:
    """Put the annotation file at `folder`/annotations.json; a file that is there stays.

    Args:
        source: the JSON file, to which a symbolic link is made, or an archive with it: .zip, .tar, .tar.gz, .json.gz.
        folder: the data set's.
        copy: copy a JSON file instead.

    Returns:
        one line that says what was done.

    Raises:
        UserError: `source` is not there, is unsafe or damaged, or holds no or several JSON files; there is a file of
            another size; `folder` cannot be written to.
    """
    source, target = _existing(Path(source), "DETAIL_JSON"), Path(folder) / ANNOTATIONS
    packed = source.suffix != ".json" and is_archive(source)
    sizes = list_files(source, JSON_LIMITS) if packed else {source.name: source.stat().st_size}
    name = _json_in_archive(source, sizes) if packed else source.name
    if target.exists():
        if target.stat().st_size != sizes[name]:
            raise UserError(
                f"{target} is there, of another size than {name} of {source}; nothing was changed: move it away to "
                "have it replaced"
            )
        return f"{target}: was there"
    if not packed and not copy:
        return link(source, target)
    with room_for(target, sizes[name]) as fresh:
        if packed:
            copy_files(source, {name: fresh}, sizes)
        else:
            copy_file(source, fresh)
        os.rename(fresh, target)
    return f"{target}: {name} of {source}"


def _existing(path: Path, variable: str) -> Path:
    if not path.is_file():
        raise UserError(f"{variable}: there is no {path}; datasets/README.md says where to get it")
    return path


def _jpeg_folder(folder):
    """The folder of images in or above which VOC2010 was unpacked; a folder of JPEGs is one whatever its name."""
    for above in ("", "VOC2010", "VOCdevkit/VOC2010"):
        if (folder / above / JPEG_FOLDER).is_dir():
            return folder / above / JPEG_FOLDER
    if folder.resolve().name == JPEG_FOLDER or any(name.lower().endswith(".jpg") for name in os.listdir(folder)):
        return folder
    raise UserError(f"{folder} holds no JPEGs, and no {JPEG_FOLDER} where VOC2010 has it")


def _jpegs_in_archive(archive):
    """({file name: name in the archive}, {file name: size}) of the archive's images."""
    found = {}
    for name, size in list_files(archive, VOC_LIMITS).items():
        path = PurePosixPath(name)
        if path.parent.name == JPEG_FOLDER and path.suffix.lower() in _JPEG:
            found.setdefault(path.parent, {})[path.name] = (name, size)
    folders = [each for each in found if "VOC2010" in each.parts] or list(found)
    if len(folders) != 1:
        what = "no folder" if not folders else "several folders"
        raise UserError(f"{archive} holds {what} {JPEG_FOLDER} with images; give VOCtrainval_03-May-2010.tar")
    images = found[folders[0]]
    return {name: entry for name, (entry, _) in images.items()}, {name: size for name, (_, size) in images.items()}


def _json_in_archive(archive, names):
    """The annotation file among the names of an archive's files."""
    # a gzip file may be called anything; Macs put shadows of files into archives
    found = [name for name in names if PurePosixPath(name).suffix == ".json" or len(names) == 1]
    found = [name for name in found if not name.startswith("__MACOSX/")]
    known = [name for best in JSON_NAMES for name in found if PurePosixPath(name).name == best]
    if not known and len(found) != 1:
        listed = ", ".join(name[:80] for name in found[:5]) or "none"
        raise UserError(f"{archive} must hold one annotation file, but its JSON files are: {listed}")
    return (known or found)[0]


def link(source: Path, target: Path) -> str:
    """Make a symbolic link to a file or a folder; returns one line that says so."""
    try:
        target.unlink(missing_ok=True)  # a link to what is gone
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    except OSError as error:
        raise UserError(f"cannot make {target}: {error.strerror}; copy {source} there, or pass --copy") from None
    return f"{target}: a link to {source.resolve()}; do not remove that"


@contextlib.contextmanager
def room_for(target: Path, size: int) -> Iterator[Path]:
    """A path to make something of `size` bytes at that is then renamed to `target`; it is gone afterwards, whatever
    happens. Raises `UserError` where the disk has no room for it.
    """
    free = shutil.disk_usage(target.parent).free
    if free < size:
        raise UserError(f"{target.parent} has {free / 2**30:.1f} GiB free, but {size / 2**30:.1f} GiB are needed")
    with workshop(target) as fresh, writing(target):
        yield fresh
