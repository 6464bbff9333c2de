"""mini_detail: what is written is exact, complete, repeatable and in PASCAL in Detail's layout."""

import json
import multiprocessing
import os
import resource

import cv2
import numpy as np
import pytest
from pycocotools import mask as run_length

from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.data.mini_detail import writing as mini_detail
from maskrcnn_benchmark.data.mini_detail.__main__ import main
from maskrcnn_benchmark.data.mini_detail.edges import boundary_map, occlusion_chains
from maskrcnn_benchmark.data.mini_detail.figures import draw_person
from maskrcnn_benchmark.data.mini_detail.objects import OBJECTS
from maskrcnn_benchmark.data.mini_detail.scene import STUFF_DEPTHS, draw_scene
from maskrcnn_benchmark.data.mini_detail.writing import CATEGORIES, PART_IDS, THING_PARTS, write_mini_detail
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.tasks.task import TASKS, annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

NUM_TRAIN, NUM_VAL = 40, 8
PERSON_ID = 284


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_mini_detail(tmp_path_factory.mktemp("data") / "mini_detail", NUM_TRAIN, NUM_VAL, seed=3)


@pytest.fixture(scope="module")
def content(root):
    return json.loads((root / "annotations.json").read_text())


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([7, n])) for n in range(30)]


def decoded(rle):
    return run_length.decode(rle).astype(bool)


def by_image(content, section):
    found = {}
    for entry in content[section]:
        found.setdefault(entry["image_id"], []).append(entry)
    return found


def all_bytes(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    first, second, other = (
        write_mini_detail(tmp_path / name, 4, 2, seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert all_bytes(first) == all_bytes(second)
    assert (first / "images/2008_000001.jpg").read_bytes() != (other / "images/2008_000001.jpg").read_bytes()


def test_validation_images_do_not_depend_on_the_number_of_training_images(tmp_path):
    few, many = write_mini_detail(tmp_path / "few", 1, 1), write_mini_detail(tmp_path / "many", 3, 1)
    assert (few / "images/2008_000002.jpg").read_bytes() == (many / "images/2008_000004.jpg").read_bytes()


def test_sections_are_those_of_pascal_in_detail(content):
    assert set(content) == {
        "info", "images", "categories", "parts",
        "annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints",
    }  # fmt: skip


def test_images_are_described_as_they_are_on_disk(root, content):
    assert [image["phase"] for image in content["images"]] == ["train"] * NUM_TRAIN + ["val"] * NUM_VAL
    for image in content["images"]:
        assert image["image_id"] == int(image["file_name"].removesuffix(".jpg").replace("_", ""))
        assert cv2.imread(str(root / "images" / image["file_name"])).shape == (image["height"], image["width"], 3)


def test_categories_and_parts_are_named_consistently(content):
    things = {category["name"] for category in content["categories"] if not category["onlysemantic"]}
    assert things == {"person", *OBJECTS} == set(THING_PARTS)
    assert {category["name"] for category in content["categories"]} - things == set(STUFF_DEPTHS)
    listed = {part["part_id"]: part["name"] for part in content["parts"]}
    for category in content["categories"]:
        assert [listed[number] for number in category["parts"]] == list(THING_PARTS.get(category["name"], ()))


def test_figures_have_just_the_parts_that_the_table_gives_them():
    for name in OBJECTS:
        drawn = {part for seed in range(20) for part in OBJECTS[name][0](np.random.default_rng(seed)).part_names()} - {
            ""
        }
        assert drawn == set(THING_PARTS[name]), name
    drawn = {part for seed in range(20) for part in draw_person(np.random.default_rng(seed)).part_names()} - {""}
    assert drawn == set(THING_PARTS["person"])


def test_ids_run_from_one_and_instances_come_before_stuff(content):
    crowd = [entry["iscrowd"] for entry in content["annos_segmentation"]]
    assert crowd == sorted(crowd)
    assert [entry["id"] for entry in content["annos_segmentation"]] == list(range(1, len(crowd) + 1))
    assert [entry["person_id"] for entry in content["annos_joints"]] == list(range(1, len(content["annos_joints"]) + 1))


def test_only_stuff_is_crowd_with_one_region_a_class_and_image(content):
    only_semantic = {category["category_id"]: category["onlysemantic"] for category in content["categories"]}
    assert all(entry["iscrowd"] == int(only_semantic[entry["category_id"]]) for entry in content["annos_segmentation"])
    keys = [(entry["image_id"], entry["category_id"]) for entry in content["annos_segmentation"] if entry["iscrowd"]]
    assert len(keys) == len(set(keys))


def test_masks_have_the_images_size_and_the_stated_box_and_area(content):
    sizes = {image["image_id"]: (image["height"], image["width"]) for image in content["images"]}
    for entry in content["annos_segmentation"]:
        mask = decoded(entry["segmentation"])
        assert mask.shape == sizes[entry["image_id"]]
        assert mask.sum() == entry["area"] > 0
        rows, columns = np.nonzero(mask)
        x, y, width, height = entry["bbox"]
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1) == (width, height)


def test_visible_regions_do_not_overlap_and_leave_little_unlabelled(content):
    shares = []
    for entries in by_image(content, "annos_segmentation").values():
        count = sum(decoded(entry["segmentation"]).astype(int) for entry in entries)
        assert count.max() == 1
        shares.append((count == 0).mean())
    assert 0 < np.mean(shares) < 0.1


def test_parts_lie_inside_their_instance_and_apart_from_each_other(content):
    with_parts = [entry for entry in content["annos_segmentation"] if entry["parts"]]
    assert len(with_parts) > 20
    for entry in with_parts:
        count = sum(decoded(part["segmentation"]).astype(int) for part in entry["parts"])
        assert count.max() == 1
        assert not (count.astype(bool) & ~decoded(entry["segmentation"])).any()


def test_visible_joints_lie_on_a_person_and_absent_ones_are_zero(content):
    assert {entry["category_id"] for entry in content["annos_joints"]} == {PERSON_ID}
    masks = by_image(content, "annos_segmentation")
    for entry in content["annos_joints"]:
        joints = np.array(entry["keypoints"]).reshape(14, 3)
        assert entry["num_keypoints"] == np.count_nonzero(joints[:, 2]) > 0
        assert not joints[joints[:, 2] == 0].any()
        people = [
            p for p in masks.get(entry["image_id"], []) if p["category_id"] == PERSON_ID and p["bbox"] == entry["bbox"]
        ]
        for person_entry in people:
            x, y = np.floor(joints[joints[:, 2] == 1, :2] + 0.5).astype(int).T
            assert decoded(person_entry["segmentation"])[y, x].all()


def test_a_joint_behind_a_nearer_object_is_occluded(scenes):
    checked = 0
    for scene in scenes:
        for instance in scene.instances:
            if instance.joints is None:
                continue
            x, y, v = instance.joints[instance.joints[:, 2] > 0].T
            on_other = scene.regions[np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)] != instance.region
            assert (v[on_other] == 2).all()
            checked += on_other.sum()
    assert checked > 0


def test_a_person_who_faces_us_has_the_left_limbs_on_the_images_right():
    seen = set()
    for seed in range(40):
        figure = draw_person(np.random.default_rng(seed))
        joints = dict(zip(DETAIL_JOINTS.names, figure.joints[:, 0]))
        eyes = [shape for shape in figure.shapes if shape[2] == "head" and max(shape[1]) <= 25]
        faces_us = len(eyes) == 2
        assert (joints["lsho"] > joints["rsho"]) == faces_us
        assert (joints["lhip"] > joints["rhip"]) == faces_us
        hands = {
            name: np.mean([s[0][:, 0].mean() for s in figure.shapes if s[2] == name]) for name in ("lhand", "rhand")
        }
        assert abs(hands["lhand"] - joints["lwri"]) < 0.05 > abs(hands["rhand"] - joints["rwri"])
        seen.add(faces_us)
    assert seen == {True, False}


def test_boundary_runs_on_the_nearer_side_and_is_one_pixel_wide():
    regions = np.zeros((8, 9), np.int32)
    regions[2:6, 3:7] = 1
    expected = np.zeros((8, 9), np.uint8)
    expected[2:6, 3:7] = 1
    expected[3:5, 4:6] = 0
    np.testing.assert_array_equal(boundary_map(regions, [0, 1]), expected)
    outside = boundary_map(regions, [1, 0])
    assert not (outside & (regions == 1)).any()
    assert outside.sum() == 16


def side_of_the_nearer(chain, regions, depths):
    """+1 where the nearer region lies on the chain's left on the screen, -1 on its right, for each inner pixel."""
    padded = np.pad(np.asarray(depths, float)[regions], 2, mode="edge")
    along = (chain[2:] - chain[:-2]).astype(float)
    left = np.stack((along[:, 1], -along[:, 0]), 1)  # a quarter turn counter-clockwise, y pointing down
    left /= np.abs(left).max(1, keepdims=True).clip(1)
    x, y = chain[1:-1].T + 2
    dx, dy = np.rint(left).astype(int).T
    return np.sign(padded[y + dy, x + dx] - padded[y - dy, x - dx])


@pytest.mark.parametrize("depths, occluder", [([0, 1], 1), ([1, 0], 0)])
def test_the_occluder_lies_on_the_left_of_its_chain(depths, occluder):
    regions = np.zeros((40, 50), np.int32)
    cv2.circle(regions, (25, 20), 12, 1, -1)
    (chain,) = occlusion_chains(regions, depths)
    assert (regions[chain[:, 1], chain[:, 0]] == occluder).all()
    assert (side_of_the_nearer(chain, regions, depths) > 0).all()


def test_regions_of_equal_depth_have_a_boundary_but_no_occlusion():
    regions = np.zeros((10, 12), np.int32)
    regions[:, 6:] = 1
    assert boundary_map(regions, [3, 3])[:, 6].all()
    assert occlusion_chains(regions, [3, 3]) == []


def test_a_chain_ends_where_another_region_is_occluded():
    regions = np.zeros((20, 30), np.int32)
    regions[:, 15:] = 1
    regions[10:] = 2
    chains = occlusion_chains(regions, [0, 0, 1])
    assert sorted(len(chain) for chain in chains) == [15, 15]


def test_scenes_chains_are_connected_lie_on_the_boundary_and_point_to_the_nearer_region(scenes):
    votes = []
    for scene in scenes:
        edges = boundary_map(scene.regions, scene.depths)
        for chain in occlusion_chains(scene.regions, scene.depths):
            assert np.abs(np.diff(chain, axis=0)).max() == 1
            assert edges[chain[:, 1], chain[:, 0]].all()
            assert len(np.unique(chain, axis=0)) == len(chain)
            votes.append(side_of_the_nearer(chain, scene.regions, scene.depths))
    votes = np.concatenate(votes)
    assert len(votes) > 2000
    assert (votes > 0).mean() > 0.93 and (votes < 0).mean() < 0.01


def test_written_chains_follow_the_label_rule_and_the_written_boundary(content):
    boundaries = {entry["image_id"]: decoded(entry["boundary_mask"]) for entry in content["annos_boundary"]}
    labels = set()
    for entry in content["annos_occlusion"]:
        height, width = entry["imsize"]
        chains, directions = entry["edges"]["indices"], entry["edges"]["edgelabel"]
        assert entry["ne"] == len(chains) == len(directions)
        labels.update(directions)
        for chain in chains:
            x, y = np.divmod(np.array(chain), height)
            assert x.max() < width
            if entry["image_id"] in boundaries:
                assert boundaries[entry["image_id"]][y, x].all()
    assert labels == {1, 2}


def test_the_label_says_on_which_side_of_the_written_chain_the_occluder_is(scenes):
    scene = next(scene for scene in scenes if scene.instances)
    entry = mini_detail.occlusion_annotation(scene, 1, np.random.default_rng(0))
    height = entry["imsize"][0]
    for indices, label in zip(entry["edges"]["indices"], entry["edges"]["edgelabel"]):
        chain = np.stack(np.divmod(np.array(indices), height), 1)
        votes = side_of_the_nearer(chain, scene.regions, scene.depths).sum()
        assert (votes > 0) == (label == 1) or votes == 0


def test_some_images_lack_sections_and_validation_keeps_all_masks(content):
    present = {section: set(by_image(content, section)) for section in content if section.startswith("annos_")}
    assert 0.6 * NUM_TRAIN < len(present["annos_boundary"]) < NUM_TRAIN + NUM_VAL
    assert 0.6 * NUM_TRAIN < len(present["annos_occlusion"]) < NUM_TRAIN + NUM_VAL
    assert {image["image_id"] for image in content["images"] if image["phase"] == "val"} <= present[
        "annos_segmentation"
    ]


def test_an_image_with_people_never_lacks_both_masks_and_joints(tmp_path, monkeypatch):
    monkeypatch.setitem(mini_detail.MISSING, "train", dict.fromkeys(mini_detail.MISSING["train"], 1.0))
    folder = write_mini_detail(tmp_path / "bare", 6, 0)
    content = json.loads((folder / "annotations.json").read_text())
    assert content["annos_segmentation"] == [] == content["annos_boundary"]
    assert len(content["annos_joints"]) > 0


def test_a_complete_set_is_left_alone_and_another_recipe_replaces_it(tmp_path, monkeypatch):
    folder = write_mini_detail(tmp_path / "set", 2, 1)
    before = (folder / "annotations.json").stat().st_mtime_ns
    write_mini_detail(folder, 2, 1)
    assert (folder / "annotations.json").stat().st_mtime_ns == before
    write_mini_detail(folder, 1, 1)
    assert len(list((folder / "images").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_with_a_lost_image_is_made_again(tmp_path):
    folder = write_mini_detail(tmp_path / "set", 2, 1)
    (folder / "images/2008_000001.jpg").unlink()
    write_mini_detail(folder, 2, 1)
    assert (folder / "images/2008_000001.jpg").is_file()


def test_an_interrupted_run_leaves_nothing_and_spoils_nothing(tmp_path, monkeypatch):
    folder = write_mini_detail(tmp_path / "set", 1, 1)
    before = all_bytes(folder)

    def interrupted(rng):
        raise KeyboardInterrupt

    monkeypatch.setattr(mini_detail, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mini_detail(folder, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert all_bytes(folder) == before


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="was not made by mini_detail"):
        write_mini_detail(tmp_path, 1, 1)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_negative_number_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="num_val is -1"):
        write_mini_detail(tmp_path / "set", 1, -1)


def test_command_line_makes_the_set(tmp_path, capsys):
    main(["--out", str(tmp_path / "set"), "--train", "1", "--val", "1", "--seed", "2"])
    assert "1 training and 1 validation images" in capsys.readouterr().out
    assert json.loads((tmp_path / "set/generator.json").read_text())["seed"] == 2


def test_ids_are_the_official_ones():
    ids = {name: number for number, name, *_ in CATEGORIES}
    assert (ids["person"], ids["sky"], ids["tvmonitor"]) == (284, 360, 427)
    assert (PART_IDS["hair"], PART_IDS["lhand"], PART_IDS["torso"]) == (19, 39, 79)


def test_the_loader_reads_back_what_was_drawn(root, content):
    dataset = DetailDataset(str(root / "annotations.json"), str(root / "images"), split="train")
    assert len(dataset) == NUM_TRAIN
    instances = by_image(content, "annos_segmentation")
    for index in range(NUM_TRAIN):
        annotations = dataset.get_annotations(index)
        entries = instances.get(dataset.get_img_info(index)["image_id"], [])
        if entries:
            assert len(annotations.instances) == sum(not entry["iscrowd"] for entry in entries)
        else:
            assert annotations.instances is None and annotations.semantic is None
    assert {task for n in range(NUM_TRAIN) for task in annotated_tasks(dataset.get_annotations(n))} == {
        key for key in TASKS if key not in ("saliency", "normals", "depth")
    }


def _draw_and_be_killed(root):
    mini_detail.boundary_map = lambda *_: os._exit(9)
    mini_detail.write_mini_detail(root, 1, 0)


def test_what_a_killed_drawing_left_is_removed_by_the_next_and_a_full_disk_leaves_nothing(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_draw_and_be_killed, args=(tmp_path / "set",))
    process.start()
    process.join()
    assert process.exitcode == 9 and len(os.listdir(tmp_path)) == 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*/set/images/2008_000001\.jpg: File too large; "):
            mini_detail.write_mini_detail(tmp_path / "set", 1, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_an_older_set_gives_way_to_a_new_one(tmp_path):
    mini_detail.write_mini_detail(tmp_path / "set", 1, 0)
    mini_detail.write_mini_detail(tmp_path / "set", 0, 1)
    assert os.listdir(tmp_path / "set" / "images") == ["2008_000001.jpg"] and os.listdir(tmp_path) == ["set"]
