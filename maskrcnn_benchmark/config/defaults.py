"""Every option, its default and what it does. Names and defaults shared with maskrcnn-benchmark are unchanged."""

import os

from maskrcnn_benchmark.config.node import ConfigNode as CN

_C = CN()

# ---------------------------------------------------------------------------------------------------------------------
# Model: which tasks, which trunk
# ---------------------------------------------------------------------------------------------------------------------
_C.MODEL = CN()
# Stop after the region proposals: the model's answer is its proposals
_C.MODEL.RPN_ONLY = False
# Tasks. Instance masks, keypoints and ROI parts are answers per detected box, so they need DETECTION_ON
_C.MODEL.DETECTION_ON = True
_C.MODEL.MASK_ON = False
_C.MODEL.KEYPOINT_ON = False
_C.MODEL.PART_ON = False
# Tasks with one answer per image, on a shared dense trunk over the feature pyramid
_C.MODEL.SEMANTIC_ON = False
_C.MODEL.BOUNDARY_ON = False
_C.MODEL.OCCLUSION_ON = False
_C.MODEL.CLASSIFICATION_ON = False
# One-stage RetinaNet instead of RPN and ROI heads
_C.MODEL.RETINANET_ON = False
# "cuda", "cuda:1", "cpu", or "auto": CUDA where there is a device, else the processor. A config that asks for CUDA on a
# machine without it is an error; of several processes each takes the GPU of its number
_C.MODEL.DEVICE = "cuda"
# The only one there is
_C.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
# One box regression for all classes instead of one per class
_C.MODEL.CLS_AGNOSTIC_BBOX_REG = False
# Initial weights: a path, an address, or a name such as catalog://ImageNetPretrained/MSRA/R-50 (docs/weights.md lists
# them); "" starts from random weights
_C.MODEL.WEIGHT = ""
# Compile the trunk with torch.compile: faster steps on GPUs after minutes of compiling at each image shape
_C.MODEL.COMPILE = False
# Memory layout of weights and activations: channels last is faster for convolutions on CPUs and tensor cores
_C.MODEL.CHANNELS_LAST = True

_C.MODEL.BACKBONE = CN()
# A name in modeling.registry.BACKBONES: R-18-FPN, R-34-FPN, R-50-FPN, R-101-FPN, R-50-C4, ...
_C.MODEL.BACKBONE.CONV_BODY = "R-50-C4"
# Freeze the trunk's first stages: 0 none, 1 the stem, 2 the stem and layer1, ...
_C.MODEL.BACKBONE.FREEZE_CONV_BODY_AT = 2

_C.MODEL.FPN = CN()
# Group norm after the convolutions of the feature pyramid, and a ReLU
_C.MODEL.FPN.USE_GN = False
_C.MODEL.FPN.USE_RELU = False

_C.MODEL.GROUP_NORM = CN()
# Channels per group; -1 to give the number of groups instead
_C.MODEL.GROUP_NORM.DIM_PER_GP = -1
# Groups, where DIM_PER_GP is -1
_C.MODEL.GROUP_NORM.NUM_GROUPS = 32
# Added to the variance
_C.MODEL.GROUP_NORM.EPSILON = 1e-5

_C.MODEL.RESNETS = CN()
# ResNeXt: groups of the 3x3 convolution and channels in each
_C.MODEL.RESNETS.NUM_GROUPS = 1
_C.MODEL.RESNETS.WIDTH_PER_GROUP = 64
# Stride of a stage in its first 1x1 convolution (original MSRA) or in its 3x3 (torchvision)
_C.MODEL.RESNETS.STRIDE_IN_1X1 = True
# BottleneckWith{FixedBatchNorm,GN,BatchNorm} or, for, BasicBlockWith{FixedBatchNorm,GN,BatchNorm}
_C.MODEL.RESNETS.TRANS_FUNC = "BottleneckWithFixedBatchNorm"
# StemWith{FixedBatchNorm,GN,BatchNorm}
_C.MODEL.RESNETS.STEM_FUNC = "StemWithFixedBatchNorm"
# Dilation of the last stage
_C.MODEL.RESNETS.RES5_DILATION = 1
# Channels of the pyramid levels (FPN) or of the C4 feature map
_C.MODEL.RESNETS.BACKBONE_OUT_CHANNELS = 256 * 4
# Output channels of layer1, doubled by each later stage; read the default, 256, as their own 64
_C.MODEL.RESNETS.RES2_OUT_CHANNELS = 256
# Output channels of the stem
_C.MODEL.RESNETS.STEM_OUT_CHANNELS = 64
# Deformable convolution in stages 2..5
_C.MODEL.RESNETS.STAGE_WITH_DCN = (False, False, False, False)
# Its modulated form (version 2), with a weight for each sample
_C.MODEL.RESNETS.WITH_MODULATED_DCN = False
# Groups of channels that share their offsets
_C.MODEL.RESNETS.DEFORMABLE_GROUPS = 1

# ---------------------------------------------------------------------------------------------------------------------
# Region proposals
# ---------------------------------------------------------------------------------------------------------------------
_C.MODEL.RPN = CN()
# One stride and one size of anchors per level of a feature pyramid, instead of one feature map with all sizes
_C.MODEL.RPN.USE_FPN = False
# Anchor side in pixels, one per level with FPN
_C.MODEL.RPN.ANCHOR_SIZES = (32, 64, 128, 256, 512)
# Pixels between anchors, one number per level
_C.MODEL.RPN.ANCHOR_STRIDE = (16,)
# Height by width of the anchors at each place
_C.MODEL.RPN.ASPECT_RATIOS = (0.5, 1.0, 2.0)
# Anchors that leave the image by more pixels than this are not trained; -1 keeps all
_C.MODEL.RPN.STRADDLE_THRESH = 0
# IoU from which an anchor is positive, and below which it is negative
_C.MODEL.RPN.FG_IOU_THRESHOLD = 0.7
_C.MODEL.RPN.BG_IOU_THRESHOLD = 0.3
# Anchors sampled per image, and the share of positives among them
_C.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 256
_C.MODEL.RPN.POSITIVE_FRACTION = 0.5
# Proposals kept before and after non-maximum suppression (per level with FPN)
_C.MODEL.RPN.PRE_NMS_TOP_N_TRAIN = 12000
_C.MODEL.RPN.PRE_NMS_TOP_N_TEST = 6000
_C.MODEL.RPN.POST_NMS_TOP_N_TRAIN = 2000
_C.MODEL.RPN.POST_NMS_TOP_N_TEST = 1000
# IoU above which the lower of two proposals is dropped
_C.MODEL.RPN.NMS_THRESH = 0.7
# Proposals with a smaller side (pixels) are dropped
_C.MODEL.RPN.MIN_SIZE = 0
# Proposals kept over all levels
_C.MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN = 2000
_C.MODEL.RPN.FPN_POST_NMS_TOP_N_TEST = 2000
# In training the limit above holds for the batch (as in the original) or for each image
_C.MODEL.RPN.FPN_POST_NMS_PER_BATCH = True
# A name in modeling.registry.RPN_HEADS
_C.MODEL.RPN.RPN_HEAD = "SingleConvRPNHead"

# ---------------------------------------------------------------------------------------------------------------------
# Heads with one answer per region
# ---------------------------------------------------------------------------------------------------------------------
_C.MODEL.ROI_HEADS = CN()
# Not read: POOLER_SCALES of each head say which levels it pools from. Kept for the original's files
_C.MODEL.ROI_HEADS.USE_FPN = False
# IoU from which a proposal is an object's, and below which it is background
_C.MODEL.ROI_HEADS.FG_IOU_THRESHOLD = 0.5
_C.MODEL.ROI_HEADS.BG_IOU_THRESHOLD = 0.5
# Factors of the box codes: of the centre's x and y, of width and height
_C.MODEL.ROI_HEADS.BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# Regions sampled per image, and the share of positives among them
_C.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 512
_C.MODEL.ROI_HEADS.POSITIVE_FRACTION = 0.25
# At test time: least score, IoU of class-wise non-maximum suppression, detections kept per image
_C.MODEL.ROI_HEADS.SCORE_THRESH = 0.05
_C.MODEL.ROI_HEADS.NMS = 0.5
_C.MODEL.ROI_HEADS.DETECTIONS_PER_IMG = 100

_C.MODEL.ROI_BOX_HEAD = CN()
# Names in modeling.registry.ROI_BOX_FEATURE_EXTRACTORS and ROI_BOX_PREDICTOR
_C.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR = "ResNet50Conv5ROIFeatureExtractor"
_C.MODEL.ROI_BOX_HEAD.PREDICTOR = "FastRCNNPredictor"
# ROIAlign: cells along each side, samples in each (0: as many as the region's size asks for), and the scale of each
# feature map that it pools from
_C.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 14
_C.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = 0
_C.MODEL.ROI_BOX_HEAD.POOLER_SCALES = (1.0 / 16,)
# Classes and background. Taken from the data set unless a file or the command line sets it
_C.MODEL.ROI_BOX_HEAD.NUM_CLASSES = 81
# Width of the fully connected layers
_C.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM = 1024
# Group norm in the head
_C.MODEL.ROI_BOX_HEAD.USE_GN = False
# Of FPNXconv1fcFeatureExtractor: dilation, channels and number of its convolutions
_C.MODEL.ROI_BOX_HEAD.DILATION = 1
_C.MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM = 256
_C.MODEL.ROI_BOX_HEAD.NUM_STACKED_CONVS = 4

_C.MODEL.ROI_MASK_HEAD = CN()
# Names in modeling.registry.ROI_MASK_FEATURE_EXTRACTORS and ROI_MASK_PREDICTOR
_C.MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR = "ResNet50Conv5ROIFeatureExtractor"
_C.MODEL.ROI_MASK_HEAD.PREDICTOR = "MaskRCNNC4Predictor"
# ROIAlign, as of ROI_BOX_HEAD
_C.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION = 14
_C.MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO = 0
_C.MODEL.ROI_MASK_HEAD.POOLER_SCALES = (1.0 / 16,)
# Not read; kept for the original's files
_C.MODEL.ROI_MASK_HEAD.MLP_HEAD_DIM = 1024
# Channels of each convolution of MaskRCNNFPNFeatureExtractor; the predictor has the last number as well
_C.MODEL.ROI_MASK_HEAD.CONV_LAYERS = (256, 256, 256, 256)
# Side of the predicted mask
_C.MODEL.ROI_MASK_HEAD.RESOLUTION = 14
# Masks are read from the box head's features of the regions instead of features of their own
_C.MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR = True
# Paste masks into the image inside the model, with this threshold
_C.MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS = False
_C.MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS_THRESHOLD = 0.5
# Dilation of the convolutions, and group norm after each
_C.MODEL.ROI_MASK_HEAD.DILATION = 1
_C.MODEL.ROI_MASK_HEAD.USE_GN = False

_C.MODEL.ROI_KEYPOINT_HEAD = CN()
# Names in modeling.registry.ROI_KEYPOINT_FEATURE_EXTRACTORS and ROI_KEYPOINT_PREDICTOR
_C.MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR = "KeypointRCNNFeatureExtractor"
_C.MODEL.ROI_KEYPOINT_HEAD.PREDICTOR = "KeypointRCNNPredictor"
# ROIAlign, as of ROI_BOX_HEAD
_C.MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION = 14
_C.MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO = 0
_C.MODEL.ROI_KEYPOINT_HEAD.POOLER_SCALES = (1.0 / 16,)
# Not read; kept for the original's files
_C.MODEL.ROI_KEYPOINT_HEAD.MLP_HEAD_DIM = 1024
# Channels of each convolution
_C.MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS = (512,) * 8
# Side of the predicted heat map
_C.MODEL.ROI_KEYPOINT_HEAD.RESOLUTION = 14
# Joints. Taken from the data set unless set
_C.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES = 17
# Joints are read from the box head's features of the regions instead of features of their own
_C.MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR = True
# Regions trained per image at most; 0 trains every positive region, as the original does
_C.MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE = 0

# Part segmentation per region
_C.MODEL.ROI_PART_HEAD = CN()
# Names in modeling.registry.ROI_PART_FEATURE_EXTRACTORS and ROI_PART_PREDICTOR
_C.MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR = "PartRCNNFeatureExtractor"
_C.MODEL.ROI_PART_HEAD.PREDICTOR = "PartRCNNPredictor"
# ROIAlign, as of ROI_BOX_HEAD
_C.MODEL.ROI_PART_HEAD.POOLER_RESOLUTION = 14
_C.MODEL.ROI_PART_HEAD.POOLER_SAMPLING_RATIO = 2
_C.MODEL.ROI_PART_HEAD.POOLER_SCALES = (1.0 / 16,)
# Channels of each convolution
_C.MODEL.ROI_PART_HEAD.CONV_LAYERS = (256, 256, 256, 256)
# Side of the predicted part map: twice or four times POOLER_RESOLUTION
_C.MODEL.ROI_PART_HEAD.RESOLUTION = 56
# Part labels and background. Taken from the data set unless set
_C.MODEL.ROI_PART_HEAD.NUM_CLASSES = 7
# Regions trained per image at most (Parsing R-CNN: 16); 0 trains every positive region with part labels
_C.MODEL.ROI_PART_HEAD.MAX_ROIS_PER_IMAGE = 16

# Parts are answered per region ("roi") or once for the whole image on the dense trunk ("fpn")
_C.MODEL.PART_HEAD = "roi"

# ---------------------------------------------------------------------------------------------------------------------
# Heads with one answer per image
# ---------------------------------------------------------------------------------------------------------------------
# The shared trunk: every pyramid level brought to stride 4 and added (Panoptic FPN, Kirillov et al. 2019)
_C.MODEL.DENSE_TRUNK = CN()
_C.MODEL.DENSE_TRUNK.CHANNELS = 128
# "GN", "BN" or "" for none
_C.MODEL.DENSE_TRUNK.NORM = "GN"
# Pixel classes are compared with the labels at every so many pixels: 1, 2 or 4. Predictions are at full resolution all
# the same; 2 takes a quarter of the memory, which the number of classes makes large
_C.MODEL.DENSE_TRUNK.LOSS_STRIDE = 2

_C.MODEL.SEMANTIC_HEAD = CN()
# Classes; unlabelled pixels have no class and are ignored. Taken from the data set unless set
_C.MODEL.SEMANTIC_HEAD.NUM_CLASSES = 59

# Boundary and occlusion share a fine decoder: the trunk enlarged and joined with a shallow stem on the image itself
_C.MODEL.EDGE_DECODER = CN()
# Image pixels per cell of the decoder: 1, 2 or 4. Predictions are at full resolution all the same
_C.MODEL.EDGE_DECODER.STRIDE = 2
# Channels of the stem on the image (STRIDE 4 has none) and of the decoder
_C.MODEL.EDGE_DECODER.STEM_CHANNELS = 16
_C.MODEL.EDGE_DECODER.CHANNELS = 32

_C.MODEL.BOUNDARY_HEAD = CN()
# Weight of edge pixels in the cross-entropy, 1 - it for the others (0.95: the field's value on PASCAL-Context)
_C.MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT = 0.95

_C.MODEL.OCCLUSION_HEAD = CN()
# Attention loss of DOOBNet (Wang et al. 2018): base and exponent of the focus on hard pixels
_C.MODEL.OCCLUSION_HEAD.ATTENTION_BETA = 4.0
_C.MODEL.OCCLUSION_HEAD.ATTENTION_GAMMA = 0.5

_C.MODEL.CLASSIFICATION_HEAD = CN()
# Image labels. Taken from the data set unless set
_C.MODEL.CLASSIFICATION_HEAD.NUM_CLASSES = 59

# ---------------------------------------------------------------------------------------------------------------------
# RetinaNet
# ---------------------------------------------------------------------------------------------------------------------
_C.MODEL.RETINANET = CN()
# Classes and background. Taken from the data set unless a file or the command line sets it
_C.MODEL.RETINANET.NUM_CLASSES = 81
# Smallest anchor side in pixels of each level, height by width of the anchors, and pixels between them on each level
_C.MODEL.RETINANET.ANCHOR_SIZES = (32, 64, 128, 256, 512)
_C.MODEL.RETINANET.ASPECT_RATIOS = (0.5, 1.0, 2.0)
_C.MODEL.RETINANET.ANCHOR_STRIDES = (8, 16, 32, 64, 128)
# Has no effect: anchors that leave the image are trained, as in the original
_C.MODEL.RETINANET.STRADDLE_THRESH = 0
# Sizes of anchors on a level: SCALES_PER_OCTAVE of them, from ANCHOR_SIZES up to OCTAVE times as large
_C.MODEL.RETINANET.OCTAVE = 2.0
_C.MODEL.RETINANET.SCALES_PER_OCTAVE = 3
# P6 from C5 (True) or from P5
_C.MODEL.RETINANET.USE_C5 = True
# 3x3 convolutions of each of the two branches
_C.MODEL.RETINANET.NUM_CONVS = 4
# Divisor of the box loss, and where its smooth L1 turns linear
_C.MODEL.RETINANET.BBOX_REG_WEIGHT = 4.0
_C.MODEL.RETINANET.BBOX_REG_BETA = 0.11
# Pairs of anchor and class that are decoded per image and level
_C.MODEL.RETINANET.PRE_NMS_TOP_N = 1000
# IoU from which an anchor is positive, and below which it is negative
_C.MODEL.RETINANET.FG_IOU_THRESHOLD = 0.5
_C.MODEL.RETINANET.BG_IOU_THRESHOLD = 0.4
# Focal loss: weight of the positives, exponent
_C.MODEL.RETINANET.LOSS_ALPHA = 0.25
_C.MODEL.RETINANET.LOSS_GAMMA = 2.0
# Initial probability of every class
_C.MODEL.RETINANET.PRIOR_PROB = 0.01
# At test time: least score, and IoU above which the lower of two boxes of a class is dropped
_C.MODEL.RETINANET.INFERENCE_TH = 0.05
_C.MODEL.RETINANET.NMS_TH = 0.4

# ---------------------------------------------------------------------------------------------------------------------
# Input
# ---------------------------------------------------------------------------------------------------------------------
_C.INPUT = CN()
# Shorter side in pixels (several: one is drawn per image) and the limit of the longer side
_C.INPUT.MIN_SIZE_TRAIN = (800,)
_C.INPUT.MAX_SIZE_TRAIN = 1333
_C.INPUT.MIN_SIZE_TEST = 800
_C.INPUT.MAX_SIZE_TEST = 1333
# What is subtracted from the channels, and what they are then divided by, in TO_BGR255's order and range
_C.INPUT.PIXEL_MEAN = [102.9801, 115.9465, 122.7717]
_C.INPUT.PIXEL_STD = [1.0, 1.0, 1.0]
# BGR 0..255 (Caffe2 weights) or RGB 0..1 (torchvision weights)
_C.INPUT.TO_BGR255 = True
# Colour jitter: strength of each, 0 is off
_C.INPUT.BRIGHTNESS = 0.0
_C.INPUT.CONTRAST = 0.0
_C.INPUT.SATURATION = 0.0
_C.INPUT.HUE = 0.0
# Probability of a mirror, left to right and upside down
_C.INPUT.HORIZONTAL_FLIP_PROB_TRAIN = 0.5
_C.INPUT.VERTICAL_FLIP_PROB_TRAIN = 0.0
# Large-scale jitter (Ghiasi et al. 2021): the image is scaled by a factor from this range, then cropped or padded to
# its size before scaling; (1.0, 1.0) is off
_C.INPUT.SCALE_JITTER = (1.0, 1.0)

# ---------------------------------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------------------------------
_C.DATASETS = CN()
# Names in config/paths_catalog.py, or NAME_train, NAME_val, NAME_trainval of a folder DATA_DIR/NAME
_C.DATASETS.TRAIN = ()
_C.DATASETS.TEST = ()
# The data set whose classes, parts and joints the network learns; those of DATASETS.TRAIN that have others are mapped
# by name. "": that of DATASETS.TRAIN, or the first of DATASETS.TEST where they differ
_C.DATASETS.VOCABULARY = ""
# Shares of images drawn from each of DATASETS.TRAIN, such as (1.0, 3.0); () draws every image as often
_C.DATASETS.RATIOS = ()
# Where data sets lie
_C.DATASETS.DATA_DIR = "datasets"
# Classes of PASCAL in Detail: "voc20" (the 20 with instances), "context59" (the official 59) or "all" (whatever the
# file lists); regions of others are ignored
_C.DATASETS.CLASSES = "all"
# Part labels of PASCAL in Detail: "person6" (the six of PASCAL-Person-Part), "person24" (every named part of people;
# also called "person"), "superparts" (whole heads, arms, legs, ... of every class) or "all" (every named part of it)
_C.DATASETS.PARTS = "person6"

_C.DATALOADER = CN()
# Processes that load images and, in a test, as many that score answers; 0 does both in the main process
_C.DATALOADER.NUM_WORKERS = 4
# Batches are padded to a multiple of this
_C.DATALOADER.SIZE_DIVISIBILITY = 0
# Batches hold only upright or only wide images
_C.DATALOADER.ASPECT_RATIO_GROUPING = True
# Images without boxes are left out of training; False keeps them as background
_C.DATALOADER.FILTER_EMPTY_ANNOTATIONS = True

# ---------------------------------------------------------------------------------------------------------------------
# Many tasks, one step
# ---------------------------------------------------------------------------------------------------------------------
_TASKS = (
    *("DETECTION", "INSTANCE", "KEYPOINT", "PART"),
    *("SEMANTIC", "BOUNDARY", "OCCLUSION", "CLASSIFICATION"),
)
_C.MULTITASK = CN()
# How the tasks' losses become one number: "fixed" (the weights below), or on top of them a weighting that follows the
# training: "uncertainty", "dwa", "random", "geometric_mean", "imtl_l", "famo", "gradnorm", "stch", or one of your own
# (docs/multitask.md)
_C.MULTITASK.WEIGHTING = "fixed"
# How the shared trunk joins the tasks' gradients: "" (their sum), "pcgrad", "gradvac", "cagrad", "mgda", "imtl_g",
# "aligned_mtl", "nash_mtl", "upgrad", "dualproj", "fairgrad", "graddrop", "config", or one of your own
_C.MULTITASK.AGGREGATION = ""
# Where those gradients are taken: at the shared "features", with one backward pass through the trunk, or at the trunk's
# "parameters", with one for each task
_C.MULTITASK.GRADIENTS_AT = "features"
# Fixed weight of each task's losses
_C.MULTITASK.LOSS_WEIGHTS = CN()
_C.MULTITASK.LOSS_WEIGHTS.DETECTION = 1.0
_C.MULTITASK.LOSS_WEIGHTS.INSTANCE = 1.0
_C.MULTITASK.LOSS_WEIGHTS.KEYPOINT = 1.0
_C.MULTITASK.LOSS_WEIGHTS.PART = 1.0
_C.MULTITASK.LOSS_WEIGHTS.SEMANTIC = 1.0
_C.MULTITASK.LOSS_WEIGHTS.BOUNDARY = 1.0
_C.MULTITASK.LOSS_WEIGHTS.OCCLUSION = 1.0
_C.MULTITASK.LOSS_WEIGHTS.CLASSIFICATION = 1.0
# Fixed weight of each single loss within its task
_C.MULTITASK.SINGLE_LOSS_WEIGHTS = CN()
for _loss in (
    *("OBJECTNESS", "RPN_BOX_REG", "CLASSIFIER", "BOX_REG", "RETINA_CLS", "RETINA_REG", "MASK", "KP", "PART"),
    *("SEMANTIC", "BOUNDARY", "OCCLUSION_EDGE", "OCCLUSION_DIRECTION", "CLASSIFICATION"),
):
    _C.MULTITASK.SINGLE_LOSS_WEIGHTS[f"LOSS_{_loss}"] = 1.0
# First and last iteration that a task's losses count in; a last one of -1 is never
_C.MULTITASK.START = CN()
_C.MULTITASK.STOP = CN()
# Factor of the learning rate of each task's own layers
_C.MULTITASK.LR_FACTORS = CN()
for _task in _TASKS:
    _C.MULTITASK.START[_task] = 1
    _C.MULTITASK.STOP[_task] = -1
    _C.MULTITASK.LR_FACTORS[_task] = 1.0
# Tasks, such as ("keypoint",), whose losses train their own layers and leave the trunk alone
_C.MULTITASK.FREEZE_TRUNK = ()
# Train so many tasks in each step, drawn anew; 0 trains all of them
_C.MULTITASK.TASKS_PER_STEP = 0
# Iterations between two looks at what the tasks do to one another: norms of their gradients on the trunk and the
# cosines between them. Such an iteration costs as much as one with GRADIENTS_AT "parameters". 0 never looks
_C.MULTITASK.LOG_PERIOD = 0
# Options of single methods. Dynamic weight average: iterations that losses are averaged over, temperature
_C.MULTITASK.DWA = CN()
_C.MULTITASK.DWA.PERIOD = 100
_C.MULTITASK.DWA.TEMPERATURE = 2.0
# FAMO: rate and decay of its own weights
_C.MULTITASK.FAMO = CN()
_C.MULTITASK.FAMO.LR = 0.025
_C.MULTITASK.FAMO.WEIGHT_DECAY = 0.001
# GradNorm: pull towards equal training rates, rate of its own weights
_C.MULTITASK.GRADNORM = CN()
_C.MULTITASK.GRADNORM.ALPHA = 1.5
_C.MULTITASK.GRADNORM.LR = 0.025
# Smooth Tchebycheff: smoothness, iterations that a task's nadir is averaged over
_C.MULTITASK.STCH = CN()
_C.MULTITASK.STCH.MU = 1.0
_C.MULTITASK.STCH.WARMUP = 100
# CAGrad: radius of its ball around the mean gradient, in norms of that gradient
_C.MULTITASK.CAGRAD = CN()
_C.MULTITASK.CAGRAD.C = 0.5
# GradVac: share of the newest cosine in the running mean
_C.MULTITASK.GRADVAC = CN()
_C.MULTITASK.GRADVAC.BETA = 0.5
# FairGrad: 1 is proportional fairness (Nash-MTL), larger is nearer to max-min
_C.MULTITASK.FAIRGRAD = CN()
_C.MULTITASK.FAIRGRAD.ALPHA = 2.0

# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------
_C.SOLVER = CN()
# "SGD" or "AdamW"
_C.SOLVER.OPTIMIZER = "SGD"
# Optimizer steps
_C.SOLVER.MAX_ITER = 40000
# Learning rate of weights, and its factor for biases. Scale it with IMS_PER_BATCH
_C.SOLVER.BASE_LR = 0.001
_C.SOLVER.BIAS_LR_FACTOR = 2
# Of SGD
_C.SOLVER.MOMENTUM = 0.9
# Of weights and of biases
_C.SOLVER.WEIGHT_DECAY = 0.0005
_C.SOLVER.WEIGHT_DECAY_BIAS = 0.0
# "step" (times GAMMA at each of STEPS) or "cosine" (down to 0 at MAX_ITER)
_C.SOLVER.SCHEDULE = "step"
# Factor and iterations of the steps
_C.SOLVER.GAMMA = 0.1
_C.SOLVER.STEPS = (30000,)
# The rate begins with this factor and has its full height after WARMUP_ITERS iterations
_C.SOLVER.WARMUP_FACTOR = 1.0 / 3
_C.SOLVER.WARMUP_ITERS = 500
# "linear" or "constant"
_C.SOLVER.WARMUP_METHOD = "linear"
# Iterations between two checkpoints; one is saved at the end in any case
_C.SOLVER.CHECKPOINT_PERIOD = 2500
# Evaluate on DATASETS.TEST every so many iterations; 0 only at the end
_C.SOLVER.TEST_PERIOD = 0
# Images per optimizer step, over all processes
_C.SOLVER.IMS_PER_BATCH = 16
# A step's images are run in this many portions whose gradients are added
_C.SOLVER.ACCUMULATE_STEPS = 1
# Largest norm of the gradient over all parameters; 0 is off
_C.SOLVER.CLIP_GRADIENT_NORM = 0.0
# Seed of weights, order and augmentation; -1 draws one and logs it
_C.SOLVER.SEED = 0
# Iterations between two lines of the log and points of TensorBoard
_C.SOLVER.LOG_PERIOD = 20
# On CUDA, train with kernels that add in a fixed order: the same command on the same machine, or a run that is resumed,
# ends with the same weights, bit for bit. Slower; an operation without such a kernel ends the run with its name
_C.SOLVER.DETERMINISTIC = False

# ---------------------------------------------------------------------------------------------------------------------
# Testing
# ---------------------------------------------------------------------------------------------------------------------
_C.TEST = CN()
# [[data set, task, metric, mean, standard deviation], ...], or the original's [[kind, metric, [mean, standard
# deviation]], ...] with a kind of bbox, segm, keypoints or box_proposal. A result outside the tolerance is an error in
# the log
_C.TEST.EXPECTED_RESULTS = []
# The tolerance, in standard deviations
_C.TEST.EXPECTED_RESULTS_SIGMA_TOL = 4
# Images per batch, over all processes
_C.TEST.IMS_PER_BATCH = 8
# Precision of evaluations and predictions, whatever DTYPE trained in: "float32", "float16" or "bfloat16"
_C.TEST.DTYPE = "float32"
# Whether float32 may be TensorFloat-32 there, as TF32 says for training
_C.TEST.TF32 = False
# Detections kept per image by RetinaNet; MODEL.ROI_HEADS has its own
_C.TEST.DETECTIONS_PER_IMG = 100
# Test-time augmentation: boxes from several views of an image, as it is, mirrored (H_FLIP), at further SCALES of the
# shorter side (at most MAX_SIZE for the longer one), and these mirrored (SCALE_H_FLIP)
_C.TEST.BBOX_AUG = CN()
_C.TEST.BBOX_AUG.ENABLED = False
_C.TEST.BBOX_AUG.H_FLIP = False
_C.TEST.BBOX_AUG.SCALES = ()
_C.TEST.BBOX_AUG.MAX_SIZE = 4000
_C.TEST.BBOX_AUG.SCALE_H_FLIP = False
# How boxes and masks are scored: "coco", or "detail" as PASCAL in Detail's own program does it: no ranges of size, any
# number of detections per image
_C.TEST.DETECTION_PROTOCOL = "coco"
# Thresholds of the boundary and occlusion curves (the published protocol: 99)
_C.TEST.EDGE_THRESHOLDS = 99
# Greatest distance of a predicted from an annotated edge pixel, as a share of the image diagonal (0.011 for NYUD)
_C.TEST.EDGE_MAX_DISTANCE = 0.0075
# Reduce soft edge maps to ridges before they are thinned
_C.TEST.EDGE_NMS = True
# "bsds" (Berkeley: the best F is interpolated between thresholds) or "seism" (the best F of the thresholds themselves)
_C.TEST.EDGE_CONVENTIONS = "bsds"
# JSON file with the headline metrics of single-task networks, to state Delta_m against them; "" for none
# (docs/evaluation.md)
_C.TEST.SINGLE_TASK_RESULTS = ""
# Measure what a predictor scores that never looks at the image, once for each OUTPUT_DIR; False leaves that column out
_C.TEST.TRIVIAL = True
# Images that the report of a test shows at either end of each task's ranking, the worst and the best; 0 shows none
_C.TEST.NUM_EXAMPLES = 3
# Validation images drawn on the page of pictures at the end of training; 0 draws none
_C.TEST.NUM_PICTURES = 6

# ---------------------------------------------------------------------------------------------------------------------
# The rest
# ---------------------------------------------------------------------------------------------------------------------
# What a run leaves
_C.OUTPUT_DIR = "."
# The module that maps data set names to files
_C.PATHS_CATALOG = os.path.join(os.path.dirname(__file__), "paths_catalog.py")
# Training in "float32", or in mixed precision with "float16" or "bfloat16"; TEST.DTYPE is for what comes after
_C.DTYPE = "float32"
# In training on CUDA, let float32 convolutions and matrix products take TensorFloat-32: 10 bits of mantissa instead of
# 23, several times the speed. False trains in float32 as IEEE 754 has it
_C.TF32 = True
