"""COCO 2017 in PASCAL in Detail's layout: objects, joints and stuff by name, from each of COCO's kinds of stuff."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog
from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.detail.categories import CATEGORY_IDS, OFFICIAL_ORDER
from maskrcnn_benchmark.data.detail.coco_classes import COCO_NAMES, DETAIL_OF_COCO, STUFF_NAMES, WITHOUT_CLASS
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

TOOL = Path(__file__).parents[2] / "tools" / "coco_to_detail.py"
IDS = TOOL.parents[1] / "configs" / "detail" / "photo_ids.json"
THINGS = {1: "person", 25: "giraffe", 47: "cup", 67: "dining table"}
SIZE = (24, 16)
# (category, crowd, box x1 y1 x2 y2): the cup comes before the table that it stands on
OBJECTS = ((47, 0, (8, 9, 10, 11)), (67, 0, (6, 8, 14, 14)), (1, 0, (15, 4, 19, 14)), (25, 0, (0, 2, 4, 10)))
CROWD = (1, 1, (20, 5, 24, 8))
SKY, GRASS = 157, 124


@pytest.fixture(scope="module")
def tool():
    return import_file("coco_to_detail", TOOL)


def run(tool, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["coco_to_detail.py", *map(str, arguments)])
    tool.main()


def box_mask(box):
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def code_of(mask):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


def write_coco(root, stuff=("panoptic", "maps", "json"), keypoints=True):
    """Two photographs, 7 of train2017 and 9 of val2017, alike but for the crowd, which only 7 has."""
    annotations = root / "annotations"
    annotations.mkdir(parents=True)
    stuff_classes = np.where(np.arange(SIZE[1])[:, None] < 7, SKY, GRASS) * np.ones(SIZE, np.int64).T
    for folder, key in (("train2017", 7), ("val2017", 9)):
        (root / folder).mkdir()
        name = f"{key:012d}"
        Image.new("RGB", SIZE).save(root / folder / f"{name}.jpg")
        image = {"id": key, "file_name": f"{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
        image["coco_url"] = f"http://images.cocodataset.org/{folder}/{name}.jpg"
        objects = [*OBJECTS, CROWD] if key == 7 else list(OBJECTS)
        rows, owners, classes = [], np.zeros(SIZE[::-1], np.int64), stuff_classes.copy()
        for number, (category, crowd, box) in enumerate(objects, 1):
            x1, y1, x2, y2 = box
            mask, polygon = box_mask(box), [[x1, y1, x2, y1, x2, y2, x1, y2]]
            rows.append({"id": 10 * key + number, "image_id": key, "category_id": category, "iscrowd": crowd})
            rows[-1] |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": int(mask.sum())}
            rows[-1]["segmentation"] = code_of(mask) if crowd else polygon
        for number in sorted(range(len(objects)), key=lambda n: -rows[n]["area"]):
            owners[box_mask(objects[number][2]) > 0] = number + 1
            classes[box_mask(objects[number][2]) > 0] = objects[number][0]
        tables = [{"id": number, "name": each} for number, each in THINGS.items()]
        write(annotations / f"instances_{folder}.json", images=[image], annotations=rows, categories=tables)
        if keypoints:
            person = {"id": 1, "name": "person", "keypoints": COCO_JOINTS.names, "skeleton": []}
            numbers = [0] * 51
            numbers[:3], numbers[15:18], numbers[48:51] = (17, 5, 2), (18, 7, 2), (16, 13, 1)
            people = [{**rows[2], "keypoints": numbers, "num_keypoints": 3}]
            people += [{**rows[2], "id": 999, "keypoints": [17, 5, 2, *[0] * 48], "num_keypoints": 1}]
            write(
                annotations / f"person_keypoints_{folder}.json", images=[image], annotations=people, categories=[person]
            )
        write_stuff(root, folder, image, objects, owners, classes, stuff)
    return root


def write_stuff(root, folder, image, objects, owners, classes, kinds):
    name = Path(image["file_name"]).stem
    present = [number for number in (SKY, GRASS) if (classes == number).any()]
    if "panoptic" in kinds:
        ids = owners * 1000
        for place, number in enumerate(present):
            ids[classes == number] = 70000 + place
        segments = [{"id": 1000 * n, "category_id": each[0]} for n, each in enumerate(objects, 1)]
        segments += [{"id": 70000 + place, "category_id": number} for place, number in enumerate(present)]
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)
        (root / "annotations" / f"panoptic_{folder}").mkdir()
        Image.fromarray(colours).save(root / "annotations" / f"panoptic_{folder}" / f"{name}.png")
        rows = [{"image_id": image["id"], "file_name": f"{name}.png", "segments_info": segments}]
        tables = {**THINGS, SKY: "sky-other-merged", GRASS: "grass-merged"}
        write(
            root / "annotations" / f"panoptic_{folder}.json",
            images=[image],
            annotations=rows,
            categories=[{"id": number, "name": each} for number, each in tables.items()],
        )
    if "maps" in kinds:
        (root / "stuffthingmaps" / folder).mkdir(parents=True)
        Image.fromarray((classes - 1).astype(np.uint8)).save(root / "stuffthingmaps" / folder / f"{name}.png")
    if "json" in kinds:
        rows = [
            {
                "id": number,
                "image_id": image["id"],
                "category_id": number,
                "iscrowd": 0,
                "bbox": [0, 0, *SIZE],
                "area": 1,
            }
            | {"segmentation": code_of((np.where(classes < 92, 183, classes) == number).astype(np.uint8))}
            for number in (*present, 183)
        ]
        tables = {SKY: "sky-other", GRASS: "grass", 183: "other"}
        write(
            root / "annotations" / f"stuff_{folder}.json",
            images=[image],
            annotations=rows,
            categories=[{"id": number, "name": each} for number, each in tables.items()],
        )


def write(path, **content):
    path.write_text(json.dumps(content))


def write_ids(path, **lists):
    path.write_text(json.dumps({"train": [7], "val": [9], **lists}))
    return path


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path / "coco")


@pytest.fixture
def convert(tool, monkeypatch, tmp_path):
    """Runs the tool on a folder of COCO and gives the content of the file that it wrote."""

    def run_tool(coco, *arguments, **lists):
        ids, out = write_ids(tmp_path / "ids.json", **lists), tmp_path / "data" / "photo"
        run(tool, monkeypatch, "--coco", coco, "--ids", ids, "--out", out, *arguments)
        return json.loads((out / "annotations.json").read_text())

    return run_tool


def records(content, key):
    names = {number: name for name, number in CATEGORY_IDS.items()}
    rows = [row for row in content["annos_segmentation"] if row["image_id"] == key]
    return [(names[row["category_id"]], row["iscrowd"], coco_mask.decode(row["segmentation"])) for row in rows]


@pytest.mark.parametrize("source", ["panoptic", "maps", "json"])
def test_each_kind_of_stuff_gives_the_same_regions_and_contours(convert, coco, source):
    content = convert(coco, "--stuff", source)
    found = records(content, 9)
    assert [(name, crowd) for name, crowd, _ in found] == [
        ("diningtable", 0),
        ("person", 0),
        *(("cup", 1), ("grass", 1), ("sky", 1)),
    ]
    cup, table, person, giraffe = (box_mask(box) > 0 for *_, box in OBJECTS)
    things = cup | table | person | giraffe
    below = np.arange(SIZE[1])[:, None] >= 7
    expected = (table, person, cup, below & ~things, ~below & ~things)
    for (name, _, mask), known in zip(found, expected, strict=True):
        assert np.array_equal(mask > 0, known), name
    rows = [row for row in content["annos_boundary"] if row["image_id"] == 9]
    contours = coco_mask.decode(rows[0]["boundary_mask"])
    # between sky and grass, at the giraffe's right side and within the person: nothing
    assert contours[6, 10] == 1 and contours[3, 3] == 1 and contours[8, 17] == 0
    assert [row["name"] for row in content["categories"]] == list(OFFICIAL_ORDER)


def test_the_folder_is_a_data_set_whose_labels_are_cocos(convert, coco, tmp_path):
    content = convert(coco)
    entry = DatasetCatalog.get("photo_train", tmp_path / "data")
    dataset = DetailDataset(**entry["args"])
    annotations = dataset.get_annotations(0)
    names = ["", *dataset.vocabulary.thing_names]
    assert [names[label] for label in annotations.instances.get_field("labels").tolist()] == [
        *("person", "diningtable", "person"),
    ]
    assert annotations.instances.get_field("iscrowd").tolist() == [True, False, False]
    assert not annotations.instances.has_field("parts") and annotations.occlusion is None
    assert annotations.boundary is not None and annotations.people is not None
    labels = annotations.semantic.labels
    table, cup, sky = (dataset.vocabulary.semantic_names.index(name) for name in ("diningtable", "cup", "sky"))
    assert (labels[10, 9], labels[12, 9], labels[0, 10], labels[5, 1]) == (cup, table, sky, 255)
    (joints,) = [row for row in content["annos_joints"] if row["image_id"] == 7]
    # COCO's visible left shoulder and occluded right ankle; its nose is none of Detail's, which has no head then
    assert joints["keypoints"] == [0] * 6 + [18, 7, 1] + [0] * 30 + [16, 13, 2] and joints["num_keypoints"] == 2
    photo = tmp_path / "data" / "photo" / "images" / "000000000007.jpg"
    assert photo.is_symlink() and photo.resolve() == coco / "train2017" / "000000000007.jpg"


def test_a_list_keeps_kinds_to_some_images_and_whole_takes_all(convert, coco, capsys):
    lists = {"stuff": [9], "keypoints": [], "crowds": []}
    content = convert(coco, "--copy", **lists)
    assert [name for name, *_ in records(content, 7)] == ["diningtable", "person"]
    assert len(records(content, 9)) == 5 and not content["annos_joints"]
    assert [row["image_id"] for row in content["annos_boundary"]] == [9]
    text = capsys.readouterr().out
    assert "2 images (1 train, 1 val); 4 objects, 0 crowds, 3 regions of 59 classes on 2 of them" in text
    assert "1 crowd;" in text and "2 objects of classes that Detail lacks" in text
    whole = convert(coco, "--whole", **lists)
    assert len(records(whole, 7)) == 6 and len(whole["annos_joints"]) == 2 and len(whole["annos_boundary"]) == 2


def test_without_stuff_only_the_classes_that_things_tell_are_listed(convert, tmp_path):
    coco = write_coco(tmp_path / "coco", stuff=())
    content = convert(coco, "--stuff", "none")
    assert [row["name"] for row in content["categories"]] == ["diningtable", "person", "cup"]
    assert [name for name, *_ in records(content, 9)] == ["diningtable", "person", "cup"]
    assert not content["annos_boundary"]


def test_what_is_missing_is_one_line_with_its_number(convert, tmp_path):
    bare = write_coco(tmp_path / "bare", stuff=(), keypoints=False)
    with pytest.raises(UserError, match=r"person_keypoints_train2017.json is not there, and 2 photographs should"):
        convert(bare)
    with pytest.raises(UserError, match=r"stuff of 2 photographs is wanted, but .* or pass --stuff none"):
        convert(bare, "--without-keypoints")
    with pytest.raises(UserError, match=r"2 of 4 image ids are not in .*instances_train2017.json and .*, such as 11"):
        convert(bare, train=[7, 11, 12])
    with pytest.raises(UserError, match=r"annotations has no panoptic_val2017.json or stuff_val2017.json, and"):
        convert(bare, "--without-keypoints", train=[], val=[9])
    photo = bare / "val2017" / "000000000009.jpg"
    photo.write_bytes(photo.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"000000000009.jpg .*truncated"):
        convert(bare, "--without-keypoints", "--stuff", "none")
    photo.unlink()
    with pytest.raises(UserError, match=r"1 of 2 photographs are not there, such as .*000000000009.jpg"):
        convert(bare, "--without-keypoints", "--stuff", "none")
    with pytest.raises(UserError, match=r"has no instances_train2017.json or instances_val2017.json; unpack"):
        convert(tmp_path / "nowhere")


def test_a_wrong_file_is_one_line(convert, coco):
    path = coco / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(UserError, match=r"panoptic_val2017.json lacks 1 of 1 image, such as 9"):
        convert(coco)
    content["annotations"][0]["segments_info"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"000000000009.png has 1 segment that its JSON does not list"):
        convert(coco)
    path = coco / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace("giraffe", "okapi"))
    with pytest.raises(UserError, match=r"1 class that COCO 2017 does not have, such as 'okapi'"):
        convert(coco)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": [9]}, "lists 1 image twice, such as 9"),
        ({"train": ["7"]}, "'train' must be a list of image ids"),
        ({"stuff": [8]}, "'stuff' has 1 id that no split has, such as 8"),
        ({"test": []}, 'must be an object of lists "train" and "val"'),
        ({"train": [], "val": []}, "lists no image"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(convert, coco, lists, message):
    with pytest.raises(UserError, match=message):
        convert(coco, **lists)


def test_addresses_are_written_without_a_photograph(tool, monkeypatch, tmp_path):
    coco = write_coco(tmp_path / "coco", stuff=(), keypoints=False)
    ids = write_ids(tmp_path / "ids.json")
    run(tool, monkeypatch, "--coco", coco, "--ids", ids, "--out", tmp_path / "out", "--addresses", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text().split() == [
        "http://images.cocodataset.org/train2017/000000000007.jpg",
        "http://images.cocodataset.org/val2017/000000000009.jpg",
    ]
    assert not (tmp_path / "out").exists()


def test_the_projects_list_and_table_are_whole(tool):
    phases, only = tool.read_ids(IDS, whole=False)
    assert len(phases) == 287 and list(phases.values()).count("val") == 79
    assert [len(only[kind]) for kind in ("stuff", "keypoints", "crowds")] == [100, 159, 0]
    assert tuple(COCO_NAMES) == OFFICIAL_ORDER
    assert len(DETAIL_OF_COCO) == len(WITHOUT_CLASS) + sum(map(len, COCO_NAMES.values()))  # none is named twice
    assert len(STUFF_NAMES) == 91 and set(STUFF_NAMES) <= set(DETAIL_OF_COCO)


def test_real_photographs_have_the_same_records_as_the_published_set(tool, real_data, tmp_path, monkeypatch):
    known = json.loads((real_data / "detail_real_mini" / "annotations.json").read_text())
    ids = json.loads(IDS.read_text())
    taken = set(ids["keypoints"])  # those of the two that coco_mini has
    lists = {split: [each for each in ids[split] if each in taken] for split in ("train", "val")}
    arguments = (
        "--coco",
        real_data / "coco_mini",
        "--ids",
        write_ids(tmp_path / "i.json", stuff=[], crowds=[], **lists),
    )
    run(tool, monkeypatch, *arguments, "--out", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())

    def rows(tree, section, *keys):
        found = [row for row in tree[section] if row["image_id"] in taken]
        return sorted(json.dumps([row[key] for key in ("image_id", *keys)]) for row in found)

    keys = ("category_id", "segmentation", "area", "bbox", "iscrowd", "parts")
    assert rows(content, "annos_segmentation", *keys) == rows(known, "annos_segmentation", *keys)
    known["annos_joints"] = [row for row in known["annos_joints"] if row["num_keypoints"]]
    keys = ("keypoints", "bbox", "num_keypoints", "category_id")
    assert rows(content, "annos_joints", *keys) == rows(known, "annos_joints", *keys)
    assert len(content["annos_segmentation"]) == 651 and len(content["annos_joints"]) == 150
