"""Box regression with inclusive pixels."""

import math

import torch

from maskrcnn_benchmark.modeling.box_coder import BoxCoder


def random_boxes(*shape):
    corner = torch.rand(*shape, 2) * 100
    return torch.cat((corner, corner + 1 + torch.rand(*shape, 2) * 80), -1)


def test_decoding_undoes_encoding():
    torch.manual_seed(0)
    boxes, proposals = random_boxes(50), random_boxes(50)
    for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)):
        coder = BoxCoder(weights)
        assert torch.allclose(coder.decode(coder.encode(boxes, proposals), proposals), boxes, atol=1e-4)


def test_encoding_counts_the_last_pixel():
    # The proposal is 10 wide and 20 high with centre (5, 10); the box 20 and 20, with centre (12, 10).
    codes = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode(torch.tensor([[2.0, 0, 21, 19]]), torch.tensor([[0.0, 0, 9, 19]]))
    assert torch.allclose(codes, torch.tensor([[7.0, 0.0, 5 * math.log(2), 0.0]]))


def test_zero_codes_give_the_reference_box():
    boxes = torch.tensor([[0.0, 0, 9, 19], [3, 4, 3, 4]])
    assert torch.allclose(BoxCoder((1.0,) * 4).decode(torch.zeros(2, 4), boxes), boxes)


def test_each_class_has_its_own_box():
    torch.manual_seed(0)
    coder, boxes, codes = BoxCoder((10.0, 10.0, 5.0, 5.0)), random_boxes(6), torch.randn(6, 12)
    decoded = coder.decode(codes, boxes)
    for k in (slice(0, 4), slice(4, 8), slice(8, 12)):
        assert torch.allclose(decoded[:, k], coder.decode(codes[:, k], boxes), atol=1e-5)


def test_a_batch_is_decoded_as_its_images():
    torch.manual_seed(0)
    coder, boxes, codes = BoxCoder((1.0,) * 4), random_boxes(2, 5), torch.randn(2, 5, 4)
    assert torch.allclose(coder.decode(codes, boxes)[1], coder.decode(codes[1], boxes[1]))


def test_growth_is_limited():
    box = BoxCoder((1.0,) * 4).decode(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[0.0, 0, 15, 15]]))
    assert torch.allclose(box[:, 2:] - box[:, :2] + 1, torch.tensor(1000.0))


def test_decoding_keeps_gradients():
    codes = torch.zeros(3, 4, requires_grad=True)
    BoxCoder((1.0,) * 4).decode(codes, random_boxes(3)).sum().backward()
    assert torch.isfinite(codes.grad).all() and codes.grad.abs().sum() > 0


def test_no_boxes():
    assert BoxCoder((1.0,) * 4).decode(torch.zeros(0, 8), torch.zeros(0, 4)).shape == (0, 8)


def test_each_offset_has_its_own_weight():
    anchors, boxes = torch.tensor([[0.0, 0, 9, 19]]), torch.tensor([[2.0, 3, 15, 30]])
    plain = BoxCoder((1.0,) * 4).encode(boxes, anchors)
    coder = BoxCoder((2.0, 3.0, 4.0, 5.0))
    torch.testing.assert_close(coder.encode(boxes, anchors), plain * torch.tensor([2.0, 3, 4, 5]))
    torch.testing.assert_close(coder.decode(coder.encode(boxes, anchors), anchors), boxes)
