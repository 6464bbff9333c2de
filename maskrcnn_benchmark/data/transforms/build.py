"""The transforms that a config asks for."""

from maskrcnn_benchmark.data.transforms.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    ToTensor,
)


def build_transforms(cfg, is_train=True):
    """`Compose` for training (jitter, resize, flips) or testing (resize only), ending in a normalised tensor."""
    options = cfg.INPUT
    normalize = Normalize(options.PIXEL_MEAN, options.PIXEL_STD, options.TO_BGR255)
    if not is_train:
        return Compose([Resize(options.MIN_SIZE_TEST, options.MAX_SIZE_TEST), ToTensor(), normalize])
    resize = Resize(options.MIN_SIZE_TRAIN, options.MAX_SIZE_TRAIN)
    if tuple(options.SCALE_JITTER) != (1.0, 1.0):
        resize = ScaleJitter(resize.min_size, resize.max_size, options.SCALE_JITTER, _mean_colour(options))
    return Compose(
        [
            ColorJitter(options.BRIGHTNESS, options.CONTRAST, options.SATURATION, options.HUE),
            resize,
            RandomHorizontalFlip(options.HORIZONTAL_FLIP_PROB_TRAIN),
            RandomVerticalFlip(options.VERTICAL_FLIP_PROB_TRAIN),
            ToTensor(),
            normalize,
        ]
    )


def _mean_colour(options):
    """PIXEL_MEAN as (r, g, b) in 0..255: padding of this colour is about 0 to the network, like a batch's padding."""
    if options.TO_BGR255:
        return tuple(round(value) for value in reversed(options.PIXEL_MEAN))
    return tuple(round(255 * value) for value in options.PIXEL_MEAN)
