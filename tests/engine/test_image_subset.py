"""The images of a data set that a list names."""

import logging
import re

import pytest

from maskrcnn_benchmark.engine.image_subset import ImageSubset, read_image_subset
from maskrcnn_benchmark.utils.errors import UserError


class Images:
    """Five images called as those of VOC."""

    def __len__(self):
        return 5

    def get_img_info(self, index):
        return {"file_name": f"2008_00000{index}.jpg", "width": 4, "height": 3}

    def image_id(self, index):
        return 2008000000 + index


def subset(tmp_path, text, name="test_new.txt"):
    (tmp_path / name).write_text(text)
    return read_image_subset(tmp_path / name, Images())


def test_names_are_found_in_any_form_and_count_once(tmp_path, caplog):
    lines = ["# half of them", "2008_000003", "", "JPEGImages/2008_000001.jpg", "2008_000003", "2008_000000.png  -1"]
    assert subset(tmp_path, "\r\n".join(lines)) == ImageSubset("test_new", (0, 1, 3), 5)
    assert str(subset(tmp_path, "2008_000003")) == "test_new: 1 of 5 images" and not caplog.records


def test_names_of_other_images_are_counted_and_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    assert subset(tmp_path, "2008_000009\n2008_000004\n2008_000008\n").indices == (4,)
    assert "test_new.txt: 2 names are of no image of the data set (such as 2008_000009)" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "2007_000032\n",
            "names no image of the data set (its first is '2007_000032'; the data set has '2008_000000')",
        ),
        ("# nothing\n", "names no image of the data set (it names none; "),
    ],
)
def test_a_list_without_an_image_of_the_data_set_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        subset(tmp_path, text)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone\.txt: No such file"):
        read_image_subset(tmp_path / "gone.txt", Images())
