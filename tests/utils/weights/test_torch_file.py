"""Torch files come back as they were; those that ask for more than tensors, or for more memory than they have, not."""

import collections
import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.torch_file import load_tensors


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "weights.pth"


def refusal(path):
    with pytest.raises(UserError) as caught:
        load_tensors(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


CHECKPOINT = {
    "model": collections.OrderedDict({"module.w": torch.arange(6.0).view(2, 3)[:, 1:], "n": torch.tensor(5)}),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "scheduler": {"milestones": (30, 40), "counted": collections.Counter({30: 1}), "base_lrs": [0.1]},
    "iteration": 7,
    "rest": ({1, 2}, b"\xff1", torch.Size([2]), torch.float16, torch.device("cpu"), None, "é"),
}


@pytest.mark.parametrize(("is_zip", "mapped"), [(True, False), (True, True), (False, False), (False, True)])
def test_checkpoints_of_both_formats_come_back(path, is_zip, mapped):
    torch.save(CHECKPOINT, path, _use_new_zipfile_serialization=is_zip)
    loaded = load_tensors(path, mapped=mapped)
    assert loaded["model"]["module.w"].equal(CHECKPOINT["model"]["module.w"]) and loaded["model"]["n"] == 5
    assert loaded["half"].equal(CHECKPOINT["half"]) and loaded["parameter"].equal(CHECKPOINT["parameter"])
    for key in ("scheduler", "iteration", "rest"):
        assert loaded[key] == CHECKPOINT[key]


def test_an_archive_that_was_compressed_since_is_read_and_not_mapped(path):
    torch.save(CHECKPOINT, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    weights = load_tensors(path, mapped=True)["model"]
    assert weights["module.w"].equal(CHECKPOINT["model"]["module.w"])


def test_an_optimizer_with_momentum_comes_back(path):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict()}, path)
    assert load_tensors(path)["optimizer"]["state"][1]["momentum_buffer"].equal(torch.ones(2))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.ones(1).expand(10**9),
        torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
    ],
    ids=["sparse", "meta", "one element repeated", "nested"],
)
def test_tensors_that_are_not_dense_are_refused(path, tensor, is_zip):
    torch.save({"w": tensor}, path, _use_new_zipfile_serialization=is_zip)
    assert "was refused" in refusal(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_is_named_and_not_run(path, is_zip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Bomb()}, path, _use_new_zipfile_serialization=is_zip)
    assert "it asks for posix.mkdir" in refusal(path) and "opened elsewhere it would run that" in refusal(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"\x80\x02})" + b"\x85" * 150_000 + b"K\x01s.", "key of a dictionary"),
        (b"\x80\x02c__builtin__\nset\n])" + b"\x85" * 150_000 + b"a\x85R.", "key of a dictionary"),
        (b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x01\x85R.", "bytearray"),
        (b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.", "torch.FloatTensor"),
        (b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.", "call"),
    ],
    ids=["nested key", "nested member", "bytearray", "tensor", "storage"],
)
def test_what_would_exhaust_the_machine_is_refused(path, data, reason):
    path.write_bytes(data)
    assert reason in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    assert reason in refusal(path)


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(path):
    torch.save({"w": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data/1", bytes(10 << 20))
    assert "unpacks to more than 4 times its size" in refusal(path)


def test_a_storage_that_claims_more_than_lies_in_the_file_is_refused(path):
    torch.save({"w": torch.zeros(5)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    entries[name] = entries[name].replace(b"K\x05", b"K\x7f")
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in entries.items():
            archive.writestr(each, data)
    assert "storage of 508 bytes, where 20 lie in the file" in refusal(path)


@given(data=st.data(), is_zip=st.booleans())
def test_a_changed_byte_is_read_or_refused(path, data, is_zip):
    torch.save({"w": torch.arange(3.0)}, path, _use_new_zipfile_serialization=is_zip)
    changed = bytearray(path.read_bytes())
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(changed))
    try:
        load_tensors(path)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_truncation_is_an_error(path, is_zip):
    torch.save({"w": torch.arange(3.0)}, path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    for length in range(0, len(whole), 29):
        path.write_bytes(whole[:length])
        assert "is damaged" in refusal(path)


def test_a_plain_pickle_is_no_torch_file(path):
    path.write_bytes(pickle.dumps({"w": 1}))
    assert "is damaged or no PyTorch file" in refusal(path)


# "x" * 100,000, encoded again and again; a list of a thousand numbers, counted again and again
TEXT = (
    b"\x80\x02]q\x00(c_codecs\nencode\nq\x01X\xa0\x86\x01\x00" + b"x" * 100_000 + b"X\x06\x00\x00\x00latin1\x86q\x02R"
)
ENCODINGS = TEXT + b"h\x01h\x02R" * 100 + b"e."
LIST = b"\x80\x02]q\x00(ccollections\nCounter\nq\x01](" + b"K\x01" * 1000 + b"e\x85q\x02R"
COUNTERS = LIST + b"h\x01h\x02R" * 10_000 + b"e."


@pytest.mark.parametrize("data", [ENCODINGS, COUNTERS], ids=["text", "list"])
def test_copies_without_end_are_refused(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    assert "more copies than the file has bytes" in refusal(path)


def test_entries_that_differ_in_capitals_alone_are_refused(path):
    torch.save({"w": torch.zeros(3)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/DATA.pkl", b"\x80\x02}.")
    assert "two entries of the same name" in refusal(path)
