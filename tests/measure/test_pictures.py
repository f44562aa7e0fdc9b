"""Where the pictures of a comparison come from: counts, range, background, seeds."""

import torch
from shape.get3d.tiny import CONFIG, discs

from polyglyph.measure.pictures import dataset_pictures, features, sample_pictures
from polyglyph.shape.get3d.generator import make_generator


def all_of(batches) -> torch.Tensor:
    return torch.cat(list(batches))


def test_dataset_pictures_are_different_renders_on_white():
    data = discs()
    pictures = all_of(dataset_pictures(data, ["train"], 10, seed=0, batch=4))
    assert pictures.shape == (10, 3, 16, 16)
    assert (pictures[:, :, 0, 0] == 1).all()
    assert len(pictures.flatten(1).unique(dim=0)) > 4
    assert len(all_of(dataset_pictures(data, ["val", "test"], 1000, seed=0))) == 8
    torch.testing.assert_close(pictures, all_of(dataset_pictures(data, ["train"], 10, seed=0, batch=3)))


def test_sample_pictures_follow_their_seed():
    torch.manual_seed(0)
    generator = make_generator(CONFIG.generator, CONFIG.isosurface).eval()
    data = discs()
    pictures = all_of(sample_pictures(generator, data, 5, seed=1, batch=5))
    assert pictures.shape == (5, 3, 16, 16)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.std() > 0.01
    torch.testing.assert_close(pictures, all_of(sample_pictures(generator, data, 5, seed=1, batch=5)))
    assert not torch.equal(pictures, all_of(sample_pictures(generator, data, 5, seed=2, batch=5)))


def test_features_are_those_of_all_pictures_in_order():
    class Mean:
        def features_of(self, pictures: torch.Tensor) -> torch.Tensor:
            return pictures.mean(dim=(2, 3))

    data = discs()
    found = features(Mean(), dataset_pictures(data, ["train"], 7, seed=0, batch=2), label="test")
    expected = all_of(dataset_pictures(data, ["train"], 7, seed=0)).mean(dim=(2, 3))
    torch.testing.assert_close(torch.from_numpy(found), expected)
