"""Names survive being plain lists."""

import json

from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary


def test_a_vocabulary_survives_json():
    for parts in (None, PartSet.from_names("person6", {}), PartSet.from_names("person", {})):
        for joints in (None, DETAIL_JOINTS):
            vocabulary = Vocabulary(("person", "dog"), ("sky",), ("person", "dog", "sky"), parts, joints)
            assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary
