"""From what a config names to a file."""

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils import model_zoo
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def downloads(monkeypatch):
    """Addresses that were asked for; the download itself does not happen."""
    asked = []
    monkeypatch.setattr(model_zoo, "cache_url", lambda url: asked.append(url) or "/cache/file")
    return asked


@pytest.mark.parametrize(
    "name, address",
    [
        (
            "catalog://ImageNetPretrained/MSRA/R-50",
            "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/MSRA/R-50.pkl",
        ),
        (
            "detectron2://COCO-Detection/x/1/model.pkl",
            "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/x/1/model.pkl",
        ),
        (
            "torchvision://maskrcnn_resnet50_fpn_v2",
            "https://download.pytorch.org/models/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        ),
        (
            "torchvision://resnet50/IMAGENET1K_V1",
            "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        ),
        ("https://example.org/a.pth", "https://example.org/a.pth"),
    ],
)
def test_names_and_addresses_are_downloaded(downloads, name, address):
    assert model_zoo.local_file(name) == "/cache/file"
    assert downloads == [address]


@pytest.mark.parametrize(
    "name, words",
    [
        ("torchvision://maskrcnn_resnet50", "no model 'maskrcnn_resnet50'; did you mean .*maskrcnn_resnet50_fpn"),
        ("torchvision://resnet50/COCO_V1", "the weights of resnet50 are IMAGENET1K_V1, IMAGENET1K_V2"),
    ],
)
def test_what_torchvision_does_not_have_is_named(name, words):
    assert model_zoo.is_fetched(name)
    with pytest.raises(UserError, match=words):
        model_zoo.local_file(name)


def test_paths_stay_paths(downloads):
    assert model_zoo.local_file("models/a b.pth") == "models/a b.pth"
    assert model_zoo.local_file("file:///models/a%20b.pth") == "/models/a b.pth"
    assert downloads == []


def test_a_file_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"file://host/a.*another machine"):
        model_zoo.local_file("file://host/a")


@pytest.mark.parametrize("name", ["ftp://host/a.pth", "s3://bucket/a.pth"])
def test_other_protocols_are_refused(name):
    with pytest.raises(UserError, match="http and https only"):
        model_zoo.local_file(name)


def test_a_users_catalog_answers(tmp_path):
    catalog = tmp_path / "my_catalog.py"
    catalog.write_text(
        "class ModelCatalog:\n    @staticmethod\n    def get(name):\n        return {'mine/a': 'http://my.org/a.pkl'}[name]\n"
    )
    assert model_zoo.catalog_address("catalog://mine/a", str(catalog)) == "http://my.org/a.pkl"
    with pytest.raises(UserError, match=r"my_catalog\.py.*'mine/b'"):
        model_zoo.catalog_address("catalog://mine/b", str(catalog))


def test_a_users_catalog_without_models_leaves_ours(tmp_path):
    catalog = tmp_path / "my_catalog.py"
    catalog.write_text("class DatasetCatalog:\n    pass\n")
    name = "catalog://ImageNetPretrained/MSRA/R-50"
    assert model_zoo.catalog_address(name, str(catalog)) == model_zoo.catalog_address(name, cfg.PATHS_CATALOG)


def test_weights_that_a_package_carries(tmp_path, monkeypatch):
    (tmp_path / "some_weights" / "models").mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "some_weights" / "models" / "a.pth").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    assert model_zoo.local_file("package://some_weights/models/a.pth") == str(tmp_path / "some_weights/models/a.pth")
    with pytest.raises(UserError, match=r"'some_weights' has no file 'models/b.pth'"):
        model_zoo.local_file("package://some_weights/models/b.pth")
    with pytest.raises(UserError, match=r"'some_weights' has no file 'a{5000}'"):
        model_zoo.local_file(f"package://some_weights/{'a' * 5000}")
    with pytest.raises(UserError, match=r"no package '\.\.' is installed; install it with: pip install NAME"):
        model_zoo.local_file("package://../a.pth")
    with pytest.raises(UserError, match=r"no package 'no_such_weights' is installed.*pip install no-such-weights"):
        model_zoo.local_file("package://no_such_weights/a.pth")
    with pytest.raises(UserError, match=r"no package 'os.path'"):
        model_zoo.local_file("package://os.path/a.pth")
    # pip's spelling of the name, modules that are no packages, and Python's own program
    assert model_zoo.local_file("package://some-weights/models/a.pth") == str(tmp_path / "some_weights/models/a.pth")
    with pytest.raises(UserError, match=r"'os' is a single file"):
        model_zoo.local_file("package://os/a.pth")
    for name in ("__main__", ""):
        with pytest.raises(UserError, match=f"package://{name}/a.pth: .*package"):
            model_zoo.local_file(f"package://{name}/a.pth")
