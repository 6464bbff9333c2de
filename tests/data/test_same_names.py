"""Names of classes and joints that mean the same in different data sets."""

from maskrcnn_benchmark.data.detail.class_sets import CLASS_SETS
from maskrcnn_benchmark.data.same_names import SAME_CLASS, SAME_JOINT, match_names
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, DETAIL_JOINTS

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


def test_every_thing_of_detail_is_a_class_of_coco_and_back_again():
    voc = CLASS_SETS["voc20"]
    places = match_names(voc, COCO, SAME_CLASS)
    found = [COCO[place] for place in places]
    assert found[:5] == ["airplane", "bicycle", "bird", "boat", "bottle"]
    assert found[10:] == [
        *("dining table", "dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv")
    ]
    assert [voc[place] for place in match_names(found, voc, SAME_CLASS)] == list(voc)
    assert sum(place is not None for place in match_names(COCO, voc, SAME_CLASS)) == 20


def test_of_the_regions_without_instances_coco_knows_those_of_the_same_name():
    names = CLASS_SETS["context59"][20:]
    known = [name for name, place in zip(names, match_names(names, COCO, SAME_CLASS)) if place is not None]
    assert known == ["bed", "bench", "book", "cup", "keyboard", "mouse", "truck"]


def test_joints_of_limbs_have_partners_and_the_sides_agree():
    places = match_names(DETAIL_JOINTS.names, COCO_JOINTS.names, SAME_JOINT)
    assert places[:2] == [None, None]
    assert [COCO_JOINTS.names[place] for place in places[2:]] == [
        f"{side}_{joint}"
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    ]
    for left, right in DETAIL_JOINTS.flip_pairs:
        assert COCO_JOINTS.flip_indices[places[left]] == places[right]


def test_capitals_do_not_count_but_the_exact_name_comes_first():
    assert match_names(["Dog", "SOFA", "cow"], ["couch", "dog"], SAME_CLASS) == [1, 0, None]
    assert match_names(["Dog", "dog"], ["dog", "Dog"]) == [1, 0]
    assert match_names([], ["dog"]) == match_names([], []) == []
