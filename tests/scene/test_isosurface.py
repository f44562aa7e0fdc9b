"""The field around the surface: guarding, closing, deforming, regularising, extracting."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from polyglyph.kernels.marching_tets import kuhn_lattice
from polyglyph.scene.isosurface import (
    FOLD_FREE,
    close_boundary,
    deform,
    extract,
    guard_empty,
    sign_bce,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def balls(lattice, *radii):
    return torch.stack([radius - lattice.positions.norm(dim=1) for radius in radii])


# ------------------------------------------------------------------------------------ guard_empty


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("n", [2, 5])
def test_a_sample_of_one_sign_gets_a_surface_a_penalty_and_no_other_gradient(sign, n):
    lattice = kuhn_lattice(n)
    sdf = (sign * (torch.rand(1, lattice.vertex_count, generator=generator(0)) + 0.1)).requires_grad_()
    guarded, penalty = guard_empty(sdf, lattice)
    assert guarded[0, lattice.centre] > 0
    assert guarded[0, lattice.boundary].lt(0).all()
    assert not guarded.requires_grad or torch.autograd.grad(guarded.sum(), sdf)[0].eq(0).all()
    torch.testing.assert_close(penalty, sdf.abs().mean())
    (pull,) = torch.autograd.grad(guard_empty(sdf, lattice)[1], sdf)
    torch.testing.assert_close(pull, torch.full_like(sdf, sign / sdf.numel()))


def test_a_sample_with_both_signs_comes_out_untouched_and_free():
    lattice = kuhn_lattice(4)
    sdf = balls(lattice, 0.3, 0.2).requires_grad_()
    guarded, penalty = guard_empty(sdf, lattice)
    assert torch.equal(guarded, sdf)
    assert penalty == 0
    grad_sdf, grad_penalty = (
        torch.autograd.grad(out.sum(), sdf, retain_graph=True)[0] for out in (guarded, penalty)
    )
    assert grad_sdf.eq(1).all()
    assert grad_penalty.eq(0).all()


def test_only_the_empty_samples_of_a_batch_are_replaced_and_averaged():
    lattice = kuhn_lattice(4)
    ball = balls(lattice, 0.3)
    sdf = torch.cat([torch.full_like(ball, 2.0), ball, torch.full_like(ball, -4.0)]).requires_grad_()
    guarded, penalty = guard_empty(sdf, lattice)
    assert penalty.item() == pytest.approx(3.0)
    (grad,) = torch.autograd.grad(guarded.sum(), sdf)
    assert grad[0].eq(0).all()
    assert grad[1].eq(1).all()
    assert grad[2].eq(0).all()
    assert torch.equal(guarded[1], ball[0])


@pytest.mark.parametrize("fill", [0.0, 1e-6])
def test_values_of_zero_do_not_hide_an_empty_sample(fill):
    lattice = kuhn_lattice(4)
    sdf = torch.zeros(1, lattice.vertex_count)
    sdf[0, 7] = fill
    guarded, _ = guard_empty(sdf, lattice)
    assert guarded[0, lattice.centre] == 1
    assert guarded[0, lattice.boundary].eq(-1).all()


# --------------------------------------------------------------------------------- close_boundary


def test_the_boundary_is_held_outside_and_nothing_else_changes():
    lattice = kuhn_lattice(4)
    sdf = torch.randn(3, lattice.vertex_count, generator=generator(1)).requires_grad_()
    closed = close_boundary(sdf, lattice, margin=0.25)
    rim, inner = lattice.boundary, ~lattice.boundary
    assert closed[:, rim].le(-0.25).all()
    assert torch.equal(closed[:, inner], sdf[:, inner])
    low = rim & (sdf < -0.25)
    assert torch.equal(closed[low], sdf[low])
    (grad,) = torch.autograd.grad(closed.sum(), sdf)
    assert torch.equal(grad, (inner | (sdf < -0.25)).float())


# ----------------------------------------------------------------------------------------- deform


def test_deformation_is_scale_times_position_plus_a_bounded_step():
    lattice = kuhn_lattice(3)
    raw = torch.randn(2, lattice.vertex_count, 3, generator=generator(2))
    moved = deform(lattice.positions, raw, 3, 0.8, multiplier=2.0)
    torch.testing.assert_close(moved, 0.8 * (lattice.positions + torch.tanh(raw) / (3 * 2.0)))
    assert torch.equal(deform(lattice.positions, torch.zeros_like(raw), 3), lattice.positions.repeat(2, 1, 1))


def corner_steps() -> torch.Tensor:
    """All ways to push the four corners of a tetrahedron as far as they go, (4096, 4, 3)."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=12)), dtype=torch.float64).view(-1, 4, 3)


def volumes(corners: torch.Tensor) -> torch.Tensor:
    return torch.linalg.det(corners[..., 1:, :] - corners[..., :1, :])


@pytest.mark.parametrize(("multiplier", "folds"), [(FOLD_FREE * 1.001, False), (FOLD_FREE * 0.99, True)])
def test_fold_free_is_the_exact_bound_for_every_tetrahedron(multiplier, folds):
    # The volume is linear in each coordinate, so its smallest value is reached at extreme steps.
    lattice = kuhn_lattice(2).to("cpu", torch.float64)
    cell_tets = lattice.positions[lattice.tets]
    worst = volumes(cell_tets[:, None] + corner_steps() / (lattice.resolution * multiplier)).amin(dim=1)
    assert worst.lt(0).all() if folds else worst.gt(0).all()


def test_no_tetrahedron_folds_however_large_the_raw_values():
    lattice = kuhn_lattice(6)
    raw = 100 * torch.randn(4, lattice.vertex_count, 3, generator=generator(3))
    moved = deform(lattice.positions, raw, 6, 0.9)
    assert volumes(moved[:, lattice.tets]).gt(-1e-9).all()
    assert moved.sub(0.9 * lattice.positions).abs().max() <= 0.9 / 36 + 1e-6


def test_deform_passes_gradcheck():
    lattice = kuhn_lattice(1).to("cpu", torch.float64)
    raw = torch.randn(2, 8, 3, generator=generator(4), dtype=torch.float64, requires_grad=True)
    positions = lattice.positions.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, r: deform(p, r, 1, 0.7), (positions, raw))


# --------------------------------------------------------------------------------------- sign_bce


def sign_bce_by_definition(sdf, edges):
    terms = []
    for row in sdf:
        for i, j in edges.tolist():
            s_i, s_j = row[i], row[j]
            if (s_i > 0) == (s_j > 0):
                continue
            terms.append(F.binary_cross_entropy(torch.sigmoid(s_i), (s_j > 0).to(s_i.dtype)))
            terms[-1] = terms[-1] + F.binary_cross_entropy(torch.sigmoid(s_j), (s_i > 0).to(s_i.dtype))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("batch", [1, 3, 8, 9, 17])
def test_sign_bce_is_its_definition_for_value_and_gradient(batch):
    lattice = kuhn_lattice(2)
    sdf = torch.randn(batch, 27, generator=generator(batch), dtype=torch.float64)
    sdf[0, 3] = 0.0  # exactly zero is outside
    sdf.requires_grad_()
    ours, theirs = sign_bce(sdf, lattice.edges), sign_bce_by_definition(sdf, lattice.edges)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, sdf), torch.autograd.grad(theirs, sdf))


def test_sign_bce_of_one_cut_edge_is_a_known_number():
    sdf = torch.tensor([[0.0, 0.0, -1.0], [2.0, -3.0, -1.0]], dtype=torch.float64)
    edges = torch.tensor([[0, 1]])
    # H(σ(2), 0) + H(σ(-3), 1) = log(1 + e²) + log(1 + e³)
    assert sign_bce(sdf, edges).item() == pytest.approx(2.1269280110 + 3.0485873516)


def test_sign_bce_passes_gradcheck():
    lattice = kuhn_lattice(1)
    sdf = torch.randn(2, 8, generator=generator(5), dtype=torch.float64)
    sdf = (sdf.sign() * (sdf.abs() + 0.1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: sign_bce(s, lattice.edges), (sdf,))


def test_sign_bce_without_a_cut_edge_is_zero_and_can_still_be_differentiated():
    lattice = kuhn_lattice(2)
    sdf = torch.ones(2, 27, requires_grad=True)
    loss = sign_bce(sdf, lattice.edges)
    (grad,) = torch.autograd.grad(loss, sdf)
    assert loss == 0
    assert grad.eq(0).all()


def test_sign_bce_stays_finite_for_very_large_values():
    sdf = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = sign_bce(sdf, torch.tensor([[0, 1]]))
    (grad,) = torch.autograd.grad(loss, sdf)
    assert loss.item() == pytest.approx(2e4)
    assert grad.tolist() == [[1.0, -1.0]]


def test_sign_bce_pushes_a_floating_speck_harder_than_any_vertex_of_the_body():
    lattice = kuhn_lattice(8)
    sdf = balls(lattice, 0.3)
    speck = (1 * 9 + 1) * 9 + 1
    sdf[0, speck] = 0.05
    sdf.requires_grad_()
    (grad,) = torch.autograd.grad(sign_bce(sdf, lattice.edges), sdf)
    body = (sdf[0] > 0).nonzero().squeeze(1)
    assert grad[0, body].ge(0).all()  # descending makes inside values smaller
    assert body[grad[0, body].argmax()] == speck


# ---------------------------------------------------------------------------------------- extract


def rim(faces):
    """Directed edges whose opposite does not occur."""
    directed = {tuple(h) for k in range(3) for h in faces[:, [k, (k + 1) % 3]].tolist()}
    return {h for h in directed if h[::-1] not in directed}


def test_every_extracted_mesh_is_closed_and_none_is_empty():
    lattice = kuhn_lattice(6)
    big, small = balls(lattice, 0.7, 0.3)
    rim_only = torch.where(lattice.boundary, 1.0, -1.0)
    sdf = torch.stack([big, torch.full_like(big, -1.0), torch.full_like(big, 1.0), rim_only, small])
    raw = torch.randn(5, lattice.vertex_count, 3, generator=generator(6))
    iso = extract(sdf, raw, lattice, scale=0.8)
    assert iso.surface.face_ranges[:, 1].gt(0).all()
    assert not rim(iso.surface.faces)
    assert iso.penalty > 0
    assert iso.surface.vertices.abs().max() <= 0.4 * (1 + 2 / (6 * FOLD_FREE))


def test_an_open_extraction_is_cut_by_the_box():
    lattice = kuhn_lattice(6)
    iso = extract(balls(lattice, 0.6), None, lattice, scale=2.0, closed=False)
    edge_vertices = iso.surface.vertices[[a for a, _ in rim(iso.surface.faces)]]
    assert len(edge_vertices)
    torch.testing.assert_close(edge_vertices.abs().amax(dim=1), torch.ones(len(edge_vertices)))
    assert iso.penalty == 0


def test_extraction_sends_gradients_to_both_fields():
    lattice = kuhn_lattice(6)
    sdf = balls(lattice, 0.3, 0.25).requires_grad_()
    raw = torch.zeros(2, lattice.vertex_count, 3, requires_grad=True)
    iso = extract(sdf, raw, lattice, multiplier=1.0)
    loss = iso.surface.vertices.square().sum() + iso.penalty + sign_bce(iso.sdf, lattice.edges)
    for grad in torch.autograd.grad(loss, (sdf, raw)):
        assert grad.isfinite().all()
        assert grad.flatten(1).abs().sum(dim=1).gt(0).all()
