"""Checks of the tables of images, categories and parts."""

from sound_records import ROW

from maskrcnn_benchmark.data.detail.checks import check_tables


def test_tables_that_are_sound():
    images = [ROW, {**ROW, "image_id": "2008_000002", "file_name": "b.jpg"}]
    categories = [
        {"category_id": 284, "name": "person", "supercategory": "animal", "onlysemantic": "false", "parts": [21, 255]},
        {"category_id": 360, "name": "sky", "onlysemantic": 1, "parts": [{"id": 79, "name": "torso"}]},
    ]
    parts = [{"part_id": 21, "name": "head", "superpart": "none"}, {"part_id": 79, "name": "torso"}]
    tables, problems = check_tables(images, categories, parts)
    assert problems == []
    assert tables == (
        {7: images[0], "2008_000002": images[1]},
        {
            284: {"name": "person", "supercategory": "animal", "onlysemantic": False, "parts": [21, 255]},
            360: {"name": "sky", "supercategory": "none", "onlysemantic": True, "parts": [79]},
        },
        {21: {"name": "head", "superpart": "none"}, 79: {"name": "torso", "superpart": "none"}},
    )


def test_faults_of_tables():
    images = [ROW, 5, {"file_name": "b.jpg"}, {**ROW, "image_id": 8}, {**ROW, "file_name": "c.jpg"}]
    categories = [
        {"category_id": 1, "name": None, "onlysemantic": "perhaps", "supercategory": 3, "parts": [21, 22, [1]]},
        {"category_id": 2, "name": "sky", "parts": 4},
        {"category_id": 3, "name": "sky"},
    ]
    parts = [{"part_id": 21}, {"part_id": None, "name": "x"}, {"part_id": 21, "name": "y"}]
    (rows, named, known), problems = check_tables(images, categories, parts)
    assert list(rows) == [7, 8] and rows[7] is ROW
    assert known == {21: {"name": "part 21", "superpart": "none"}}
    assert named[1] == {"name": "category 1", "supercategory": "none", "onlysemantic": False, "parts": [21]}
    assert named[2]["parts"] == [] and named[3]["name"] == "sky"
    assert [(p.what, p.where, p.action.split(":")[0]) for p in problems] == [
        ("table entry is no object", "images entry 1", "left out"),
        ("table entry without a usable id", "images entry 2", "left out"),
        ("id occurs twice in a table", "images entry 4", "left out"),
        ("file name occurs twice", "images", "kept"),
        ("table entry without a usable id", "parts entry 1", "left out"),
        ("id occurs twice in a table", "parts entry 2", "left out"),
        ("table entry without a usable name", "parts 21", "repaired"),
        ("table entry without a usable name", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 2", "repaired"),
        ("name occurs twice in a table", "categories", "kept"),
    ]
    assert check_tables(None, 5, "x")[0] == ({}, {}, {})
