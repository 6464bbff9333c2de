"""Checks of the occlusion record of one image: its pixel chains and their labels."""

from itertools import chain as joined
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn_benchmark.data.preparation import check_kinds as kinds
from maskrcnn_benchmark.data.preparation.check_values import is_integer, is_size, shown

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.detail.checks import Tables

SECTION = "annos_occlusion"


def check_occlusion(records: Any, size: tuple[int, int], tables: "Tables", findings: kinds.Findings) -> list[dict]:
    """Check the occlusion records of one image, of which there is one at most.

    Args:
        records: what the file has for them.
        size: (width, height) of the image.
        tables: `Tables`.
        findings: `Findings`, which is added to.

    Returns:
        list of the record to be kept, the same object as before if it has no fault.
    """
    kept: list[dict[str, Any]] = []
    for record, where in findings.objects(SECTION, records):
        if kept:
            findings.add(kinds.OCCLUSION_AGAIN, where, "the first one is kept")
        elif _has_chains(record, where, findings):
            record, chain_size = _check_size(record, where, size, findings)
            kept.append(_check_chains(record, where, chain_size, tables.occlusion_base, findings))
    return kept


def _has_chains(record, where, findings):
    edges = record.get("edges")
    chains, labels = (edges.get(key) if isinstance(edges, dict) else None for key in ("indices", "edgelabel"))
    if not isinstance(chains, list) or not isinstance(labels, list):
        findings.add(kinds.OCCLUSION_ODD, where, f"edges {shown(edges)}")
        return False
    if len(chains) != len(labels):
        detail = f"{len(chains)} chains, {len(labels)} labels; which belong together is not known"
        findings.add(kinds.OCCLUSION_LABELS, where, detail)
        return False
    return True


def _check_size(record, where, size, findings):
    """(record, (width, height) of the image that its pixel numbers refer to)."""
    imsize = record.get("imsize")
    if not is_size(imsize):
        findings.add(kinds.OCCLUSION_IMSIZE, where, f"{shown(imsize)}, now the image's {[size[1], size[0]]}")
        return {**record, "imsize": [size[1], size[0]]}, size
    chain_size = (int(imsize[1]), int(imsize[0]))
    if chain_size != size:
        words = f"{chain_size[0]}x{chain_size[1]} on an image of {size[0]}x{size[1]}; the reader resizes its map"
        findings.add(kinds.OCCLUSION_SIZE, where, words)
    return record, chain_size


def _check_chains(record, where, size, base, findings):
    """The record with its sound chains."""
    chains, labels = record["edges"]["indices"], record["edges"]["edgelabel"]
    kept = []
    for position, (chain, label) in enumerate(zip(chains, labels)):
        sound = _sound_chain(chain, label, f"chain {position} of {where}", (base, size[0] * size[1]), findings)
        if sound is not None:
            kept.append((sound, label))
    number = record.get("ne")
    if not is_integer(number) or number != len(chains):
        findings.add(kinds.OCCLUSION_NUMBER, where, f"{shown(number)}, now {len(kept)}")
        record = {**record, "ne": len(kept)}
    sound = [chain for chain, _ in kept]
    if len(sound) < len(chains) or any(one is not other for one, other in zip(sound, chains)):
        edges = {**record["edges"], "indices": sound, "edgelabel": [label for _, label in kept]}
        record = {**record, "ne": len(kept), "edges": edges}
    _report_gaps(sound, where, size[1], base, findings)
    return record


def _sound_chain(chain, label, where, pixels, findings):
    """A chain of whole numbers within the image; None if it is left out. `pixels` is (first, how many)."""
    if type(label) not in (int, float) or label not in (1, 2):
        findings.add(kinds.CHAIN_LABEL, where, shown(label))
        return None
    if not isinstance(chain, list) or not set(map(type, chain)) <= {int}:
        if not isinstance(chain, list) or not all(map(is_integer, chain)):
            findings.add(kinds.CHAIN_ODD, where, shown(chain))
            return None
        chain = [int(pixel) for pixel in chain]
    first, number = pixels
    if chain and (min(chain) < first or max(chain) >= first + number):
        lost = [pixel for pixel in chain if not first <= pixel < first + number]
        detail = f"{len(lost)} of its {len(chain)} pixels, such as {shown(lost[0])}"
        findings.add(kinds.CHAIN_OUTSIDE, where, detail)
        return None
    return chain


def _report_gaps(chains, where, height, base, findings):
    """Note how many steps along the chains are longer than to one of the eight neighbours."""
    lengths = [len(chain) for chain in chains]
    pixels = np.fromiter(joined.from_iterable(chains), np.int64, sum(lengths)) - base
    columns, rows = np.divmod(pixels, height)
    gap = np.maximum(abs(np.diff(columns)), abs(np.diff(rows))) > 1
    ends = np.cumsum(lengths, dtype=np.int64)
    between = ends[(ends > 0) & (ends < len(pixels))] - 1  # from one chain to the next
    gap[between] = False
    number = int(gap.sum())
    if number:
        broken = len(set(np.searchsorted(ends, np.flatnonzero(gap), side="right").tolist()))
        findings.add(kinds.CHAIN_GAPS, where, f"{number} gaps in {broken} of {len(chains)} chains")
