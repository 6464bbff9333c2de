"""Keypoints of a file in COCO's layout: whose they are, what they are called, and what is mended in them."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maskrcnn_benchmark.data.preparation.check_kinds import KEPT, LEFT_OUT, REPAIRED, Findings, Kind
from maskrcnn_benchmark.data.preparation.check_values import is_text, shown
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, JointSet
from maskrcnn_benchmark.utils.errors import UserError

# Coordinates in pixels: beyond any image that can be decoded, and its surroundings
FARTHEST = 2**18

UNNAMED = Kind("category does not name its keypoints", REPAIRED)
SKELETON_FROM_0 = Kind("skeleton counts keypoints from 0", REPAIRED)
SKELETON_OUTSIDE = Kind("skeleton joins keypoints that are not there", REPAIRED)
NAMES = Kind("keypoints of a category have no names of their own", REPAIRED)
DIFFERENT = Kind("categories have different keypoints, none of which can be learned or scored", LEFT_OUT)
OF_OTHERS = Kind("keypoints of a category that does not name any", LEFT_OUT)
FORM = Kind("keypoints are nested lists or text", REPAIRED)
PAIRS = Kind("keypoints have no visibility", REPAIRED)
VISIBILITY = Kind("visibility of a keypoint is not 0, 1 or 2", REPAIRED)
UNLABELLED = Kind("keypoint without a label has odd coordinates", REPAIRED)
UNUSABLE = Kind("keypoints cannot be used, unlike their object", LEFT_OUT)
NUMBER = Kind("num_keypoints differs from the keypoints, which count", KEPT)
OUTSIDE = Kind("keypoint lies outside the image", KEPT)


@dataclass(frozen=True)
class FileKeypoints:
    """What the keypoints of a file are.

    Attributes:
        joints: the `JointSet`, or None without keypoints.
        categories: ids of the categories that have them; objects of others have none.
        rows: the rows of the file's table of categories, names and skeletons mended.
        are_labelled: whether any object has a labelled keypoint.
        conflict: the categories whose labelled keypoints differ, so that there is no joint set, in words; or "".
    """

    joints: JointSet | None
    categories: frozenset
    rows: list[dict[str, Any]]
    are_labelled: bool
    conflict: str = ""

    def names(self, categories: Mapping[Any, str]) -> tuple[str, ...]:
        """Names of the categories that have them, from {category id: name} of the file."""
        return tuple(name for key, name in categories.items() if key in self.categories)

    def of(self, record: Mapping[str, Any]) -> list[float] | None:
        """The numbers x, y, visibility of a record's keypoints: zeros for an object that could have some, but where
        they are not annotated, None for one of a category that has none.
        """
        if record["category_id"] not in self.categories:
            return None
        return record.get("keypoints") or [0] * (3 * len(self.joints or ()))

    def problem_of(self, record: Mapping[str, Any]) -> str | None:
        """What is wrong with a record's keypoints, in words that follow "its keypoints": str, or None."""
        if not record.get("keypoints") or record["category_id"] not in self.categories:
            return None
        return problem_of_keypoints(record["keypoints"], 3 * len(self.joints or ()))

    def mend(self, record: dict[str, Any], where: str, findings: Findings) -> str | None:
        """Mend a record's keypoints in place where their meaning is clear, and note it at `where`, words.

        Returns:
            What is wrong with them nonetheless, in words that follow "its keypoints", or None.
        """
        problem = self.problem_of(record)
        if problem:
            keypoints, kinds = _mended(record["keypoints"], len(self.joints or ()))
            if still_wrong := problem_of_keypoints(keypoints, 3 * len(self.joints or ())):
                return still_wrong
            record["keypoints"] = keypoints
            for kind, detail in kinds:
                findings.add(kind, f"{where} ({detail})")
        elif record["category_id"] in self.categories and has_other_number(record):
            findings.add(NUMBER, number_words(record, where))
        return None

    def outside(self, record: Mapping[str, Any], size: Sequence[int]) -> list[int]:
        """Which labelled keypoints of a sound record lie more than a pixel outside of an image of (width, height)."""
        numbers = (record.get("keypoints") or ()) if record["category_id"] in self.categories else ()
        return [
            number
            for number, (x, y, code) in enumerate(zip(numbers[::3], numbers[1::3], numbers[2::3]))
            if code and not (-1 <= x <= size[0] and -1 <= y <= size[1])
        ]


class KeypointLists:
    """What lists of keypoints occur in a file, by category: found out record by record, before it is known whose are
    of use.

    Attributes:
        lengths: {category id: {length of a list: how many there are}}.
        filled: {category id: how many are not all zeros}.
    """

    def __init__(self) -> None:
        self.lengths: defaultdict[Any, Counter] = defaultdict(Counter)
        self.filled: Counter = Counter()

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record into account, whatever its keypoints are."""
        keypoints, category = record.get("keypoints"), record.get("category_id")
        if not isinstance(keypoints, list):
            return
        if keypoints and isinstance(keypoints[0], list):
            keypoints = [number for each in keypoints if isinstance(each, list) for number in each]
        if keypoints:
            self.lengths[category][len(keypoints)] += 1
            if any(keypoints):
                self.filled[category] += 1


def read_keypoints(
    path: str | os.PathLike, rows: Iterable[dict[str, Any]], lists: KeypointLists, findings: Findings
) -> FileKeypoints:
    """What the keypoints of a file are: those that its categories name.

    If none does, the categories whose objects have keypoints have COCO's if there are 17, else unnamed ones. Where
    categories name different ones, those count of which objects are labelled; if that leaves several, none do.

    Args:
        path: the file, which an error names.
        rows: its table of categories.
        lists: what its objects have.
        findings: what was mended is noted here.

    Raises:
        UserError: a category's keypoints are no list of names.
    """
    rows = [_with_names(row) for row in rows]
    if not any(row.get("keypoints") for row in rows) and lists.lengths:
        rows = _named_by_number(rows, lists, findings)
    own = {row["id"]: _read_category(path, row, findings) for row in rows if row.get("keypoints")}
    used = {own[key][1].names for key in own if lists.filled[key]} or {joints.names for _, joints in own.values()}
    rows = [own[row["id"]][0] if row["id"] in own else row for row in rows]
    if len(used) > 1:
        first = {joints.names: f"{row['name']!r} ({len(joints)})" for row, joints in own.values()}
        conflict = " and ".join(first[names] for names in first if names in used)
        findings.add(DIFFERENT, f"those of {conflict}")
        return FileKeypoints(None, frozenset(), rows, False, conflict)
    own = {key: joints for key, (_, joints) in own.items() if joints.names in used}
    joints = next((each for each in own.values() if each.skeleton), next(iter(own.values()), None))
    for k, row in enumerate(rows):
        if row["id"] not in own:
            rows[k] = {name: value for name, value in row.items() if name not in ("keypoints", "skeleton")}
            if own and lists.filled[row["id"]]:
                findings.add(OF_OTHERS, f"those of {_objects(lists.filled[row['id']])} of category {row['name']!r}")
    usable = {3 * len(joints or ()), 2 * len(joints or ())}
    are_labelled = any(lists.filled[key] and usable & lists.lengths[key].keys() for key in own)
    return FileKeypoints(joints, frozenset(own), rows, are_labelled)


def keypoints_of_index(
    path: str | os.PathLike, rows: list[dict[str, Any]], has_keypoints: bool, are_labelled: bool
) -> FileKeypoints:
    """As `read_keypoints`, from what an index holds: the rows of categories, and whether there are keypoints.

    Rows without names are of an index that was made when they said that keypoints are COCO's 17.
    """
    found = read_keypoints(path, rows, KeypointLists(), Findings())
    if found.joints is not None or not has_keypoints:
        return replace(found, are_labelled=are_labelled and found.joints is not None)
    persons = frozenset(row["id"] for row in rows if row["name"] == "person")
    return FileKeypoints(COCO_JOINTS, persons or frozenset(row["id"] for row in rows), rows, are_labelled)


def problem_of_keypoints(keypoints: Any, length: int) -> str | None:
    """What is wrong with a record's keypoints, if they are to be `length` numbers, in words that follow "its
    keypoints": str, or None.
    """
    if not isinstance(keypoints, list) or len(keypoints) != length:
        found = len(keypoints) if isinstance(keypoints, list) else type(keypoints).__name__
        return f"are not {length} numbers x, y, visibility of {length // 3} keypoints, but {found}"
    if not {int, float}.issuperset(map(type, keypoints)):
        return "are not all numbers"
    if any(number != number or number in (math.inf, -math.inf) for number in keypoints):
        return "have a coordinate that is not finite"
    farthest = max(map(abs, keypoints), default=0)
    if farthest > FARTHEST:
        return f"have the coordinate {shown(farthest)}, beyond any image"
    if not {0, 1, 2}.issuperset(keypoints[2::3]):
        odd = next(value for value in keypoints[2::3] if value not in (0, 1, 2))
        return f"have the visibility {odd:g}, which is not 0, 1 or 2"
    return None


def number_labelled(record: Mapping[str, Any]) -> int:
    """How many keypoints of a record are labelled."""
    keypoints = record.get("keypoints")
    codes = keypoints[2::3] if isinstance(keypoints, list) else []
    return len(codes) - codes.count(0)


def has_other_number(record: Mapping[str, Any]) -> bool:
    """Whether a record with sound keypoints says of itself that it has another number of them than it has."""
    number = record.get("num_keypoints")
    return bool(number is not None and record.get("keypoints")) and number != number_labelled(record)


def number_words(record: Mapping[str, Any], where: str) -> str:
    """The place of a record that says another number of keypoints than it has, with both."""
    return f"{where} ({shown(record['num_keypoints'])}, not {number_labelled(record)})"


def _with_names(row):
    """A category's row; a number of keypoints in place of their names becomes as many names."""
    count = row.get("keypoints")
    if type(count) is int and 0 < count <= FARTHEST:
        return {**row, "keypoints": _numbered(count)}
    return row


def _named_by_number(rows, lists, findings):
    """The rows with names for the keypoints that objects have: COCO's 17, else "keypoint 1" and so on."""
    owners = {key for key in lists.lengths if lists.filled[key]} or set(lists.lengths)
    ((length, _),) = sum((lists.lengths[key] for key in owners), Counter()).most_common(1)
    names = list(COCO_JOINTS.names) if length % 3 else _numbered(length // 3)
    for row in rows:
        if row["id"] in owners and len(names) != len(COCO_JOINTS):
            findings.add(UNNAMED, f"category {row['name']!r}, called {names[0]} to {names[-1]}")
    return [{**row, "keypoints": names} if row["id"] in owners else row for row in rows]


def _numbered(count):
    return list(COCO_JOINTS.names) if count == len(COCO_JOINTS) else [f"keypoint {k + 1}" for k in range(count)]


def _read_category(path, row, findings):
    """(row, `JointSet`) of a category that names keypoints; the skeleton's pairs count from 1 in the row."""
    if not isinstance(row["keypoints"], list):
        raise UserError(
            f"{path}: the keypoints of category {row['name']!r} are {shown(row['keypoints'])}, not a list of names; "
            "mend or remove them"
        )
    where, names = f"category {row['name']!r}", _different(row["keypoints"])
    if names != row["keypoints"]:
        changed = [k for k, name in enumerate(names) if name != row["keypoints"][k]]
        findings.add(NAMES, f"{where}, {shown(row['keypoints'][changed[0]])}, now {names[changed[0]]!r}")
    links = row.get("skeleton") or []
    pairs = [_pair(link, names) for link in links] if isinstance(links, list) else [None]
    if any(0 in pair for pair in pairs if pair):
        findings.add(SKELETON_FROM_0, f"{where}, all {len(pairs)} links")
        pairs = [pair and (pair[0] + 1, pair[1] + 1) for pair in pairs]
    kept = [pair for pair in pairs if pair and min(pair) >= 1 and max(pair) <= len(names)]
    if len(kept) < len(pairs):
        findings.add(SKELETON_OUTSIDE, f"{where}, {len(pairs) - len(kept)} of {len(pairs)} links left out")
    if names != row["keypoints"] or links != [list(pair) for pair in kept]:
        row = {**row, "keypoints": names, "skeleton": [list(pair) for pair in kept]}
    skeleton = [(a - 1, b - 1) for a, b in kept]
    return row, JointSet.from_names(names, skeleton, f"coco style: {row['name']}")


def _different(names):
    """Names of keypoints as texts that differ: those that are texts already, and are there once, as they are."""
    texts = [
        str(name) if is_text(name) or type(name) in (int, float) else f"keypoint {k + 1}"
        for k, name in enumerate(names)
    ]
    numbers = Counter(texts)
    return [name if numbers[name] == 1 else f"{name} ({k + 1})" for k, name in enumerate(texts)]


def _pair(link, names):
    """The numbers of two keypoints, which a skeleton may name, too; None for what is no pair."""
    if not isinstance(link, list) or len(link) != 2:
        return None
    ends = [names.index(end) + 1 if end in names else _number(end) for end in link]
    are_numbers = all(type(end) in (int, float) and abs(end) <= FARTHEST and end == int(end) for end in ends)
    return (int(ends[0]), int(ends[1])) if are_numbers else None


def _mended(keypoints, count):
    """Keypoints in COCO's form where it is clear what was meant, and what was done: (list, [(Kind, detail)])."""
    kinds = []
    if not isinstance(keypoints, list):
        return keypoints, kinds
    if all(isinstance(each, list) for each in keypoints):
        keypoints = [number for each in keypoints for number in each]
        kinds.append((FORM, f"now {len(keypoints)} in one list"))
    if any(isinstance(value, str) for value in keypoints):
        keypoints = [_number(value) for value in keypoints]
        kinds.append((FORM, "read as numbers"))
    if len(keypoints) == 2 * count:
        pairs = zip(keypoints[::2], keypoints[1::2])
        keypoints = [value for x, y in pairs for value in (x, y, 2 if x or y else 0)]
        kinds.append((PAIRS, "taken for 2, for 0 at 0, 0"))
    if len(keypoints) != 3 * count:
        return keypoints, kinds
    points = [(x, y, _visibility(x, y, v)) for x, y, v in zip(keypoints[::3], keypoints[1::3], keypoints[2::3])]
    odd = [(v, code) for v, (_, _, code) in zip(keypoints[2::3], points) if isinstance(v, bool) or v != code]
    if odd:
        kinds.append((VISIBILITY, f"{shown(odd[0][0])} is taken for {odd[0][1]}"))
    if any(problem_of_keypoints([x, y, 0], 3) for x, y, code in points if code == 0):
        kinds.append((UNLABELLED, "now 0, 0"))
    return [value for point in points for value in (point if point[2] in (1, 2) else (0, 0, 0))], kinds


def _visibility(x, y, code):
    """0, 1 or 2 for what a keypoint has as its visibility: what is greater than 0 is labelled, as in pycocotools, but
    for another number at 0, 0; what is no number is not.
    """
    if isinstance(code, bool) or code not in (0, 1, 2):
        return 2 if isinstance(code, int | float) and code > 0 and (x or y) else 0
    return code


def _objects(number):
    return f"{number} object{'s' * (number != 1)}"


def _number(value):
    """The number that a text says; anything else is itself."""
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return int(number) if isinstance(value, str) and number.is_integer() else number
