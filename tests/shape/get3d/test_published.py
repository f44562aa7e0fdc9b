"""Converted checkpoints give the numbers that the description of their layout gives, worked out slowly."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from shape.get3d.published_arithmetic import (
    DISCRIMINATOR_SLIPS,
    GENERATOR_SLIPS,
    DiscriminatorArithmetic,
    GeneratorArithmetic,
)
from shape.get3d.published_files import (
    PUBLISHED,
    SMALL,
    Sizes,
    discriminator_shapes,
    generator_shapes,
    is_buffer,
    random_checkpoint,
    random_state,
    saved,
)
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError, FormatError
from polyglyph.kernels.marching_tets import kuhn_lattice
from polyglyph.scene.camera import angles_to_get3d, orbit
from polyglyph.scene.isosurface import deform
from polyglyph.shape.get3d.config import PRESETS
from polyglyph.shape.get3d.discriminator import Discriminators
from polyglyph.shape.get3d.generator import Codes, make_generator
from polyglyph.shape.get3d.model import load_generator
from polyglyph.shape.get3d.picture import cut_surface
from polyglyph.shape.get3d.published import convert_checkpoint, load_discriminators
from polyglyph.shape.get3d.published_config import PublishedConfig
from polyglyph.shape.get3d.published_layout import LAYOUTS, Source, channel_law
from polyglyph.shape.get3d.sample import sample_meshes
from polyglyph.shape.get3d.sample_config import SampleConfig

SCALE, CELLS, MULTIPLIER = 0.8, 8, 1.5
TOLD = PublishedConfig(scale=SCALE, resolution=CELLS, deformation_multiplier=MULTIPLIER)
Outputs = dict[str, Tensor]


class Case(NamedTuple):
    """A checkpoint, and what its file was converted to."""

    checkpoint: dict
    folder: Path
    clamp: float | None


def converted(folder, checkpoint, config=TOLD, name="any.pt"):
    """The model folder of a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(saved(checkpoint))
    convert_checkpoint(folder / name, folder / "model", config)
    return folder / "model"


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, Case]:
    """Mild numbers, and numbers that reach the clamp."""
    root = tmp_path_factory.mktemp("published")
    mild, strong = random_checkpoint(), random_checkpoint(seed=10, strong=True)
    return {
        "mild": Case(mild, converted(root / "mild", mild), 256.0),
        "strong": Case(strong, converted(root / "strong", strong), 256.0),
    }


def inputs(size: Sizes = SMALL) -> dict[str, Tensor]:
    """Codes with another latent in every slot, points inside, on and outside the box, pictures and angles."""
    rng = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    levels, layers = len(bin(size.planes)) - 4, size.head_depth + 1
    points = (torch.rand(2, 60, 3, generator=rng, dtype=torch.float64) - 0.5) * SCALE * 1.4
    points[:, :3] = SCALE / 2
    points[:, 3:6, 1] = -SCALE / 2
    return {
        "z": normal(2, 3, size.latent),
        "geometry": normal(2, 3 * levels - 1 + layers, size.latent),
        "texture": normal(2, levels + layers, size.latent),
        "points": points,
        "pictures": normal(8, 4, size.pictures, size.pictures) * torch.arange(1.0, 9.0)[:, None, None, None],
        "angles": torch.tensor([[20.0 + 47 * k, 4.0 * k] for k in range(8)], dtype=torch.float64),
    }


def ours(folder: Path, size: Sizes = SMALL) -> Outputs:
    """What the converted generator gives, in float64."""
    given, generator = inputs(size), load_generator(folder).generator.double()
    codes, box = Codes(given["geometry"], given["texture"]), generator.isosurface
    with torch.no_grad():
        truncated = generator.codes(given["z"][0], given["z"][1], truncation=0.7)
        planes = generator.planes(codes)
        field = generator.field(planes, codes)
        rest = kuhn_lattice(CELLS).positions.double()
        moved = deform(
            rest, field.deformation, box.resolution, box.scale, multiplier=box.deformation_multiplier
        )
        return {
            "geometry latents": truncated.geometry,
            "texture latents": truncated.texture,
            "geometry planes": planes.geometry,
            "texture planes": planes.texture,
            "sdf": field.sdf,
            "displacement": moved - rest * box.scale,
            "colour": generator.colors(planes, codes, given["points"]),
        }


def theirs(case: Case, slip: str = "", size: Sizes = SMALL) -> Outputs:
    """The same by the description."""
    given = inputs(size)
    arithmetic = GeneratorArithmetic(case.checkpoint["G_ema"], case.clamp, slip)
    geometry, texture = arithmetic.planes(given["geometry"], given["texture"])
    grid = (kuhn_lattice(CELLS).positions.double() * SCALE).expand(2, -1, -1)
    sdf, displacement = arithmetic.geometry(geometry, given["geometry"], grid, SCALE, CELLS, MULTIPLIER)
    latents = [
        arithmetic.latent(z, name, 0.7)[:, None].expand(-1, count, -1)
        for z, name, count in (
            (given["z"][0], "mapping_geo", given["geometry"].shape[1]),
            (given["z"][1], "mapping", given["texture"].shape[1]),
        )
    ]
    return {
        "geometry latents": latents[0],
        "texture latents": latents[1],
        "geometry planes": geometry,
        "texture planes": texture,
        "sdf": sdf,
        "displacement": displacement,
        "colour": arithmetic.colour(texture, given["texture"], given["points"], SCALE),
    }


def our_logits(folder: Path, batch: int = 8, size: Sizes = SMALL) -> Outputs:
    given, networks = inputs(size), load_discriminators(folder).double()
    with torch.no_grad():
        color, mask = networks(given["pictures"][:batch], given["angles"][:batch])
    return {"colour logit": color, "mask logit": mask}


def their_logits(case: Case, slip: str = "", batch: int = 8, size: Sizes = SMALL) -> Outputs:
    given = inputs(size)
    arithmetic = DiscriminatorArithmetic(case.checkpoint["D"], case.clamp, slip)
    color, mask = arithmetic.logits(given["pictures"][:batch], *given["angles"][:batch].T)
    return {"colour logit": color, "mask logit": mask}


def difference(found: Outputs, expected: Outputs) -> float:
    """The largest difference of any output, as a part of its largest value."""
    return max(
        float((found[name] - expected[name]).abs().max() / expected[name].abs().max()) for name in expected
    )


@pytest.mark.parametrize("kind", ["mild", "strong"])
def test_a_converted_generator_computes_what_the_checkpoint_means(cases, kind):
    case = cases[kind]
    found, expected = ours(case.folder), theirs(case)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert difference({name: found[name]}, {name: value}) < 1e-10, name


@pytest.mark.parametrize("batch", [8, 4, 2])
@pytest.mark.parametrize("kind", ["mild", "strong"])
def test_converted_discriminators_compute_what_the_checkpoint_means(cases, kind, batch):
    case = cases[kind]
    assert difference(our_logits(case.folder, batch), their_logits(case, batch=batch)) < 1e-10


@pytest.mark.parametrize("slip", GENERATOR_SLIPS)
def test_a_mistake_in_the_generator_would_be_seen(cases, slip):
    """Otherwise the comparison above could hold with this mistake in the package."""
    assert max(difference(theirs(case, slip), theirs(case)) for case in cases.values()) > 0.01


@pytest.mark.parametrize("slip", DISCRIMINATOR_SLIPS)
def test_a_mistake_in_the_discriminators_would_be_seen(cases, slip):
    assert max(difference(their_logits(case, slip), their_logits(case)) for case in cases.values()) > 0.01


def test_the_strong_numbers_reach_the_clamp_and_do_not_all_lie_on_it(cases):
    given = inputs()
    for case, least in ((cases["mild"], 0.0), (cases["strong"], 0.02)):
        generator = GeneratorArithmetic(case.checkpoint["G_ema"], case.clamp)
        generator.planes(given["geometry"], given["texture"])
        networks = DiscriminatorArithmetic(case.checkpoint["D"], case.clamp)
        networks.logits(given["pictures"], *given["angles"].T)
        for parts in (generator.clamped, networks.clamped):
            assert least <= sum(parts) / len(parts) < 0.9


def test_without_a_clamp_nothing_but_colour_is_bounded(cases, tmp_path):
    checkpoint = cases["strong"].checkpoint
    case = Case(checkpoint, converted(tmp_path, checkpoint, replace(TOLD, fp32=True)), None)
    assert difference(ours(case.folder), theirs(case)) < 1e-10
    assert difference(our_logits(case.folder), their_logits(case)) < 1e-10
    assert ours(case.folder)["geometry planes"].abs().max() > 10 * 256
    assert ours(case.folder)["colour"].abs().max() == 256


def test_another_clamp_can_be_told(cases, tmp_path):
    checkpoint = cases["strong"].checkpoint
    case = Case(checkpoint, converted(tmp_path, checkpoint, replace(TOLD, clamp=100.0)), 100.0)
    assert difference(ours(case.folder), theirs(case)) < 1e-10
    assert difference(our_logits(case.folder), their_logits(case)) < 1e-10


OTHER_SIZES = {
    "deeper heads": SMALL._replace(head_depth=3, head_width=5),
    "narrower with height": SMALL._replace(base=100, most=20, d_base=52, d_most=30),
    "wide everywhere": SMALL._replace(base=1000, most=6, d_base=1000, d_most=5),
    "one block": SMALL._replace(planes=4, pictures=8),
    "no camera": SMALL._replace(camera=False),
}


@pytest.mark.parametrize("title", OTHER_SIZES)
def test_sizes_are_read_off_the_shapes(title, tmp_path):
    size = OTHER_SIZES[title]
    checkpoint = random_checkpoint(size)
    case = Case(checkpoint, converted(tmp_path, checkpoint), 256.0)
    assert difference(ours(case.folder, size), theirs(case, size=size)) < 1e-10
    assert difference(our_logits(case.folder, size=size), their_logits(case, size=size)) < 1e-10
    config = load_generator(case.folder).config
    assert config.generator.head_depth == size.head_depth
    assert config.generator.mapping_depth == size.depth
    assert config.resolution == size.pictures


def test_the_widths_of_any_law_are_found_again():
    source = Source({}, "D", Path("a.pt"))
    for base in (1, 30, 100, 1000, 32768):
        for most in (1, 7, 512):
            law = {side: min(base // side, most) for side in (4, 8, 16, 32) if base >= side}
            found_base, found_most = channel_law(law or {4: 1}, source)
            assert law == {side: min(found_base // side, found_most) for side in law}
    with pytest.raises(FormatError, match=r"\{4: 8, 8: 3\}, are not min"):
        channel_law({4: 8, 8: 3}, source)


def test_the_published_sizes_are_those_of_the_paper_preset():
    """Names, shapes and counts at full size."""
    paper = PRESETS["paper"]
    generator = make_generator(paper.generator, paper.isosurface)
    networks = Discriminators(paper.discriminator, 1024)
    for shapes, network, names, counts in (
        (generator_shapes(PUBLISHED), generator, LAYOUTS[-1].names, (217, 34_490_260, 34_314_180)),
        (
            discriminator_shapes(PUBLISHED),
            networks,
            {"color.": "", "mask.": "mask_"},
            (216, 60_340_928, 60_339_840),
        ),
    ):
        trained = {name for name in shapes if not is_buffer(name)}
        total = [math.prod(shape) for shape in shapes.values()]
        assert (len(shapes), sum(total), sum(math.prod(shapes[name]) for name in trained)) == counts
        assert sum(value.numel() for value in network.parameters()) == counts[2]
        renamed = {}
        for name, value in network.state_dict().items():
            prefix = next((ours for ours in names if name.startswith(ours)), "")
            renamed[names.get(prefix, "") + name.removeprefix(prefix)] = tuple(value.shape)
        assert renamed == {
            name: shape for name, shape in shapes.items() if not name.endswith("resample_filter")
        }


def test_every_number_of_the_file_arrives_unchanged(cases):
    """In full precision, and each in one place: the multisets of numbers agree."""
    case = cases["mild"]
    generator = load_generator(case.folder).generator
    networks = load_discriminators(case.folder)
    for network, entry in ((generator, "G_ema"), (networks, "D")):
        kept = [value for name, value in case.checkpoint[entry].items() if not name.endswith("filter")]
        before = torch.cat([value.flatten() for value in kept]).sort().values
        after = torch.cat([value.flatten() for value in network.state_dict().values()]).sort().values
        assert torch.equal(after, before)


def test_the_generator_last_trained_can_be_chosen(cases, tmp_path):
    checkpoint = cases["mild"].checkpoint
    folder = converted(tmp_path, checkpoint, replace(TOLD, network="G"))
    case = Case({"G_ema": checkpoint["G"]}, folder, 256.0)
    assert difference(ours(folder), theirs(case)) < 1e-10
    assert difference(ours(folder), theirs(cases["mild"])) > 0.01


@pytest.mark.parametrize("old", [False, True])
def test_both_formats_of_torch_and_half_precision_are_read(tmp_path, old):
    checkpoint = {"G_ema": random_state(generator_shapes(), 1)}
    checkpoint["G_ema"] = {name: value.half() for name, value in checkpoint["G_ema"].items()}
    path = tmp_path / "half.pt"
    path.write_bytes(saved(checkpoint, _use_new_zipfile_serialization=not old))
    convert_checkpoint(path, tmp_path / "model", TOLD)
    case = Case(checkpoint, tmp_path / "model", 256.0)
    assert difference(ours(case.folder), theirs(case)) < 1e-10


def test_averages_are_kept_or_found_again(tmp_path):
    checkpoint = random_checkpoint()
    for name in ("mapping.w_avg", "mapping_geo.w_avg"):
        checkpoint["G_ema"][name] = torch.zeros(SMALL.latent)
    (tmp_path / "a.pt").write_bytes(saved(checkpoint))
    kept = convert_checkpoint(tmp_path / "a.pt", tmp_path / "kept", TOLD)
    assert kept.average_is_zero
    assert "`--estimate-average`" in kept.summary()
    assert not load_generator(tmp_path / "kept").generator.mapping.w_avg.any()
    found = convert_checkpoint(tmp_path / "a.pt", tmp_path / "found", replace(TOLD, estimate_average=True))
    assert not found.average_is_zero
    generator = load_generator(tmp_path / "found").generator
    arithmetic = GeneratorArithmetic(checkpoint["G_ema"], 256.0)
    rng = torch.Generator().manual_seed(9)
    z = torch.randn(100_000, SMALL.latent, generator=rng, dtype=torch.float64)
    for name in ("mapping", "mapping_geo"):
        expected, average = arithmetic.latent(z, name, 1.0), generator.get_submodule(name).w_avg
        error = (average - expected.mean(dim=0)).abs() / (expected.std(dim=0) / math.sqrt(100_000))
        assert error.max() < 8  # two estimates, each with an error of one
        assert average.abs().max() > 0.05


def test_the_generator_alone_is_enough(tmp_path):
    checkpoint = random_checkpoint()
    full = converted(tmp_path / "full", checkpoint, replace(TOLD, generator_only=True, picture_resolution=64))
    del checkpoint["D"]
    without = converted(tmp_path / "without", checkpoint, replace(TOLD, picture_resolution=64))
    for folder in (full, without):
        assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
        assert load_generator(folder).config.resolution == 64
        with pytest.raises(DataError, match="has no discriminators"):
            load_discriminators(folder)


@pytest.mark.parametrize(
    ("name", "subject", "scale"),
    [
        ("shapenet_chair.pt", "chair", 0.8),
        ("shapenet_table.pt", "table", 0.8),
        ("shapenet_car.pt", "car", 1.0),
        ("shapenet_motorbike.pt", "motorbike", 1.0),
        ("mine.pt", "", 1.0),
    ],
)
def test_the_names_of_the_published_files_tell_scale_and_subject(tmp_path, name, subject, scale):
    checkpoint = {"G_ema": random_state(generator_shapes(), 1)}
    config = load_generator(converted(tmp_path / "a", checkpoint, PublishedConfig(), name)).config
    assert (config.subject, config.isosurface.scale) == (subject, scale)
    assert (config.isosurface.close_boundary, config.isosurface.initial_radius) == (False, 0.0)
    assert config.isosurface.resolution == 90
    assert config.isosurface.scale / config.isosurface.deformation_multiplier == pytest.approx(1.0)
    told = PublishedConfig(scale=0.5, subject="lamp", resolution=20, camera="animal")
    config = load_generator(converted(tmp_path / "b", checkpoint, told, name)).config
    assert (config.subject, config.isosurface.scale, config.elevation) == ("lamp", 0.5, (0.0, 45.0))
    told = replace(told, elevation=(5.0, 10.0))
    assert load_generator(converted(tmp_path / "c", checkpoint, told, name)).config.elevation == (5.0, 10.0)


def test_a_surface_moves_as_far_as_published(cases):
    """Through the path that `sample` takes, at the trained lattice and another."""
    generator = load_generator(cases["mild"].folder).generator.double()
    for cells in (CELLS, 2 * CELLS):
        rest = kuhn_lattice(cells).positions.double()
        sdf = (0.3 - rest.norm(dim=1))[None]
        field = generator.field(*planes_of(generator), cells)
        still = cut_surface(generator, field._replace(sdf=sdf, deformation=0 * field.deformation), cells)
        push = torch.full_like(field.deformation, 50.0)
        moved = cut_surface(generator, field._replace(sdf=sdf, deformation=push), cells)
        offset = moved.surface.vertices - still.surface.vertices
        torch.testing.assert_close(offset, torch.full_like(offset, 1 / (CELLS * MULTIPLIER)))


def planes_of(generator):
    given = inputs()
    codes = Codes(given["geometry"][:1], given["texture"][:1])
    return generator.planes(codes), codes


def test_the_camera_that_discriminators_are_told_is_the_published_one(cases):
    """Their angle 0 stands on -Z and 90° on -X; the logits are those of that camera."""
    for azimuth, place in ((180.0, (0, 0, -1.2)), (270.0, (-1.2, 0, 0))):
        torch.testing.assert_close(orbit(azimuth, 0.0).position, torch.tensor([place], dtype=torch.float32))
        theta, _ = angles_to_get3d(azimuth, 0.0)
        assert float(theta) == pytest.approx(math.radians(azimuth - 180))
    networks, given = load_discriminators(cases["mild"].folder).double(), inputs()
    arithmetic = DiscriminatorArithmetic(cases["mild"].checkpoint["D"], 256.0)
    zero = torch.zeros(8, dtype=torch.float64)
    for at, azimuth in ((0.0, 180.0), (math.pi / 2, 270.0)):
        expected = arithmetic.network(given["pictures"][:, 3:], "mask_", zero + at, zero + math.pi / 3)
        angles = torch.tensor([[azimuth, 30.0]], dtype=torch.float64).expand(8, 2)
        with torch.no_grad():
            torch.testing.assert_close(networks.mask(given["pictures"][:, 3:], angles), expected)


def test_discriminators_can_be_trained_on(cases):
    networks, given = load_discriminators(cases["mild"].folder), inputs()
    pictures, angles = given["pictures"].float(), given["angles"].float()
    (color, mask), _ = networks.compare(pictures, pictures.flip(0), angles)
    grads = torch.autograd.grad((color + mask).sum(), list(networks.parameters()))
    assert all(grad.isfinite().all() and grad.any() for grad in grads)


def test_the_card_says_where_the_weights_come_from_and_whose_they_are(tmp_path):
    folder = converted(tmp_path, random_checkpoint(), TOLD, "shapenet_chair.pt")
    card = " ".join((folder / "README.md").read_text().split())
    assert hashlib.sha256((tmp_path / "shapenet_chair.pt").read_bytes()).hexdigest() in card
    for words in ("`shapenet_chair.pt`", "CC BY-NC-SA 4.0", "NVIDIA", "Do not ship", "| 0.8 |", "| 256 |"):
        assert words in card
    assert "load_discriminators" in card
    assert f"| {1 / (CELLS * MULTIPLIER):g} |" in card


def test_converting_again_gives_the_same_bytes(tmp_path):
    checkpoint = random_checkpoint()
    one, other = (converted(tmp_path / name, checkpoint) for name in "ab")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name
    assert json.loads((one / "discriminators.json").read_text())["azimuth_zero"] == 180


def test_nothing_is_overwritten_unless_asked_and_never_the_checkpoint_itself(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(saved(random_checkpoint()))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for dry_run in (False, True):
        with pytest.raises(DataError, match="already exists"):
            convert_checkpoint(path, tmp_path / "out", TOLD, dry_run=dry_run)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    convert_checkpoint(path, tmp_path / "out", TOLD, force=True)
    assert not (tmp_path / "out" / "mine.txt").exists()
    (tmp_path / "out" / "b.pt").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="would be replaced"):
        convert_checkpoint(tmp_path / "out" / "b.pt", tmp_path / "out", TOLD, force=True)
    assert (tmp_path / "out" / "b.pt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt", "out"]


def test_meshes_are_sampled_from_a_converted_checkpoint(tmp_path):
    folder = converted(tmp_path, random_checkpoint(), TOLD)
    config = SampleConfig(count=1, texture_resolution=16, faces=100, view_resolution=16)
    result = sample_meshes(folder, tmp_path / "meshes", config, device="cpu")
    assert result.meshes[0].faces > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0},
        {"scale": math.nan},
        {"scale": math.inf},
        {"resolution": 1},
        {"deformation_multiplier": -1.0},
        {"clamp": 0.0},
        {"picture_resolution": 4},
        {"elevation": (30.0, 10.0)},
        {"elevation": (0.0, 90.0)},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong)).replace("_", ".")) as caught:
        PublishedConfig(**wrong)
    assert caught.value.fix
