"""Keypoints of objects: which there are, how they are connected, where they lie and how they move with the image."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from maskrcnn_benchmark.structures.rotation import rotate_points
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, Index, TensorHolder, check_flip
from maskrcnn_benchmark.utils.ranges import Integer, Number
from maskrcnn_benchmark.utils.schema import TEXT, Fixed, ListOf, Record, Unfit

# Whole-body sets have 133
MOST_JOINTS = 1000
_PAIRS = ListOf(Fixed((Integer(0, MOST_JOINTS), Integer(0, MOST_JOINTS))), 0, 10 * MOST_JOINTS)
STORED = Record(
    {
        "name": TEXT,
        "names": ListOf(TEXT, 0, MOST_JOINTS),
        "flip_pairs": _PAIRS,
        "skeleton": _PAIRS,
        "sigmas": ListOf(Number(0, above=True), 0, MOST_JOINTS),
    }
)


@dataclass(frozen=True)
class JointSet:
    """The keypoints that a data set annotates. Sets are equal whatever is drawn of them and however they are mirrored.

    Attributes:
        name: "detail", "coco", or what a file calls its own.
        names: name of each of the K keypoints.
        flip_pairs: pairs (left, right) of indices that a mirror exchanges.
        skeleton: pairs of indices joined by a bone, for drawing.
        sigmas: per keypoint, the standard deviation of where annotators place it relative to the object's size (OKS).
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = field(compare=False)
    skeleton: tuple[tuple[int, int], ...] = field(compare=False)
    sigmas: tuple[float, ...]

    @property
    def flip_indices(self) -> tuple[int, ...]:
        """tuple of K: the keypoint that takes the place of each in a mirrored image."""
        indices = list(range(len(self.names)))
        for left, right in self.flip_pairs:
            indices[left], indices[right] = right, left
        return tuple(indices)

    @property
    def occluded_code(self) -> int:
        """The visibility code of a keypoint that is there but cannot be seen: Detail's 2 is COCO's 1."""
        return 1 if self.name.startswith("coco") else 2

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_names(
        cls, names: Iterable[str], skeleton: Iterable[Sequence[int]] = (), name: str = "named"
    ) -> "JointSet":
        """The keypoints that a file names: COCO's 17 or Detail's 14 if it names those, else a set of its own.

        A mirror exchanges "left_x" with "right_x", "x_left" with "x_right", "lx" with "rx", "x_l", "x.l", "x (l)" and
        their like with "x_r", and "xL" with "xR", where both are there, in small letters or capitals. A keypoint that
        COCO knows by name has COCO's sigma; any other has their mean over COCO's 17.
        """
        names = tuple(names)
        known = next((joints for joints in (COCO_JOINTS, DETAIL_JOINTS) if joints.names == names), None)
        if known is not None:
            return known
        coco_sigmas = dict(zip(COCO_JOINTS.names, COCO_JOINTS.sigmas))
        usual = sum(COCO_JOINTS.sigmas) / len(COCO_JOINTS.sigmas)
        return cls(
            name=name,
            names=names,
            flip_pairs=tuple(_mirror_pairs(names)),
            skeleton=tuple((int(a), int(b)) for a, b in skeleton),
            sigmas=tuple(coco_sigmas.get(joint, usual) for joint in names),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON and checkpoints."""
        return {
            "name": self.name,
            "names": list(self.names),
            "flip_pairs": [list(pair) for pair in self.flip_pairs],
            "skeleton": [list(pair) for pair in self.skeleton],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, tree: Any, where: str = "") -> "JointSet":
        """The set that `to_dict` described. Raises `Unfit`, a ValueError, for anything else, at `where` in its file."""
        STORED.check(tree, where)
        count = len(tree["names"])
        if len(tree["sigmas"]) != count:
            raise Unfit(f"{where}.sigmas has {len(tree['sigmas'])} entries for {count} names".lstrip("."))
        for key in ("flip_pairs", "skeleton"):
            if any(index >= count for pair in tree[key] for index in pair):
                raise Unfit(f"{where}.{key} names a keypoint beyond the {count} there are".lstrip("."))
        mirrored = [index for pair in tree["flip_pairs"] for index in pair]
        if len(set(mirrored)) != len(mirrored):
            raise Unfit(f"{where}.flip_pairs name a keypoint twice".lstrip("."))
        return cls(
            tree["name"],
            tuple(tree["names"]),
            tuple(tuple(pair) for pair in tree["flip_pairs"]),
            tuple(tuple(pair) for pair in tree["skeleton"]),
            tuple(tree["sigmas"]),
        )


# How names say which side a keypoint is on: the pattern of the left one, and the right one's text in its place
_SIDES = (
    *((re.compile(words[0]), words[1]) for words in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))),
    *((re.compile(f"^{left}"), right) for left, right in ("lr", "LR", "左右")),
    *((re.compile(f"(?<![A-Za-z]){left}(?![A-Za-z])"), right) for left, right in ("lr", "LR", "左右")),
    (re.compile("(?<=[a-z0-9])L$"), "R"),
)


def _mirror_pairs(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(left, right) indices of the names that differ only in their side, each in one pair at most."""
    place = {name: i for i, name in enumerate(names)}
    free = set(place)
    for name, i in place.items():
        swapped = (pattern.sub(right, name) for pattern, right in _SIDES)
        partner = next((other for other in swapped if other != name and other in free), None)
        if partner is not None and name in free:
            free -= {name, partner}
            yield i, place[partner]


# PASCAL in Detail. Sigmas of limbs are COCO's for the same keypoint; COCO has no head or neck, which get that of the
# shoulder: both are the middle of a region rather than a point, and are placed no more exactly than a shoulder.
DETAIL_JOINTS = JointSet(
    name="detail",
    names=(
        "head", "neck",
        "lsho", "lelb", "lwri", "lhip", "lknee", "lank",
        "rsho", "relb", "rwri", "rhip", "rknee", "rank",
    ),
    flip_pairs=((2, 8), (3, 9), (4, 10), (5, 11), (6, 12), (7, 13)),
    skeleton=(
        (0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (6, 7),
        (1, 8), (8, 9), (9, 10), (8, 11), (11, 12), (12, 13),
    ),
    sigmas=(0.079, 0.079, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089),
)  # fmt: skip

COCO_JOINTS = JointSet(
    name="coco",
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    skeleton=(
        (1, 2), (1, 0), (2, 0), (2, 4), (1, 3), (6, 8), (8, 10), (5, 7), (7, 9),
        (12, 14), (14, 16), (11, 13), (13, 15), (6, 5), (12, 11),
    ),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
        0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip


class Keypoints(TensorHolder):
    """The keypoints of N objects in one image.

    Args:
        keypoints: float [N, K, 3] or [N, 3 K]: x, y in pixels and a visibility code. 0 means not annotated, then x and
            y mean nothing. Other codes are the data set's own and are kept (Detail: 1 visible, 2 occluded; COCO the
            reverse).
        size: (width, height) of the image.
        mode: unused, kept for code written for the original library.
        joints: the `JointSet`; a subclass has its own.

    Raises:
        ValueError: if the shape does not fit.
    """

    JOINTS: JointSet | None = None

    def __init__(
        self,
        keypoints: torch.Tensor | Sequence[Any],
        size: Sequence[int],
        mode: Any = None,
        joints: JointSet | None = None,
    ) -> None:
        device = keypoints.device if isinstance(keypoints, torch.Tensor) else torch.device("cpu")
        keypoints = torch.as_tensor(keypoints, dtype=torch.float32, device=device)
        self.joints = joints or self.JOINTS
        if keypoints.numel() == 0:
            keypoints = keypoints.reshape(0, keypoints.shape[1] if keypoints.ndim == 3 else len(self.joints or ()), 3)
        elif keypoints.ndim not in (2, 3) or keypoints.shape[-1] % 3:
            raise ValueError(f"keypoints must have shape [N, K, 3] or [N, 3 K], not {list(keypoints.shape)}")
        keypoints = keypoints.reshape(len(keypoints), -1, 3) if len(keypoints) else keypoints
        if self.joints is not None and keypoints.shape[1] != len(self.joints):
            shape = list(keypoints.shape)
            raise ValueError(f"{self.joints.name} has {len(self.joints)} keypoints, but their tensor has shape {shape}")
        self.keypoints = keypoints
        self.size = size[0], size[1]
        self.mode = mode
        self.extra_fields: dict[str, Any] = {}

    @classmethod
    def cat(cls, parts: Sequence["Keypoints"]) -> "Keypoints":
        """Join the objects of one image."""
        first = parts[0]
        joined = first._like(torch.cat([part.keypoints for part in parts]), first.size)
        for name in first.extra_fields:
            joined.add_field(name, torch.cat([part.get_field(name) for part in parts]))
        return joined

    def add_field(self, field: str, field_data: Any) -> None:
        self.extra_fields[field] = field_data

    def get_field(self, field: str) -> Any:
        """The data of a field. Raises `KeyError` that names the fields there are."""
        if field not in self.extra_fields:
            raise KeyError(f"no field {field!r} among the fields of these keypoints: {sorted(self.extra_fields)}")
        return self.extra_fields[field]

    def has_field(self, field: str) -> bool:
        return field in self.extra_fields

    def resize(self, size: Sequence[int], *args: Any, **kwargs: Any) -> "Keypoints":
        """The keypoints in the image resized to (width, height): coordinates times the ratio of the sizes."""
        ratios = [float(new) / float(old) for new, old in zip(size, self.size)]
        return self._like(self.keypoints * self.keypoints.new_tensor([*ratios, 1.0]), size, self.extra_fields)

    def crop(self, box: Sequence[int]) -> "Keypoints":
        """The keypoints within the window (x1, y1, x2, y2), x2 and y2 excluded; one outside becomes 0, 0, 0."""
        x1, y1, x2, y2 = (float(side) for side in box)
        x, y, visibility = self.keypoints.unbind(-1)
        inside = (visibility != 0) & (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        shifted = torch.stack((x - x1, y - y1, visibility), -1)
        shifted = torch.where(inside[..., None], shifted, torch.zeros_like(shifted))
        return self._like(shifted, (box[2] - box[0], box[3] - box[1]), self.extra_fields)

    def pad(self, size: Sequence[int]) -> "Keypoints":
        """The keypoints in the image enlarged to (width, height) to the right and below."""
        return self._like(self.keypoints, size, self.extra_fields)

    def transpose(self, method: int) -> "Keypoints":
        """The keypoints of the mirrored image: x' = width - 1 - x or y' = height - 1 - y, left and right exchanged.

        Upside down as well: a left hand becomes a right one in any mirror. Fields with an entry per keypoint follow.
        """
        if self.joints is None:
            raise ValueError(
                "a mirror exchanges left and right keypoints: Keypoints(..., joints=...) says which they are"
            )
        check_flip(method)
        order, count = list(self.joints.flip_indices), len(self.joints)
        fields = {
            name: field[:, order] if isinstance(field, torch.Tensor) and field.shape[1:2] == (count,) else field
            for name, field in self.extra_fields.items()
        }
        return self._like(self._reflect(self.keypoints, method), self.size, fields)

    def rotate(self, angle: float) -> "Keypoints":
        """The keypoints of the image rotated about its centre by degrees, counter-clockwise on the screen.

        One that leaves the image becomes 0, 0, 0, as in `crop`.
        """
        places = rotate_points(self.keypoints[..., :2], angle, self.size, inclusive=True)
        rotated = self._like(torch.cat((places, self.keypoints[..., 2:]), -1), self.size, self.extra_fields)
        return rotated.crop((0, 0, *self.size))

    def cover(self, mask: torch.Tensor) -> "Keypoints":
        """The keypoints where something else covers the image, mask bool [H, W]: those below are occluded."""
        if self.joints is None:
            raise ValueError("a covered keypoint is occluded: Keypoints(..., joints=...) says what code that is")
        last = self.keypoints.new_tensor(self.size) - 1
        x, y = torch.minimum(self.keypoints[..., :2].round().clamp(min=0), last).long().unbind(-1)
        keypoints = self.keypoints.clone()
        visibility = keypoints[..., 2]
        visibility[mask[y, x] & (visibility != 0)] = self.joints.occluded_code
        return self._like(keypoints, self.size, self.extra_fields)

    def __getitem__(self, item: Index) -> "Keypoints":
        """The objects at an index, slice, index tensor or boolean mask."""
        item = [item] if isinstance(item, int) else item
        return self._map(lambda tensor: tensor[item])

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_instances={len(self)}, size={self.size})"

    def _reflect(self, keypoints, method):
        axis = 0 if method == FLIP_LEFT_RIGHT else 1
        keypoints = keypoints[:, list(self.joints.flip_indices)]
        columns = list(keypoints.unbind(-1))
        columns[axis] = self.size[axis] - 1 - columns[axis]
        keypoints = torch.stack(columns, -1)
        return torch.where(keypoints[..., 2:] == 0, torch.zeros_like(keypoints), keypoints)

    def _like(self, keypoints, size, fields=None):
        similar = type(self)(keypoints, size, self.mode, self.joints)
        similar.extra_fields = dict(fields or {})
        return similar

    def _map(self, function):
        fields = {name: function(field) for name, field in self.extra_fields.items()}
        return self._like(function(self.keypoints), self.size, fields)


class DetailKeypoints(Keypoints):
    """The 14 keypoints of PASCAL in Detail; visibility 1 visible, 2 occluded."""

    JOINTS = DETAIL_JOINTS


class PersonKeypoints(Keypoints):
    """The 17 keypoints of COCO, with the original library's names for the tables; visibility 1 occluded, 2 visible."""

    JOINTS = COCO_JOINTS
    NAMES = list(COCO_JOINTS.names)
    FLIP_MAP = {COCO_JOINTS.names[left]: COCO_JOINTS.names[right] for left, right in COCO_JOINTS.flip_pairs}
    FLIP_INDS = torch.tensor(COCO_JOINTS.flip_indices)
    CONNECTIONS = [list(pair) for pair in COCO_JOINTS.skeleton]


def keypoints_to_heat_map(
    keypoints: torch.Tensor, rois: torch.Tensor, heatmap_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The cell of a region's heat map that each keypoint falls in, as the target of a softmax over its cells.

    A region x1 .. x2 is cut into `heatmap_size` cells of width (x2 - x1) / heatmap_size; a keypoint exactly at x2
    belongs to the last (the original's convention).

    Args:
        keypoints: float [N, K, 3], one object per region.
        rois: float [N, 4], xyxy.
        heatmap_size: cells per side.

    Returns:
        cells: int64 [N, K], y * heatmap_size + x, 0 where not valid.
        valid: int64 [N, K], 1 where the keypoint is annotated and within the region.
    """
    corner, far = rois[:, None, :2], rois[:, None, 2:]
    place = keypoints[..., :2]
    cells = ((place - corner) * (heatmap_size / (far - corner))).floor()
    cells = torch.where(place == far, torch.full_like(cells, heatmap_size - 1), cells)
    within = ((cells >= 0) & (cells < heatmap_size)).all(dim=-1)
    valid = (within & (keypoints[..., 2] > 0)).long()
    x, y = torch.nan_to_num(cells).clamp(-1, heatmap_size).long().unbind(-1)
    return (y * heatmap_size + x) * valid, valid
