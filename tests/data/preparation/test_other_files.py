"""A JSON file of another kind is named as what it is, whichever layout it was taken for."""

import json
from functools import partial

import pytest

from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.coco.file import CocoFile
from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.preparation.build_index import prepare
from maskrcnn_benchmark.data.preparation.other_files import layout_of
from maskrcnn_benchmark.utils.errors import UserError

IMAGES = [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}]
CATEGORIES = [{"id": 1, "name": "crate"}]
COCO = {"images": IMAGES, "categories": CATEGORIES}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
SEGMENTS = {"image_id": 1, "file_name": "a.png", "segments_info": []}

OTHERS = {
    "in COCO's panoptic layout": {**COCO, "annotations": [SEGMENTS]},
    "COCO's captions": {"images": IMAGES, "annotations": [{"id": 1, "image_id": 1, "caption": "a crate"}]},
    "a list of COCO's results": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}],
    "a bare list of annotations": [BOX],
    "a list of detectron2's dictionaries": [{"file_name": "a.png", "annotations": [{**BOX, "bbox_mode": 1}]}],
    "a file of MMDetection 2": [{"filename": "a.png", "ann": {"bboxes": []}}],
    "a file of MMDetection 3": {"metainfo": {}, "data_list": []},
    "RefCOCO's list": [{"ref_id": 1, "ann_id": 1, "image_id": 1, "category_id": 1}],
    "CrowdHuman's odgt": {"ID": "a", "gtboxes": []},
    "a file of labelme": {"shapes": [{"points": [[1, 2]]}], "imagePath": "a.png", "imageData": None},
    "a project of VIA": {"_via_settings": {}, "_via_img_metadata": {}},
    "a file of VIA": {"a.png1": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "rect"}}]}},
    "a file of CreateML": [{"image": "a.png", "annotations": [{"coordinates": {"x": 1}}]}],
    "a file of BDD100K": [{"name": "a.png", "labels": [{"box2d": {"x1": 1}}]}],
    "a file of Supervisely": {"size": {"width": 1}, "objects": [{"classTitle": "crate"}]},
    "an export of Labelbox": [{"ID": "a", "Labeled Data": "http"}],
    "an export of Label Studio": [{"data": {}, "annotations": [{"result": []}]}],
    "a file of videos": {"videos": [], "categories": [], "annotations": []},
    "Cityscapes' polygons": {"imgHeight": 1, "imgWidth": 1, "objects": []},
}


def doors(path):
    return [
        partial(CocoFile, path),
        *(partial(prepare, path, content=content) for content in (CocoContent, DetailContent)),
    ]


@pytest.mark.parametrize("words", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path, words):
    path = tmp_path / "some.json"
    path.write_text(json.dumps(OTHERS[words]))
    for door in doors(path):
        with pytest.raises(UserError, match=rf"some\.json is {words}.*; ") as caught:
            door()
        assert "\n" not in str(caught.value)


def test_an_object_on_each_line_is_named(tmp_path):
    path = tmp_path / "some.json"
    path.write_text("\n".join(json.dumps(each) for each in (BOX, BOX)))
    for door in doors(path):
        with pytest.raises(UserError, match=r"some\.json is JSON Lines, an object on each line"):
            door()


STARTS = {
    "": "is empty",
    "<!DOCTYPE html>": "is HTML or XML",
    "version https://git-lfs.github.com/spec/v1": "is a pointer of Git LFS, .*run git lfs pull",
    "\x1f\x8b\x08": "is compressed with gzip; unpack it",
    "PK\x03\x04": "is a zip archive; unpack it",
    "\xff\xfe{\0": "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8",
    '{\0"\0': "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8",
    '{"images": [], "categories": [{"name": "caj\xf3n"}]}': "is not UTF-8 .byte 43 is 0xf3.; save it as UTF-8",
}


@pytest.mark.parametrize("text", STARTS)
def test_what_is_no_json_in_utf8_is_said_to_be_such(tmp_path, text):
    path = tmp_path / "some.json"
    path.write_bytes(text.encode("latin-1"))
    for door in doors(path):
        with pytest.raises(UserError, match=f"some.json {STARTS[text]}"):
            door()


def test_a_byte_order_mark_is_no_matter(tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({**COCO, "annotations": [BOX]}).encode())
    assert CocoFile(path).records(1) == [BOX] and prepare(path, content=CocoContent)[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": None}, "none of its 1 annotations can be used; 1 problem, the first: annotation cannot be used"),
        ({"image_id": 9}, "none of its 1 annotations can be used; 1 problem, the first: image_id is not in 'images'"),
    ],
)
def test_a_file_of_which_nothing_can_be_used_is_not_prepared(tmp_path, change, words):
    path = tmp_path / "some.json"
    path.write_text(json.dumps({**COCO, "annotations": [{**BOX, **change}]}))
    with pytest.raises(UserError, match=words):
        prepare(path, content=CocoContent)
    assert [found.name for found in tmp_path.iterdir()] == ["some.json"]


def test_coco_taken_for_detail_is_named_and_recognised(tmp_path):
    path = tmp_path / "some.json"
    path.write_text(json.dumps({**COCO, "annotations": [BOX]}))
    assert layout_of(path) == "coco"
    with pytest.raises(UserError, match="is in COCO's layout, not PASCAL in Detail's"):
        prepare(path, content=DetailContent)
    path.write_text(json.dumps(COCO))  # a list of images to predict on
    assert layout_of(path) == "coco"
    path.write_text(json.dumps({**COCO, "images": [{"image_id": 1, "file_name": "a.png"}]}))
    assert layout_of(path) is None
    path.write_text(json.dumps({**COCO, "annotations": [SEGMENTS]}))
    assert layout_of(path) == "coco_panoptic"
    path.write_text(json.dumps({**COCO, "annos_segmentation": []}))
    assert layout_of(path) == "detail" and layout_of(tmp_path / "none.json") is None
