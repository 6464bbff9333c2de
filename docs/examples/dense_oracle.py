"""What saliency, surface normals and depth would score if a network knew the ground truth, but only per cell.

python docs/examples/dense_oracle.py --config-file configs/detail/mini_eleven_R_18_FPN.yaml

The ground truth at the size that a network is given is averaged over each cell of the heads' output, enlarged to the
image's own size as predictions are, encoded as their files hold it, and scored. No score of these heads says more of a
network than this one lets it.
"""

import argparse

import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.evaluation.protocols import build_protocols
from maskrcnn_benchmark.experiments.setup import make_missing_mini_detail
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import DepthScores, ImagePrediction, ScoreMap
from maskrcnn_benchmark.tasks import TASKS
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.utils.arguments import OptionWords, positive
from maskrcnn_benchmark.utils.cli import run_tool

# key -> function from the label to (values float [C, H, W], bool [H, W] where they are known)
PLANES = {
    "saliency": lambda label: ((label.labels == 1)[None].float(), label.labels != IGNORE_INDEX),
    "normals": lambda label: (label.normals, (label.normals != 0).any(dim=0)),
    "depth": lambda label: (label.depth[None], label.depth > 0),
}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="DATASETS.TEST and sizes are its")
    parser.add_argument(
        "--stride", type=positive, default=DENSE_STRIDE, help="pixels per cell along each side (default: %(default)s)"
    )
    parser.add_argument("opts", nargs="*", action=OptionWords, metavar="KEY VALUE", help="options of the config")
    return parser.parse_intermixed_args(arguments)


def cell_means(values, known, stride):
    """Means of values [C, H, W] over the known pixels of cells, the last of which may reach beyond the map.

    Returns:
        float [C, ceil(H / stride), ceil(W / stride)]; a cell without a known pixel has the mean of the nearest one
        with some.
    """
    height, width = known.shape
    beyond = (0, -width % stride, 0, -height % stride)
    weight = F.avg_pool2d(F.pad(known[None].float(), beyond), stride)
    means = F.avg_pool2d(F.pad(values * known, beyond), stride) / weight.clamp(min=torch.finfo(torch.float32).tiny)
    if not known.any():
        return means
    _, (rows, columns) = distance_transform_edt(weight[0].numpy() == 0, return_indices=True)
    return means[:, rows, columns]


def oracle(annotations, stride):
    """The `ImagePrediction` of the ground truth per cell; `annotations` are those of the image as a network gets it."""
    outputs = {}
    for key, planes in PLANES.items():
        if key in annotations.labels:
            means = cell_means(*planes(annotations.labels[key]), stride)
            kind = DepthScores if key == "depth" else ScoreMap
            outputs[key] = kind(F.normalize(means, dim=0) if key == "normals" else means, annotations.size, stride)
    return ImagePrediction(annotations.size, outputs=outputs)


def score(cfg, stride):
    """{task key: {metric: value}} on the first data set of DATASETS.TEST, of those tasks that it has labels of."""
    make_missing_mini_detail(cfg)
    dataset = build_dataset(cfg, cfg.DATASETS.TEST[0], build_byte_transforms(cfg, is_train=False), is_train=False)
    tasks = [TASKS[key] for key in PLANES if key in dataset.tasks]
    evaluators = build_evaluators(tasks, dataset.vocabulary, build_protocols(cfg))
    for index in range(len(dataset)):
        target = dataset.get_annotations(index)
        prediction = oracle(dataset[index][1], stride).resize(target.size)
        for evaluator in evaluators.values():
            evaluator.process([prediction], [target], [index])
    return {key: evaluator.evaluate() for key, evaluator in evaluators.items()}


def main(arguments=None):
    arguments = parse_arguments(arguments)
    cfg = default_cfg.clone()
    cfg.merge_from_file(arguments.config_file)
    cfg.merge_from_list(arguments.opts)
    for key, metrics in score(cfg, arguments.stride).items():
        values = (f"{name} {metric_text(f'{key}/{name}', value)}" for name, value in metrics.items())
        print(f"{TASKS[key].title}: {', '.join(values)}")


if __name__ == "__main__":
    run_tool(main)
