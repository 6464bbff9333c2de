"""Folders and whole files."""

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.miscellaneous import atomic_write, mkdir, save_config


def test_mkdir_makes_parents_and_accepts_what_is_there(tmp_path):
    mkdir(tmp_path / "a" / "b")
    mkdir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_mkdir_over_a_file_is_the_users_error(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match=r"cannot make the folder .*OUTPUT_DIR"):
        mkdir(tmp_path / "a" / "b")


def test_atomic_write_replaces_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "x"
    with atomic_write(path) as file:
        file.write(b"one")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"half of tw")
        raise RuntimeError
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]


def test_a_saved_config_is_the_same_when_merged_again(tmp_path):
    config = cfg.clone()
    config.merge_from_list(["SOLVER.STEPS", (3, 4), "MODEL.MASK_ON", True])
    save_config(config, tmp_path / "config.yml")
    again = cfg.clone()
    again.merge_from_file(tmp_path / "config.yml")
    assert again == config
