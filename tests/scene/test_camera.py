import math

import pytest
import torch

from polyglyph.base.errors import ConfigError
from polyglyph.scene.camera import (
    DEFAULT_FOV,
    angles_from_get3d,
    angles_to_get3d,
    look_at,
    orbit,
    perspective,
    turntable,
)


def test_the_default_lens_is_35_mm_before_a_32_mm_sensor():
    assert math.isclose(DEFAULT_FOV, 49.134, abs_tol=1e-3)
    assert math.isclose(float(perspective()[1, 1]), 35 / 16, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "position"),
    [(0.0, 0.0, (0, 0, 1.2)), (90.0, 0.0, (1.2, 0, 0)), (0.0, 90.0, (0, 1.2, 0)), (180.0, 0.0, (0, 0, -1.2))],
)
def test_the_orbit_stands_where_the_convention_says(azimuth, elevation, position):
    torch.testing.assert_close(
        orbit(azimuth, elevation).position[0], torch.tensor(position), atol=1e-6, rtol=0
    )


def test_from_the_front_x_is_right_and_y_is_up():
    points = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.0]])
    clip = orbit(0.0, 0.0).clip(points)[0]
    ndc = clip[:, :3] / clip[:, 3:]
    expected = 0.1 / 1.2 * 35 / 16
    torch.testing.assert_close(ndc[0, :2], torch.tensor([expected, 0.0]))
    torch.testing.assert_close(ndc[1, :2], torch.tensor([0.0, expected]))
    torch.testing.assert_close(clip[2, 3], torch.tensor(1.2))


def test_near_and_far_come_to_minus_and_plus_one():
    matrix = perspective(60.0, 1.5, 0.5, 4.0)
    for depth, expected in ((0.5, -1.0), (4.0, 1.0)):
        clip = matrix @ torch.tensor([0.0, 0.0, -depth, 1.0])
        assert math.isclose(float(clip[2] / clip[3]), expected, abs_tol=1e-6)
    edge = math.tan(math.radians(30)) * 2
    clip = matrix @ torch.tensor([edge * 1.5, edge, -2.0, 1.0])
    torch.testing.assert_close(clip[:2] / clip[3], torch.ones(2))


def test_get3d_angles_put_the_camera_where_get3d_puts_it():
    theta = torch.rand(50) * 2 * math.pi
    phi = math.pi / 2 - torch.rand(50) * math.pi / 6
    alpha = -theta - math.pi / 2
    theirs = 1.2 * torch.stack([phi.sin() * alpha.cos(), phi.cos(), phi.sin() * alpha.sin()], 1)
    azimuth, elevation = angles_from_get3d(theta, phi)
    cameras = orbit(azimuth, elevation)
    torch.testing.assert_close(cameras.position, theirs, atol=1e-5, rtol=0)
    back_theta, back_phi = angles_to_get3d(azimuth, elevation)
    torch.testing.assert_close(back_phi, phi)
    torch.testing.assert_close(torch.cos(back_theta - theta), torch.ones(50))
    # their world-to-camera rows: right = up × d, true up = d × right, d from the origin to the camera
    d = theirs / 1.2
    right = torch.nn.functional.normalize(
        torch.linalg.cross(torch.tensor([[0.0, 1, 0]]).expand_as(d), d), dim=1
    )
    rows = torch.stack([right, torch.linalg.cross(d, right), d], 1)
    torch.testing.assert_close(cameras.view[:, :3, :3], rows, atol=1e-5, rtol=0)


def test_get3d_zero_looks_from_minus_z_and_a_quarter_from_minus_x():
    azimuth, elevation = angles_from_get3d([0.0, math.pi / 2], [math.pi / 2, math.pi / 2])
    expected = torch.tensor([[0, 0, -1.2], [-1.2, 0, 0]])
    torch.testing.assert_close(orbit(azimuth, elevation).position, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("elevation", [90.0, -90.0])
def test_nothing_jumps_at_the_poles(elevation):
    at = orbit(30.0, elevation).view
    near = orbit(30.0, elevation * (1 - 1e-6)).view
    assert torch.isfinite(at).all()
    torch.testing.assert_close(at, near, atol=1e-4, rtol=0)
    position = torch.tensor([[0.0, math.copysign(2.0, elevation), 0.0]])
    torch.testing.assert_close(look_at(position), orbit(0.0, elevation, 2.0).view, atol=1e-6, rtol=0)


def test_look_at_and_orbit_agree_away_from_the_poles():
    cameras = orbit(torch.rand(20) * 360, torch.rand(20) * 160 - 80, 1.7)
    torch.testing.assert_close(look_at(cameras.position), cameras.view, atol=1e-5, rtol=0)


def test_views_are_rigid_motions():
    rotation = orbit(torch.rand(20) * 360, torch.rand(20) * 180 - 90).view[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(20, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(20))


def test_each_camera_can_have_points_of_its_own():
    cameras = orbit([0.0, 90.0, 10.0], 5.0)
    points = torch.rand(7, 3)
    torch.testing.assert_close(cameras.clip(points), cameras.clip(points.expand(3, 7, 3)))
    assert len(cameras[1]) == 1
    torch.testing.assert_close(cameras[-1].view, cameras.view[2:])
    assert len(cameras[torch.tensor([True, False, True])]) == 2


def test_gradients_reach_the_angles():
    angles = torch.tensor([20.0, 10.0], dtype=torch.float64, requires_grad=True)
    points = torch.rand(4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: orbit(a[:1], a[1:]).clip(points), (angles,))


def test_a_turntable_is_even():
    cameras = turntable(4, elevation=0.0)
    torch.testing.assert_close(cameras.position, orbit([0.0, 90.0, 180.0, 270.0], 0.0).position)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: perspective(0.0), "field of view"),
        (lambda: perspective(180.0), "field of view"),
        (lambda: perspective(50.0, 1.0, 2.0, 1.0), "near plane"),
        (lambda: perspective(50.0, 0.0), "aspect"),
        (lambda: orbit(0.0, 0.0, 0.0), "radius"),
        (lambda: look_at(torch.zeros(1, 3)), "looks at"),
        (lambda: orbit([0.0, 1.0], 0.0).clip(torch.zeros(3, 4, 3)), "do not fit 2 cameras"),
    ],
)
def test_impossible_cameras_are_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
