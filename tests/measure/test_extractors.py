"""What a distance may be called, what a result records, and the arithmetic against independent formulas."""

import hashlib
import json

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.extractors import EXTRACTORS, LoadedExtractor, load_extractor
from polyglyph.measure.frechet import frechet_distance
from polyglyph.measure.kernel_distance import squared_discrepancy
from polyglyph.measure.pictures import Extractor, features
from polyglyph.vision import inception
from polyglyph.vision.inception import InceptionV3
from polyglyph.vision.mobilenet import find_weights


@pytest.fixture(scope="module")
def mobilenet() -> LoadedExtractor:
    return load_extractor()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights in FID's layout."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "mine.pth"
    torch.save(InceptionV3().state_dict(), path)
    return path


def test_mobilenets_distance_never_borrows_the_published_name(mobilenet):
    assert mobilenet.frechet_name == "FD-mobilenet_v2"
    assert mobilenet.kernel_name == "KD-mobilenet_v2"
    assert not mobilenet.is_published


def test_a_protocol_records_the_weights_and_how_pictures_were_seen(mobilenet):
    assert json.loads(json.dumps(mobilenet.protocol)) == {
        "extractor": "mobilenet_v2",
        "weights_sha256": hashlib.sha256(find_weights().read_bytes()).hexdigest(),
        "dimensions": 1280,
        "side": 224,
        "resize": "antialiased bilinear",
        "bits": None,
    }


def test_the_protocol_is_what_the_network_does(mobilenet):
    """Larger pictures than 224: antialiasing changes nothing when a picture grows."""
    assert isinstance(mobilenet, Extractor)
    pictures = torch.rand(2, 3, 400, 400, generator=torch.Generator().manual_seed(0))
    resized = torch.nn.functional.interpolate(pictures, size=(224, 224), mode="bilinear", antialias=True)
    found = features(mobilenet, [pictures], label="test")
    assert found.shape == (2, mobilenet.kind.dimensions)
    with torch.no_grad():
        expected = mobilenet.network.pooled(resized)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_only_the_weights_of_2015_are_called_fid(weights, monkeypatch):
    mine = load_extractor("inception_v3", weights)
    assert (mine.frechet_name, mine.kernel_name) == ("FD-inception_v3", "KD-inception_v3")
    assert mine.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert mine.protocol["pooling"] == "fid"
    assert mine.protocol["bits"] == 8
    assert mine.protocol["side"] == 299
    # As if these were the published bytes, which no test can carry.
    monkeypatch.setattr(inception, "FID_SHA256", mine.weights_sha256)
    assert (mine.frechet_name, mine.kernel_name) == ("FID", "KID")


def test_the_digest_of_fid_is_the_one_its_file_names_carry():
    assert len(inception.FID_SHA256) == 64
    assert inception.FID_SHA256.startswith(inception.KNOWN[0])
    named = LoadedExtractor(
        name="mobilenet_v2",
        kind=EXTRACTORS["mobilenet_v2"],
        network=load_extractor().network,
        weights_sha256=inception.FID_SHA256,
    )
    assert named.frechet_name == "FD-mobilenet_v2"


def test_an_unknown_name_and_missing_weights_are_refused_with_a_fix(tmp_path):
    with pytest.raises(ConfigError, match="no extractor `inception`") as caught:
        load_extractor("inception")
    assert "`inception_v3`" in caught.value.fix
    with pytest.raises(ConfigError, match="no extractor `zzz`") as far:
        load_extractor("zzz")
    assert "`mobilenet_v2`" in far.value.fix
    with pytest.raises(DataError, match="none is installed") as missing:
        load_extractor("inception_v3")
    assert "pytorch-fid" in missing.value.fix
    for name in EXTRACTORS:
        with pytest.raises(DataError, match="no file"):
            load_extractor(name, tmp_path / "none.pth")


def test_both_distances_of_the_same_features_equal_independent_formulas(mobilenet):
    """scipy's matrix root and a plain double loop, on real features."""
    rng = torch.Generator().manual_seed(1)
    noise = [torch.rand(8, 3, 32, 32, generator=rng) * scale for scale in (1, 0.6)]
    a, b = (features(mobilenet, [batch], label="test")[:, ::40].astype(np.float64) for batch in noise)
    assert a.shape == (8, 32)
    ridge = 1e-3 * np.random.default_rng(0).normal(size=(60, 32))
    wide_a, wide_b = (np.concatenate([x, x.mean(axis=0) + ridge]) for x in (a, b))
    root = sqrtm(np.cov(wide_a, rowvar=False) @ np.cov(wide_b, rowvar=False)).real
    shift = ((wide_a.mean(axis=0) - wide_b.mean(axis=0)) ** 2).sum()
    expected = shift + np.trace(np.cov(wide_a, rowvar=False) + np.cov(wide_b, rowvar=False) - 2 * root)
    assert frechet_distance(wide_a, wide_b) == pytest.approx(expected, rel=1e-4)

    def kernel(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    pairs = [(i, j) for i in range(8) for j in range(8)]
    within = sum(kernel(x[i], x[j]) for x in (a, b) for i, j in pairs if i != j) / 56
    across = sum(kernel(a[i], b[j]) for i, j in pairs) / 64
    assert squared_discrepancy(a, b) == pytest.approx(within - 2 * across, rel=1e-9)
