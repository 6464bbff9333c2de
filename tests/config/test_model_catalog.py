"""Names of published weights lead to their addresses."""

import pytest

from maskrcnn_benchmark.config import model_catalog, paths_catalog
from maskrcnn_benchmark.config.model_catalog import ModelCatalog
from maskrcnn_benchmark.utils.errors import UserError

DETECTRON = "https://dl.fbaipublicfiles.com/detectron"


@pytest.mark.parametrize(
    "name, address",
    [
        ("ImageNetPretrained/MSRA/R-50", "/ImageNetPretrained/MSRA/R-50.pkl"),
        ("ImageNetPretrained/MSRA/R-101-GN", "/ImageNetPretrained/47592356/R-101-GN.pkl"),
        ("ImageNetPretrained/FAIR/20171220/X-101-32x8d", "/ImageNetPretrained/20171220/X-101-32x8d.pkl"),
        (
            "Caffe2Detectron/COCO/35858933/e2e_mask_rcnn_R-50-FPN_1x",
            "/35858933/12_2017_baselines/e2e_mask_rcnn_R-50-FPN_1x.yaml.01_48_14.DzEQe4wC/output/train/"
            "coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl",
        ),
        (
            "Caffe2Detectron/COCO/37697547/e2e_keypoint_rcnn_R-50-FPN_1x",
            "/37697547/12_2017_baselines/e2e_keypoint_rcnn_R-50-FPN_1x.yaml.08_42_54.kdzV35ao/output/train/"
            "keypoints_coco_2014_train%3Akeypoints_coco_2014_valminusminival/generalized_rcnn/model_final.pkl",
        ),
        (
            "Caffe2Detectron/COCO/36768636/retinanet_R-50-FPN_1x",
            "/36768636/12_2017_baselines/retinanet_R-50-FPN_1x.yaml.08_29_48.t4zc9clc/output/train/"
            "coco_2014_train%3Acoco_2014_valminusminival/retinanet/model_final.pkl",
        ),
    ],
)
def test_names_of_detectron(name, address):
    assert ModelCatalog.get(name) == ModelCatalog.get(f"catalog://{name}") == DETECTRON + address


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_classifiers_of_torchvision(depth):
    address = ModelCatalog.get(f"ImageNetPretrained/torchvision/R-{depth}")
    assert address.startswith(f"https://download.pytorch.org/models/resnet{depth}-")


@pytest.mark.parametrize("kind", ["fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet"])
def test_detectors_of_torchvision(kind):
    address = ModelCatalog.get(f"COCO/torchvision/{kind}_resnet50_fpn")
    assert address.startswith(f"https://download.pytorch.org/models/{kind}_resnet50_fpn_coco-")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"'ImageNetPretrained/MSRA/R-51'.*ImageNetPretrained/MSRA/R-50"):
        ModelCatalog.get("ImageNetPretrained/MSRA/R-51")


def test_users_find_it_beside_the_data_sets():
    assert paths_catalog.ModelCatalog is model_catalog.ModelCatalog
