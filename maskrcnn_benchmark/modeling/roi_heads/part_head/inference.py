"""From part logits to the part probabilities of each detection."""

from collections.abc import Collection, Sequence

import torch
from torch import nn

from maskrcnn_benchmark.modeling.roi_heads.regions import spread
from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.structures.bounding_box import BoxList


class PartPostProcessor(nn.Module):
    """Gives each detection the probabilities of its parts, as field "parts" float [D, P + 1, M, M].

    A class is never given a part that it does not own: the softmax runs over background and the class's own parts.

    Args:
        num_parts: P.
        part_owners: for each part label 1..P the labels of the classes that own it; None: every class owns every part.

    Raises:
        ValueError: `part_owners` is not of length P.
    """

    owned: torch.Tensor | None

    def __init__(self, num_parts: int, part_owners: Sequence[Collection[int]] | None = None) -> None:
        super().__init__()
        if part_owners is not None and len(part_owners) != num_parts:
            raise ValueError(f"{num_parts} part labels, but owners of {len(part_owners)}")
        self.num_parts = num_parts
        self.register_buffer("owned", ownership_table(part_owners), persistent=False)

    def forward(self, x: torch.Tensor, boxes: Sequence[BoxList], asked: Sequence[torch.Tensor]) -> Sequence[BoxList]:
        """Part logits [A, P + 1, M, M] of the boxes asked for -> the boxes, with the field.

        Args:
            boxes: one `BoxList` with labels per image.
            asked: one int64 [A_i] per image: the boxes that have logits. The others are all background.
        """
        logits = x.float()
        if self.owned is not None and len(logits):
            labels = cat([b.get_field("labels")[chosen] for b, chosen in zip(boxes, asked)])
            logits = logits.masked_fill(~self.owned[labels][:, :, None, None], -torch.inf)
        background = logits.new_zeros(logits.shape[1:])
        background[0] = 1
        for b, probabilities in zip(boxes, spread(logits.softmax(dim=1), asked, [len(b) for b in boxes], background)):
            b.add_field("parts", probabilities)
        return boxes


def ownership_table(part_owners: Sequence[Collection[int]] | None) -> torch.Tensor | None:
    """bool [L + 1, P + 1]: may a class have a part label, for classes up to the greatest that owns any; or None."""
    if part_owners is None:
        return None
    owned = torch.zeros(max((max(owners, default=0) for owners in part_owners), default=0) + 1, len(part_owners) + 1)
    owned[:, 0] = 1
    for part, owners in enumerate(part_owners, 1):
        owned[list(owners), part] = 1
    return owned.bool()
