"""The order of occlusion: which objects of an image are in front of which, read from directed edges and masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.compiled import compiled

# Places on either side of an edge pixel at which objects are looked for: enough of them along any reach
_MOST_STEPS = 8
# Of more edge pixels so many, evenly spread, vote for all
_MOST_PIXELS = 20000


@dataclass(frozen=True)
class OrderRules:
    """When directed edges say that an object is in front of another; all lengths are shares of the image's diagonal.

    Attributes:
        strength: weaker edge pixels have no vote.
        reach: how far from an edge, to either side of it, objects are looked for; at least a pixel.
        length: least votes for being in front, which are a length of edge.
        share: least share of the votes of a pair. Below a half two objects can be in front of each other.
    """

    strength: float
    reach: float
    length: float
    share: float


# Annotated edges and masks lie within some pixels of each other: 3 of 500x375, 1 of mini_detail. A pixel of an edge may
# be chance. Objects that hide each other both do so along an edge worth the name
ANNOTATED = OrderRules(strength=0.0, reach=0.005, length=0.0025, share=0.3)


@dataclass(frozen=True)
class OcclusionOrder:
    """Which of n objects of an image are in front of which.

    Attributes:
        objects: int64 [n], rows of the image's objects.
        labels: int64 [n], their labels 1..K.
        scores: float64 [n]; 1 of annotations.
        masks: bool [n, H, W], their pixels, which may overlap.
        votes: float64 [n, n], for the row's object to be in front of the column's: about the length, in pixels, of the
            edges between them that say so, each counted as its strength.
        in_front: bool [n, n], whether the row's object is in front of the column's. Two that hide parts of each other
            have it both ways.
    """

    objects: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray
    votes: np.ndarray
    in_front: np.ndarray

    @classmethod
    def of_annotations(cls, annotations: ImageAnnotations) -> "OcclusionOrder":
        """What annotated edges say of annotated objects, by the rules `ANNOTATED`.

        Crowds, and objects whose mask nobody annotated, are none of the n.

        Args:
            annotations: with `occlusion` and with `instances` that have masks.
        """
        objects, occlusion = annotations.instances, annotations.occlusion
        chosen = np.ones(len(objects), bool)
        if objects.has_field("iscrowd"):
            chosen &= ~objects.get_field("iscrowd").cpu().numpy().astype(bool)
        if objects.has_field("has_mask"):
            chosen &= objects.get_field("has_mask").cpu().numpy().astype(bool)
        rows = np.flatnonzero(chosen)
        width, height = objects.size
        few = objects[rows.tolist()]
        masks = few.get_field("masks").get_mask_tensor().cpu().numpy().reshape(len(rows), height, width) > 0
        places = np.flatnonzero(occlusion.edges.cpu().numpy())
        directions = occlusion.direction.cpu().numpy().reshape(2, -1)[:, places]
        labels = few.get_field("labels").cpu().numpy().astype(np.int64)
        votes = occlusion_votes(masks, places, directions, np.ones(len(places)), ANNOTATED)
        return cls(rows, labels, np.ones(len(rows)), masks, votes, in_front(votes, masks.shape[1:], ANNOTATED))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.masks.shape[2], self.masks.shape[1]

    def resize(self, size: Sequence[int]) -> "OcclusionOrder":
        """The order in the image resized to (width, height): masks take the pixel at each centre, votes stay."""
        if tuple(size) == self.size:
            return self
        masks = np.zeros((len(self), size[1], size[0]), bool)
        for mask, small in zip(self.masks, masks):
            small[:] = cv2.resize(mask.view(np.uint8), tuple(size), interpolation=cv2.INTER_NEAREST_EXACT)
        return replace(self, masks=masks)

    def take(self, chosen: np.ndarray) -> "OcclusionOrder":
        """Those of its objects in `chosen`, int64 [m] or bool [n], in that order."""
        rows = np.arange(len(self))[chosen]
        pairs = np.ix_(rows, rows)
        return OcclusionOrder(
            self.objects[rows],
            self.labels[rows],
            self.scores[rows],
            self.masks[rows],
            self.votes[pairs],
            self.in_front[pairs],
        )

    def __len__(self) -> int:
        return len(self.objects)


def occlusion_votes(
    masks: np.ndarray, places: np.ndarray, directions: np.ndarray, strengths: np.ndarray, rules: OrderRules
) -> np.ndarray:
    """How much directed edges speak for each object to be in front of each other.

    From an edge pixel, which belongs to what is in front, objects are looked for at up to eight places on its left,
    itself the first, and as many on its right. With L and R the share of an object's places on each side, the pixel has
    the vote max(0, L_i R_j - R_i L_j) times its strength for i in front of j: none where both lie on both sides alike,
    as twice the same object, and where nothing lies on one side, as at an edge between an object and stuff.

    Args:
        masks: bool [n, H, W], pixels of each object; they may overlap.
        places: int64 [E], row * W + column of the edge pixels.
        directions: float [2, E], (sin, cos) of the tangent that has the side in front on its left, in image coordinates
            (x right, y down), of any length; 0 where it is not known: such a pixel has no vote.
        strengths: float [E], of the edge pixels in 0..1.
        rules: what counts.

    Returns:
        float64 [n, n], the sums; 0 on the diagonal.
    """
    count, height, width = masks.shape
    votes = np.zeros((count, count))
    length = np.hypot(directions[0], directions[1])
    chosen = np.flatnonzero((strengths >= rules.strength) & (length > 0))
    if count < 2 or not len(chosen):
        return votes
    weight = max(1.0, len(chosen) / _MOST_PIXELS)
    if weight > 1:
        chosen = chosen[(np.arange(_MOST_PIXELS) * weight).astype(np.int64)]
    reach = max(1, round(rules.reach * float(np.hypot(height, width))))
    steps = np.rint(np.linspace(0, reach - 1, min(reach, _MOST_STEPS)))
    sin, cos = directions[:, chosen].astype(np.float64) / length[chosen]
    y, x = np.divmod(places[chosen], width)
    edges = np.stack((x, y, sin, -cos, weight * strengths[chosen]), axis=1)
    starts, owners = _owners(np.ascontiguousarray(masks).view(np.uint8))
    _vote(starts, owners, width, edges, steps, votes)
    return votes


def in_front(votes: np.ndarray, shape: Sequence[int], rules: OrderRules) -> np.ndarray:
    """Which votes [n, n] in an image [H, W] suffice: bool [n, n], in both directions where both do."""
    least = rules.length * float(np.hypot(shape[0], shape[1]))
    return (votes > 0) & (votes >= least) & (votes >= rules.share * (votes + votes.T))


@compiled
def _owners(masks):
    """Whose each pixel is, of masks uint8 [n, H, W]: those of pixel p are owners[starts[p] : starts[p + 1]]."""
    count, height, width = masks.shape
    flat = masks.reshape(count, height * width)
    starts = np.zeros(height * width + 1, np.int32)
    for i in range(count):
        for p in range(height * width):
            starts[p + 1] += flat[i, p]
    for p in range(height * width):
        starts[p + 1] += starts[p]
    free = starts[:-1].copy()
    owners = np.empty(starts[-1], np.int32)
    for i in range(count):
        for p in range(height * width):
            if flat[i, p]:
                owners[free[p]] = i
                free[p] += 1
    return starts, owners


@compiled
def _vote(starts, owners, width, edges, steps, votes):
    """Add to `votes` float64 [n, n] what edges float64 [E, 5] (x, y, left in x and y, strength) say of `_owners`."""
    height = (len(starts) - 1) // width
    sides = np.zeros((len(votes), 2))
    near = np.empty(len(votes), np.int64)  # the objects on either side
    for e in range(len(edges)):
        x, y, left_x, left_y, strength = edges[e]
        number = 0
        for side in range(2):
            for step in steps:
                far = step if side == 0 else -step - 1
                column, row = int(np.floor(x + far * left_x + 0.5)), int(np.floor(y + far * left_y + 0.5))
                if 0 <= column < width and 0 <= row < height:
                    p = row * width + column
                    for k in range(starts[p], starts[p + 1]):
                        i = owners[k]
                        if sides[i, 0] == 0 and sides[i, 1] == 0:
                            near[number] = i
                            number += 1
                        sides[i, side] += 1
            if number == 0:
                break
        for a in range(number if number > 1 else 0):
            for b in range(number):
                i, j = near[a], near[b]
                vote = sides[i, 0] * sides[j, 1] - sides[i, 1] * sides[j, 0]
                if vote > 0:
                    votes[i, j] += vote * strength / len(steps) ** 2
        for a in range(number):
            sides[near[a]] = 0
