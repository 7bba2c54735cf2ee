#!/usr/bin/env python3
"""One DCGAN step in PyTorch (f64), both networks' losses from the same parameters. Writes gan_step.json.

The discriminator's loss is softplus(−D(x)) + softplus(D(G(z))), means, real and fake images in forward passes of their
own; the generator's, without an update between, is softplus(−D(G(z))). x and z are 2·hash_uniform of the recorded names.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding. So the inputs are, of many candidates, those whose nearest input of a ReLU to 0 is the farthest away.

usage: gan_step.py > gan_step.json     (needs torch)
"""
import torch
import torch.nn.functional as F

from formula import hash_uniform, json_text, parameter, summary

torch.set_default_dtype(torch.float64)
BATCH, SIZE, LATENT, WIDTH, STAGES, CANDIDATES = 4, 32, 16, 8, 3, 300


class Network(torch.nn.Module):
    """Convolutions, batch norm after all but the last and, in a discriminator, the first."""

    def __init__(self, convs, channels, activation):
        super().__init__()
        self.convs = torch.nn.ModuleList(convs)
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(c) for c in channels])
        self.activation = activation


class Generator(Network):
    def __init__(self):
        widths = [WIDTH << i for i in reversed(range(STAGES))]
        layer = torch.nn.ConvTranspose2d
        convs = [layer(LATENT, widths[0], 4, bias=False)]
        convs += [layer(i, o, 4, 2, 1, bias=False) for i, o in zip(widths, widths[1:] + [3])]
        super().__init__(convs, widths, torch.nn.ReLU())

    def forward(self, z):
        x = self.convs[0](z[:, :, None, None])
        for norm, conv in zip(self.norms, self.convs[1:]):
            x = conv(self.activation(norm(x)))
        return torch.tanh(x)


class Discriminator(Network):
    def __init__(self):
        widths = [WIDTH << i for i in range(STAGES)]
        layer = torch.nn.Conv2d
        convs = [layer(i, o, 4, 2, 1, bias=False) for i, o in zip([3] + widths, widths)]
        convs += [layer(widths[-1], 1, 4, bias=False)]
        super().__init__(convs, widths[1:], torch.nn.LeakyReLU(0.2))

    def forward(self, x):
        x = self.activation(self.convs[0](x))
        for norm, conv in zip(self.norms, self.convs[1:]):
            x = self.activation(norm(conv(x)))
        return self.convs[-1](x).flatten()


class Gan(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = Generator(), Discriminator()

    def losses(self, x, z):
        fake = self.generator(z)
        return (discriminator_loss(self.discriminator(x), self.discriminator(fake.detach())),
                generator_loss(self.discriminator(fake)))


def discriminator_loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake):
    return F.softplus(-fake).mean()


def inputs(candidate):
    def numbers(name, *shape):
        u = 2 * hash_uniform(name, torch.Size(shape).numel()).reshape(shape)
        return torch.from_numpy(u).float().double()

    return (numbers(f"images {candidate}", BATCH, SIZE, SIZE, 3).permute(0, 3, 1, 2),
            numbers(f"z {candidate}", BATCH, LATENT))


def logits(k):
    """sin(k + 1.7 i + 0.31 i²), four of them."""
    i = torch.arange(4.0)
    return torch.sin(k + 1.7 * i + 0.31 * i * i)


model = Gan().train()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))

margin = []
for network in (model.generator, model.discriminator):
    network.activation.register_forward_pre_hook(lambda m, x: margin.append(x[0].abs().min().item()))
best = (0, 0)
with torch.no_grad():
    for candidate in range(CANDIDATES):
        margin.clear()
        model.losses(*inputs(candidate))
        best = max(best, (min(margin), candidate))

record = {"torch": torch.__version__, "images": f"images {best[1]}", "z": f"z {best[1]}", "margin": best[0]}
for part, loss in zip(("discriminator", "generator"), model.losses(*inputs(best[1]))):
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if n.startswith(part)))
    gradients = torch.autograd.grad(loss, parameters)
    record[part] = {"loss": loss.item(), "gradients": {n: summary(n, g.numpy()) for n, g in zip(names, gradients)}}
record["losses_of_logits"] = [discriminator_loss(logits(0.3), logits(1.1)).item(), generator_loss(logits(1.1)).item()]
print(json_text(record))
