"""docs/examples/dense_oracle.py: what the cells of the dense heads let saliency, normals and depth score at most."""

from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, DepthMap, NormalMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dense_oracle():
    return import_file("dense_oracle_example", ROOT / "docs" / "examples" / "dense_oracle.py")


def test_a_cell_is_the_mean_of_what_is_known_in_it_or_the_nearest(dense_oracle):
    values = torch.arange(20.0).reshape(1, 4, 5)
    known = torch.ones(4, 5, dtype=torch.bool)
    known[0, 0] = known[2:, :2] = False
    means = dense_oracle.cell_means(values, known, 2)
    assert means.shape == (1, 2, 3)
    assert means[0, 0].tolist() == pytest.approx([(1 + 5 + 6) / 3, (2 + 3 + 7 + 8) / 4, (4 + 9) / 2])
    assert means[0, 1, 1:].tolist() == pytest.approx([(12 + 13 + 17 + 18) / 4, (14 + 19) / 2])
    assert means[0, 1, 0] in (means[0, 0, 0], means[0, 1, 1])
    assert dense_oracle.cell_means(values, known & False, 2).eq(0).all()


def test_cells_are_what_the_heads_give(dense_oracle):
    normals = torch.zeros(3, 8, 8)
    normals[2, :, :4], normals[0, :, 4:] = 1, 1
    salient = torch.zeros(8, 8, dtype=torch.uint8)
    salient[:, :2], salient[4:] = 1, IGNORE_INDEX
    labels = {"saliency": SemanticMap(salient), "normals": NormalMap(normals)}
    annotations = ImageAnnotations((8, 8), labels={**labels, "depth": DepthMap(torch.full((8, 8), 3.0))})
    prediction = dense_oracle.oracle(annotations, 4)
    assert prediction.outputs["saliency"].scores[0].tolist() == [[0.5, 0], [0.5, 0]]
    assert prediction.outputs["normals"].scores[:, 0].tolist() == [[0, 1], [0, 0], [1, 0]]
    assert prediction.resize((16, 16)).outputs["depth"].scores.unique().tolist() == [1.5]
    assert set(dense_oracle.oracle(ImageAnnotations((8, 8), labels=labels), 8).outputs) == set(labels)


def test_finer_cells_score_better(dense_oracle, tmp_path, capsys):
    write_mini_detail(tmp_path / "mini_maps", num_train=0, num_val=2, seed=1, maps=True)
    config = str(ROOT / "configs" / "detail" / "mini_eleven_R_18_FPN.yaml")
    printed = []
    for stride in ("2", "8"):
        dense_oracle.main(["--config-file", config, "--stride", stride, "DATASETS.DATA_DIR", str(tmp_path)])
        lines = [line.partition(": ") for line in capsys.readouterr().out.splitlines()]
        printed.append({title: dict(cell.split(" ", 1) for cell in cells.split(", ")) for title, _, cells in lines})
    fine, coarse = printed
    assert list(fine) == ["saliency", "surface normals", "depth"]
    assert float(fine["saliency"]["maxF"]) > float(coarse["saliency"]["maxF"]) > 50
    for title, metric, unit in (("surface normals", "mean-error", "°"), ("depth", "RMSE", " m")):
        assert 0 < float(fine[title][metric].removesuffix(unit)) < float(coarse[title][metric].removesuffix(unit))
