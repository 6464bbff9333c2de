"""The names behind the numbers of a data set: what its labels, map values, parts and keypoints are called."""

from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.structures.keypoint import JointSet
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.utils.schema import TEXT, ListOf, Maybe, Record

# Far more than any data set has, and few enough to walk through
MOST_NAMES = 65536
_NAMES = ListOf(TEXT, 0, MOST_NAMES)
STORED = Record(
    {
        "thing_names": _NAMES,
        "semantic_names": _NAMES,
        "image_label_names": _NAMES,
        "parts": Maybe(Record()),
        "joints": Maybe(Record()),
    },
    {"keypoint_things": _NAMES},
)
_PERSON = "person"


@dataclass(frozen=True)
class Vocabulary:
    """The names of one data set.

    Attributes:
        thing_names: label k of an instance (1..K) is `thing_names[k - 1]`.
        semantic_names: value k of a semantic map (0..C-1) is `semantic_names[k]`.
        image_label_names: entry k of the image labels is `image_label_names[k]`.
        parts: the `PartSet`, or None without parts.
        joints: the `JointSet`, or None without keypoints.
        keypoint_things: names of the things that have keypoints, in the order of `thing_names`; () says that they are
            those that have them by default: "person" or, where no thing is called so, all.
    """

    thing_names: tuple[str, ...] = ()
    semantic_names: tuple[str, ...] = ()
    image_label_names: tuple[str, ...] = ()
    parts: PartSet | Any = None
    joints: JointSet | Any = None
    keypoint_things: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.joints is None or set(self.keypoint_things) == set(self._default_keypoint_things()):
            object.__setattr__(self, "keypoint_things", ())  # so that what means the same is equal

    @property
    def keypoint_labels(self) -> tuple[int, ...]:
        """Labels of the things that have keypoints, ascending; () without keypoints."""
        names = self.keypoint_things or self._default_keypoint_things()
        return tuple(k for k, name in enumerate(self.thing_names, 1) if name in names) if self.joints else ()

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """Names of the things that have keypoints."""
        return tuple(self.thing_names[label - 1] for label in self.keypoint_labels)

    def _default_keypoint_things(self) -> tuple[str, ...]:
        return (_PERSON,) if _PERSON in self.thing_names else self.thing_names

    def difference(self, other: "Vocabulary") -> str | None:
        """What the first field is called in which two vocabularies differ, such as "thing names"; None without one."""
        fields = (name for name in vars(self) if getattr(self, name) != getattr(other, name))
        return next(fields, "").replace("_", " ") or None

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON and checkpoints."""
        tree = {
            "thing_names": list(self.thing_names),
            "semantic_names": list(self.semantic_names),
            "image_label_names": list(self.image_label_names),
            "parts": None if self.parts is None else self.parts.to_dict(),
            "joints": None if self.joints is None else self.joints.to_dict(),
        }
        return {**tree, "keypoint_things": list(self.keypoint_things)} if self.keypoint_things else tree

    @classmethod
    def from_dict(cls, tree: Any) -> "Vocabulary":
        """The vocabulary that `to_dict` described. Raises `Unfit`, a ValueError, for anything else."""
        STORED.check(tree)
        return cls(
            tuple(tree["thing_names"]),
            tuple(tree["semantic_names"]),
            tuple(tree["image_label_names"]),
            None if tree["parts"] is None else PartSet.from_dict(tree["parts"], "parts"),
            None if tree["joints"] is None else JointSet.from_dict(tree["joints"], "joints"),
            tuple(tree.get("keypoint_things", ())),
        )
