"""PASCAL VOC: boxes from XML, masks and semantic map from PNG, and what is said about bad files."""

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.datasets import ConcatDataset, PascalVOCDataset
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError


def box_xml(box):
    return "".join(f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box))


def object_xml(name, box, difficult=0):
    part = f"<part><name>head</name><bndbox>{box_xml((1, 1, 2, 2))}</bndbox></part>"
    mark = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    return f"<object><name>{name}</name>{mark}<bndbox>{box_xml(box)}</bndbox>{part}</object>"


def write_image(root, image_id, objects, size=(20, 12), segmented=None):
    """One image; `segmented` is (classes, objects), two uint8 maps."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationClass", "SegmentationObject"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    width, height = size
    xml = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>{''.join(objects)}"
    (root / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{xml}</annotation>")
    Image.new("RGB", size, (200, 100, 50)).save(root / "JPEGImages" / f"{image_id}.jpg")
    for folder, labels in zip(("SegmentationClass", "SegmentationObject"), segmented or ()):
        picture = Image.fromarray(labels, "P") if labels.ndim == 2 else Image.fromarray(labels)
        picture.putpalette(list(range(256)) * 3) if labels.ndim == 2 else None
        picture.save(root / folder / f"{image_id}.png")


def write_list(root, split, *lines):
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    """Two images: a segmented one with three objects, whose segments are numbered in another order, and one without."""
    classes, objects = np.zeros((12, 20), np.uint8), np.zeros((12, 20), np.uint8)
    for number, label, (x1, y1, x2, y2) in ((1, 15, (11, 1, 18, 9)), (2, 12, (1, 2, 6, 8)), (3, 15, (8, 2, 9, 4))):
        objects[y1 : y2 + 1, x1 : x2 + 1], classes[y1 : y2 + 1, x1 : x2 + 1] = number, label
    classes[0], objects[0] = 255, 255
    objects_of_first = [
        object_xml("dog", (2, 3, 7, 9)),
        object_xml("person", (9, 3, 10, 5), difficult=1),
        object_xml(" Person ", ("12.0", 2, 19, 10)),
        object_xml("cat", (1, 1, 4, 4), difficult=None),
    ]
    write_image(tmp_path, "2007_000001", objects_of_first, segmented=(classes, objects))
    write_image(tmp_path, "000002", [object_xml("car", (15, 5, 25, 14))])
    write_list(tmp_path, "train", "2007_000001", "000002  1", "")
    write_list(tmp_path, "val", "000002")
    return tmp_path


def test_boxes_start_at_zero_and_difficult_objects_are_for_testing(root):
    dataset = PascalVOCDataset(root, "train", use_difficult=True)
    truth = dataset.get_groundtruth(0)
    assert truth.bbox.tolist() == [[1, 2, 6, 8], [8, 2, 9, 4], [11, 1, 18, 9], [0, 0, 3, 3]]
    assert truth.get_field("labels").tolist() == [12, 15, 15, 8]
    assert truth.get_field("difficult").tolist() == [False, True, False, False]
    instances = dataset.get_annotations(0).instances
    assert instances.bbox.tolist() == truth.bbox.tolist()
    assert instances.get_field("iscrowd").tolist() == [False, True, False, False]
    training = PascalVOCDataset(root, "train")
    assert training.get_groundtruth(0).get_field("labels").tolist() == [12, 15, 8]
    assert training.get_annotations(0).instances.get_field("labels").tolist() == [12, 15, 8]


def test_names_and_numbers_are_the_originals(root):
    dataset = PascalVOCDataset(root, "train")
    assert dataset.ids == ["2007_000001", "000002"] and dataset.id_to_img_map == {0: "2007_000001", 1: "000002"}
    assert dataset.map_class_id_to_class_name(20) == "tvmonitor" and dataset.CLASSES[0] == "__background__"
    assert dataset.class_to_ind["aeroplane"] == 1 and dataset.categories[15] == "person"
    info = dataset.get_img_info(0)
    assert (info["width"], info["height"]) == (20, 12)
    assert dataset.vocabulary.thing_names == dataset.CLASSES[1:]
    assert dataset.vocabulary.semantic_names == ("background", *dataset.CLASSES[1:])


def test_an_object_has_the_segment_of_its_class_at_its_place(root):
    instances = PascalVOCDataset(root, "train", use_difficult=True).get_annotations(0).instances
    masks = instances.get_field("masks").get_mask_tensor()
    assert masks.sum((1, 2)).tolist() == [42, 6, 72, 0]  # nobody drew a pixel of the cat
    for mask, (x1, y1, x2, y2) in zip(masks[:3], instances.bbox.int().tolist()):
        assert mask[y1 : y2 + 1, x1 : x2 + 1].all()
    training = PascalVOCDataset(root, "train").get_annotations(0).instances
    assert training.get_field("masks").get_mask_tensor().sum((1, 2)).tolist() == [42, 72, 0]


def test_semantic_map_has_the_background_and_ignores_the_void(root):
    labels = PascalVOCDataset(root, "train").get_annotations(0).semantic.labels
    assert (labels[0] == 255).all() and labels[1, 0] == 0 and labels[2, 1] == 12 and labels[1, 11] == 15


def test_an_image_that_is_not_segmented_is_not_annotated_with_masks(root):
    dataset = PascalVOCDataset(root, "train")
    derived = {"panoptic", "part_panoptic"}
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "instance", "semantic", *derived}
    annotations = dataset.get_annotations(1)
    assert annotated_tasks(annotations) == {"detection"} and annotations.semantic is None
    assert annotations.instances.bbox.tolist() == [[14, 4, 19, 11]]  # what sticks out of the image is cut off
    dataset = PascalVOCDataset(root, "train", tasks={"semantic"})
    assert dataset.leave_out_unannotated() == 1 and dataset.ids == ["2007_000001"]


def test_an_item_is_image_annotations_and_index(root):
    image, annotations, idx = PascalVOCDataset(root, "val")[0]
    assert image.size == annotations.size == (20, 12) and idx == 0 and annotations.image_id == "000002"


def test_years_and_splits_join(root):
    joined = ConcatDataset([PascalVOCDataset(root, "train"), PascalVOCDataset(root, "val")])
    assert joined.ids == ["2007_000001", "000002", "000002"] and joined.get_idxs(2) == (1, 0)
    assert joined.get_img_info(2)["image_id"] == "000002" and joined.contiguous_category_id_to_json_id == {}


def test_test_images_may_have_no_annotation_and_others_must(root):
    write_list(root, "test", "2012_000009")
    Image.new("RGB", (7, 5)).save(root / "JPEGImages" / "2012_000009.jpg")
    dataset = PascalVOCDataset(root, "test", use_difficult=True)
    assert dataset.get_img_info(0)["width"] == 7 and annotated_tasks(dataset.get_annotations(0)) == set()
    with pytest.raises(UserError, match=r"2012_000009\.xml; VOC keeps that of 2012 secret"):
        dataset.get_groundtruth(0)
    write_list(root, "val", "2012_000009")
    with pytest.raises(UserError, match=r"no such annotation file: .*2012_000009\.xml"):
        PascalVOCDataset(root, "val").get_img_info(0)


def test_a_size_that_the_xml_file_lacks_is_the_photographs(root):
    path = root / "Annotations" / "000002.xml"
    path.write_text(path.read_text().replace("<width>20</width>", "<width>0</width>"))
    assert PascalVOCDataset(root, "val").get_img_info(0)["width"] == 20


def test_a_missing_list_names_those_that_are_there(root):
    with pytest.raises(UserError, match=r"Main/tset\.txt; there are train, val"):
        PascalVOCDataset(root, "tset")
    write_list(root, "val", "")
    with pytest.raises(UserError, match="lists no image"):
        PascalVOCDataset(root, "val")
    (root / "ImageSets" / "Main" / "val.txt").write_bytes("a b\nümlaut".encode("latin-1"))
    with pytest.raises(UserError, match=r"Main/val\.txt is not UTF-8 \(byte 0xFC at offset 4\); save it as UTF-8"):
        PascalVOCDataset(root, "val")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<name>car</name>", "<name>caar</name>", "object 1 has the class 'caar'.*; did you mean car"),
        ("<name>car</name>", "", "object 1 has no <name>"),
        ("<xmax>25</xmax>", "<xmax>wide</xmax>", "object 1: its box .*'wide'"),
        ("<xmax>25</xmax>", "", "object 1: its box .*'xmax': None"),
        (
            "<difficult>0</difficult>",
            "<difficult>no</difficult>",
            "has 'no' as 'difficult', which is neither 0 nor 1",
        ),
        ("<bndbox>", "<polygon>", "is not valid XML"),
        ("bndbox>", "polygon>", "object 1 has no <bndbox>"),
        ("annotation>", "annotations>", "is not a VOC annotation: its root is <annotations>"),
        ("<xmin>15</xmin>", "<xmin>22</xmin>", "object 1 has the box .*, of which nothing is in the image of 20x12"),
        ("<xmax>25</xmax>", "<xmax>10</xmax>", "object 1 has the box .*'10'.*, whose sides are out of order; mend it"),
        ("<name>car</name>", "<name>helmet</name>", "convert a data set of other classes to COCO's layout"),
        ("<xmax>25</xmax>", "<xmax>nan</xmax>", "object 1 has the box .*nan"),
        ("</annotation>", "", "is not valid XML"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "ha">]><annotation>', "declares a document type"),
    ],
)
def test_bad_annotations_are_one_line_that_names_the_file(root, old, new, message):
    path = root / "Annotations" / "000002.xml"
    count = 2 if old.endswith(("bndbox>", "annotation>")) and old[0] != "<" else 1
    path.write_text(path.read_text().replace(old, new, count))
    with pytest.raises(UserError, match=message) as error:
        PascalVOCDataset(root, "val").get_annotations(0)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("<filename>a</filename><objects><object/></objects>", "what it holds are no <object>s of its root"),
        ("<size/><Object/>", "what it holds are no <object>s of its root"),
        ("<image/>", "it holds <image>, but no <filename>, <size> or <object>"),
    ],
)
def test_objects_of_another_format_are_not_an_image_without_objects(root, content, fault):
    path = root / "Annotations" / "000002.xml"
    path.write_text(f"<annotation>{content}</annotation>", encoding="utf-8")
    with pytest.raises(UserError, match=f"000002.xml is not a VOC annotation: {fault}; export it as PASCAL VOC"):
        PascalVOCDataset(root, "val").get_annotations(0)
    path.write_text("<annotation><filename>a</filename></annotation>", encoding="utf-8")
    assert len(PascalVOCDataset(root, "val").get_groundtruth(0)) == 0


def test_a_list_is_read_whatever_wrote_it(root, caplog):
    path = root / "ImageSets" / "Main" / "val.txt"
    text = "000002  \r\n\r\n  2007_000001 -1\r\n"
    joined = b"".join(f"{name}\n".encode("utf-8-sig") for name in ("000002", "2007_000001"))
    for data in (joined, text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), text.encode("utf-32")):
        path.write_bytes(data)
        assert PascalVOCDataset(root, "val").ids == ["000002", "2007_000001"]
    assert caplog.messages == []


def test_a_size_may_be_written_with_a_point(root):
    path = root / "Annotations" / "000002.xml"
    path.write_text(path.read_text().replace("<width>20</width>", "<width>40.0</width>"))
    with pytest.raises(UserError, match="is 20x12 pixels, but its annotations are for 40x12"):
        PascalVOCDataset(root, "val")[0]


def test_an_image_that_is_listed_twice_is_taken_once(root, caplog):
    write_list(root, "val", "000002", "2007_000001", "000002 -1")
    assert PascalVOCDataset(root, "val").ids == ["000002", "2007_000001"]
    assert "val.txt lists 1 image again, such as 000002; each is taken once" in caplog.text


def test_accents_may_be_composed_in_the_list_and_taken_apart_in_the_files(root):
    write_image(root, "cafe\u0301", [object_xml("dog", (2, 3, 7, 9))])
    (root / "ImageSets" / "Main" / "val.txt").write_text("caf\u00e9\n", encoding="utf-8")
    dataset = PascalVOCDataset(root, "val")
    assert dataset.ids == ["caf\u00e9"] and dataset[0][0].size == (20, 12)
    assert dataset.get_img_info(0)["file_name"] == "cafe\u0301.jpg"


def test_paths_in_a_list_stand_for_their_names_and_it_is_told(root, caplog):
    write_image(root, "my shot 1", [])
    (root / "Annotations" / "more").mkdir()
    lines = ("C:\\VOC2007\\JPEGImages\\000002.JPG", "Annotations/more/7.xml", "my shot 1", "more\\8")
    write_list(root, "val", *lines)
    dataset = PascalVOCDataset(root, "val")
    assert dataset.ids == ["000002", "more/7", "my shot 1", "more/8"]
    assert caplog.messages == [
        f"{root / 'ImageSets' / 'Main' / 'val.txt'}: 3 of its lines are not just a name, the first {lines[0]}, read as "
        "000002; remove folders and suffixes"
    ]
    write_list(root, "val", "..\\secret")
    with pytest.raises(UserError, match=r"val\.txt lists '\.\./secret', which is no name of a file in JPEGImages"):
        PascalVOCDataset(root, "val")


def test_images_may_be_of_other_formats_than_vocs(root):
    Image.fromarray(np.full((12, 20), 30000, np.uint16)).save(root / "JPEGImages" / "000002.png")
    dataset = PascalVOCDataset(root, "val")
    assert dataset.get_img_info(0)["file_name"] == "000002.jpg"
    (root / "JPEGImages" / "000002.jpg").unlink()
    assert dataset.get_img_info(0)["file_name"] == "000002.png"
    assert dataset[0][0].getpixel((0, 0)) == (117, 117, 117)


def test_difficult_may_be_written_as_a_word(root):
    path = root / "Annotations" / "000002.xml"
    for word, expected in (("True", [True]), (" false ", [False]), ("", [False])):
        path.write_text(f"<annotation>{object_xml('car', (15, 5, 25, 14), word)}</annotation>")
        assert PascalVOCDataset(root, "val", True).get_groundtruth(0).get_field("difficult").tolist() == expected


@pytest.mark.parametrize(
    ("folder", "labels", "message"),
    [
        ("SegmentationClass", np.full((12, 20), 21, np.uint8), "holds the class 21"),
        ("SegmentationClass", np.zeros((12, 20, 3), np.uint8), "holds colours"),
        ("SegmentationObject", np.zeros((10, 20), np.uint8), "is 20x10 pixels, but its annotations are for 20x12"),
        ("SegmentationObject", np.full((12, 20), 65535, np.uint16), "more than 8 bits"),
    ],
)
def test_bad_segmentations_are_one_line_that_names_the_file(root, folder, labels, message):
    path = root / folder / "2007_000001.png"
    Image.fromarray(labels).save(path)
    with pytest.raises(UserError, match=message) as error:
        PascalVOCDataset(root, "train").get_annotations(0)
    assert str(path) in str(error.value)
