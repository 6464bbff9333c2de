"""Names of published weights -> where they can be downloaded."""

import difflib

from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet50_Weights, ResNet101_Weights, detection

from maskrcnn_benchmark.utils.errors import UserError

CATALOG_PREFIX = "catalog://"
DETECTRON = "https://dl.fbaipublicfiles.com/detectron"

# Detectron's conversions of MSRA's and FAIR's ImageNet classifiers
CAFFE2_IMAGENET = {
    "MSRA/R-50": "MSRA/R-50.pkl",
    "MSRA/R-101": "MSRA/R-101.pkl",
    "MSRA/R-50-GN": "47261647/R-50-GN.pkl",
    "MSRA/R-101-GN": "47592356/R-101-GN.pkl",
    "FAIR/20171220/X-101-32x8d": "20171220/X-101-32x8d.pkl",
    "FAIR/X-101-64x4d": "FBResNeXt/X-101-64x4d.pkl",
    "FAIR/X-152-32x8d-IN5k": "25093814/X-152-32x8d-IN5k.pkl",
}

# Detectron's model zoo of December 2017: identifier/name -> the time stamp in its address
CAFFE2_COCO = {
    "35998355/rpn_R-50-C4_1x": "08_00_43.njH5oD9L",
    "35998814/rpn_R-50-FPN_1x": "08_06_03.Axg0r179",
    "35998887/rpn_R-101-FPN_1x": "08_07_07.vzhHEs0V",
    "36760102/rpn_X-101-32x8d-FPN_1x": "06_00_16.RWeBAniO",
    "35857197/e2e_faster_rcnn_R-50-C4_1x": "01_33_49.iAX0mXvW",
    "35857281/e2e_faster_rcnn_R-50-C4_2x": "01_34_56.ScPH0Z4r",
    "35857345/e2e_faster_rcnn_R-50-FPN_1x": "01_36_30.cUF7QR7I",
    "35857389/e2e_faster_rcnn_R-50-FPN_2x": "01_37_22.KSeq0b5q",
    "35857890/e2e_faster_rcnn_R-101-FPN_1x": "01_38_50.sNxI7sX7",
    "35857952/e2e_faster_rcnn_R-101-FPN_2x": "01_39_49.JPwJDh92",
    "36761737/e2e_faster_rcnn_X-101-32x8d-FPN_1x": "06_31_39.5MIHi1fZ",
    "36761786/e2e_faster_rcnn_X-101-32x8d-FPN_2x": "06_33_22.VqFNuxk6",
    "35858791/e2e_mask_rcnn_R-50-C4_1x": "01_45_57.ZgkA7hPB",
    "35858828/e2e_mask_rcnn_R-50-C4_2x": "01_46_47.HBThTerB",
    "35858933/e2e_mask_rcnn_R-50-FPN_1x": "01_48_14.DzEQe4wC",
    "35859007/e2e_mask_rcnn_R-50-FPN_2x": "01_49_07.By8nQcCH",
    "35861795/e2e_mask_rcnn_R-101-FPN_1x": "02_31_37.KqyEK4tT",
    "35861858/e2e_mask_rcnn_R-101-FPN_2x": "02_32_51.SgT4y1cO",
    "36761843/e2e_mask_rcnn_X-101-32x8d-FPN_1x": "06_35_59.RZotkLKI",
    "36762092/e2e_mask_rcnn_X-101-32x8d-FPN_2x": "06_37_59.DM5gJYRF",
    "37129812/e2e_mask_rcnn_X-152-32x8d-FPN-IN5k_1.44x": "09_35_36.8pzTQKYK",
    "37697547/e2e_keypoint_rcnn_R-50-FPN_1x": "08_42_54.kdzV35ao",
    "37697714/e2e_keypoint_rcnn_R-50-FPN_s1x": "08_44_03.qrQ0ph6M",
    "37697946/e2e_keypoint_rcnn_R-101-FPN_1x": "08_45_06.Y14KqbST",
    "37698009/e2e_keypoint_rcnn_R-101-FPN_s1x": "08_45_57.YkrJgP6O",
    "36768636/retinanet_R-50-FPN_1x": "08_29_48.t4zc9clc",
    "36768677/retinanet_R-50-FPN_2x": "08_30_38.sgZIQZQ5",
    "36768744/retinanet_R-101-FPN_1x": "08_31_38.5poQe1ZB",
    "36768840/retinanet_R-101-FPN_2x": "08_33_29.grtM0RTf",
    "36769563/retinanet_X-101-32x8d-FPN_1x": "08_42_05.06JTK6vJ",
    "36769641/retinanet_X-101-32x8d-FPN_2x": "08_42_55.sUPnwXI5",
}

# torchvision's first generation: detectors are fine-tuned from these in torchvision, too
TORCHVISION = {
    "ImageNetPretrained/torchvision/R-18": ResNet18_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-34": ResNet34_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-50": ResNet50_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-101": ResNet101_Weights.IMAGENET1K_V1.url,
    "COCO/torchvision/fasterrcnn_resnet50_fpn": detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url,
    "COCO/torchvision/maskrcnn_resnet50_fpn": detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1.url,
    "COCO/torchvision/keypointrcnn_resnet50_fpn": detection.KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.url,
    "COCO/torchvision/retinanet_resnet50_fpn": detection.RetinaNet_ResNet50_FPN_Weights.COCO_V1.url,
}


def _coco_address(name: str, stamp: str) -> str:
    identifier, model = name.split("/")
    prefix = "keypoints_" if "keypoint" in model else ""
    data = f"{prefix}coco_2014_train%3A{prefix}coco_2014_valminusminival"
    kind = "retinanet" if model.startswith("retinanet") else "rpn" if model == "rpn_R-50-C4_1x" else "generalized_rcnn"
    return f"{DETECTRON}/{identifier}/12_2017_baselines/{model}.yaml.{stamp}/output/train/{data}/{kind}/model_final.pkl"


class ModelCatalog:
    """The weights that MODEL.WEIGHT can name as catalog://NAME.

    A file that the option PATHS_CATALOG names may define a class of the same name and method to add its own.
    """

    ADDRESSES = {
        **{f"ImageNetPretrained/{name}": f"{DETECTRON}/ImageNetPretrained/{f}" for name, f in CAFFE2_IMAGENET.items()},
        **{f"Caffe2Detectron/COCO/{name}": _coco_address(name, stamp) for name, stamp in CAFFE2_COCO.items()},
        "Caffe2Detectron/COCO/48616381/e2e_mask_rcnn_R-50-FPN_2x_gn": (
            f"{DETECTRON}/GN/48616381/04_2018_gn_baselines/e2e_mask_rcnn_R-50-FPN_2x_gn_0416.13_23_38.bTlTI97Q/output/"
            "train/coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl"
        ),
        **TORCHVISION,
    }

    @staticmethod
    def get(name: str) -> str:
        """The address of the weights `name`, which may begin with catalog://; raises `UserError` with near names."""
        key = name.removeprefix(CATALOG_PREFIX)
        if key in ModelCatalog.ADDRESSES:
            return ModelCatalog.ADDRESSES[key]
        near = difflib.get_close_matches(key, ModelCatalog.ADDRESSES, 3, 0.3)
        hint = f"did you mean {', '.join(near)}?" if near else "docs/weights.md lists its names"
        raise UserError(f"there are no weights named {key!r} in the catalog; {hint}")
