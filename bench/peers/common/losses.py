"""The losses of the PyTorch side; what Gestalt fuses is written out here."""
import torch
import torch.nn.functional as F


def nt_xent(z, temperature=0.5):
    z = F.normalize(z.float(), dim=1)
    count = z.shape[0]
    similarity = z @ z.t() / temperature
    similarity.fill_diagonal_(-1e9)
    return F.cross_entropy(similarity, torch.arange(count, device=z.device).roll(count // 2))


def hard_negatives(z, temperature=0.5, beta=1.0, tau_plus=0.1):
    """Robinson et al. 2021: negatives weigh by e^(β s), less the share that is taken for positives."""
    z = F.normalize(z.float(), dim=1)
    rows = z.shape[0]
    pair = torch.arange(rows, device=z.device).roll(rows // 2)
    similarity = z @ z.t()
    positive = (similarity.gather(1, pair[:, None])[:, 0] / temperature).exp()
    others = torch.ones_like(similarity, dtype=torch.bool).fill_diagonal_(False).scatter_(1, pair[:, None], False)
    negatives = (similarity / temperature).exp() * others
    weights = negatives**beta * others
    count = rows - 2
    hard = count * (weights * negatives).sum(1) / weights.sum(1)
    hard = (hard - tau_plus * count * positive) / (1 - tau_plus)
    hard = hard.clamp(min=count * torch.exp(torch.tensor(-1 / temperature)).item())
    return -(positive / (positive + hard)).log().mean()


def moco(q, k, queue, temperature):
    """k (B, D) and queue (D, K) have unit length and no gradient."""
    q = F.normalize(q.float(), dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(q.shape[0], dtype=torch.long, device=q.device))


def dino(student, teacher, centre, temperature=0.1, teacher_temperature=0.04):
    """Both (2B, K): each view of the student against the teacher's other one."""
    s = F.log_softmax(student.float() / temperature, dim=1)
    t = F.softmax((teacher.float() - centre) / teacher_temperature, dim=1)
    return -(t * s.roll(s.shape[0] // 2, 0)).sum(1).mean()


def barlow(first, second, weight=0.005):
    count = first.shape[0]
    a, b = ((z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (first.float(), second.float()))
    c = a.t() @ b / count
    off = c.square().sum() - c.diagonal().square().sum()
    return (c.diagonal() - 1).square().sum() + weight * off


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


@torch.no_grad()
def sinkhorn(scores, epsilon=0.05, rounds=3):
    """Caron et al. 2020: rows that share the columns evenly."""
    q = torch.exp((scores.float() - scores.max()) / epsilon).t()
    q /= q.sum()
    for _ in range(rounds):
        q /= q.sum(1, keepdim=True) * q.shape[0]
        q /= q.sum(0, keepdim=True) * q.shape[1]
    return (q * q.shape[1]).t()


def swav(scores, temperature=0.1):
    """Two views of a batch: each predicts what the other is assigned to."""
    first, second = scores.chunk(2)
    log_p = F.log_softmax(scores.float() / temperature, dim=1).chunk(2)
    return -((sinkhorn(first) * log_p[1]).sum(1).mean() + (sinkhorn(second) * log_p[0]).sum(1).mean()) / 2


def sigreg(z, views=2, slices=1024, nodes=17):
    """Balestriero and LeCun 2025, algorithm 1: the statistic of Epps and Pulley along random directions."""
    directions = torch.randn(z.shape[1], slices, device=z.device)
    p = z.float() @ (directions / directions.norm(dim=0))
    t = torch.linspace(0, 3, nodes, device=z.device)
    step = 3 / (nodes - 1)
    weights = torch.full_like(t, 2 * step)
    weights[0] = weights[-1] = step
    normal = torch.exp(-t.square() / 2)
    rows = z.shape[0] // views
    angles = p.view(views, rows, slices, 1) * t
    error = (angles.cos().mean(1) - normal).square() + angles.sin().mean(1).square()
    return (rows * (error * (weights * normal)).sum(-1)).mean()
