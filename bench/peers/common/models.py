"""The networks of the PyTorch side, as a PyTorch user would write them."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .losses import masked_loss


class BasicBlock(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.downsample = nn.Identity()
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def resnet18_cifar():
    """ResNet-18 with a 3x3 stem and no max-pool: (N, 3, S, S) -> (N, 512)."""
    layers, inside = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outside, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [BasicBlock(inside, outside, stride), BasicBlock(outside, outside, 1)]
        inside = outside
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def mlp(inside, hidden, outside):
    return nn.Sequential(
        nn.Linear(inside, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outside))


def plain_mlp(inside, hidden, outside):
    """MoCo's: no batch norm."""
    return nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(), nn.Linear(hidden, outside))


def expander(inside, hidden, outside):
    """VICReg's: three layers, the last without a bias."""
    return nn.Sequential(
        nn.Linear(inside, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, outside, bias=False))


class TransformerBlock(nn.Module):
    """Pre-norm; attention by scaled_dot_product_attention."""

    def __init__(self, width, heads, causal, gelu, eps):
        super().__init__()
        self.heads, self.causal, self.gelu = heads, causal, gelu
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate=self.gelu))


class MaskedAutoencoder(nn.Module):
    """ViT-Ti encoder, decoder 128 x 4 x 4, fixed positions, loss on normalised masked patches (He et al. 2022)."""

    def __init__(self, size, patch=4, width=192, depth=12, heads=3, decoder=(128, 4, 4), ratio=0.75):
        super().__init__()
        self.patch, self.count = patch, (size // patch) ** 2
        self.kept = int(self.count * (1 - ratio))
        narrow, decoder_depth, decoder_heads = decoder
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.mask_token = nn.Parameter(torch.randn(1, 1, narrow) * 0.02)
        self.register_buffer("positions", torch.randn(1, self.count + 1, width) * 0.02)
        self.register_buffer("decoder_positions", torch.randn(1, self.count + 1, narrow) * 0.02)
        self.encoder = nn.Sequential(*[TransformerBlock(width, heads, False, "none", 1e-6) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-6)
        self.decoder_embed = nn.Linear(width, narrow)
        self.decoder = nn.Sequential(
            *[TransformerBlock(narrow, decoder_heads, False, "none", 1e-6) for _ in range(decoder_depth)])
        self.decoder_norm = nn.LayerNorm(narrow, 1e-6)
        self.predict = nn.Linear(narrow, patch * patch * 3)

    def forward(self, images):
        batch = images.shape[0]
        x = self.embed(images).flatten(2).transpose(1, 2) + self.positions[:, 1:]
        order = torch.rand(batch, self.count, device=x.device).argsort(1)
        restore, keep = order.argsort(1), order[:, : self.kept]
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
        cls = (self.cls_token + self.positions[:, :1]).expand(batch, -1, -1)
        x = self.decoder_embed(self.norm(self.encoder(torch.cat([cls.to(x.dtype), x], 1))))
        masked = self.mask_token.to(x.dtype).expand(batch, self.count - self.kept, -1)
        y = torch.cat([x[:, 1:], masked], 1)
        y = y.gather(1, restore[..., None].expand(-1, -1, y.shape[-1]))
        y = self.decoder(torch.cat([x[:, :1], y], 1) + self.decoder_positions)
        mask = torch.ones(batch, self.count, device=x.device).scatter(1, keep, 0.0)
        return masked_loss(self.predict(self.decoder_norm(y[:, 1:])), images, mask, self.patch)


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, depth, heads):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads, True, "tanh", 1e-5) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-5)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        logits = F.linear(self.norm(self.blocks(x)), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))
