"""DATASETS.PROTOCOL "astmt": labels of PASCAL in Detail as papers on PASCAL-Context with five tasks have them."""

import copy

import numpy as np
import pytest
from detail_sets import opened

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.tasks.part import PART, part_labels
from maskrcnn_benchmark.utils.errors import UserError

PROTOCOLS = Protocols()


@pytest.fixture
def voc(content):
    """The tiny file with all of VOC's 20 categories; on image 11 a smaller part comes before the one that holds it."""
    content = copy.deepcopy(content)
    known = {row["name"] for row in content["categories"]}
    content["categories"] += [
        {"category_id": 100 + k, "name": name, "onlysemantic": False}
        for k, name in enumerate(OFFICIAL_ORDER[:20])
        if name not in known
    ]
    content["categories"] = [row for row in content["categories"] if row["name"] != "zebra"] + [
        {"category_id": 1, "name": "zebra", "onlysemantic": True}
    ]
    person = content["annos_segmentation"][0]
    person["parts"][0]["part_id"] = 40  # an upper arm at (3, 2), before the head that covers it
    return content


def test_whatever_is_none_of_the_20_is_background_labelled_or_not(tiny, voc):
    dataset = opened(tiny, voc, protocol="astmt", tasks=["semantic"])
    assert dataset.vocabulary.semantic_names == ("background", *OFFICIAL_ORDER[:20])
    assert dataset.vocabulary.thing_names == OFFICIAL_ORDER[:20]
    expected = np.zeros((12, 20), int)
    expected[1:8, 2:8] = 15  # the wall, painted later, covers the person's feet
    assert (dataset.get_annotations(0).semantic.labels.numpy() == expected).all()
    plain = opened(tiny, voc, classes="voc20", tasks=["semantic"])
    assert set(plain.get_annotations(0).semantic.labels.unique().tolist()) == {14, 255}


def test_later_parts_overwrite_earlier_ones(tiny, voc):
    dataset = opened(tiny, voc, protocol="astmt")
    labels = part_labels(dataset.get_annotations(0)).numpy()
    assert set(np.unique(labels[1:4, 2:8])) == {1} and labels.sum() == 18
    assert 3 in part_labels(opened(tiny, voc).get_annotations(0)).numpy()  # elsewhere the small ones lie on top


def test_persons_without_parts_are_background_beside_one_with_parts(tiny, voc):
    second = copy.deepcopy(voc["annos_segmentation"][0])
    voc["annos_segmentation"].append({**second, "id": 99, "parts": [], "bbox": [2, 1, 6, 9]})
    annotations = opened(tiny, voc, protocol="astmt").get_annotations(0)
    assert annotations.instances.get_field("parts").annotated.all()
    scored = PART.build_evaluator(opened(tiny, voc, protocol="astmt").vocabulary, PROTOCOLS)._true_map(
        annotations.instances
    )
    assert 255 not in scored and (scored == part_labels(annotations).numpy()).all()


def test_images_without_a_part_are_not_annotated_for_parts(tiny, voc):
    assert "part" not in opened(tiny, voc, protocol="astmt").tasks_of(1)


@pytest.mark.parametrize("options", [{"classes": "context59"}, {"parts": "all"}])
def test_other_classes_and_parts_are_refused(tiny, voc, options):
    with pytest.raises(UserError, match=r"DATASETS\.PROTOCOL 'astmt' is about VOC's 20 classes"):
        opened(tiny, voc, protocol="astmt", **options)
    with pytest.raises(ValueError, match="protocols are '', 'astmt', not 'other'"):
        opened(tiny, voc, protocol="other")
