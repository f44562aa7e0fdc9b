"""The slab-by-slab network against the same network over the whole lattice at once."""

import torch
import torch.nn.functional as F

from polyglyph.shape.get3d.lattice_head import lattice_head


def inputs():
    rng = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 5), (2, 4, 6, 5), (2, 3, 6, 5), (2, 5, 2), (2,)]
    return [torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_() for shape in shapes]


def whole(xy, yz, xz, weight, bias):
    hidden = F.leaky_relu(xy[:, :, :, None] + yz[:, None] + xz[:, :, None], 0.2)
    return torch.baddbmm(bias, hidden.flatten(1, 3), weight)


def test_value_and_gradients_equal_those_of_the_whole_lattice_at_once():
    given = inputs()
    results = []
    for network in (lattice_head, whole):
        out = network(*given)
        results.append((out, *torch.autograd.grad(out.cos().sum(), given)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradcheck():
    assert torch.autograd.gradcheck(lattice_head, inputs())
