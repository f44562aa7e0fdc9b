"""MobileNet-V2: size, names, preprocessing, and the real weights."""

import pytest
import torch

from polyglyph.base.errors import DataError, FormatError
from polyglyph.vision.mobilenet import MobileNetV2, load_mobilenet_v2

PINNED = [0.04213, 0.04217, 0.44239, 0.04172, 0.01126, 0.0, 0.00253, 0.60572]
"""Every 160th feature of a colour ramp, made by this code; its names, sizes and hash are torchvision's."""


def test_it_has_the_published_number_of_parameters_and_torchvisions_names():
    with torch.device("meta"):
        model = MobileNetV2()
    assert sum(p.numel() for p in model.parameters()) == 3_504_872
    names = model.state_dict().keys()
    assert {
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.18.1.running_var",
        "classifier.1.bias",
    } <= names
    assert len(names) == 314


def test_features_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    model = MobileNetV2().eval()
    pictures = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together = model.pooled(pictures)
        alone = torch.cat([model.pooled(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.shape == (3, 1280)


def test_a_wrong_or_missing_file_is_refused_with_a_fix(tmp_path):
    with pytest.raises(DataError, match="no file"):
        load_mobilenet_v2(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"not weights")
    with pytest.raises(FormatError, match="SHA-256"):
        load_mobilenet_v2(tmp_path / "other.pth")


def test_the_real_weights_give_the_features_they_gave():
    """Needs the installed weights; `make setup` installs them. Pins strides, order and normalisation."""
    model = load_mobilenet_v2()
    ramp = torch.linspace(0, 1, 64)
    down, right = ramp[:, None].expand(64, 64), ramp[None].expand(64, 64)
    features = model.features_of(torch.stack((down, right, ramp.flip(0)[:, None] * ramp))[None])[0]
    torch.testing.assert_close(features[::160], torch.tensor(PINNED), rtol=1e-3, atol=1e-4)
