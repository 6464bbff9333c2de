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


def test_keypoints_belong_to_persons_or_to_all_unless_it_says_whose_they_are():
    persons, cats = (
        Vocabulary(("dog", "person"), joints=DETAIL_JOINTS),
        Vocabulary(("cat", "cow"), joints=DETAIL_JOINTS),
    )
    assert persons.keypoint_labels == (2,) and cats.keypoint_names == ("cat", "cow")
    dogs = Vocabulary(("dog", "person"), joints=DETAIL_JOINTS, keypoint_things=("dog",))
    assert (
        dogs.keypoint_labels == (1,) and Vocabulary.from_dict(json.loads(json.dumps(dogs.to_dict()))) == dogs != persons
    )
    assert (
        Vocabulary(("dog", "person"), joints=DETAIL_JOINTS, keypoint_things=("person",)).to_dict() == persons.to_dict()
    )
    assert "keypoint_things" not in persons.to_dict()  # as older versions wrote it
    assert Vocabulary(("dog",)).keypoint_labels == ()
