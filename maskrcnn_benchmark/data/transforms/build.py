"""The transforms that a config asks for."""

from yacs.config import CfgNode

from maskrcnn_benchmark.data.transforms.transforms import (
    AsBytes,
    ColorJitter,
    Compose,
    NativeSize,
    Normalize,
    PhotometricDistortion,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    Squash,
    SquashJitter,
    ToTensor,
)


def build_transforms(cfg: CfgNode, is_train: bool = True) -> Compose:
    """`Compose` for training (jitter, rotation, resize, flips) or testing (resize only), as in the original.

    It ends in a normalised float tensor. The loaders use `build_byte_transforms`.
    """
    options = cfg.INPUT
    normalize = Normalize(options.PIXEL_MEAN, options.PIXEL_STD, options.TO_BGR255)
    colours, shapes = _training_transforms(options) if is_train else ([], _testing_transforms(options))
    return Compose([*colours, *shapes, ToTensor(), normalize])


def build_byte_transforms(cfg: CfgNode, is_train: bool = True) -> Compose:
    """As `build_transforms`, but ending in uint8 [3, H, W] RGB, which `build_detection_model`'s networks normalise.

    The channels of a pixel lie side by side in memory. Resized values are those of `build_transforms` within 1.
    """
    colours, shapes = _training_transforms(cfg.INPUT) if is_train else ([], _testing_transforms(cfg.INPUT))
    return Compose([*colours, AsBytes(), *shapes])


def build_view_transforms(cfg: CfgNode, scale: float = 1.0, mirrored: bool = False) -> Compose:
    """As `build_byte_transforms` for testing, but of the image at `scale` times the size, and mirrored if asked for."""
    shapes = [transform.scaled(scale) for transform in _testing_transforms(cfg.INPUT)]
    return Compose([AsBytes(), *shapes, *([RandomHorizontalFlip(1.0)] if mirrored else [])])


def _training_transforms(options):
    """(what changes colours, what changes shapes), in this order."""
    jitter = tuple(options.SCALE_JITTER)
    if options.CROP:
        resize = RandomCrop(options.CROP[::-1], options.CROP_SCALES, options.CROP_MAX_SHARE)
    elif options.SQUASH:
        size = options.SQUASH[::-1]
        resize = Squash(size) if jitter == (1.0, 1.0) else SquashJitter(size, jitter, _mean_colour(options))
    else:
        resize = Resize(options.MIN_SIZE_TRAIN, options.MAX_SIZE_TRAIN)
        if jitter != (1.0, 1.0):
            resize = ScaleJitter(resize.min_size, resize.max_size, jitter, _mean_colour(options))
    colours = [ColorJitter(options.BRIGHTNESS, options.CONTRAST, options.SATURATION, options.HUE)]
    if options.PHOTOMETRIC:
        colours.append(PhotometricDistortion())
    flips = [
        RandomHorizontalFlip(options.HORIZONTAL_FLIP_PROB_TRAIN),
        RandomVerticalFlip(options.VERTICAL_FLIP_PROB_TRAIN),
    ]
    # before the image is enlarged, where it costs least
    rotation = [RandomRotation(options.ROTATION, _mean_colour(options))] if options.ROTATION else []
    return colours, [*rotation, resize, *flips]


def _testing_transforms(options):
    return [testing_resize(options)]


def testing_resize(options: CfgNode) -> Resize:
    """In which size a network sees an image in testing, by the group INPUT."""
    if options.CROP:
        return NativeSize()
    return Squash(options.SQUASH[::-1]) if options.SQUASH else Resize(options.MIN_SIZE_TEST, options.MAX_SIZE_TEST)


def _mean_colour(options):
    """PIXEL_MEAN as (r, g, b) in 0..255: padding of this colour is about 0 to the network, like a batch's padding."""
    if options.TO_BGR255:
        return tuple(round(value) for value in reversed(options.PIXEL_MEAN))
    return tuple(round(255 * value) for value in options.PIXEL_MEAN)
