"""What the cases work on, made once: a small data set and network, files in other layouts, and undisturbed runs."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "configs" / "detail" / "mini_R_18_FPN.yaml"
ITERATIONS, PERIOD = 12, 3


@dataclass
class Reference:
    """An undisturbed run of a tool: its folder, its seconds and how many changes of files below its folder it made."""

    folder: Path
    seconds: float
    changes: int


@dataclass
class Workplace:
    """The folder of the suite.

    Attributes:
        folder: everything lies in it.
        references: {name of a tool: `Reference`}.
    """

    folder: Path
    references: dict = field(default_factory=dict)

    @property
    def shared(self):
        """What cases read and never change."""
        return self.folder / "shared"

    @property
    def data(self):
        """DATASETS.DATA_DIR."""
        return self.shared / "data"

    @property
    def few(self):
        """A folder as `data`, with two images, which a thousand readings of damaged copies do not take long with."""
        return self.shared / "few"

    @property
    def checkpoint(self):
        """A whole small network of all eight tasks."""
        return self.shared / "model_final.pth"

    @property
    def config(self):
        """Its config as yaml."""
        return self.shared / "small.yaml"

    @property
    def answers(self):
        """Predictions on the validation images, as a test writes them."""
        return self.shared / "answers"

    @property
    def coco(self):
        """A file in COCO's layout; its images are those of `few`."""
        return self.shared / "coco.json"

    @property
    def voc(self):
        """A folder in VOC's layout."""
        return self.shared / "voc"

    @property
    def runs(self):
        """Two OUTPUT_DIRs of finished trainings."""
        return self.shared / "runs"

    def options(self, out, *more):
        """KEY VALUE ... of a small training into a folder, as words."""
        from small_network import SMALL

        words = (
            *SMALL,
            *("DATASETS.DATA_DIR", self.data, "OUTPUT_DIR", out, "SOLVER.MAX_ITER", ITERATIONS),
            *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", PERIOD, "SOLVER.LOG_PERIOD", 2),
            *("MULTITASK.LOG_PERIOD", 0, "SOLVER.SEED", 3, *more),
        )
        return [str(word) for word in words]


def make_files(workplace):
    """Make what is shared but for the runs; imports PyTorch and draws images."""
    from small_network import save_small_network

    from maskrcnn_benchmark.data.detail.content import DetailContent
    from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
    from maskrcnn_benchmark.data.preparation.build_index import prepare

    workplace.shared.mkdir(parents=True)
    save_small_network(workplace.shared, "INPUT.MIN_SIZE_TEST", 64)
    # more validation images than the network's own set would need; the reader finds its index beside the file
    shutil.rmtree(workplace.data / "mini_detail")
    write_mini_detail(workplace.data / "mini_detail", num_train=6, num_val=3, seed=3)
    write_mini_detail(workplace.few / "mini_detail", num_train=1, num_val=1, seed=3)
    for folder in (workplace.data, workplace.few):
        prepare(folder / "mini_detail" / "annotations.json", content=DetailContent)
    _write_coco(workplace)
    _write_voc(workplace)


def _write_coco(workplace):
    tree = json.loads((workplace.few / "mini_detail" / "annotations.json").read_text())
    images = [
        {"id": int(image["image_id"]), "file_name": image["file_name"], "width": w, "height": h}
        for image in tree["images"]
        for w, h in [_size(workplace, image["file_name"])]
    ]
    annotations = []
    for number, image in enumerate(images):
        w, h = image["width"], image["height"]
        for place in range(3):
            x, y, side = 5 + 11 * place, 7 + 9 * place, 30
            annotations.append(
                {
                    "id": 10 * number + place + 1,
                    "image_id": image["id"],
                    "category_id": 1 + place % 2,
                    "bbox": [x, y, side, side],
                    "area": side * side,
                    "iscrowd": 0,
                    "segmentation": [[x, y, x + side, y, x + side, y + side, x, y + side]],
                    "keypoints": [v for i in range(17) for v in (x + i, y + i, 2)] if place % 2 == 0 else [0] * 51,
                    "num_keypoints": 17 if place % 2 == 0 else 0,
                }
            )
        crowd = {"size": [h, w], "counts": [3, 5, h * w - 8]}
        annotations.append(
            {
                "id": 10 * number + 9,
                "image_id": image["id"],
                "category_id": 2,
                "bbox": [0, 0, 9, 9],
                "area": 5,
                "iscrowd": 1,
                "segmentation": crowd,
                "keypoints": [0] * 51,
                "num_keypoints": 0,
            }
        )
    joints = [f"joint{i}" for i in range(17)]
    categories = [
        {"id": 1, "name": "person", "keypoints": joints, "skeleton": [[1, 2], [2, 3]]},
        {"id": 2, "name": "dog", "keypoints": [], "skeleton": []},
    ]
    tree = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    workplace.coco.write_text(json.dumps(tree))


def _size(workplace, name):
    from PIL import Image

    with Image.open(workplace.few / "mini_detail" / "images" / name) as image:
        return image.size


def _write_voc(workplace):
    import numpy as np
    from PIL import Image

    folder = workplace.voc
    for name in ("Annotations", "ImageSets/Main", "JPEGImages", "SegmentationClass", "SegmentationObject"):
        (folder / name).mkdir(parents=True)
    names = []
    for path in sorted((workplace.few / "mini_detail" / "images").iterdir())[:2]:
        shutil.copyfile(path, folder / "JPEGImages" / f"{path.stem}.jpg")
        names.append(path.stem)
        width, height = _size(workplace, path.name)
        objects = "".join(
            f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{i}</difficult>"
            f"<bndbox><xmin>{5 + i}</xmin><ymin>{6 + i}</ymin><xmax>{45 + i}</xmax><ymax>{50 + i}</ymax></bndbox>"
            "</object>"
            for i, name in enumerate(("dog", "person"))
        )
        (folder / "Annotations" / f"{path.stem}.xml").write_text(
            f"<annotation><folder>VOC</folder><filename>{path.stem}.jpg</filename><size><width>{width}</width><height>"
            f"{height}</height><depth>3</depth></size><segmented>1</segmented>{objects}</annotation>\n"
        )
        classes = np.zeros((height, width), np.uint8)
        classes[6:40, 5:40] = 12
        for kind, picture in (("SegmentationClass", classes), ("SegmentationObject", (classes > 0).astype(np.uint8))):
            image = Image.fromarray(picture, "P")
            image.putpalette([i for i in range(256) for _ in range(3)])
            image.save(folder / kind / f"{path.stem}.png")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("\n".join(names) + "\n")
