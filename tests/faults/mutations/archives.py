"""Damaged and hostile archives, put in place as a data set."""

import gzip
import io
import os
import tarfile
import zipfile

from fuzzing import damage_bytes

from faults.mutations.attempt import Attempt, mutation_class

_NAMES = ("../escaped.json", "/escaped.json", "a/../../escaped.json", "C:\\x.json", "x\0y.json", "x" * 4000 + ".json")


def archive(case):
    """An archive with annotations or images, damaged in its bytes or hostile in its names."""
    from maskrcnn_benchmark.data.preparation.placing import place_annotations, place_images

    random = case.random
    images = random.random() < 0.4
    kind = random.choice(("zip", "tar", "tar.gz", "json.gz")) if not images else random.choice(("zip", "tar"))
    path = case.out / f"archive.{kind}"
    source = case.workplace.few / "mini_detail"
    files = {}
    if images:
        for each in sorted((source / "images").iterdir())[:3]:
            files[f"VOCdevkit/VOC2010/JPEGImages/{each.name}"] = each.read_bytes()
    else:
        files["annotations.json"] = (source / "annotations.json").read_bytes()[:20_000]
    what = ""
    if random.random() < 0.25:
        name = random.choice(_NAMES)
        files = {name: next(iter(files.values()))} if random.random() < 0.5 else {**files, name: b"{}"}
        what = f"entry {name[:30]!r}"
    link = random.random() < 0.1 and kind.startswith("tar")
    path.write_bytes(_pack(kind, files, link))
    if not what or random.random() < 0.3:
        data, words = damage_bytes(random, path.read_bytes())
        path.write_bytes(data)
        what = f"{what} {words}"
    target = case.out / "placed"
    target.mkdir()

    def door():
        (place_images if images else place_annotations)(path, target)
        escaped = [name for name in os.listdir(case.out) if name not in ("placed", path.name)]
        return [f"an archive wrote {escaped[0]} beside its folder"] if escaped else []

    return Attempt(f"{path.name}: {what}" + (" with a link" if link else ""), door, (path.name, "placed"))


def _pack(kind, files, link):
    file = io.BytesIO()
    if kind == "json.gz":
        return gzip.compress(next(iter(files.values())))
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(name.replace("\0", "_"), data)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:gz" if kind.endswith("gz") else "w") as packed:
        for name, data in files.items():
            entry = tarfile.TarInfo(name.replace("\0", "_"))
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
        if link:
            entry = tarfile.TarInfo("annotations.json")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            packed.addfile(entry)
    return file.getvalue()


CLASSES = [mutation_class("archives", 250, archive)]
