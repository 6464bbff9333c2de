"""Parts of objects: which there are, how they group and mirror, and where they lie on each instance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.mask_windows import ObjectWindows, at_most, values_at
from maskrcnn_benchmark.structures.part_groups import (
    PERSON,
    PERSON6,
    PERSON6_LABELS,
    PPP57_TABLE,
    UNLABELLED,
    group_by_superpart,
    mirror_groups,
)
from maskrcnn_benchmark.structures.resampling import NearestWindows, region_grid
from maskrcnn_benchmark.structures.rotation import rotate_maps
from maskrcnn_benchmark.structures.tensors import Index, TensorHolder
from maskrcnn_benchmark.utils.ranges import Choice, Integer
from maskrcnn_benchmark.utils.schema import TEXT, ListOf, Record, Unfit

PART_SETS = ("person6", "person24", "superparts", "ppp57", "all")
# Other names that are accepted for a set: what older configs and checkpoints call it
PART_SET_ALIASES = {"person": "person24"}
# "silh" is the whole silhouette of an object without parts
NO_PARTS = ("silh",)
# Part maps are bytes; 0 is background and 255 is kept free for "ignore"
MAX_LABELS = 254

_WORDS = ListOf(TEXT, 0, 1000)
STORED = Record(
    {
        "name": Choice(*PART_SETS, *PART_SET_ALIASES),
        "labels": ListOf(TEXT, 0, MAX_LABELS),
        "flip_indices": ListOf(Integer(0, MAX_LABELS), 1, MAX_LABELS + 1),
        "owners": ListOf(_WORDS, 0, MAX_LABELS),
    },
    {"members": ListOf(_WORDS, 0, MAX_LABELS)},
)

_PERSON6_GROUP = {part: group for group, parts in enumerate(PERSON6.values(), 1) for part in parts}


@dataclass(frozen=True)
class PartSet:
    """The labels 1..P of a part map; 0 is background.

    Attributes:
        name: "person6" (the six groups of persons' parts), "person24" (named parts of persons), "superparts" (those of
            everything), "ppp57" (those of PASCAL Panoptic Parts) or "all" (named parts of everything); see
            `part_groups`.
        labels: P names; label k is `labels[k - 1]`. A part's name, or "thing/part" in sets of several things.
        flip_indices: for each of the labels 0..P the one that takes its place in a mirrored image.
        owners: for each of the P labels, the things that have it.
        members: for each of the P labels, the names of the parts that it stands for; `part_groups.UNLABELLED` among
            them stands for what is of no part.
    """

    name: str
    labels: tuple[str, ...]
    flip_indices: tuple[int, ...]
    owners: tuple[tuple[str, ...], ...]
    members: tuple[tuple[str, ...], ...]

    @classmethod
    def from_names(
        cls, set_name: str, parts_of_things: Mapping[str, Iterable[str]], superparts: Mapping[str, str] | None = None
    ) -> "PartSet":
        """The set of a data set that annotates these parts.

        Args:
            set_name: one of `PART_SETS`, or "person" for "person24".
            parts_of_things: {thing name: [names of the parts that occur]}, in any order.
            superparts: {part name: name of its superpart, or "none"}; only "superparts" asks for it.

        Raises:
            ValueError: for an unknown set.
        """
        set_name = PART_SET_ALIASES.get(set_name, set_name)
        if set_name not in PART_SETS:
            raise ValueError(f"the part sets are {', '.join(PART_SETS)}, not {set_name!r}")
        if set_name == "person6":
            count = len(PERSON6)
            flips = tuple(range(count + 1))
            return cls(set_name, PERSON6_LABELS, flips, ((PERSON,),) * count, tuple(PERSON6.values()))
        if set_name == "ppp57":
            return cls._of_ppp57()
        members: dict[tuple[str, str], list[str]] = {}  # {(thing, group): names}
        mirrors: dict[tuple[str, str], tuple[str, str]] = {}  # {(thing, group): (thing, its mirror image)}
        for thing, parts in parts_of_things.items():
            if set_name == "person24" and thing != PERSON:
                continue
            parts = sorted(set(parts).difference(NO_PARTS))
            whole = set_name == "superparts"
            groups = group_by_superpart(thing, parts, superparts or {}) if whole else {part: part for part in parts}
            for part, group in groups.items():
                members.setdefault((thing, group), []).append(part)
            mirrors.update({(thing, group): (thing, image) for group, image in mirror_groups(groups).items()})
        if len(members) > MAX_LABELS:
            raise ValueError(f"a part map holds at most {MAX_LABELS} labels, but {len(members)} parts occur")
        pairs = sorted(members)
        index = {pair: label for label, pair in enumerate(pairs, 1)}
        return cls(
            set_name,
            tuple(group if set_name == "person24" else f"{thing}/{group}" for thing, group in pairs),
            (0, *(index[mirrors[pair]] for pair in pairs)),
            tuple((thing,) for thing, _ in pairs),
            tuple(tuple(members[pair]) for pair in pairs),
        )

    @classmethod
    def _of_ppp57(cls) -> "PartSet":
        rows = [(thing, name, parts) for thing, groups in PPP57_TABLE.items() for name, parts in groups.items()]
        return cls(
            "ppp57",
            tuple(f"{thing}/{name}" for thing, name, _ in rows),
            tuple(range(len(rows) + 1)),
            tuple((thing,) for thing, *_ in rows),
            tuple(parts for *_, parts in rows),
        )

    def __len__(self) -> int:
        """P, without background."""
        return len(self.labels)

    def rest_of(self, thing: str) -> int:
        """The label of a thing's pixels that are of no part, 0 without one. An object of it has parts in any case."""
        return self.label_of(thing, UNLABELLED)

    def labels_of(self, thing: str) -> tuple[int, ...]:
        """The labels of a thing's parts, ascending."""
        return tuple(label for label, things in enumerate(self.owners, 1) if thing in things)

    def label_of(self, thing: str, part: str) -> int:
        """The label 1..P of a thing's part, or 0 if this set does not have it."""
        return self._label_of.get((thing, part), 0)

    @cached_property
    def _label_of(self) -> dict[tuple[str, str], int]:
        rows = enumerate(zip(self.owners, self.members), 1)
        return {(thing, part): label for label, (things, parts) in rows for thing in things for part in parts}

    def to_person6(self) -> tuple[int, ...]:
        """tuple of P + 1: for each label 0..P the group 1..6 of PASCAL-Person-Part, 0 for no part of a person.

        All 0 where a label spans several of the six groups, as a whole arm does: their metrics are then not defined.
        """
        groups = [0]
        for things, parts in zip(self.owners, self.members):
            found = {_PERSON6_GROUP[part] for part in parts if PERSON in things and part in _PERSON6_GROUP}
            if len(found) > 1:
                return (0,) * (len(self) + 1)
            groups.append(found.pop() if found else 0)
        return tuple(groups)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON and checkpoints."""
        return {
            "name": self.name,
            "labels": list(self.labels),
            "flip_indices": list(self.flip_indices),
            "owners": [list(things) for things in self.owners],
            "members": [list(parts) for parts in self.members],
        }

    @classmethod
    def from_dict(cls, tree: Any, where: str = "") -> "PartSet":
        """The set that `to_dict` described; older ones, without "members", had no label of several parts but six.

        Raises `Unfit`, a ValueError, for anything else, which lies at `where` in its file.
        """
        STORED.check(tree, where)
        count = len(tree["labels"])
        for key in ("owners", "members"):
            if key in tree and len(tree[key]) != count:
                raise Unfit(f"{where}.{key} has {len(tree[key])} entries for {count} labels".lstrip("."))
        flips = tree["flip_indices"]
        if len(flips) != count + 1 or flips[0] != 0 or any(i > count or flips[i] != k for k, i in enumerate(flips)):
            raise Unfit(f"{where}.flip_indices are no mirror of {count} labels".lstrip("."))
        name, labels = PART_SET_ALIASES.get(tree["name"], tree["name"]), tuple(tree["labels"])
        own = PERSON6.values() if name == "person6" else ([label.rsplit("/", 1)[-1]] for label in labels)
        owners, members = (tuple(map(tuple, rows)) for rows in (tree["owners"], tree.get("members", own)))
        return cls(name, labels, tuple(tree["flip_indices"]), owners, members)


class PartMask(TensorHolder):
    """Part labels of N instances of one image.

    Selecting instances does not copy the maps, see `BinaryMaskList`; nor does resizing or mirroring them, see
    `NearestWindows`.

    Args:
        labels: uint8 [N, H, W], 0..P for each pixel of each instance; 0 is background.
        annotated: bool [N], whether the instance's parts were annotated; if not, its map means nothing.
        size: (width, height).
        part_set: the `PartSet`.
    """

    def __init__(
        self,
        labels: torch.Tensor,
        annotated: torch.Tensor | Sequence[bool],
        size: Sequence[int],
        part_set: PartSet,
        index: torch.Tensor | None = None,
    ) -> None:
        count = len(labels) if index is None else len(index)
        if labels.ndim != 3 or (labels.shape[2], labels.shape[1]) != tuple(size):
            raise ValueError(f"part maps for an image of {tuple(size)} (width, height) cannot be {list(labels.shape)}")
        annotated = torch.as_tensor(annotated, dtype=torch.bool, device=labels.device)
        if annotated.shape != (count,):
            raise ValueError(f"{count} part maps need as many flags, but `annotated` is {list(annotated.shape)}")
        self._maps = NearestWindows(ObjectWindows.of_frames(labels.to(torch.uint8)))
        self._index = index
        self.annotated = annotated
        self.size = size[0], size[1]
        self.part_set = part_set

    @classmethod
    def of_windows(cls, windows: ObjectWindows, annotated: torch.Tensor, part_set: PartSet) -> "PartMask":
        """From `ObjectWindows` of the labels, in place of whole maps; `annotated` bool [N] and `part_set` as above."""
        made = cls.__new__(cls)
        made._maps, made._index, made.annotated = NearestWindows(windows), None, annotated
        made.size, made.part_set = windows.size, part_set
        return made

    @classmethod
    def cat(cls, parts: Sequence["PartMask"]) -> "PartMask":
        """Join the instances of one image."""
        windows = ObjectWindows.cat([ObjectWindows.cut_out(part.labels) for part in parts])
        return cls.of_windows(windows, torch.cat([part.annotated for part in parts]), parts[0].part_set)

    @property
    def labels(self) -> torch.Tensor:
        """uint8 [N, H, W]."""
        maps = self._maps.tensor
        return maps if self._index is None else maps[self._index]

    def windows(self) -> ObjectWindows:
        """The maps of the N instances in their order, each in the window that holds it."""
        if not self._maps.is_plain:
            return ObjectWindows.cut_out(self.labels)
        return self._maps.windows if self._index is None else self._maps.windows.pick(self._index)

    def resize(self, size: Sequence[int], *args: Any, **kwargs: Any) -> "PartMask":
        """The maps of the image resized to (width, height): each pixel takes the label at its centre."""
        return self._like(self._maps.resize(size))

    def crop(self, box: Sequence[float]) -> "PartMask":
        """The maps within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._like(self._maps.crop(clamp_window([round(float(side)) for side in box], self.size)))

    def pad(self, size: Sequence[int]) -> "PartMask":
        """The maps of the image enlarged to (width, height) by background to the right and below."""
        return self._like(self._maps.pad(size))

    def transpose(self, method: int) -> "PartMask":
        """The maps of the mirrored image, left and right parts exchanged (in a mirror upside down too)."""
        flips = self.part_set.flip_indices
        maps = self._maps.transpose(method)
        if flips != tuple(range(len(flips))):
            maps = maps.map(lambda labels: labels.new_tensor(flips)[labels.int()])
        return self._like(maps)

    def rotate(self, angle: float) -> "PartMask":
        """The maps of the rotated image, see `SegmentationMask.rotate`: each pixel takes the label at its centre."""
        windows = ObjectWindows.cut_out(rotate_maps(self._maps.tensor, angle, 0))
        return self._like(NearestWindows(windows))

    def cover(self, mask: torch.Tensor) -> "PartMask":
        """The maps with background where something else covers the image; mask: bool [H, W]."""
        return self._like(NearestWindows(ObjectWindows.cut_out(self._maps.tensor * ~mask)))

    @classmethod
    def unannotated(cls, count: int, size: Sequence[int], part_set: PartSet) -> "PartMask":
        """The parts of objects of which nobody annotated any."""
        windows = ObjectWindows(torch.zeros(count, dtype=torch.uint8), [(0, 0, 1, 1)] * count, (size[0], size[1]))
        return cls.of_windows(windows, torch.zeros(count, dtype=torch.bool), part_set)

    def crop_and_resize(self, boxes: torch.Tensor, size: int) -> torch.Tensor:
        """The labels of each instance within its box, as training targets of a part head, all instances at once.

        Args:
            boxes: float [N, 4] tensor, xyxy, last pixel included, one per instance.
            size: side M of the targets.

        Returns:
            int64 [N, M, M]: the label of the pixel under the centre of each cell.
        """
        if boxes.shape != (len(self), 4):
            raise ValueError(f"{len(self)} part maps need {len(self)} boxes of 4 numbers, not {list(boxes.shape)}")
        return crop_and_resize_parts([self], [torch.arange(len(self), device=boxes.device)], [boxes], size)

    def __len__(self) -> int:
        return len(self.annotated)

    def __getitem__(self, item: Index) -> "PartMask":
        """The instances at an index, slice, index tensor or boolean mask, without a copy of their maps."""
        index = self._index
        if index is None:
            index = torch.arange(len(self), device=self.annotated.device)
        if isinstance(item, torch.Tensor):
            item = item.to(index.device)
            # a mask is searched once, not once for each of the two
            item = item.nonzero().squeeze(1) if item.dtype == torch.bool else item
        picked = self._like(self._maps)
        picked._index, picked.annotated = index[item].reshape(-1), self.annotated[item].reshape(-1)
        return picked

    def __repr__(self) -> str:
        return f"PartMask(num_instances={len(self)}, size={self.size}, part_set={self.part_set.name})"

    def _like(self, maps: NearestWindows) -> "PartMask":
        made = PartMask.__new__(PartMask)
        made._maps, made._index, made.annotated = maps, self._index, self.annotated
        made.size, made.part_set = maps.size, self.part_set
        return made


def crop_and_resize_parts(
    parts: Sequence[PartMask], instances: list[torch.Tensor], boxes: list[torch.Tensor], size: int
) -> torch.Tensor:
    """`PartMask.crop_and_resize` for the regions of several images at once.

    Args:
        parts: one `PartMask` per image.
        instances: one int64 [R_i] per image, whose map each region is of.
        boxes: one float [R_i, 4] per image, xyxy, last pixel included.
        size: side M of the targets.

    Returns:
        int64 [R, M, M], image after image: the label of the pixel under the centre of each cell.
    """
    counts = [len(of_image) for of_image in boxes]
    corners = torch.cat(boxes).float()
    extents = torch.empty_like(corners[:, :2])
    for of_image, part in zip(extents.split(counts), parts):
        for column, extent in zip(of_image.unbind(1), part.size):
            column.fill_(extent)
    width, height = extents.unbind(1)
    x, y = region_grid(corners, size, (width, height), inclusive=True)
    x = at_most(x, width[:, None] - 1).long().split(counts)
    y = at_most(y, height[:, None] - 1).long().split(counts)
    objects, rows, columns = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
    for part, which, of_image_y, of_image_x in zip(parts, instances, y, x):
        objects.append(which if part._index is None else part._index.to(which.device)[which])
        for places, found in zip((rows, columns), part._maps.in_source(of_image_y, of_image_x)):
            places.append(found)
    windows = [part._maps.windows for part in parts]
    return values_at(windows, objects, torch.cat(rows), torch.cat(columns)).long()
