"""The options that belong to no task alone: default, range and what each does; those of a task are in its file.

Those of maskrcnn-benchmark keep their names and defaults. The detector's groups, RPN, ROI_HEADS, ROI_BOX_HEAD and
RETINANET, are here because the backbone and the heads on regions of other tasks read them as well.

Upper bounds are generous: far beyond what anybody trains with, and low enough that a slip of the keyboard cannot ask
for more than a machine has. Names that others may add to, such as those of heads, are looked up where they are used.
"""

import os
from collections.abc import Iterable

from maskrcnn_benchmark.config.class_weights import class_weights_range
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.utils.ranges import Choice, Either, Flag, Integer, Number, Row, Sequence, Text

FLAG = Flag()
FRACTION = Number(0, 1)
INSIDE_FRACTION = Number(0, 1, above=True, below=True)
STRENGTH = Number(0, 10)
FACTOR = Number(0, 1e6)
ITERATIONS = Integer(0, 10**9)
PERIOD = Integer(1, 10**9)
PIXELS = Integer(8, 2**14)  # boxes are exact up to here, see `layers.nms`
CHANNELS = Integer(1, 2**13)
DILATION = Integer(1, 32)
GROUPS = Integer(1, 2**10)
BOXES = Integer(1, 10**6)
BOXES_KEPT = Integer(0, 10**6)
CLASSES = Integer(1, 2**14)
CLASSES_AND_BACKGROUND = Integer(2, 2**14)
IMAGES = Integer(1, 2**16)
PICTURES = Integer(0, 10**4)
CELLS = Integer(1, 64)
SAMPLES = Integer(0, 16)
LAYERS = Integer(0, 64)
WIDTHS = Sequence(CHANNELS, 1, 32)
SIDE = Number(1, 2**14)
ASPECT_RATIOS = Sequence(Number(0.01, 100), 1, 32)
BOX_WEIGHTS = Sequence(Number(0, 1000, above=True), 4, 4)
STRIDES = Sequence(Integer(1, 2**10), 1, 12)
SCALES = Sequence(Number(0, 1, above=True), 1, 8)
NAME = Text()
NAME_OR_NONE = Text(empty=True)
NAMES = Sequence(NAME)
PATH = Text(4096, what="a path")
PATH_OR_NONE = Text(4096, empty=True, what="a path")
NORM = Choice("", "GN", "BN", "SyncBN", "FrozenBN")
PRECISION = Choice("float32", "float16", "bfloat16")
MEAN_AND_DEVIATION = ("mean", Number()), ("standard deviation", Number(0))

# Headings of the options page that records of tasks stand under as well
NETWORK = "Model: which tasks, which backbone"
REGION_HEADS = "Heads with one prediction per region"
IMAGE_HEADS = "Heads with one prediction per image"
BALANCING = "Loss balancing"
TESTING = "Testing"


def task_options(key: str, switch: str, comment: str, losses: Iterable[str], default: bool = False) -> list[Option]:
    """The options that every task has: its switch under MODEL and, where it is trained, its entries of MULTITASK.

    Args:
        key: the task's, such as "semantic".
        switch: name of the option that turns it on, such as "SEMANTIC_ON".
        comment: what that option does.
        losses: names of its losses; a task without any has its switch alone.
        default: whether it is on where nobody says so.
    """
    options = section(NETWORK, Option(f"MODEL.{switch}", default, FLAG, comment))
    name, losses = key.upper(), list(losses)
    if not losses:
        return options
    weight, of_loss = "Fixed weight of the task's losses", "Fixed weight of this loss within its task"
    last = "Last iteration that the task's losses count in; -1 is never"
    rate = "Factor of the learning rate of the task's own layers; 0 freezes them"
    return options + section(
        BALANCING,
        Option(f"MULTITASK.LOSS_WEIGHTS.{name}", 1.0, FACTOR, weight),
        (Option(f"MULTITASK.SINGLE_LOSS_WEIGHTS.{loss.upper()}", 1.0, FACTOR, of_loss) for loss in losses),
        Option(f"MULTITASK.START.{name}", 1, PERIOD, "First iteration that the task's losses count in"),
        Option(f"MULTITASK.STOP.{name}", -1, Integer(-1, 10**9), last),
        Option(f"MULTITASK.LR_FACTORS.{name}", 1.0, FACTOR, rate),
    )


def region_pooling(head: str, sampling_ratio: int = 0) -> list[Option]:
    """ROIAlign of a head, such as "ROI_BOX_HEAD"."""
    return [
        Option(f"MODEL.{head}.POOLER_RESOLUTION", 14, CELLS, "ROIAlign: cells along each side"),
        Option(
            f"MODEL.{head}.POOLER_SAMPLING_RATIO",
            sampling_ratio,
            SAMPLES,
            "ROIAlign: samples in each cell along each side; 0: as many as the region's size asks for",
        ),
        Option(
            f"MODEL.{head}.POOLER_SCALES",
            (1.0 / 16,),
            SCALES,
            "ROIAlign: the scale of each feature map that it pools from, finest first, each half of the one before",
        ),
    ]


def norm_option(head: str) -> Option:
    """NORM of a head of convolutions, such as "ROI_PART_HEAD"."""
    says = 'Norm after each convolution: "GN", "BN", "SyncBN", "FrozenBN" or "" for none'
    return Option(f"MODEL.{head}.NORM", "", NORM, says)


OPTIONS = [
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        NETWORK,
        Option(
            "MODEL.RPN_ONLY", False, FLAG, "Stop after the region proposals: the model's predictions are its proposals"
        ),
        Option("MODEL.RETINANET_ON", False, FLAG, "One-stage RetinaNet instead of RPN and ROI heads"),
        Option(
            "MODEL.DEVICE",
            "cuda",
            Text(32, pattern=r"auto|cpu(:\d{1,3})?|cuda(:\d{1,3})?", what="auto, cpu, cuda or cuda:NUMBER"),
            '"cuda", "cuda:1", "cpu", or "auto": CUDA where there is a device, else the processor. A config that asks '
            "for CUDA on a machine without it is an error; of several processes each takes the GPU of its number",
        ),
        Option("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", Choice("GeneralizedRCNN"), "The only one there is"),
        Option(
            "MODEL.BOX_CONVENTION",
            "original",
            Choice("original", "torchvision", "detectron2"),
            "Where anchors lie and are rounded, where regions end and how boxes are clipped: as in the original, or as "
            "in the library whose weights are loaded (docs/weights.md)",
        ),
        Option(
            "MODEL.CLS_AGNOSTIC_BBOX_REG",
            False,
            FLAG,
            "One box regression for all classes instead of one per class",
        ),
        Option(
            "MODEL.WEIGHT",
            "",
            PATH_OR_NONE,
            "Initial weights: a path, an address, or a name such as catalog://ImageNetPretrained/MSRA/R-50 "
            '(docs/weights.md lists them); "" starts from random weights',
        ),
        Option(
            "MODEL.COMPILE",
            False,
            FLAG,
            "Compile the backbone with torch.compile: faster steps on GPUs after minutes of compiling at each image "
            "shape",
        ),
        Option(
            "MODEL.CHANNELS_LAST",
            True,
            FLAG,
            "Memory layout of weights and activations: channels last is faster for convolutions on CPUs and tensor "
            "cores",
        ),
        Option(
            "MODEL.BACKBONE.CONV_BODY",
            "R-50-C4",
            NAME,
            "A name in modeling.registry.BACKBONES: R-18-FPN, R-34-FPN, R-50-FPN, R-101-FPN, R-50-C4, ...",
        ),
        Option(
            "MODEL.BACKBONE.FREEZE_CONV_BODY_AT",
            2,
            Integer(0, 200),
            "Freeze the backbone's first stages: 0 none, 1 the stem, 2 the stem and layer1, ..., 200 all of it",
        ),
        Option(
            "MODEL.BACKBONE.TIMM.NAME",
            "",
            # no address: timm would fetch what a checkpoint names
            Text(100, empty=True, pattern=r"[A-Za-z0-9][\w.-]*", what="the name of a network of timm"),
            "CONV_BODY timm-FPN: a network of timm, such as convnext_tiny",
        ),
        Option(
            "MODEL.BACKBONE.TIMM.DROP_PATH",
            0.0,
            Number(0, 1, below=True),
            "Share of residual paths left out; 0 leaves timm's own, such as 0.1 of Swin",
        ),
        Option("MODEL.BACKBONE.TIMM.NORM_EVAL", True, FLAG, "Batch norms keep the statistics of the weights"),
        Option(
            "MODEL.BACKBONE.TIMM.GRAD_CHECKPOINTING",
            False,
            FLAG,
            "Blocks are computed twice instead of kept: less memory, about a third more time",
        ),
        Option("MODEL.FPN.USE_GN", False, FLAG, "Group norm after the convolutions of the feature pyramid"),
        Option(
            "MODEL.FPN.NORM",
            "",
            NORM,
            'Norm after the convolutions of the feature pyramid: "GN", "BN", "SyncBN" (batch norm over all processes), '
            '"FrozenBN" (batch norm whose statistics and factors stay) or "" for what USE_GN says',
        ),
        Option("MODEL.FPN.USE_RELU", False, FLAG, "A ReLU after the convolutions of the feature pyramid"),
        Option(
            "MODEL.GROUP_NORM.DIM_PER_GP",
            -1,
            Integer(-1, 2**13),
            "Channels per group; -1 to give the number of groups instead",
        ),
        Option("MODEL.GROUP_NORM.NUM_GROUPS", 32, GROUPS, "Groups, where DIM_PER_GP is -1"),
        Option("MODEL.GROUP_NORM.EPSILON", 1e-5, Number(0, 1, above=True), "Added to the variance"),
        Option("MODEL.RESNETS.NUM_GROUPS", 1, GROUPS, "ResNeXt: groups of the 3x3 convolution"),
        Option("MODEL.RESNETS.WIDTH_PER_GROUP", 64, CHANNELS, "ResNeXt: channels in each group of the 3x3 convolution"),
        Option(
            "MODEL.RESNETS.STRIDE_IN_1X1",
            True,
            FLAG,
            "Stride of a stage in its first 1x1 convolution (original MSRA) or in its 3x3 (torchvision)",
        ),
        Option(
            "MODEL.RESNETS.TRANS_FUNC",
            "BottleneckWithFixedBatchNorm",
            NAME,
            "BottleneckWith{FixedBatchNorm,GN,BatchNorm,SyncBatchNorm} or, for R-18 and R-34, "
            "BasicBlockWith{FixedBatchNorm,GN,BatchNorm,SyncBatchNorm}",
        ),
        Option(
            "MODEL.RESNETS.STEM_FUNC",
            "StemWithFixedBatchNorm",
            NAME,
            "StemWith{FixedBatchNorm,GN,BatchNorm,SyncBatchNorm}",
        ),
        Option("MODEL.RESNETS.RES5_DILATION", 1, DILATION, "Dilation of the last stage"),
        Option(
            "MODEL.RESNETS.BACKBONE_OUT_CHANNELS",
            256 * 4,
            CHANNELS,
            "Channels of the pyramid levels (FPN) or of the C4 feature map",
        ),
        Option(
            "MODEL.RESNETS.RES2_OUT_CHANNELS",
            256,
            CHANNELS,
            "Output channels of layer1, doubled by each later stage; R-18 and R-34 read the default, 256, as their own "
            "64",
        ),
        Option("MODEL.RESNETS.STEM_OUT_CHANNELS", 64, CHANNELS, "Output channels of the stem"),
        Option(
            "MODEL.RESNETS.STAGE_WITH_DCN",
            (False, False, False, False),
            Sequence(FLAG, 4, 4),
            "Deformable convolution in stages 2..5",
        ),
        Option(
            "MODEL.RESNETS.WITH_MODULATED_DCN",
            False,
            FLAG,
            "The modulated form of deformable convolution (version 2), with a weight for each sample",
        ),
        Option(
            "MODEL.RESNETS.DEFORMABLE_GROUPS",
            1,
            GROUPS,
            "Deformable convolution: groups of channels that share their offsets",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "Region proposals",
        Option(
            "MODEL.RPN.USE_FPN",
            False,
            FLAG,
            "One stride and one size of anchors per level of a feature pyramid, instead of one feature map with all "
            "sizes",
        ),
        Option(
            "MODEL.RPN.ANCHOR_SIZES",
            (32, 64, 128, 256, 512),
            Sequence(Either(SIDE, Sequence(SIDE, 1, 12)), 1, 12),
            "Anchor side in pixels, one per level with FPN",
        ),
        Option("MODEL.RPN.ANCHOR_STRIDE", (16,), STRIDES, "Pixels between anchors, one number per level"),
        Option(
            "MODEL.RPN.ASPECT_RATIOS", (0.5, 1.0, 2.0), ASPECT_RATIOS, "Height by width of the anchors at each place"
        ),
        Option(
            "MODEL.RPN.STRADDLE_THRESH",
            0,
            Integer(-1, 2**14),
            "Anchors that leave the image by more pixels than this are not trained; -1 keeps all",
        ),
        Option("MODEL.RPN.FG_IOU_THRESHOLD", 0.7, FRACTION, "IoU from which an anchor is positive"),
        Option("MODEL.RPN.BG_IOU_THRESHOLD", 0.3, FRACTION, "IoU below which an anchor is negative"),
        Option("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 256, BOXES, "Anchors sampled per image"),
        Option("MODEL.RPN.POSITIVE_FRACTION", 0.5, FRACTION, "Share of positives among the sampled anchors, at most"),
        Option(
            "MODEL.RPN.PRE_NMS_TOP_N_TRAIN",
            12000,
            BOXES,
            "Training: proposals kept before non-maximum suppression (per level with FPN)",
        ),
        Option(
            "MODEL.RPN.PRE_NMS_TOP_N_TEST",
            6000,
            BOXES,
            "Testing: proposals kept before non-maximum suppression (per level with FPN)",
        ),
        Option(
            "MODEL.RPN.POST_NMS_TOP_N_TRAIN",
            2000,
            BOXES,
            "Training: proposals kept after non-maximum suppression (per level with FPN)",
        ),
        Option(
            "MODEL.RPN.POST_NMS_TOP_N_TEST",
            1000,
            BOXES,
            "Testing: proposals kept after non-maximum suppression (per level with FPN)",
        ),
        Option(
            "MODEL.RPN.NMS_THRESH", 0.7, FRACTION, "IoU above which the lower of two proposals is dropped; 0 keeps all"
        ),
        Option("MODEL.RPN.MIN_SIZE", 0, Integer(0, 2**14), "Proposals with a smaller side (pixels) are dropped"),
        Option("MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN", 2000, BOXES, "Training: proposals kept over all levels"),
        Option("MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 2000, BOXES, "Testing: proposals kept over all levels"),
        Option(
            "MODEL.RPN.FPN_POST_NMS_PER_BATCH",
            True,
            FLAG,
            "In training FPN_POST_NMS_TOP_N_TRAIN holds for the batch (as in the original) or for each image",
        ),
        Option("MODEL.RPN.RPN_HEAD", "SingleConvRPNHead", NAME, "A name in modeling.registry.RPN_HEADS"),
        Option("MODEL.RPN.NUM_CONVS", 2, Integer(1, 16), "Of StackedConvRPNHead: number of its 3x3 convolutions"),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        REGION_HEADS,
        Option(
            "MODEL.ROI_HEADS.USE_FPN",
            False,
            FLAG,
            "Not read: POOLER_SCALES of each head say which levels it pools from. Kept for the original's files",
        ),
        Option("MODEL.ROI_HEADS.FG_IOU_THRESHOLD", 0.5, FRACTION, "IoU from which a proposal is an object's"),
        Option("MODEL.ROI_HEADS.BG_IOU_THRESHOLD", 0.5, FRACTION, "IoU below which a proposal is background"),
        Option(
            "MODEL.ROI_HEADS.BBOX_REG_WEIGHTS",
            (10.0, 10.0, 5.0, 5.0),
            BOX_WEIGHTS,
            "Factors of the box codes: of the centre's x and y, of width and height",
        ),
        Option("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 512, BOXES, "Regions sampled per image"),
        Option(
            "MODEL.ROI_HEADS.POSITIVE_FRACTION", 0.25, FRACTION, "Share of positives among the sampled regions, at most"
        ),
        Option("MODEL.ROI_HEADS.SCORE_THRESH", 0.05, FRACTION, "At test time: least score"),
        Option(
            "MODEL.ROI_HEADS.NMS",
            0.5,
            FRACTION,
            "At test time: IoU of class-wise non-maximum suppression; 0 keeps all",
        ),
        Option(
            "MODEL.ROI_HEADS.DETECTIONS_PER_IMG",
            100,
            BOXES_KEPT,
            "At test time: detections kept per image; 0 keeps all",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR",
            "ResNet50Conv5ROIFeatureExtractor",
            NAME,
            "A name in modeling.registry.ROI_BOX_FEATURE_EXTRACTORS",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.PREDICTOR", "FastRCNNPredictor", NAME, "A name in modeling.registry.ROI_BOX_PREDICTOR"
        ),
        region_pooling("ROI_BOX_HEAD"),
        Option(
            "MODEL.ROI_BOX_HEAD.NUM_CLASSES",
            81,
            CLASSES_AND_BACKGROUND,
            "Classes and background. Taken from the data set unless a file or the command line sets it",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS",
            (),
            class_weights_range("inverse_sqrt", "effective_number"),
            'Weights of the classes in the loss: (), "inverse_sqrt" or "effective_number" of how frequent objects are, '
            "or by hand (docs/training.md)",
        ),
        Option("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 1024, CHANNELS, "Width of the fully connected layers"),
        Option("MODEL.ROI_BOX_HEAD.USE_GN", False, FLAG, "Group norm in the head"),
        Option(
            "MODEL.ROI_BOX_HEAD.NORM",
            "",
            NORM,
            'Of FPNXconv1fcFeatureExtractor: norm after its convolutions, "GN", "BN", "SyncBN", "FrozenBN" or "" for '
            "what USE_GN says",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.DILATION", 1, DILATION, "Of FPNXconv1fcFeatureExtractor: dilation of its convolutions"
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM",
            256,
            CHANNELS,
            "Of FPNXconv1fcFeatureExtractor: channels of its convolutions",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.NUM_STACKED_CONVS",
            4,
            LAYERS,
            "Of FPNXconv1fcFeatureExtractor: number of its convolutions",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.CASCADE.ENABLED",
            False,
            FLAG,
            "Box heads in a row, each of which gets the boxes that the one before has refined (Cascade R-CNN, Cai and "
            "Vasconcelos 2018). Needs MODEL.CLS_AGNOSTIC_BBOX_REG",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.CASCADE.IOUS",
            (0.5, 0.6, 0.7),
            Sequence(FRACTION, 1, 5),
            "Of each head: IoU from which a region is an object's, and below which it is background",
        ),
        Option(
            "MODEL.ROI_BOX_HEAD.CASCADE.BBOX_REG_WEIGHTS",
            ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)),
            Sequence(BOX_WEIGHTS, 1, 5),
            "Of each head: factors of its box codes",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        IMAGE_HEADS,
        Option(
            "MODEL.DENSE_TRUNK.CHANNELS",
            128,
            CHANNELS,
            "Channels of the dense features: every pyramid level brought to stride 4 and added (Panoptic FPN, Kirillov "
            "et al. 2019)",
        ),
        Option(
            "MODEL.DENSE_TRUNK.NORM",
            "GN",
            Choice("GN", "BN", "SyncBN", ""),
            'Normalisation in the dense decoder and in the fine decoder: "GN", "BN", "SyncBN" or "" for none',
        ),
        Option(
            "MODEL.DENSE_TRUNK.LOSS_STRIDE",
            2,
            Choice(1, 2, 4),
            "Predictions per pixel are compared with the labels at every so many pixels: 1, 2 or 4. They are at full "
            "resolution all the same; 2 takes a quarter of the memory, which the number of classes makes large",
        ),
        Option(
            "MODEL.EDGE_DECODER.STRIDE",
            2,
            Choice(1, 2, 4),
            "Boundary and occlusion share a fine decoder, the dense features enlarged and joined with a shallow stem "
            "on the image itself: image pixels per cell of it, 1, 2 or 4. Predictions are at full resolution all the "
            "same",
        ),
        Option(
            "MODEL.EDGE_DECODER.STEM_CHANNELS",
            16,
            CHANNELS,
            "Channels of the fine decoder's stem on the image (STRIDE 4 has none)",
        ),
        Option("MODEL.EDGE_DECODER.CHANNELS", 32, CHANNELS, "Channels of the fine decoder"),
        Option(
            "MODEL.TASK_EXCHANGE.NAME",
            "none",
            NAME,
            'How the heads on dense features and the fine decoder read one another\'s features: "none", '
            '"distillation" (as MTI-Net, Vandenhende et al. 2020), "attention" (as InvPT, Ye and Xu 2022), or one of '
            "your own (docs/multitask.md)",
        ),
        Option("MODEL.TASK_EXCHANGE.CHANNELS", 64, CHANNELS, "Task exchange: channels of the features of each reader"),
        Option(
            "MODEL.TASK_EXCHANGE.INITIAL_LOSS_WEIGHT",
            1.0,
            FACTOR,
            "Task exchange: weight of the losses of the predictions made before it; 0 makes none",
        ),
        Option(
            "MODEL.TASK_EXCHANGE.GRID",
            16,
            CELLS,
            '"attention": cells of the image along each side; every cell of every reader is a token',
        ),
        Option("MODEL.TASK_EXCHANGE.LAYERS", 2, Integer(1, 64), '"attention": how many layers'),
        Option("MODEL.TASK_EXCHANGE.HEADS", 4, GROUPS, '"attention": its heads, of which CHANNELS is a multiple'),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "RetinaNet",
        Option(
            "MODEL.RETINANET.NUM_CLASSES",
            81,
            CLASSES_AND_BACKGROUND,
            "Classes and background. Taken from the data set unless a file or the command line sets it",
        ),
        Option(
            "MODEL.RETINANET.ANCHOR_SIZES",
            (32, 64, 128, 256, 512),
            Sequence(SIDE, 1, 12),
            "Smallest anchor side in pixels of each level",
        ),
        Option(
            "MODEL.RETINANET.ASPECT_RATIOS",
            (0.5, 1.0, 2.0),
            ASPECT_RATIOS,
            "Height by width of the anchors at each place",
        ),
        Option("MODEL.RETINANET.ANCHOR_STRIDES", (8, 16, 32, 64, 128), STRIDES, "Pixels between anchors on each level"),
        Option(
            "MODEL.RETINANET.STRADDLE_THRESH",
            0,
            Integer(-1, 2**14),
            "Has no effect: anchors that leave the image are trained, as in the original",
        ),
        Option(
            "MODEL.RETINANET.OCTAVE",
            2.0,
            Number(1, 16),
            "Sizes of anchors on a level go from ANCHOR_SIZES up to OCTAVE times as large",
        ),
        Option("MODEL.RETINANET.SCALES_PER_OCTAVE", 3, Integer(1, 16), "Sizes of anchors on a level: so many of them"),
        Option("MODEL.RETINANET.USE_C5", True, FLAG, "P6 from C5 (True) or from P5"),
        Option("MODEL.RETINANET.NUM_CONVS", 4, LAYERS, "3x3 convolutions of each of the two branches"),
        Option("MODEL.RETINANET.NORM", "", Choice("", "GN"), 'Norm after each of them: "GN" or "" for none'),
        Option("MODEL.RETINANET.BBOX_REG_WEIGHT", 4.0, Number(0, 1e6, above=True), "Divisor of the box loss"),
        Option(
            "MODEL.RETINANET.BBOX_REG_BETA",
            0.11,
            Number(0, 1000, above=True),
            "Where the smooth L1 of the box loss turns linear",
        ),
        Option(
            "MODEL.RETINANET.PRE_NMS_TOP_N",
            1000,
            BOXES,
            "Pairs of anchor and class that are decoded per image and level",
        ),
        Option("MODEL.RETINANET.FG_IOU_THRESHOLD", 0.5, FRACTION, "IoU from which an anchor is positive"),
        Option("MODEL.RETINANET.BG_IOU_THRESHOLD", 0.4, FRACTION, "IoU below which an anchor is negative"),
        Option("MODEL.RETINANET.LOSS_ALPHA", 0.25, FRACTION, "Focal loss: weight of the positives"),
        Option("MODEL.RETINANET.LOSS_GAMMA", 2.0, Number(0, 16), "Focal loss: exponent"),
        Option("MODEL.RETINANET.PRIOR_PROB", 0.01, INSIDE_FRACTION, "Initial probability of every class"),
        Option("MODEL.RETINANET.INFERENCE_TH", 0.05, FRACTION, "At test time: least score"),
        Option(
            "MODEL.RETINANET.NMS_TH",
            0.4,
            FRACTION,
            "At test time: IoU above which the lower of two boxes of a class is dropped; 0 keeps all",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "Input",
        Option(
            "INPUT.MIN_SIZE_TRAIN",
            (800,),
            Sequence(PIXELS, 1),
            "Training: shorter side in pixels (several: one is drawn per image)",
        ),
        Option("INPUT.MAX_SIZE_TRAIN", 1333, PIXELS, "Training: limit of the longer side in pixels"),
        Option("INPUT.MIN_SIZE_TEST", 800, PIXELS, "Testing: shorter side in pixels"),
        Option("INPUT.MAX_SIZE_TEST", 1333, PIXELS, "Testing: limit of the longer side in pixels"),
        Option(
            "INPUT.PIXEL_MEAN",
            [102.9801, 115.9465, 122.7717],
            Sequence(Number(-1000, 1000), 3, 3),
            "What is subtracted from the channels, in TO_BGR255's order and range",
        ),
        Option(
            "INPUT.PIXEL_STD",
            [1.0, 1.0, 1.0],
            Sequence(Number(1e-3, 1000), 3, 3),
            "What the channels are then divided by, in TO_BGR255's order and range",
        ),
        Option("INPUT.TO_BGR255", True, FLAG, "BGR 0..255 (Caffe2 weights) or RGB 0..1 (torchvision weights)"),
        Option(
            "INPUT.EXIF",
            "auto",
            Choice("auto", "apply", "ignore"),
            'Annotated photographs that EXIF data say are turned: "apply" turns them upright, "ignore" takes '
            'the pixels as stored, "auto" turns those of which the upright picture alone has the annotated size',
        ),
        Option("INPUT.BRIGHTNESS", 0.0, STRENGTH, "Colour jitter: strength of the change in brightness, 0 is off"),
        Option("INPUT.CONTRAST", 0.0, STRENGTH, "Colour jitter: strength of the change in contrast, 0 is off"),
        Option("INPUT.SATURATION", 0.0, STRENGTH, "Colour jitter: strength of the change in saturation, 0 is off"),
        Option(
            "INPUT.HUE",
            0.0,
            Number(0, 0.5),
            "Colour jitter: greatest shift of the hue, in turns of the colour wheel, 0 is off",
        ),
        Option("INPUT.HORIZONTAL_FLIP_PROB_TRAIN", 0.5, FRACTION, "Probability of a mirror, left to right"),
        Option("INPUT.VERTICAL_FLIP_PROB_TRAIN", 0.0, FRACTION, "Probability of a mirror, upside down"),
        Option(
            "INPUT.SCALE_JITTER",
            (1.0, 1.0),
            Sequence(Number(0.01, 4), 2, 2),
            "Large-scale jitter (Ghiasi et al. 2021): the image is scaled by a factor from this range, then cropped or "
            "padded to its size before scaling; (1.0, 1.0) is off",
        ),
        Option(
            "INPUT.SQUASH",
            (),
            Either(Sequence(PIXELS, 0, 0), Sequence(PIXELS, 2, 2)),
            "Images are scaled to this (height, width), whatever their shape, in training and testing; () scales by "
            "MIN_SIZE_TRAIN and MIN_SIZE_TEST",
        ),
        Option(
            "INPUT.CROP",
            (),
            Either(Sequence(PIXELS, 0, 0), Sequence(PIXELS, 2, 2)),
            "Training: images keep their own pixels, are scaled by a factor of CROP_SCALES, and cut to (height, width) "
            "where they are larger; testing: they keep their own pixels. () is off",
        ),
        Option("INPUT.CROP_SCALES", (1.0, 1.0), Sequence(Number(0.01, 4), 2, 2), "CROP: smallest and largest factor"),
        Option(
            "INPUT.CROP_MAX_SHARE",
            1.0,
            FRACTION,
            "CROP: a window of which one semantic class covers a greater share is drawn again, nine times at most",
        ),
        Option(
            "INPUT.PHOTOMETRIC",
            False,
            FLAG,
            "Photometric distortion (Liu et al. 2016): brightness, contrast, saturation and hue, each of half the "
            "images",
        ),
        Option(
            "INPUT.ROTATION",
            0.0,
            Number(0, 45),
            "Rotation about the centre: greatest angle in degrees to either side, 0 is off",
        ),
        Option(
            "INPUT.COPY_PASTE",
            0.0,
            FRACTION,
            "Copy-paste (Ghiasi et al. 2021): probability that an image gets objects of another image of "
            "DATASETS.TRAIN, with all their labels; 0 is off",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "Data",
        Option(
            "DATASETS.TRAIN",
            (),
            NAMES,
            "Data sets to train on: names in config/paths_catalog.py, or NAME_train, NAME_val, NAME_trainval of a "
            "folder DATA_DIR/NAME",
        ),
        Option("DATASETS.TEST", (), NAMES, "Data sets to test on, named as in DATASETS.TRAIN"),
        Option(
            "DATASETS.VOCABULARY",
            "",
            NAME_OR_NONE,
            "The data set whose classes, parts and keypoints the network learns; those of DATASETS.TRAIN that have "
            "others "
            'are mapped by name. "": that of DATASETS.TRAIN, or the first of DATASETS.TEST where they differ',
        ),
        Option(
            "DATASETS.RATIOS",
            (),
            Sequence(Number(0, 1e9)),
            "Shares of images drawn from each of DATASETS.TRAIN, such as (1.0, 3.0); () draws every image as often",
        ),
        Option("DATASETS.DATA_DIR", "datasets", PATH_OR_NONE, "Where data sets lie"),
        Option(
            "DATASETS.CLASSES",
            "all",
            Choice("all", "voc20", "context59"),
            'Classes of PASCAL in Detail: "voc20" (the 20 with instances), "context59" (the official 59) or "all" '
            "(whatever the file lists); regions of others are ignored",
        ),
        Option(
            "DATASETS.PARTS",
            "person6",
            Choice("person6", "person24", "person", "superparts", "ppp57", "all"),
            'Part labels of PASCAL in Detail: "person6" (the six of PASCAL-Person-Part), "person24" (every named part '
            'of people; also called "person"), "superparts" (whole heads, arms, legs, ... of every class), "ppp57" '
            '(those of PASCAL Panoptic Parts) or "all" (every named part of it)',
        ),
        Option(
            "DATASETS.PROTOCOL",
            "",
            Choice("", "astmt"),
            'How labels of PASCAL in Detail are read: "" as the file has them, or "astmt", as papers on PASCAL-Context '
            "with five tasks do: 21 semantic classes with the background, and one map of six parts "
            "(docs/pascal_context.md)",
        ),
        Option(
            "DATALOADER.NUM_WORKERS",
            4,
            Integer(0, 512),
            "Processes that load images and, in a test, as many that score predictions; 0 does both in the main "
            "process",
        ),
        Option("DATALOADER.SIZE_DIVISIBILITY", 0, Integer(0, 1024), "Batches are padded to a multiple of this"),
        Option("DATALOADER.ASPECT_RATIO_GROUPING", True, FLAG, "Batches hold only upright or only wide images"),
        Option(
            "DATALOADER.REPEAT_THRESHOLD",
            0.0,
            FRACTION,
            "Training images with a class that occurs in a smaller share of them than this are drawn more often "
            "(repeat-factor sampling, Gupta et al. 2019), such as 0.001; 0 draws every image as often "
            "(docs/training.md)",
        ),
        Option(
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS",
            True,
            FLAG,
            "Images without boxes, or of few keypoints to learn, are left out of training; False keeps them",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        BALANCING,
        Option(
            "MULTITASK.WEIGHTING",
            "fixed",
            NAME,
            'How the tasks\' losses become one number: "fixed" (the weights below), or on top of them a weighting that '
            'follows the training: "uncertainty", "dwa", "random", "geometric_mean", "log", "imtl_l", "famo", '
            '"gradnorm", "stch", "pbi", or one of your own (docs/multitask.md)',
        ),
        Option(
            "MULTITASK.AGGREGATION",
            "",
            NAME_OR_NONE,
            'How the shared backbone joins the tasks\' gradients: "" (their sum), "pcgrad", "gradvac", "cagrad", '
            '"mgda", "imtl_g", "aligned_mtl", "nash_mtl", "upgrad", "dualproj", "fairgrad", "graddrop", "config", '
            '"cr_mogm", with GRADIENTS_AT "parameters" also "moco", "modo", "sdmgrad", "db_mtl", "excess_mtl", or one '
            "of your own",
        ),
        Option(
            "MULTITASK.GRADIENTS_AT",
            "features",
            Choice("features", "parameters"),
            'Where those gradients are taken: at the shared "features", with one backward pass through the '
            'backbone, or at its "parameters", with one for each task',
        ),
        Option(
            "MULTITASK.FREEZE_TRUNK",
            (),
            NAMES,
            'Tasks, such as ("keypoint",), whose losses train their own layers and leave the backbone alone',
        ),
        Option(
            "MULTITASK.TASKS_PER_STEP",
            0,
            Integer(0, 1000),
            "Train so many tasks in each step, drawn anew; 0 trains all of them",
        ),
        Option(
            "MULTITASK.LOG_PERIOD",
            0,
            ITERATIONS,
            "Iterations between two that are sampled for gradient conflicts: norms of the tasks' gradients on the "
            "backbone and the cosines between them. A sampled iteration costs as much as one with GRADIENTS_AT "
            '"parameters". 0 '
            "samples none",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "Training",
        Option("SOLVER.OPTIMIZER", "SGD", Choice("SGD", "AdamW"), '"SGD" or "AdamW"'),
        Option("SOLVER.MAX_ITER", 40000, ITERATIONS, "Optimizer steps"),
        Option(
            "SOLVER.MAX_EPOCHS",
            0.0,
            Number(0, 10**6),
            "Times that each training image is seen, with DATALOADER.REPEAT_THRESHOLD those of no rare class. Above 0 "
            "it decides on MAX_ITER, and STEPS move in proportion: 12 here, MAX_ITER 12 and STEPS (8, 11) are steps "
            "after 8 and 11 of 12 epochs",
        ),
        Option("SOLVER.BASE_LR", 0.001, Number(0, 1000), "Learning rate of weights. Scale it with IMS_PER_BATCH"),
        Option("SOLVER.BIAS_LR_FACTOR", 2, Integer(0, 1000), "Factor of the learning rate for biases"),
        Option("SOLVER.MOMENTUM", 0.9, Number(0, 1, below=True), "Of SGD"),
        Option("SOLVER.WEIGHT_DECAY", 0.0005, Number(0, 10), "Weight decay of weights"),
        Option("SOLVER.WEIGHT_DECAY_BIAS", 0.0, Number(0, 10), "Weight decay of biases"),
        Option(
            "SOLVER.DECAY_NORMS",
            True,
            FLAG,
            "Weight decay of norms, layer scales and position embeddings, as in the original",
        ),
        Option(
            "SOLVER.BACKBONE_LR_FACTOR",
            1.0,
            Number(0, 1000, above=True),
            "Factor of the learning rate for the backbone's body; the pyramid has the full rate",
        ),
        Option(
            "SOLVER.LAYER_DECAY",
            1.0,
            Number(0, 1, above=True),
            "Factor of the learning rate for each layer of the backbone's body towards its input",
        ),
        Option(
            "SOLVER.SCHEDULE",
            "step",
            Choice("step", "cosine", "poly"),
            '"step" (times GAMMA at each of STEPS), "cosine" or "poly" (down to 0 at MAX_ITER)',
        ),
        Option("SOLVER.POLY_POWER", 0.9, Number(0, 10, above=True), 'SCHEDULE "poly": power of what is left to do'),
        Option("SOLVER.GAMMA", 0.1, Number(0, 10), "Factor of the steps"),
        Option("SOLVER.STEPS", (30000,), Sequence(ITERATIONS, 0, 1000), "Iterations of the steps"),
        Option("SOLVER.WARMUP_FACTOR", 1.0 / 3, FRACTION, "The rate begins with this factor"),
        Option("SOLVER.WARMUP_ITERS", 500, ITERATIONS, "The rate has its full height after so many iterations"),
        Option("SOLVER.WARMUP_METHOD", "linear", Choice("linear", "constant"), '"linear" or "constant"'),
        Option(
            "SOLVER.CHECKPOINT_PERIOD",
            2500,
            ITERATIONS,
            "Iterations between two checkpoints; one is saved at the end in any case, and with 0 only there",
        ),
        Option(
            "SOLVER.TEST_PERIOD",
            0,
            ITERATIONS,
            "Evaluate on DATASETS.TEST every so many iterations; 0 only at the end",
        ),
        Option(
            "SOLVER.KEEP_CHECKPOINTS",
            0,
            Integer(0, 10**6),
            "Checkpoints of the way that are kept, the newest; 0 keeps all. model_final.pth and model_best.pth stay",
        ),
        Option(
            "SOLVER.EMA_DECAY",
            0.0,
            Number(0, 1, below=True),
            "Keep an exponential moving average of the weights with this decay, such as 0.999, which TEST.EMA is for; "
            "0 keeps none (docs/training.md)",
        ),
        Option(
            "SOLVER.BEST.METRIC",
            "",
            NAME_OR_NONE,
            "Keep the best network of all evaluations as model_best.pth, by a metric on the first of DATASETS.TEST, "
            '"TASK/METRIC" such as "detection/AP", or by "gain", the mean over tasks of what it gains over the trivial '
            'predictor or over TEST.SINGLE_TASK_RESULTS; "" keeps none',
        ),
        Option(
            "SOLVER.BEST.PATIENCE",
            0,
            Integer(0, 10**6),
            "End the training after so many evaluations (TEST_PERIOD) in a row that are no better; 0 never does",
        ),
        Option("SOLVER.IMS_PER_BATCH", 16, IMAGES, "Images per optimizer step, over all processes"),
        Option(
            "SOLVER.ACCUMULATE_STEPS",
            1,
            IMAGES,
            "A step's images are run in this many micro-batches whose gradients are added",
        ),
        Option(
            "SOLVER.CLIP_GRADIENT_NORM",
            0.0,
            Number(0, 1e9),
            "Largest norm of the gradient over all parameters; 0 is off",
        ),
        Option(
            "SOLVER.SEED",
            0,
            Integer(-1, 2**32 - 1),
            "Seed of weights, order and augmentation; -1 draws one and logs it",
        ),
        Option("SOLVER.LOG_PERIOD", 20, PERIOD, "Iterations between two lines of the log and points of TensorBoard"),
        Option(
            "SOLVER.DETERMINISTIC",
            False,
            FLAG,
            "On CUDA, train with kernels that add in a fixed order: the same command on the same machine, or a run "
            "that is resumed, ends with the same weights, bit for bit. Slower; an operation without such a kernel ends "
            "the run with its name",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        TESTING,
        Option(
            "TEST.EXPECTED_RESULTS",
            [],
            Sequence(
                Either(
                    Row(("data set", NAME), ("task", NAME), ("metric", NAME), *MEAN_AND_DEVIATION),
                    Row(("kind", NAME), ("metric", NAME), ("[mean, standard deviation]", Row(*MEAN_AND_DEVIATION))),
                ),
                0,
                1000,
            ),
            "[[data set, task, metric, mean, standard deviation], ...], or the original's [[kind, metric, [mean, "
            "standard deviation]], ...] with a kind of bbox, segm, keypoints or box_proposal. A result outside the "
            "tolerance is an error in the log",
        ),
        Option(
            "TEST.EXPECTED_RESULTS_SIGMA_TOL",
            4,
            Integer(0, 10**6),
            "The tolerance, in standard deviations",
        ),
        Option("TEST.IMS_PER_BATCH", 8, IMAGES, "Images per batch, over all processes"),
        Option(
            "TEST.EMA",
            True,
            FLAG,
            "Test, predict with, export and begin from the average of the weights (SOLVER.EMA_DECAY) where there is "
            "one; False takes the weights of the last step",
        ),
        Option(
            "TEST.DTYPE",
            "float32",
            PRECISION,
            'Precision of evaluations and predictions, whatever DTYPE trained in: "float32", "float16" or "bfloat16"',
        ),
        Option("TEST.TF32", False, FLAG, "Whether float32 may be TensorFloat-32 there, as TF32 says for training"),
        Option(
            "TEST.DETECTIONS_PER_IMG",
            100,
            BOXES_KEPT,
            "Detections kept per image by RetinaNet, 0 keeps all; MODEL.ROI_HEADS has its own",
        ),
        Option(
            "TEST.BBOX_AUG.ENABLED",
            False,
            FLAG,
            "Test-time augmentation: boxes from several views of an image, as it is and as the options below say",
        ),
        Option("TEST.BBOX_AUG.H_FLIP", False, FLAG, "Test-time augmentation: a mirrored view"),
        Option(
            "TEST.BBOX_AUG.SCALES",
            (),
            Sequence(PIXELS),
            "Test-time augmentation: views at further scales, the shorter side in pixels",
        ),
        Option(
            "TEST.BBOX_AUG.MAX_SIZE",
            4000,
            PIXELS,
            "Test-time augmentation: limit of the longer side of the views at further scales",
        ),
        Option(
            "TEST.BBOX_AUG.SCALE_H_FLIP", False, FLAG, "Test-time augmentation: the views at further scales mirrored"
        ),
        Option(
            "TEST.DENSE_AUG.ENABLED",
            False,
            FLAG,
            "Test-time augmentation per pixel: the outputs of heads per image averaged over several views of it",
        ),
        Option(
            "TEST.DENSE_AUG.SCALES",
            (1.0,),
            Sequence(Number(0.1, 8), 1, 16),
            "Test-time augmentation per pixel: the views' sizes, as factors of INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST; "
            "usual in semantic segmentation are (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)",
        ),
        Option("TEST.DENSE_AUG.H_FLIP", True, FLAG, "Test-time augmentation per pixel: every view mirrored as well"),
        Option(
            "TEST.DETECTION_PROTOCOL",
            "coco",
            Choice("coco", "detail", "detail-toolkit"),
            'How boxes and masks are scored: "coco", "detail" (COCO\'s pairing without ranges of size, any number of '
            'detections per image) or "detail-toolkit": these, keypoints, image labels and proposals by the rules of '
            "PASCAL in Detail's own programs (docs/evaluation.md)",
        ),
        Option(
            "TEST.CLASS_MEAN",
            "annotated",
            Choice("annotated", "all"),
            'Mean IoU of semantic classes and parts: over the classes that are annotated anywhere ("annotated"), or '
            'over all, of which those that never occur count as 0 ("all", as papers on PASCAL-Context and NYUD-v2 do)',
        ),
        Option(
            "TEST.EDGE_THRESHOLDS",
            99,
            Integer(1, 999),
            "Thresholds of the boundary and occlusion curves (the published protocol: 99)",
        ),
        Option(
            "TEST.EDGE_MAX_DISTANCE",
            0.0075,
            INSIDE_FRACTION,
            "Greatest distance of a predicted from an annotated edge pixel, as a share of the image diagonal (0.011 "
            "for NYUD)",
        ),
        Option("TEST.EDGE_NMS", True, FLAG, "Reduce soft edge maps to ridges before they are thinned"),
        Option(
            "TEST.EDGE_CONVENTIONS",
            "bsds",
            Choice("bsds", "seism"),
            '"bsds" (Berkeley: the best F is interpolated between thresholds) or "seism" (the best F of the thresholds '
            "themselves)",
        ),
        Option(
            "TEST.BOUNDARY_PROTOCOL",
            "",
            Choice("", "seism", "mti_net", "sak"),
            'Boundaries by the rules of a published program, "seism", "mti_net" or "sak" (docs/evaluation.md), with '
            'TEST.EDGE_MAX_DISTANCE; "" by the three other options of edges',
        ),
        Option(
            "TEST.SINGLE_TASK_RESULTS",
            "",
            PATH_OR_NONE,
            'JSON file with the headline metrics of single-task networks, to state Delta_m against them; "" for none '
            "(docs/evaluation.md)",
        ),
        Option(
            "TEST.DELTA_M_METRICS",
            "headline",
            Choice("headline", "mti_net", "atrc"),
            'Which metrics Delta_m is taken over: "headline", or saliency by max-mIoU as "mti_net" has it, by maxF as '
            '"atrc"',
        ),
        Option(
            "TEST.IMAGE_LIST",
            "",
            PATH_OR_NONE,
            "Text file that names images, one a line, on which all scores are stated as well, such as seism's "
            'test_new.txt; "" for none',
        ),
        Option(
            "TEST.TRIVIAL",
            True,
            FLAG,
            "Measure what a predictor scores that never sees the image, once for each OUTPUT_DIR; False leaves "
            "that column out",
        ),
        Option(
            "TEST.NUM_EXAMPLES",
            3,
            PICTURES,
            "Images that the report of a test shows at either end of each task's ranking, the worst and the best; 0 "
            "shows none",
        ),
        Option(
            "TEST.NUM_PICTURES",
            6,
            PICTURES,
            "Validation images drawn on the page of pictures at the end of training; 0 draws none",
        ),
    ),
    # -----------------------------------------------------------------------------------------------------------------
    *section(
        "The rest",
        Option("OUTPUT_DIR", ".", PATH_OR_NONE, "What a run leaves"),
        Option(
            "PATHS_CATALOG",
            os.path.join(os.path.dirname(__file__), "paths_catalog.py"),
            PATH,
            "The module that maps data set names to files",
        ),
        Option(
            "DTYPE",
            "float32",
            PRECISION,
            'Training in "float32", or in mixed precision with "float16" or "bfloat16"; TEST.DTYPE is for what comes '
            "after",
        ),
        Option(
            "TF32",
            True,
            FLAG,
            "In training on CUDA, let float32 convolutions and matrix products take TensorFloat-32: 10 bits of "
            "mantissa instead of 23, several times the speed. False trains in float32 as IEEE 754 has it",
        ),
    ),
]
