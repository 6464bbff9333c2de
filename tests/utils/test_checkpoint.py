"""Checkpoints: written whole or not at all, read without running anything, found again."""

import os
import pickle
import resource
import shutil
import threading

import pytest
import torch
from tiny_models import FPN, KEYPOINT, MASK, make_cfg, make_model, mark, marks, retinanet_head, skeleton
from torch import nn
from torchvision.models import resnet18
from torchvision.ops import FrozenBatchNorm2d

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.checkpoint import Checkpointer, DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError


def model_of_two():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def same(first, second):
    return all(a.equal(b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))


@pytest.mark.parametrize("wrap_trained", [False, True])
@pytest.mark.parametrize("wrap_fresh", [False, True])
def test_the_last_checkpoint_is_found_again(tmp_path, wrap_trained, wrap_fresh):
    trained, fresh = model_of_two(), model_of_two()
    folder = str(tmp_path)
    saver = Checkpointer(nn.DataParallel(trained) if wrap_trained else trained, save_dir=folder, save_to_disk=True)
    saver.save("checkpoint_file", iteration=5, note="x")
    loader = Checkpointer(nn.DataParallel(fresh) if wrap_fresh else fresh, save_dir=folder)
    assert loader.has_checkpoint()
    assert loader.get_checkpoint_file() == os.path.join(folder, "checkpoint_file.pth")
    assert (tmp_path / "last_checkpoint").read_text() == os.path.join(folder, "checkpoint_file.pth")
    assert loader.load() == {"iteration": 5, "note": "x"}
    assert same(trained, fresh)


def test_a_named_file_is_loaded_from_another_folder(tmp_path):
    trained, fresh = model_of_two(), model_of_two()
    Checkpointer(trained, save_dir=str(tmp_path / "a")).save("checkpoint_file")
    other = Checkpointer(fresh, save_dir=str(tmp_path / "b"))
    assert not other.has_checkpoint() and other.get_checkpoint_file() == ""
    assert other.load(str(tmp_path / "a" / "checkpoint_file.pth")) == {}
    assert same(trained, fresh)


def test_the_latest_checkpoint_goes_before_a_named_file_unless_told_otherwise(tmp_path):
    first, second, fresh = model_of_two(), model_of_two(), model_of_two()
    Checkpointer(first, save_dir=str(tmp_path / "a")).save("a")
    Checkpointer(second, save_dir=str(tmp_path / "b")).save("b")
    loader = Checkpointer(fresh, save_dir=str(tmp_path / "b"))
    loader.load(str(tmp_path / "a" / "a.pth"))
    assert same(second, fresh)
    loader.load(str(tmp_path / "a" / "a.pth"), use_latest=False)
    assert same(first, fresh)


def test_optimizer_and_schedule_come_back(tmp_path):
    def parts():
        model = model_of_two()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2)

    model, optimizer, scheduler = parts()
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    Checkpointer(model, optimizer, scheduler, str(tmp_path)).save("x")
    model2, optimizer2, scheduler2 = parts()
    Checkpointer(model2, optimizer2, scheduler2, str(tmp_path)).load()
    assert scheduler2.last_epoch == 3 and optimizer2.param_groups[0]["lr"] == pytest.approx(0.01)
    momentum = [optimizer.state[p]["momentum_buffer"] for p in model.parameters()]
    momentum2 = [optimizer2.state[p]["momentum_buffer"] for p in model2.parameters()]
    assert all(a.equal(b) for a, b in zip(momentum, momentum2))


def test_only_weights_leaves_the_training_of_a_foreign_file_behind(tmp_path):
    model = model_of_two()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    Checkpointer(model, optimizer, save_dir=str(tmp_path)).save("x", iteration=100)
    fresh = model_of_two()
    other = torch.optim.SGD(fresh.parameters(), lr=0.1)
    assert Checkpointer(fresh, other).load(str(tmp_path / "x.pth"), only_weights=True) == {}
    assert same(model, fresh) and other.param_groups[0]["lr"] == 0.1


def test_a_failed_write_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    model = model_of_two()
    checkpointer = Checkpointer(model, save_dir=str(tmp_path))
    checkpointer.save("x", iteration=1)

    def full_disk(data, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match=r"x\.pth: No space left on device"):
        checkpointer.save("x", iteration=2)
    assert checkpointer.load() == {"iteration": 1}
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "x.pth"]


@pytest.fixture
def small_files():
    """Files may not become larger than 8 KiB, which is as good as a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_checkpoint_that_the_disk_does_not_take_names_the_last_whole_one(tmp_path, small_files):
    checkpointer = Checkpointer(model_of_two(), save_dir=str(tmp_path))
    large = torch.zeros(100_000)
    with pytest.raises(UserError, match=r"b\.pth: File too large; .*\. No checkpoint was saved before$"):
        checkpointer.save("b", large=large)
    checkpointer.save("a", iteration=1)
    with pytest.raises(UserError, match=r"b\.pth: File too large; .*\. The last whole checkpoint is .*a\.pth; "):
        checkpointer.save("b", large=large)
    assert checkpointer.load() == {"iteration": 1}
    assert sorted(os.listdir(tmp_path)) == ["a.pth", "last_checkpoint"]


def test_what_cannot_be_saved_by_its_kind_is_no_fault_of_the_disk(tmp_path):
    checkpointer = Checkpointer(model_of_two(), save_dir=str(tmp_path))
    with pytest.raises(TypeError, match="pickle"):
        checkpointer.save("x", lock=threading.Lock())
    assert os.listdir(tmp_path) == []


def test_a_moved_output_folder_still_resumes(tmp_path):
    model, fresh = model_of_two(), model_of_two()
    Checkpointer(model, save_dir=str(tmp_path / "a")).save("x")
    (tmp_path / "a").rename(tmp_path / "b")
    Checkpointer(fresh, save_dir=str(tmp_path / "b")).load()
    assert same(model, fresh)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Bomb()}, "bomb.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"model": Bomb()}))
    for name in ("bomb.pth", "bare.pth"):
        with pytest.raises(UserError, match=f"{name} was refused") as caught:
            DetectronCheckpointer(cfg, model_of_two()).load(name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_cut_off_checkpoint_is_named_with_the_one_before(tmp_path, keep):
    model = model_of_two()
    checkpointer = Checkpointer(model, save_dir=str(tmp_path))
    checkpointer.save("model_0000001")
    checkpointer.save("model_0000002")
    path = tmp_path / "model_0000002.pth"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model_0000002\.pth (is|was) .*model_0000001\.pth.*last_checkpoint") as caught:
        checkpointer.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_last_checkpoint_may_be_written_with_any_editor(tmp_path, encoding):
    Checkpointer(model_of_two(), save_dir=str(tmp_path)).save("caf\u00e9")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "caf\u00e9.pth") + "\r\n", encoding=encoding)
    checkpointer = Checkpointer(model_of_two(), save_dir=str(tmp_path))
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "caf\u00e9.pth")


def test_a_copied_folder_that_goes_on_from_the_first_says_so(tmp_path, caplog):
    first, copy = tmp_path / "first", tmp_path / "copy"
    Checkpointer(model_of_two(), save_dir=str(first)).save("model_final")
    shutil.copytree(first, copy)
    Checkpointer(model_of_two(), save_dir=str(first)).load()
    assert "another folder" not in caplog.text
    Checkpointer(model_of_two(), save_dir=str(copy)).load()
    assert f"names {first / 'model_final.pth'}, which is in another folder" in caplog.text
    assert f"write {copy / 'model_final.pth'} into it" in caplog.text


def test_a_missing_checkpoint_is_named_with_one_that_is_there(tmp_path):
    checkpointer = Checkpointer(model_of_two(), save_dir=str(tmp_path))
    checkpointer.save("model_0000001")
    checkpointer.tag_last_checkpoint(str(tmp_path / "model_0000009.pth"))
    with pytest.raises(UserError, match=r"no such checkpoint.*model_0000009\.pth.*model_0000001\.pth"):
        checkpointer.load()


def test_resuming_with_another_model_is_an_error_that_says_what_to_do(tmp_path):
    Checkpointer(model_of_two(), save_dir=str(tmp_path)).save("x")
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5))
    with pytest.raises(UserError, match=r"another model.*1\.weight.*OUTPUT_DIR"):
        Checkpointer(other, save_dir=str(tmp_path)).load()


def test_a_file_of_which_nothing_fits_is_an_error(tmp_path):
    torch.save({"model": {"a.b": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="none of its 1 tensors fits"):
        Checkpointer(model_of_two()).load(str(tmp_path / "other.pth"))


def test_a_bare_dictionary_of_weights_is_taken_by_the_detectron_checkpointer(tmp_path):
    model, fresh = model_of_two(), model_of_two()
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    DetectronCheckpointer(cfg, fresh).load(str(tmp_path / "bare.pth"))
    assert same(model, fresh)
    with pytest.raises(UserError, match="no entry 'model'"):
        Checkpointer(fresh).load(str(tmp_path / "bare.pth"))


class Stem(nn.Module):
    """A trunk's first two layers under our names."""

    def __init__(self, norm):
        super().__init__()
        self.stem = nn.Module()
        self.stem.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.stem.bn1 = norm(64)


def test_torchvision_epsilon_moves_into_the_variance_of_frozen_norms_only(tmp_path):
    torch.manual_seed(0)
    source = resnet18(weights=None)
    source.bn1.running_var.uniform_(0.5, 2.0)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    frozen, trained = Stem(lambda c: FrozenBatchNorm2d(c, eps=0)), Stem(nn.BatchNorm2d)
    for model in (frozen, trained):
        DetectronCheckpointer(cfg, model).load(str(tmp_path / "resnet18.pth"))
        assert model.stem.conv1.weight.equal(source.conv1.weight)
    images = torch.randn(1, 3, 16, 16)
    expected = source.eval().bn1(source.conv1(images))
    for model in (frozen, trained.eval()):
        torch.testing.assert_close(model.stem.bn1(model.stem.conv1(images)), expected)
    assert frozen.stem.bn1.running_var.equal(source.bn1.running_var + 1e-5)


def test_an_unknown_catalog_name_is_answered_with_a_near_one():
    with pytest.raises(UserError, match=r"ImageNetPretrained/MSRA/R-5'.*ImageNetPretrained/MSRA/R-50"):
        DetectronCheckpointer(cfg, model_of_two()).load("catalog://ImageNetPretrained/MSRA/R-5")


def test_a_download_that_fails_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = "http://127.0.0.1:9/a/model_final.pth"
    with pytest.raises(UserError, match=r"cannot download http://127\.0\.0\.1:9/.*put the file at (\S+)") as caught:
        DetectronCheckpointer(cfg, model_of_two()).load(url)
    path = str(caught.value).split("put the file at ")[1].split()[0]
    torch.save(model_of_two().state_dict(), path)
    DetectronCheckpointer(cfg, model_of_two()).load(url)


def test_a_file_that_has_only_the_anchors_is_an_error(tmp_path):
    model = model_of_two()
    model.register_buffer("anchors", torch.zeros(1))
    torch.save({"anchors": torch.ones(1)}, tmp_path / "anchors.pth")
    with pytest.raises(UserError, match="none of its 1 tensors fits"):
        DetectronCheckpointer(cfg, model).load(str(tmp_path / "anchors.pth"))


def test_a_pickle_that_holds_no_arrays_is_the_users_error(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": [1, 2]}}))
    with pytest.raises(UserError, match=r"a\.pkl holds no dictionary of tensors .*blobs"):
        DetectronCheckpointer(cfg, model_of_two()).load(str(tmp_path / "a.pkl"))


HEADS = {
    "mask": (FPN, MASK, {"MODEL.ROI_BOX_HEAD.NUM_CLASSES": 21}),
    "keypoint": (FPN, KEYPOINT, {"MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": 5}),
}
LAST_LAYERS = {
    "mask": {"cls_score": "81 classes", "bbox_pred": "81 classes", "mask_fcn_logits": "81 classes"},
    "keypoint": {"kps_score_lowres": "17 keypoints"},
}


@pytest.mark.parametrize("kind", HEADS)
def test_other_classes_keep_all_but_the_last_layers(tmp_path, caplog, kind):
    options = HEADS[kind]
    source, model = make_model(make_cfg(*options[:-1])), make_model(make_cfg(*options))
    source.load_state_dict(marks(source), strict=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.save(source.state_dict(), tmp_path / "source.pth")
    DetectronCheckpointer(make_cfg(*options), model).load(str(tmp_path / "source.pth"))
    kept = {name for name, tensor in model.state_dict().items() if tensor.equal(before[name]) and "anchors" not in name}
    last = LAST_LAYERS[kind]
    assert kept == {n for n in before if ".predictor." in n and n.split(".")[-2] in last}
    for layer, number in last.items():
        assert f"predictor.{layer} (weight, bias): {number} in the file, " in caplog.text
    same_elsewhere = source.state_dict()
    assert all(tensor.equal(same_elsewhere[name]) for name, tensor in model.state_dict().items() if name not in kept)


def test_retinanet_of_other_classes_keeps_all_but_the_logits(tmp_path, caplog):
    model = skeleton(retinanet_head(9, 20))
    weights = {name: mark(name, shape) for name, shape in retinanet_head(9, 80).items()}
    torch.save({"model": weights}, tmp_path / "retinanet.pth")
    DetectronCheckpointer(cfg, model).load(str(tmp_path / "retinanet.pth"))
    zero = {name for name, tensor in model.state_dict().items() if not tensor.any()}
    assert zero == {"rpn.head.cls_logits.weight", "rpn.head.cls_logits.bias"}
    assert "rpn.head.cls_logits (weight, bias): 720 outputs of all anchors in the file, 180 here" in caplog.text


def test_one_that_is_kept_beside_the_others_is_not_gone_on_from_and_entries_can_be_amended(tmp_path):
    model = nn.Linear(2, 1)
    checkpointer = Checkpointer(model, save_dir=str(tmp_path))
    checkpointer.save("model_0000002", iteration=2, best=1)
    checkpointer.save_beside("model_best", iteration=1)
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_0000002.pth")
    checkpointer.amend(best=3)
    checkpointer.amend("model_best", best=4)
    found = [torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("model_0000002", "model_best")]
    assert [(each["iteration"], each["best"]) for each in found] == [(2, 3), (2, 4)]
    assert all(each["model"]["weight"].equal(model.weight) for each in found)
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_0000002.pth")


def test_checkpoints_by_number_are_removed_but_for_the_newest_and_the_last(tmp_path, caplog):
    checkpointer = Checkpointer(nn.Linear(2, 1), save_dir=str(tmp_path))
    kept = ["model_0000001.pth", "model_0000004.pth", "model_0000009.pth", "model_best.pth", "model_final.pth"]
    others = ["model_0000001_copy.pth", "model_12.pth"]
    for name in [*kept, *others, "model_0000002.pth", "model_0000003.pth"]:
        (tmp_path / name).touch()
    checkpointer.tag_last_checkpoint(str(tmp_path / "model_0000001.pth"))
    checkpointer.keep_newest(0, 5)
    assert (tmp_path / "model_0000002.pth").is_file()
    checkpointer.keep_newest(1, 5)
    assert {path.name for path in tmp_path.glob("*.pth")} == {*kept, *others}
    (tmp_path / "model_0000003.pth").mkdir()  # what cannot be removed does not end the run
    checkpointer.keep_newest(1, 5)
    assert "cannot remove" in caplog.text
