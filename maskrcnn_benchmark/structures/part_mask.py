"""Parts of objects: which there are, how they group and mirror, and where they lie on each instance."""

from dataclasses import dataclass

import torch

from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.resampling import NearestMaps, region_grid

PART_SETS = ("person", "person6", "all")
# "silh" is the whole silhouette of an object without parts
NO_PARTS = ("silh",)
# Part maps are bytes; 0 is background and 255 is kept free for "ignore"
MAX_LABELS = 254

# The six groups of PASCAL-Person-Part (Chen et al. 2014; Xia et al. 2017), hands and feet with the lower limbs
PERSON6 = {
    "head": ("head", "hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth"),
    "torso": ("torso", "neck"),
    "upper_arms": ("luarm", "ruarm"),
    "lower_arms": ("llarm", "rlarm", "lhand", "rhand"),
    "upper_legs": ("luleg", "ruleg"),
    "lower_legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
PERSON6_LABELS = tuple(PERSON6)
_GROUP_OF_PART = {part: group for group, parts in enumerate(PERSON6.values(), 1) for part in parts}


@dataclass(frozen=True)
class PartSet:
    """The labels 1..P of a part map; 0 is background.

    Attributes:
        name: "person" (named parts of people), "person6" (their six groups) or "all" (named parts of everything).
        labels: P names; label k is `labels[k - 1]`. A part's name, or "thing/part" in "all".
        flip_indices: for each of the labels 0..P the one that takes its place in a mirrored image.
        owners: for each of the P labels, the things that have it.
    """

    name: str
    labels: tuple[str, ...]
    flip_indices: tuple[int, ...]
    owners: tuple[tuple[str, ...], ...]

    @classmethod
    def from_names(cls, set_name, parts_of_things):
        """The set of a data set that annotates these parts.

        Args:
            set_name: "person", "person6" or "all".
            parts_of_things: {thing name: [names of the parts that occur]}, in any order.

        Raises:
            ValueError: for an unknown set.
        """
        if set_name not in PART_SETS:
            raise ValueError(f"the part sets are {', '.join(PART_SETS)}, not {set_name!r}")
        if set_name == "person6":
            count = len(PERSON6_LABELS)
            return cls(set_name, PERSON6_LABELS, tuple(range(count + 1)), (("person",),) * count)
        pairs = sorted(
            (thing, part)
            for thing, parts in parts_of_things.items()
            if set_name == "all" or thing == "person"
            for part in set(parts).difference(NO_PARTS)
        )
        index = {pair: label for label, pair in enumerate(pairs, 1)}
        if len(pairs) > MAX_LABELS:
            raise ValueError(f"a part map holds at most {MAX_LABELS} labels, but {len(pairs)} parts occur")
        flips = [
            next((index[thing, other] for other in _partners(part) if (thing, other) in index), index[thing, part])
            for thing, part in pairs
        ]
        labels = tuple(part if set_name == "person" else f"{thing}/{part}" for thing, part in pairs)
        return cls(set_name, labels, (0, *flips), tuple((thing,) for thing, _ in pairs))

    def __len__(self):
        """P, without background."""
        return len(self.labels)

    def label_of(self, thing, part):
        """The label 1..P of a thing's part, or 0 if this set does not have it."""
        if self.name == "person6":
            return _GROUP_OF_PART.get(part, 0) if thing == "person" else 0
        label = part if self.name == "person" and thing == "person" else f"{thing}/{part}"
        return self.labels.index(label) + 1 if label in self.labels else 0

    def to_person6(self):
        """tuple of P + 1: for each label 0..P the group 1..6 of PASCAL-Person-Part, 0 for no part of a person."""
        if self.name == "person6":
            return tuple(range(len(self) + 1))
        groups = [
            _GROUP_OF_PART.get(label.rsplit("/", 1)[-1], 0) if "person" in things else 0
            for label, things in zip(self.labels, self.owners)
        ]
        return (0, *groups)

    def to_dict(self):
        """Plain lists, for JSON and checkpoints."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "flip_indices": list(self.flip_indices),
            "owners": [list(things) for things in self.owners],
        }

    @classmethod
    def from_dict(cls, tree):
        owners = tuple(tuple(things) for things in tree["owners"])
        return cls(tree["name"], tuple(tree["labels"]), tuple(tree["flip_indices"]), owners)


def _partners(part):
    """Names that the mirror image of a part may have: lhand - rhand, leftside - rightside."""
    for one, other in (("left", "right"), ("right", "left"), ("l", "r"), ("r", "l")):
        if part.startswith(one):
            yield other + part[len(one) :]


class PartMask:
    """Part labels of N instances of one image.

    Selecting instances does not copy the maps, see `BinaryMaskList`; nor does resizing or mirroring them, see
    `NearestMaps`.

    Args:
        labels: uint8 [N, H, W], 0..P for each pixel of each instance; 0 is background.
        annotated: bool [N], whether somebody looked for the instance's parts; if not, its map means nothing.
        size: (width, height).
        part_set: the `PartSet`.
    """

    def __init__(self, labels, annotated, size, part_set, index=None):
        count = len(labels) if index is None else len(index)
        if labels.ndim != 3 or (labels.shape[2], labels.shape[1]) != tuple(size):
            raise ValueError(f"part maps for an image of {tuple(size)} (width, height) cannot be {list(labels.shape)}")
        annotated = torch.as_tensor(annotated, dtype=torch.bool, device=labels.device)
        if annotated.shape != (count,):
            raise ValueError(f"{count} part maps need as many flags, but `annotated` is {list(annotated.shape)}")
        self._maps = NearestMaps(labels.to(torch.uint8))
        self._index = index
        self.annotated = annotated
        self.size = tuple(size)
        self.part_set = part_set

    @classmethod
    def cat(cls, parts):
        """Join the instances of one image."""
        first = parts[0]
        annotated = torch.cat([part.annotated for part in parts])
        return cls(torch.cat([part.labels for part in parts]), annotated, first.size, first.part_set)

    @property
    def labels(self):
        """uint8 [N, H, W]."""
        return self._maps.tensor if self._index is None else self._maps.tensor[self._index]

    def resize(self, size, *args, **kwargs):
        """The maps of the image resized to (width, height): each pixel takes the label at its centre."""
        return self._like(self._maps.resize(size))

    def crop(self, box):
        """The maps within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._like(self._maps.crop(clamp_window([round(float(side)) for side in box], self.size)))

    def pad(self, size):
        """The maps of the image enlarged to (width, height) by background to the right and below."""
        return self._like(self._maps.pad(size, 0))

    def transpose(self, method):
        """The maps of the mirrored image, left and right parts exchanged (in a mirror upside down too)."""
        flips = self.part_set.flip_indices
        maps = self._maps.transpose(method)
        if flips != tuple(range(len(flips))):
            maps = maps.map(lambda labels: labels.new_tensor(flips)[labels.int()])
        return self._like(maps)

    def to(self, *args, **kwargs):
        moved = self._like(self._maps.to(*args, **kwargs))
        moved._index = None if self._index is None else self._index.to(*args, **kwargs)
        moved.annotated = self.annotated.to(*args, **kwargs)
        return moved

    def crop_and_resize(self, boxes, size):
        """The labels of each instance within its box, as training targets of a part head, all instances at once.

        Args:
            boxes: float [N, 4] tensor, xyxy, last pixel included, one per instance.
            size: side M of the targets.

        Returns:
            int64 [N, M, M]: the label of the pixel under the centre of each cell.
        """
        if boxes.shape != (len(self), 4):
            raise ValueError(f"{len(self)} part maps need {len(self)} boxes of 4 numbers, not {list(boxes.shape)}")
        x, y = (grid.long() for grid in region_grid(boxes, size, self.size, inclusive=True))
        x, y = x.clamp(max=self.size[0] - 1), y.clamp(max=self.size[1] - 1)
        index = torch.arange(len(self)) if self._index is None else self._index
        which = index.to(boxes.device)[:, None, None]
        return self._maps.to(boxes.device).at(which, y[:, :, None], x[:, None, :]).long()

    def __len__(self):
        return len(self.annotated)

    def __getitem__(self, item):
        """The instances at an index, slice, index tensor or boolean mask, without a copy of their maps."""
        index = self._index
        if index is None:
            index = torch.arange(len(self), device=self.annotated.device)
        item = item.to(index.device) if isinstance(item, torch.Tensor) else item
        picked = self._like(self._maps)
        picked._index, picked.annotated = index[item].reshape(-1), self.annotated[item].reshape(-1)
        return picked

    def __repr__(self):
        return f"PartMask(num_instances={len(self)}, size={self.size}, part_set={self.part_set.name})"

    def _like(self, maps):
        made = PartMask.__new__(PartMask)
        made._maps, made._index, made.annotated = maps, self._index, self.annotated
        made.size, made.part_set = maps.size, self.part_set
        return made
