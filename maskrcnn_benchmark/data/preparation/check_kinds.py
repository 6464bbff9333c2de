"""The kinds of problem that the checks of PASCAL in Detail know, each with what is done about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.data.preparation.check_values import is_id, shown
from maskrcnn_benchmark.data.preparation.problems import Problem

LEFT_OUT, REPAIRED, KEPT = "left out", "repaired", "kept"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: `what` of its `Problem`s, and the first word of their action."""

    what: str
    action: str


# The tables
ROW_NO_OBJECT = Kind("table entry is no object", LEFT_OUT)
ROW_ID = Kind("table entry without a usable id", LEFT_OUT)
ROW_AGAIN = Kind("id occurs twice in a table", LEFT_OUT)
ROW_NAME = Kind("table entry without a usable name", REPAIRED)
ROW_FIELD = Kind("table entry with an odd value", REPAIRED)
NAME_AGAIN = Kind("name occurs twice in a table", KEPT)
FILE_AGAIN = Kind("file name occurs twice", KEPT)

# The image
IMAGE_ENTRY = Kind("image entry without a usable id", LEFT_OUT)
IMAGE_SIZE = Kind("image entry without a usable width and height", LEFT_OUT)
IMAGE_NAME = Kind("image entry without a usable file name", LEFT_OUT)
IMAGE_BACKSLASH = Kind("file name has backslashes, which are read as slashes where no file is called so", KEPT)
IMAGE_NO_PHASE = Kind("image entry without a phase", LEFT_OUT)
IMAGE_PHASE = Kind("phase of the image is unknown", KEPT)
FILE_MISSING = Kind("image file is missing", LEFT_OUT)
FILE_DAMAGED = Kind("image file cannot be read", LEFT_OUT)
FILE_SIZE = Kind("image file is of another size than its entry", LEFT_OUT)
FILE_TURNED = Kind("image file has an EXIF orientation, read as the size of its entry says", KEPT)
FILE_MAY_BE_TURNED = Kind("image file has an EXIF orientation, of which the size of its entry does not tell", KEPT)
FILE_DEEP = Kind("image file has more than 8 bits per channel", KEPT)
IMAGE_RECORDS = Kind("records of an image that is left out", LEFT_OUT)

# Records of any section
NO_LIST = Kind("records of a section are no list", LEFT_OUT)
NO_OBJECT = Kind("record is no object", LEFT_OUT)
BAD_ID = Kind("id of a record is no number", REPAIRED)
ID_AGAIN = Kind("id of a record occurs again in its image", KEPT)
REPEATED = Kind("record is repeated", LEFT_OUT)

# annos_segmentation
CATEGORY = Kind("category is unknown", LEFT_OUT)
MASK_MISSING = Kind("mask is missing or no run-length code", LEFT_OUT)
MASK_SIZE = Kind("mask is of another size than its image", LEFT_OUT)
MASK_DAMAGED = Kind("mask does not decode", LEFT_OUT)
MASK_EMPTY = Kind("mask has no pixels", LEFT_OUT)
MASK_LIST = Kind("mask is an uncompressed run-length code", REPAIRED)
BOX_MISSING = Kind("bbox is missing, odd or without extent", REPAIRED)
BOX_OUTSIDE = Kind("bbox reaches outside the image", REPAIRED)
BOX_ELSEWHERE = Kind("bbox holds no pixel of the mask", REPAIRED)
BOX_DIFFERS = Kind("bbox differs from the mask", KEPT)
AREA_MISSING = Kind("area is missing or odd", REPAIRED)
AREA_DIFFERS = Kind("area differs from the mask", REPAIRED)
CROWD_ODD = Kind("iscrowd is missing or odd", REPAIRED)
CROWD_OF_THINGS = Kind("crowd of a category that has instances", KEPT)
STUFF_NO_CROWD = Kind("region of an onlysemantic category is no crowd", KEPT)
STUFF_AGAIN = Kind("several regions of an onlysemantic category in an image", KEPT)

# Their parts
PARTS_NO_LIST = Kind("parts are no list", LEFT_OUT)
PART_NO_OBJECT = Kind("part is no object", LEFT_OUT)
PART_UNKNOWN = Kind("part id is unknown", LEFT_OUT)
PART_MISSING = Kind("part mask is missing or no run-length code", LEFT_OUT)
PART_SIZE = Kind("part mask is of another size than its image", LEFT_OUT)
PART_DAMAGED = Kind("part mask does not decode", LEFT_OUT)
PART_LIST = Kind("part mask is an uncompressed run-length code", REPAIRED)
PART_EMPTY = Kind("part mask has no pixels", KEPT)
PART_AGAIN = Kind("part id occurs again in its object", KEPT)
PART_OUTSIDE = Kind("part reaches outside its object's mask", KEPT)

# annos_boundary
BOUNDARY_MISSING = Kind("boundary mask is missing or no run-length code", LEFT_OUT)
BOUNDARY_DAMAGED = Kind("boundary mask does not decode", LEFT_OUT)
BOUNDARY_LIST = Kind("boundary mask is an uncompressed run-length code", REPAIRED)
BOUNDARY_SIZE = Kind("boundary mask is of another size than its image", KEPT)

# annos_joints
JOINTS_ODD = Kind("keypoints are not the numbers of 14 joints", LEFT_OUT)
JOINTS_NOWHERE = Kind("neither bbox nor joints tell where a person is", LEFT_OUT)
JOINTS_VISIBILITY = Kind("visibility of a joint is not 0, 1 or 2", REPAIRED)
JOINTS_OUTSIDE = Kind("joint lies outside the image", KEPT)
JOINTS_NUMBER = Kind("num_keypoints differs from the joints", REPAIRED)
JOINTS_BOX = Kind("bbox of joints is missing, odd, without extent or outside the image", REPAIRED)
JOINTS_BOX_OUTSIDE = Kind("bbox of joints reaches outside the image", KEPT)
JOINTS_CATEGORY = Kind("category of joints is unknown", REPAIRED)
JOINTS_NO_PERSON = Kind("category of joints is not person", KEPT)

# annos_occlusion
OCCLUSION_AGAIN = Kind("second occlusion record of an image", LEFT_OUT)
OCCLUSION_ODD = Kind("occlusion record without lists of chains and labels", LEFT_OUT)
OCCLUSION_LABELS = Kind("occlusion record has not as many labels as chains", LEFT_OUT)
OCCLUSION_IMSIZE = Kind("imsize of an occlusion record is missing or odd", REPAIRED)
OCCLUSION_SIZE = Kind("imsize of an occlusion record is not the image's size", KEPT)
OCCLUSION_NUMBER = Kind("ne differs from the number of chains", REPAIRED)
CHAIN_ODD = Kind("occlusion chain is no list of pixel numbers", LEFT_OUT)
CHAIN_OUTSIDE = Kind("occlusion chain leaves the image", LEFT_OUT)
CHAIN_LABEL = Kind("label of an occlusion chain is not 1 or 2", LEFT_OUT)
CHAIN_GAPS = Kind("occlusion chains are not 8-connected", KEPT)

KINDS = tuple(value for value in list(globals().values()) if isinstance(value, Kind))
# An index that was made while one of these was found is worth making again once the folder of images has changed
IMAGE_FILE_KINDS = (FILE_MISSING, FILE_DAMAGED, FILE_SIZE)

_ID_KEYS = {"annos_segmentation": "id", "annos_joints": "person_id"}


class Findings:
    """Collects the problems of one image.

    Attributes:
        image_id: the image, or None if its id is of no use.
        problems: list of `Problem` in the order found.
    """

    def __init__(self, image_id: Any = None) -> None:
        self.image_id = image_id
        self.problems: list[Problem] = []

    def add(self, kind: Kind, where: str, detail: str = "") -> None:
        """Note a problem of a `Kind` at `where`, words; `detail` follows the action after a colon."""
        action = f"{kind.action}: {detail}" if detail else kind.action
        self.problems.append(Problem(kind.what, where, action, self.image_id))

    def place(self, section: str, record: Any, position: int) -> str:
        """The words for a record: by its id, or by its place (from 0) among its image's records of the section."""
        number = record.get(_ID_KEYS.get(section)) if isinstance(record, dict) else None
        return f"{section} {number if is_id(number) else f'entry {position}'} of image {self.image_id}"

    def objects(self, section: str, records: Any) -> list[tuple[dict[str, Any], str]]:
        """The (record, where) of those records that are objects; their ids are sound or gone."""
        if not isinstance(records, list):
            self.add(NO_LIST, f"{section} of image {self.image_id}", shown(records))
            return []
        found, seen = [], set()
        key = _ID_KEYS.get(section)
        for position, record in enumerate(records):
            where = self.place(section, record, position)
            if not isinstance(record, dict):
                self.add(NO_OBJECT, where, shown(record))
                continue
            if record.get(key) is not None and not is_id(record[key]):
                self.add(BAD_ID, where, f"{key} {shown(record[key])} dropped")
                record = {**record, key: None}
            number = record.get(key)
            if number in seen:
                where = f"{where} (entry {position})"
            elif number is not None:
                seen.add(number)
            found.append((record, where))
        return found

    def without_repetitions(self, section: str, entries: Iterable[tuple], content: Callable[[Any], Any]) -> list[tuple]:
        """Leave out what is there twice.

        Args:
            section: a section whose records have ids.
            entries: list of (record, where, ...).
            content: function of an entry to what makes it the same as another of the same id, hashable.

        Returns:
            The entries without those that repeat id and content of one before.
        """
        seen, found = {}, []
        for entry in entries:
            number = entry[0].get(_ID_KEYS[section])
            if number is None:
                found.append(entry)
            elif number not in seen:
                seen[number] = {content(entry)}
                found.append(entry)
            elif content(entry) in seen[number]:
                self.add(REPEATED, entry[1], "it is there once already")
            else:
                self.add(ID_AGAIN, entry[1], "another record has it, too")
                seen[number].add(content(entry))
                found.append(entry)
        return found
