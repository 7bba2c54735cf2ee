"""The losses of the PyTorch side; what Gestalt fuses is written out here."""
import torch
import torch.nn.functional as F


def nt_xent(z, temperature=0.5):
    z = F.normalize(z.float(), dim=1)
    count = z.shape[0]
    similarity = z @ z.t() / temperature
    similarity.fill_diagonal_(-1e9)
    return F.cross_entropy(similarity, torch.arange(count, device=z.device).roll(count // 2))


def cosine_loss(p, z):
    return (2 - 2 * (F.normalize(p.float(), dim=1) * F.normalize(z.float(), dim=1)).sum(1)).mean()


def masked_loss(predictions, images, mask, patch):
    """MAE's forward_loss: images (B, 3, H, W), mask (B, patches) with 1 where a patch was hidden."""
    batch, channels, height, width = images.shape
    target = images.view(batch, channels, height // patch, patch, width // patch, patch)
    target = target.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)
    target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    return (((predictions.float() - target) ** 2).mean(-1) * mask).sum() / mask.sum()


def vicreg(first, second):
    """The views agree; each column deviates by 1 in a batch, and columns do not vary together. Weights 25, 25, 1."""
    count, width = first.shape
    invariance, variance, covariance = F.mse_loss(first.float(), second.float()), 0, 0
    for z in (first.float(), second.float()):
        z = z - z.mean(0)
        variance = variance + F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() / 2
        products = (z.t() @ z / (count - 1)).square()
        covariance = covariance + (products.sum() - products.diagonal().sum()) / width
    return 25 * invariance + 25 * variance + covariance
