"""NYUD-v2 with four tasks, as the archives of multi-task papers hold it (`NYUDv2` of ATRC, `NYUD_MT` of MTI-Net)."""

from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.image_file import read_labels
from maskrcnn_benchmark.data.mtl_files import IMAGES, Folder, MTLDataset, MTLImage
from maskrcnn_benchmark.data.pascal_context_labels import NYUD_CLASSES
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.array_file import read_floats
from maskrcnn_benchmark.utils.errors import UserError

SEMANTIC, EDGE = "semantic", "edge"


class NYUDMTLImage(MTLImage):
    """One image of a `NYUDMTLDataset`."""

    dataset: "NYUDMTLDataset"

    @property
    def semantic_path(self) -> Path | None:
        """The PNG of classes."""
        return self.file(SEMANTIC)

    @property
    def semantic(self) -> SemanticMap | None:
        """40 classes: value k of the file is class k - 1, 0 is not labelled."""
        path = self.semantic_path
        if path is None:
            return None
        labels = self.read_classes(path, len(NYUD_CLASSES) + 1, "NYUD-v2")
        # of a byte, 0 - 1 is 255; what is not labelled stays so
        return SemanticMap(torch.from_numpy(np.where(labels == IGNORE_INDEX, labels, labels - np.uint8(1))))

    @property
    def boundary(self) -> BoundaryMap | None:
        """The edges of the file: a PNG of 8 bits (`NYUDv2`) or an array of 0 and 1 (`NYUD_MT`)."""
        path = self.file(EDGE)
        if path is None:
            return None
        if path.suffix == ".png":
            strength = read_labels(path, self.size)
            if strength.max() == 1:
                raise UserError(f"{path} holds only 0 and 1; edges are 255, multiply it by 255")
            edges = strength > 127
        else:
            edges = read_floats(path, [self.size[::-1]], "edges are 0 and 1", kinds="fuib") > 0.5
        return BoundaryMap.of_edges(torch.from_numpy(np.flatnonzero(edges)), self.size)


class NYUDMTLDataset(MTLDataset):
    """Indoor images with 40 semantic classes, boundaries, surface normals and depth (Silberman et al., ECCV 2012).

    ATRC's copy has 425x560 pixels and PNG of edges and normals, MTI-Net's 480x640 and arrays; both are read.

    Attributes:
        vocabulary: the 40 classes of the semantic map, none of which is the background.
    """

    layout = "nyud_mtl"
    image_class = NYUDMTLImage
    FOLDERS = {
        IMAGES: Folder("images", (".png", ".jpg")),
        SEMANTIC: Folder("segmentation", (".png",)),
        EDGE: Folder("edge", (".png", ".npy")),
        "normals": Folder("normals", (".png", ".npy")),
        "depth": Folder("depth", (".npy", ".png")),
    }
    MAPS = ("normals", "depth")
    NEEDS = {
        "semantic": ((SEMANTIC,),),
        "normals": (("normals",),),
        "depth": (("depth",),),
        "boundary": ((EDGE,),),
    }
    LISTS = "gt_sets"
    ARCHIVE = "NYUDv2.tar.gz or NYUD_MT.tgz"

    vocabulary = Vocabulary(semantic_names=NYUD_CLASSES)
