"""Predictions from files, ours and anybody's: the forms that evaluators score, and one line for whatever is wrong."""

import json
import logging

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets import COCODataset, ConcatDataset, DetailDataset
from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions, tasks_of
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.tasks.occlusion import OcclusionPrediction
from maskrcnn_benchmark.tasks.part import PartPrediction
from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

HEIGHT, WIDTH = 4, 6
SIZE = WIDTH, HEIGHT
IDS = [11, 5, 7]


def open_reader(dataset, sources):
    """A reader of all tasks of the sources, {key: path} or a folder."""
    if not isinstance(sources, dict):
        sources = find_predictions(sources, TASKS.values())
    return PredictionReader(dataset, sources, tasks_of(sources, TASKS.values()))


def code(x1=2, x2=5):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[1:3, x1:x2] = 1
    return coco_mask.encode(mask)


def text(rle):
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


@pytest.fixture
def make(tmp_path):
    """make(parts) -> three images in Detail's layout; a boundary, image labels and occlusion on image 5 alone."""

    def build(parts="person6"):
        whole = {"size": [HEIGHT, WIDTH], "counts": text(code())["counts"]}
        content = {
            "images": [
                {"image_id": key, "file_name": f"{key}.jpg", "width": WIDTH, "height": HEIGHT, "phase": "val"}
                for key in IDS
            ],
            "categories": [
                {"category_id": 284, "name": "person", "parts": [21, 34, 79]},
                {"category_id": 98, "name": "dog", "parts": [21]},
                {"category_id": 420, "name": "sky", "onlysemantic": True},
            ],
            "parts": [{"part_id": key, "name": name} for key, name in ((21, "head"), (34, "leye"), (79, "torso"))],
            "annos_segmentation": [
                {"id": 1, "image_id": 5, "category_id": 98, "segmentation": whole, "bbox": [2, 1, 3, 2], "iscrowd": 0}
            ],
            "annos_boundary": [{"image_id": 5, "boundary_mask": whole}],
            "annos_occlusion": [
                {"image_id": 5, "ne": 1, "imsize": [HEIGHT, WIDTH], "edges": {"indices": [[5, 6]], "edgelabel": [1]}}
            ],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return DetailDataset(path, None, "val", parts=parts)

    return build


@pytest.fixture
def dataset(make):
    return make()


@pytest.fixture
def read(tmp_path, dataset):
    """read(kind, rows) -> a reader of a list of that kind; rows may be the text of a file."""

    def open_list(kind, rows, data=dataset):
        path = tmp_path / f"{kind}.json"
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return open_reader(data, {kind: path})

    return open_list


def box(**more):
    return {"image_id": 5, "category_id": 284, "bbox": [1, 0.5, 3, 2], "score": 0.75, **more}


def mask(**more):
    return {"image_id": 5, "category_id": 284, "segmentation": text(code()), "score": 0.75, **more}


def person(**more):
    return {"image_id": 5, "category_id": 284, "keypoints": [1.5, 2, 1] * 14, "score": 0.75, **more}


def body(*parts, **more):
    return {"image_id": 5, "category_id": 284, "score": 0.75, "parts": list(parts), **more}


def scores(**more):
    return {"image_id": 5, "category_score": [0.5, -1, 3], **more}


def test_everything_that_is_written_is_read_back(make, tmp_path):
    dataset = make("all")
    rng = np.random.default_rng(0)
    joints = rng.random(42).tolist()
    stored = {
        "detection": [{"category_id": 2, "bbox": rng.random(4).tolist(), "score": rng.random()} for _ in range(3)],
        "instance": [{"category_id": 1, "segmentation": code(0, k), "score": rng.random()} for k in (1, 3, 0)],
        "keypoint": [{"category_id": 2, "keypoints": joints, "score": rng.random()}],
        "part": PartPrediction(
            rng.integers(0, len(dataset.vocabulary.parts) + 1, (HEIGHT, WIDTH), dtype=np.uint8),
            [
                {"category_id": 2, "score": 0.2, "parts": [{"part": k, "segmentation": code(0, k)} for k in (2, 3)]},
                {"category_id": 1, "score": 0.9, "parts": []},
            ],
        ),
        "semantic": rng.integers(0, 3, (HEIGHT, WIDTH), dtype=np.uint8),
        "boundary": rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8),
        "occlusion": OcclusionPrediction(
            rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8),
            rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16),
        ),
        "classification": rng.random(3),
    }
    with PredictionWriter(tmp_path / "out", dataset, TASKS.values()) as writer:
        writer.write(1, stored)
        writer.finish()
    reader = open_reader(dataset, tmp_path / "out")
    assert reader.tasks == list(TASKS) and len(reader) == 3
    read = reader.read(1)
    for task in ("detection", "instance", "keypoint"):
        for before, after in zip(stored[task], read[task], strict=True):
            assert {key: after[key] for key in before} == before
    before, after = stored["part"], read["part"]
    assert (after.labels == before.labels).all()
    assert [{key: row[key] for key in ("category_id", "score", "parts")} for row in after.instances] == before.instances
    for task in ("semantic", "boundary", "classification"):
        assert read[task].dtype == stored[task].dtype and (read[task] == stored[task]).all()
    assert (read["occlusion"].strength == stored["occlusion"].strength).all()
    assert (read["occlusion"].direction == stored["occlusion"].direction).all()
    assert list(reader.read(1, ["boundary"])) == ["boundary"]


def test_an_image_that_no_entry_names_has_no_objects(read):
    reader = read("detection", [box(image_id=7)])
    assert [len(reader.read(index)["detection"]) for index in range(3)] == [0, 0, 1]
    assert read("instance", []).read(0) == {"instance": []}


def test_ids_with_a_decimal_point_are_numbers(read):
    assert len(read("detection", [box(image_id=5.0, category_id=284.0)]).read(1)["detection"]) == 1


def test_rows_have_what_pycocotools_would_add(read):
    (row,) = read("detection", [box()]).read(1)["detection"]
    assert (row["category_id"], row["area"], row["iscrowd"]) == (2, 6.0, 0)
    (row,) = read("instance", [mask()]).read(1)["instance"]
    assert row["area"] == 6.0 and row["segmentation"] == code()
    joints = [1.0, 2, 1] * 13 + [4.0, 0, 0]
    (row,) = read("keypoint", [person(keypoints=joints)]).read(1)["keypoint"]
    assert row["bbox"] == [1, 0, 3, 2] and row["area"] == 6.0


def test_a_row_without_a_box_has_that_of_its_mask_as_in_pycocotools(read):
    rows = read("detection", [mask(), box()]).read(1)["detection"]
    assert rows[0]["bbox"] == coco_mask.toBbox(code()).tolist() and rows[0]["area"] == coco_mask.area(code()) == 6
    assert rows[1]["bbox"] == box()["bbox"]


@pytest.mark.parametrize("kind", ["keypoint", "classification"])
def test_details_own_form_and_a_plain_list_are_the_same(read, kind):
    rows = [person()] if kind == "keypoint" else [scores()]
    plain, wrapped = (read(kind, content).read(1)[kind] for content in (rows, {"pred": rows}))
    assert repr(plain) == repr(wrapped)


def test_run_lengths_as_numbers_are_taken(read):
    pixels = np.asfortranarray(coco_mask.decode(code())).ravel(order="F")
    ends = np.flatnonzero(np.diff(pixels, prepend=0)).tolist()
    counts = np.diff([0, *ends, pixels.size]).tolist()
    (row,) = read("instance", [mask(segmentation={"size": [4, 6], "counts": counts})]).read(1)["instance"]
    assert row["segmentation"] == code()


def test_classes_without_instances_are_taken_where_asked_for(read, dataset, tmp_path):
    sky = [box(category_id=420)]
    (tmp_path / "sky.json").write_text(json.dumps(sky))
    reader = PredictionReader(dataset, {"detection": tmp_path / "sky.json"}, [TASKS["detection"]], all_classes=True)
    (row,) = reader.read(1)["detection"]
    assert row["category_id"] == 3 == len(dataset.vocabulary.thing_names) + 1
    # as an object it has no name, so pictures leave it out
    assert len(to_prediction({"detection": [row]}, SIZE, dataset.vocabulary, [TASKS["detection"]]).instances) == 0


def part(name, rle, **more):
    return {"part": name, "segmentation": text(rle), **more}


def test_parts_are_known_by_group_by_name_and_by_number(read, make):
    rows = [
        body(part("head", code(0, 2)), {"part_id": 34, "segmentation": text(code(2, 3))}),
        body(part("torso", code()), category_id=98, score=0.5),  # a dog's parts are none of these six groups
    ]
    first, second = read("parts", rows).read(1)["part"].instances
    # head and eye are one group: the union of their pixels
    assert first["parts"] == [{"part": 1, "segmentation": code(0, 3)}] and second["parts"] == []
    named = make("all")
    assert named.vocabulary.parts.labels == ("dog/head", "person/head", "person/leye", "person/torso")
    rows = [body(part("head", code())), body(part("dog/head", code()), category_id=98)]
    labels = [row["parts"][0]["part"] for row in read("parts", rows, named).read(1)["part"].instances]
    assert labels == [2, 1]


def test_a_part_map_is_painted_where_only_objects_are_given(read):
    rows = [
        body(part("torso", code(0, 3)), score=0.9),
        body(part("head", code(0, 6)), score=0.6),
        body(part("lower_legs", code(0, 6)), score=0.49),
    ]
    labels = read("parts", rows).read(1)["part"].labels
    # head 1 under torso 2; what scores below one half is not painted
    assert labels.tolist() == [[0] * 6, [2, 2, 2, 1, 1, 1], [2, 2, 2, 1, 1, 1], [0] * 6]


SMALL = {"size": [6, 4], "counts": text(code())["counts"]}
NAN, HUGE = float("nan"), 10**400
WRONG = [
    ("detection", [box(), box(image_id=6)], "entry 1 has the image_id 6, which no image of the data set has"),
    ("detection", [box(image_id=True)], "entry 0 has the image_id True"),
    ("detection", [box(image_id=5.5)], "entry 0 has the image_id 5.5"),
    ("detection", [box(image_id=[5])], r"entry 0 has the image_id \[5\]"),
    ("detection", [{"category_id": 284, "bbox": [0, 0, 1, 1], "score": 1}], "entry 0 has no 'image_id'"),
    ("detection", [box(category_id=420)], "has the category_id 420, which is none of the 2 with objects"),
    ("detection", [box(category_id="284")], "has the category_id '284', which is text, but the data set's are numbers"),
    ("detection", [box(score=NAN)], "has the score nan; it must be a finite number"),
    ("detection", [box(score=HUGE)], "has the score 1000"),
    ("detection", [box(score=True)], "has the score True"),
    ("detection", [box(score="0.5")], "has the score '0.5'"),
    ("detection", [{k: v for k, v in box().items() if k != "score"}], "has no 'score'"),
    ("detection", [{k: v for k, v in box().items() if k != "bbox"}], "has no 'bbox'"),
    ("detection", [box(bbox=[1, 2, -1, 2])], r"has the bbox \[1, 2, -1, 2\]; it must be"),
    ("detection", [box(bbox=[1, 2, 3])], "it must be"),
    ("detection", [box(bbox=[1, 2, 3, float("inf")])], "it must be"),
    ("detection", [box(bbox=[1, 2, 3, False])], "it must be"),
    ("detection", [box(bbox=[1, 2, 3, "4"])], "it must be"),
    ("detection", [box(bbox={"x": 1})], "it must be"),
    ("instance", [{k: v for k, v in mask().items() if k != "segmentation"}], "has no 'segmentation'"),
    ("instance", [mask(segmentation=[[0, 0, 1, 1, 0, 1]])], "it must be run lengths"),
    ("instance", [mask(segmentation=SMALL)], r"of the size \[6, 4\], but its image is \[4, 6\] \(h, w\)"),
    ("instance", [mask(segmentation={"size": [4, True], "counts": ""})], "of the size"),
    ("instance", [mask(segmentation={"size": [4, 6], "counts": 7})], "with the counts 7; they must be"),
    ("instance", [mask(segmentation={"size": [4, 6], "counts": [-1, 25]})], "with the counts"),
    ("instance", [mask(segmentation={"size": [4, 6], "counts": [True, 23]})], "with the counts"),
    ("instance", [mask(segmentation={"size": [4, 6], "counts": [24.0]})], "with the counts"),
    ("instance", [mask(segmentation={"size": [4, 6], "counts": "é"})], "with the counts"),
    ("keypoint", [person(keypoints=[0] * 51)], "must have 42 finite numbers as keypoints, .* not 51 of them"),
    ("keypoint", [person(keypoints=[NAN] * 42)], "must have 42 finite numbers"),
    ("keypoint", [person(keypoints="0" * 42)], "must have 42 finite numbers"),
    ("keypoint", [person(category_id=98)], "only a person has keypoints"),
    ("parts", [body(part("wing", code()))], "has the part 'wing', which a person of part set person6 has not"),
    ("parts", [body({"part_id": 3, "segmentation": text(code())})], "has the part_id 3, which"),
    ("parts", [body({"segmentation": text(code())})], "has no 'part_id'"),
    ("parts", [body({"part": 1, "segmentation": text(code())})], "has the part 1; it must be a name"),
    ("parts", [body({"part": "head"})], "has no 'segmentation'"),
    ("parts", [body({"part": "head", "segmentation": SMALL})], "segmentation of a part of the size"),
    ("parts", [body(7)], r"has the parts \[7\]"),
    ("classification", [scores(), scores()], "entry 1 predicts image 5 a second time"),
    ("classification", [scores(category_score=[1, 2])], "must have 3 finite numbers as category_score, not 2 of them"),
    ("classification", [scores(category_score=[1, 2, NAN])], "must have 3 finite numbers"),
    ("classification", [scores(category_score=None)], "not None"),
    (
        "classification",
        [scores(image_id=7)],
        "has no entry for 1 images that are annotated for classification: first 5",
    ),
]


@pytest.mark.parametrize(("kind", "rows", "message"), WRONG)
def test_what_is_wrong_with_a_list_is_one_line_with_file_and_entry(read, kind, rows, message):
    with pytest.raises(UserError, match=message) as caught:
        read(kind, rows)
    assert f"{kind}.json" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("counts", ["", "0", "~~~", text(code())["counts"][:-1], "o" * 40, [20, 3], []])
@pytest.mark.parametrize("kind", ["instance", "parts"])
def test_a_run_length_that_does_not_fill_its_image_names_its_entry(read, kind, counts):
    broken = {"size": [HEIGHT, WIDTH], "counts": counts}
    good, bad = mask(), mask(segmentation=broken)
    if kind == "parts":
        good, bad = body(part("head", code())), body({"part": "head", "segmentation": broken})
    reader = read(kind, [good, dict(good, image_id=7), bad])
    assert reader.read(2)
    with pytest.raises(UserError, match=rf"{kind}.json: entry 2.*does not decode"):
        reader.read(1)


@pytest.fixture
def maps(tmp_path, dataset):
    """maps(task, values, ...) -> a reader of a folder with the map of image 5 alone; more are further maps by name."""

    def open_maps(task, values, more=(), names=("5",)):
        sources = {task: tmp_path / task}
        for folder, content in ((sources[task], values), *((tmp_path / name, each) for name, each in more)):
            folder.mkdir()
            for name in names:
                Image.fromarray(content).save(folder / f"{name}.png")
        return open_reader(dataset, sources)

    return open_maps


def full(value, dtype=np.uint8, shape=(HEIGHT, WIDTH)):
    return np.full(shape, value, dtype)


def test_maps_of_another_network_in_sixteen_bits(maps):
    assert (maps("boundary", full(65535, np.uint16)).read(1)["boundary"] == 255).all()
    assert (maps("semantic", full(3, np.uint16)).read(1)["semantic"] == 2).all()
    occlusion = maps("occlusion", full(7), [("occlusion_direction", full(9, np.uint16))]).read(1)["occlusion"]
    assert (occlusion.strength == 7).all() and (occlusion.direction == 9).all()


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("semantic", full(0), "semantic/5.png holds the value 0, but each pixel needs a class: 1 to 3"),
        ("semantic", full(4), "holds the value 4"),
        ("part", full(7), r"holds the value 7, but part set person6 has the labels 0 \(none\) to 6"),
        ("boundary", full(1, shape=(WIDTH, HEIGHT)), "boundary/5.png is 4x6 pixels, but its image is 6x4"),
        ("boundary", full(1, shape=(HEIGHT, WIDTH, 3)), "boundary/5.png holds colours"),
    ],
)
def test_a_map_that_does_not_fit_is_named(maps, task, values, message):
    with pytest.raises(UserError, match=message):
        maps(task, values).read(1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (((1,), (1,)), "no pixel of its 2 maps reaches the first threshold, 2.55 of 255"),
        (((0,), (2,)), "multiply maps in 0 and 1 by 255"),
        (((255, 255, 0), (128,)), "most pixels of each of its 2 maps are edges"),
        (((0,), (3, 0)), ""),
        (((255,), (255, 0)), ""),
    ],
)
def test_edge_maps_in_0_and_1_and_inverted_ones_are_doubted(rows, message):
    (file,) = TASKS["boundary"].files()
    found = file.doubt(np.array([row], np.uint8) for row in rows)
    assert message in found and bool(found) == bool(message)


@pytest.mark.parametrize("task", ["boundary", "occlusion"])
def test_doubtful_maps_are_warned_of_when_they_are_opened(maps, caplog, task):
    beside = [("occlusion_direction", full(9, np.uint16))] if task == "occlusion" else []
    with caplog.at_level(logging.WARNING):
        maps(task, full(1), beside)
    assert f"/{task}: no pixel of its 1 maps reaches the first threshold" in caplog.text


def test_directions_have_to_lie_beside_the_edges(maps):
    with pytest.raises(UserError, match=r"no such folder of maps: .*occlusion_direction"):
        maps("occlusion", full(7))


def test_maps_have_to_be_there_where_the_task_is_annotated(maps):
    # images 11 and 7 have no boundary annotated, so theirs may be missing
    with pytest.raises(
        UserError, match=r"boundary has no PNG for 1 images that are annotated for boundary: first 5\.png"
    ):
        maps("boundary", full(1), names=("11", "7"))


def test_maps_of_other_images_are_passed_over_with_a_warning(maps, caplog):
    with caplog.at_level(logging.WARNING):
        assert maps("boundary", full(1), names=("5", "99", "98")).read(1)
    assert "2 maps are of no image of the data set (such as 98.png)" in caplog.text


def test_maps_numbered_in_another_way_are_refused(make, tmp_path):
    labels = {"part": PartPrediction(full(1)), "semantic": full(1)}
    with PredictionWriter(tmp_path / "out", make("person6"), [TASKS[key] for key in labels]) as writer:
        for index in range(3):
            writer.write(index, labels)
        writer.finish()
    with pytest.raises(
        UserError, match=r"classes.json names 6 classes for part and the data set 3; .* choose the part set"
    ):
        open_reader(make("person"), tmp_path / "out")
    legend = tmp_path / "out" / "classes.json"
    legend.write_text(legend.read_text().replace('"dog"', '"sky"', 2).replace('"sky"', '"dog"', 1))
    with pytest.raises(
        UserError, match="names 3 classes for semantic and the data set 3; value 1 is the first to differ"
    ):
        open_reader(make("person6"), tmp_path / "out")
    legend.write_text("[]")
    with pytest.raises(UserError, match=r"classes.json is damaged"):
        open_reader(make("person6"), tmp_path / "out")


def test_a_task_without_a_file_is_named(dataset, tmp_path):
    with pytest.raises(UserError, match="no such folder of predictions"):
        find_predictions(tmp_path / "absent", TASKS.values())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no predictions: none of bbox.json, segm.json"):
        find_predictions(tmp_path / "empty", TASKS.values())
    with pytest.raises(UserError, match=r"no such file: .*bbox.json"):
        open_reader(dataset, {"detection": tmp_path / "bbox.json"})
    sources = {"detection": tmp_path / "bbox.json", "parts": tmp_path / "parts.json"}
    with pytest.raises(UserError, match="no file holds predictions of the task 'boundary'; there are detection, parts"):
        PredictionReader(dataset, sources, [TASKS["boundary"]])
    found = tasks_of({"parts": "a", "keypoint": "b", "detection": "c"}, TASKS.values())
    assert [task.key for task in found] == ["detection", "keypoint", "part"]


def test_joined_data_sets_that_share_an_id_cannot_be_told_apart(make, tmp_path):
    (tmp_path / "bbox.json").write_text("[]")
    joined = ConcatDataset([make(), make()])
    with pytest.raises(UserError, match="two images of the data set are called 11"):
        open_reader(joined, {"detection": tmp_path / "bbox.json"})


def test_a_coco_file_has_its_own_ids_and_no_maps(tmp_path):
    content = {
        "images": [{"id": "a", "width": WIDTH, "height": HEIGHT, "file_name": "x/a.jpg"}],
        "categories": [{"id": 90, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "bbox.json").write_text(json.dumps([box(image_id="a", category_id=90)]))
    dataset = COCODataset(tmp_path / "truth.json", None, False, keep_crowd=True)
    reader = open_reader(dataset, {"detection": tmp_path / "bbox.json"})
    assert reader.read(0)["detection"][0]["category_id"] == 1
    with pytest.raises(UserError, match="the data set has no classes for the task 'semantic'"):
        open_reader(dataset, {"semantic": tmp_path})
    with pytest.raises(UserError, match="was opened without a folder of images"):
        dataset[0]
