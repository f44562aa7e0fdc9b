"""Inception-v3: published sizes, both files' layouts, TensorFlow 1's resizing, and recorded features.

The recorded numbers were made by other people's networks (torch-fidelity 0.4.0 for FID's graph, torchvision
0.29.2 for its own) from the weights that `synthetic` draws; ours equalled them bit for bit.
"""

import numpy as np
import pytest
import torch

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.safetensors import write_tensors
from polyglyph.vision import inception
from polyglyph.vision.inception import InceptionV3, load_inception, resize_bilinear_tf1

SHAPES = {  # of tables 1 of the paper and of torchvision's source: channels, height, width
    "Conv2d_1a_3x3": (32, 149, 149),
    "Conv2d_2a_3x3": (32, 147, 147),
    "Conv2d_2b_3x3": (64, 147, 147),
    "Conv2d_3b_1x1": (80, 73, 73),
    "Conv2d_4a_3x3": (192, 71, 71),
    "Mixed_5b": (256, 35, 35),
    "Mixed_5c": (288, 35, 35),
    "Mixed_5d": (288, 35, 35),
    "Mixed_6a": (768, 17, 17),
    "Mixed_6b": (768, 17, 17),
    "Mixed_6c": (768, 17, 17),
    "Mixed_6d": (768, 17, 17),
    "Mixed_6e": (768, 17, 17),
    "Mixed_7a": (1280, 8, 8),
    "Mixed_7b": (2048, 8, 8),
    "Mixed_7c": (2048, 8, 8),
}

RECORDED = {  # mean of the 2048 features of `picture()`, and every 256th of them
    1008: (
        1.8868498,
        [0.0756951, 0.0425447, 7.4620762, 4.6930661, 0.1290800, 0.9098191, 0.0081062, 0.4441326],
    ),
    1000: (
        1.7454056,
        [0.1040220, 0.0281324, 7.6041212, 4.7585924, 0.1482654, 0.9379001, 0.0142353, 0.4683091],
    ),
}


def synthetic(classes: int) -> dict[str, np.ndarray]:
    """Weights by name, drawn in alphabetical order, of a size that keeps activations alive."""
    rng = np.random.default_rng(0)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in InceptionV3(classes).state_dict().items()}
    found = {}
    for name in sorted(name for name in shapes if not name.endswith("num_batches_tracked")):
        draw = rng.random(shapes[name], dtype=np.float32)
        if name.endswith("running_var"):
            found[name] = 0.5 + draw
        elif name.endswith("bn.weight"):
            found[name] = 0.8 + 0.4 * draw
        elif draw.ndim < 2:
            found[name] = 0.4 * draw - 0.2
        else:
            found[name] = (2 * draw - 1) * np.float32((6 / np.prod(shapes[name][1:])) ** 0.5)
    return found


def picture() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).random((1, 3, 96, 80), dtype=np.float32))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """FID's layout as .safetensors, torchvision's with its auxiliary classifier and counters as .pth."""
    folder = tmp_path_factory.mktemp("inception")
    write_tensors(folder / "fid.safetensors", synthetic(1008))
    theirs = {name: torch.from_numpy(array) for name, array in synthetic(1000).items()}
    theirs["AuxLogits.conv0.conv.weight"] = torch.zeros(128, 768, 1, 1)
    theirs["AuxLogits.fc.bias"] = torch.zeros(1000)
    theirs["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(theirs, folder / "theirs.pth")
    return {1008: folder / "fid.safetensors", 1000: folder / "theirs.pth"}


@pytest.fixture(scope="module")
def networks(files):
    return {classes: load_inception(path) for classes, path in files.items()}


def test_it_has_the_published_number_of_parameters_and_torchvisions_names():
    with torch.device("meta"):
        model = InceptionV3(1000)
    assert sum(p.numel() for p in model.parameters()) == 27_161_264 - 3_326_696  # whole, without auxiliary
    assert len(model.state_dict()) == 566
    assert {
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_5b.branch5x5_2.bn.running_var",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.bn.bias",
        "Mixed_7c.branch3x3dbl_3b.conv.weight",
        "fc.weight",
    } <= model.state_dict().keys()


def test_layers_have_the_published_shapes(networks):
    seen = {}
    hooks = [
        child.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[1:])}))
        for name, child in networks[1008].named_children()
    ]
    with torch.no_grad():
        assert networks[1008](torch.zeros(1, 3, 299, 299)).shape == (1, 1008)
    for hook in hooks:
        hook.remove()
    assert list(seen) == [*SHAPES, "fc"]
    assert {name: seen[name] for name in SHAPES} == SHAPES


@pytest.mark.parametrize("classes", [1008, 1000])
def test_features_equal_those_of_the_independent_network(classes, networks):
    mean, every_256th = RECORDED[classes]
    found = networks[classes].features_of(picture())
    assert found.shape == (1, 2048)
    assert float(found.mean()) == pytest.approx(mean, abs=1e-4)
    torch.testing.assert_close(found[0, ::256], torch.tensor(every_256th), rtol=1e-4, atol=1e-4)


def test_the_layout_decides_the_pools_and_a_digest_is_kept(networks, files):
    assert networks[1008].pooling == "fid"
    assert networks[1000].pooling == "torchvision"
    assert len(networks[1008].weights_sha256) == 64
    assert networks[1008].weights_sha256 != networks[1000].weights_sha256
    assert not networks[1000].training
    assert not any(p.requires_grad for p in networks[1000].parameters())
    assert networks[1000].fc.bias.tolist() == synthetic(1000)["fc.bias"].tolist()
    assert int(networks[1000].Conv2d_1a_3x3.bn.num_batches_tracked) == 0


def test_the_two_graphs_differ_only_at_borders_and_in_the_last_block():
    x = torch.rand(1, 4, 5, 6)
    pools = {p: inception.Mixed(4, [[inception.Pool.AVERAGE]], p)(x) for p in ("fid", "torchvision")}
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(pools["fid"][inner], pools["torchvision"][inner])
    torch.testing.assert_close(pools["fid"][..., 0, 0], x[..., :2, :2].mean(dim=(2, 3)))
    torch.testing.assert_close(pools["torchvision"][..., 0, 0], x[..., :2, :2].sum(dim=(2, 3)) / 9)
    last = {p: inception.Mixed(4, [[inception.Pool.LAST]], p)(x) for p in ("fid", "torchvision")}
    torch.testing.assert_close(last["fid"][..., 1, 1], x[..., :3, :3].amax(dim=(2, 3)))
    torch.testing.assert_close(last["torchvision"], pools["torchvision"])


def test_pictures_are_rounded_to_8_bits_unless_told_otherwise(networks):
    levels = torch.randint(0, 256, (1, 3, 80, 80), generator=torch.Generator().manual_seed(0))
    exact, between = levels / 255, (levels + 0.3) / 255
    features_of = networks[1008].features_of
    expected = features_of(exact)
    torch.testing.assert_close(features_of(between), expected, rtol=0, atol=0)
    torch.testing.assert_close(features_of(exact, quantise=False), expected, rtol=1e-3, atol=1e-3)
    assert (features_of(between, quantise=False) - expected).abs().max() > 1e-2


def resize_by_definition(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W] to [height, width], one pixel at a time."""
    old_height, old_width = picture.shape
    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y, x = i * old_height / height, j * old_width / width
            top, left = int(y), int(x)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            v, u = y - top, x - left
            out[i, j] = (1 - v) * ((1 - u) * picture[top, left] + u * picture[top, right]) + v * (
                (1 - u) * picture[bottom, left] + u * picture[bottom, right]
            )
    return out


@pytest.mark.parametrize("size", [(7, 5), (14, 10), (3, 3), (20, 4), (1, 1), (23, 31)])
def test_resizing_equals_the_definition(size):
    picture = np.random.default_rng(1).random((7, 5)) * 255
    found = resize_bilinear_tf1(torch.from_numpy(picture).float()[None, None], *size)[0, 0]
    np.testing.assert_allclose(found, resize_by_definition(picture, *size), atol=2e-3)


def test_resizing_has_no_half_pixel_shift_and_repeats_the_last_pixel():
    row = torch.tensor([0.0, 10, 20]).view(1, 1, 1, 3)
    assert resize_bilinear_tf1(row, 1, 6).flatten().tolist() == [0, 5, 10, 15, 20, 20]
    assert resize_bilinear_tf1(row.repeat(1, 1, 2, 1), 2, 3).flatten().tolist() == [0, 10, 20] * 2


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(DataError, match="no file") as caught:
        load_inception(tmp_path / "none.pth")
    assert "pytorch-fid" in caught.value.fix


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path):
    """Tensors are looked at in the order of the network, names before shapes: the rest may be tiny."""
    with torch.device("meta"):
        names = [name for name in InceptionV3().state_dict() if not name.endswith("num_batches_tracked")]
    conv, norm = "Conv2d_1a_3x3.conv.weight", "Conv2d_1a_3x3.bn.weight"
    tiny = {name: np.zeros(1, np.float32) for name in names}
    tiny |= {"fc.bias": np.zeros(1008, np.float32), conv: np.zeros((32, 3, 3, 3), np.float32)}
    cases = {
        r"lacks .*`Mixed_5b\.branch1x1\.conv\.weight`$": {
            k: v for k, v in tiny.items() if k != "Mixed_5b.branch1x1.conv.weight"
        },
        r"lacks .*`Conv2d_1a_3x3\.bn\.bias`.* and 468 more": {"fc.bias": tiny["fc.bias"]},
        r"has tensors .*`extra`$": tiny | {"extra": tiny[norm]},
        r"`Conv2d_1a_3x3\.conv\.weight` has shape \[3, 3, 32, 3\], not \[32, 3, 3, 3\]": tiny
        | {conv: tiny[conv].transpose(2, 1, 0, 3)},
        r"`Conv2d_1a_3x3\.bn\.weight` is not of finite floats": tiny
        | {norm: np.array([np.nan] + [1] * 31, np.float32)},
        r"`Conv2d_1a_3x3\.conv\.weight` is not of finite floats": tiny | {conv: tiny[conv].astype(np.int64)},
    }
    for words, tensors in cases.items():
        write_tensors(tmp_path / "a.safetensors", tensors)
        with pytest.raises(FormatError, match=words) as caught:
            load_inception(tmp_path / "a.safetensors")
        assert caught.value.fix


@pytest.mark.parametrize("digits", ["6726825d", "0cc3c7bd", "1a9a5a14"])
def test_a_published_name_with_other_bytes_is_refused(digits, tmp_path):
    path = tmp_path / f"weights-inception-2015-12-05-{digits}.pth"
    path.write_bytes(b"cut short")
    with pytest.raises(FormatError, match=f"its name says {digits}"):
        load_inception(path)


def test_half_precision_weights_are_read_as_float32(tmp_path):
    whole = synthetic(1008)
    write_tensors(tmp_path / "half.safetensors", {k: v.astype(np.float16) for k, v in whole.items()})
    model = load_inception(tmp_path / "half.safetensors")
    assert model.fc.weight.dtype == torch.float32
    np.testing.assert_allclose(model.fc.weight, whole["fc.weight"], atol=1e-3)


def test_it_equals_torchvisions_own_network(networks):
    """Needs torchvision; the recorded numbers above need nothing."""
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=False).eval()
    state = {name: torch.from_numpy(array) for name, array in synthetic(1000).items()}
    theirs.load_state_dict(state, strict=False)
    levels = resize_bilinear_tf1(picture() * 255, 299, 299)
    with torch.no_grad():
        torch.testing.assert_close(networks[1000](levels), theirs((levels - 128) / 128))
