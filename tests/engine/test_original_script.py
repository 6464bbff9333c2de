"""A training script of the original's users: its own calls, by position, with testing on the way."""

import torch
from toy_coco import YAML, write_coco

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.engine.inference import inference
from maskrcnn_benchmark.engine.trainer import do_train
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.comm import get_rank, synchronize
from maskrcnn_benchmark.utils.miscellaneous import mkdir


def train(cfg):
    model = build_detection_model(cfg)
    device = torch.device(cfg.MODEL.DEVICE)
    model.to(device)
    optimizer = make_optimizer(cfg, model)
    scheduler = make_lr_scheduler(cfg, optimizer)
    arguments = {"iteration": 0}
    checkpointer = DetectronCheckpointer(cfg, model, optimizer, scheduler, cfg.OUTPUT_DIR, get_rank() == 0)
    arguments.update(checkpointer.load(cfg.MODEL.WEIGHT))
    loader = make_data_loader(cfg, is_train=True, is_distributed=False, start_iter=arguments["iteration"])
    loader_val = make_data_loader(cfg, is_train=False, is_distributed=False, is_for_period=True)
    periods = cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.TEST_PERIOD
    do_train(cfg, model, loader, loader_val, optimizer, scheduler, checkpointer, device, *periods, arguments)
    return model


def run_test(cfg, model):
    results = []
    loaders = make_data_loader(cfg, is_train=False, is_distributed=False)
    for name, loader in zip(cfg.DATASETS.TEST, loaders):
        folder = f"{cfg.OUTPUT_DIR}/inference/{name}"
        mkdir(folder)
        results.append(
            inference(
                model,
                loader,
                dataset_name=name,
                iou_types=("bbox", "segm", "keypoints"),
                box_only=False if cfg.MODEL.RETINANET_ON else cfg.MODEL.RPN_ONLY,
                bbox_aug=cfg.TEST.BBOX_AUG.ENABLED,
                device=cfg.MODEL.DEVICE,
                expected_results=cfg.TEST.EXPECTED_RESULTS,
                expected_results_sigma_tol=cfg.TEST.EXPECTED_RESULTS_SIGMA_TOL,
                output_folder=folder,
            )
        )
        synchronize()
    return results


def test_the_originals_calls_train_test_on_the_way_and_resume(tmp_path, caplog):
    (tmp_path / "toy.yaml").write_text(YAML)
    cfg = default_cfg.clone()
    cfg.merge_from_file(tmp_path / "toy.yaml")
    cfg.merge_from_list(["DATASETS.DATA_DIR", write_coco(tmp_path / "data"), "OUTPUT_DIR", str(tmp_path / "out")])
    names = ("keypoints_coco_2017_train",), ("keypoints_coco_2017_val", "keypoints_coco_2017_train")
    cfg.merge_from_list(["DATASETS.TRAIN", names[0], "DATASETS.TEST", names[1], "MODEL.KEYPOINT_ON", True])
    cfg.merge_from_list(["SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.TEST_PERIOD", 2, "SOLVER.MAX_ITER", 2])
    mkdir(cfg.OUTPUT_DIR)
    with caplog.at_level("INFO"):
        model = train(cfg)
    # both data sets as one, at the last iteration, whose turn it is
    assert caplog.text.count("Start evaluation on [Validation] (8 images)") == 1
    assert caplog.text.count("maxDets=100") and "human keypoints" in caplog.text
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"model_0000001.pth", "model_final.pth", "last_checkpoint"}
    results = run_test(cfg, model)
    assert [list(result) for result in results] == [["detection", "instance", "keypoint"]] * 2
    files = {path.name for path in (tmp_path / "out" / "inference" / "keypoints_coco_2017_val").iterdir()}
    assert files >= {"bbox.json", "segm.json", "keypoints.json", "coco_summary.txt", "results.json"}

    cfg.SOLVER.MAX_ITER = 3
    longer = train(cfg)
    assert torch.load(tmp_path / "out" / "model_final.pth", weights_only=True)["iteration"] == 3
    assert not all(a.equal(b) for a, b in zip(model.parameters(), longer.parameters()))
