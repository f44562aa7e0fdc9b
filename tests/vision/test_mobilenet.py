"""MobileNet-V2: size, names, preprocessing, and the real weights."""

import numpy as np
import pytest
import torch

from polyglyph.base.errors import DataError, FormatError
from polyglyph.vision.mobilenet import MobileNetV2, load_mobilenet_v2


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


def test_the_real_weights_tell_a_gradient_sky_from_noise():
    """Needs the installed weights; `make setup` installs them."""
    model = load_mobilenet_v2()
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.random((4, 3, 96, 96), dtype=np.float32))
    smooth = torch.linspace(0.2, 0.9, 96).view(1, 1, 96, 1).expand(4, 3, 96, 96) * torch.rand(4, 3, 1, 1)
    features = model.features_of(torch.cat((noise, smooth)))
    within = (features[0] - features[1]).norm()
    across = (features[0] - features[5]).norm()
    assert across > 2 * within
    assert float(features.abs().mean()) == pytest.approx(0.4, abs=0.4)
