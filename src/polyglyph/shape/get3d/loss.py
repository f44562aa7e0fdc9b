"""The adversarial losses of GET3D (equation 4 and 5, with lazy R1 of Karras et al. 2020).

Legend: B batch, H W picture.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["discriminator_loss", "generator_loss", "r1_penalty"]


def generator_loss(*logits: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """Non-saturating: mean of -log sigmoid(D(fake)), summed over discriminators."""
    return torch.stack([F.softplus(-logit).mean() for logit in logits]).sum()


def discriminator_loss(fake: Float[Tensor, " B"], real: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """Mean of -log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def r1_penalty(network: nn.Module, pictures: Float[Tensor, "B I H W"], angles: Tensor) -> Float[Tensor, ""]:
    """Half the mean squared norm of the discriminator's gradient on real pictures (Mescheder et al. 2018)."""
    pictures = pictures.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network(pictures, angles).sum(), pictures, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
