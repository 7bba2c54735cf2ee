#!/usr/bin/env python3
"""One DCGAN step in PyTorch (f64), both networks' losses from the same parameters. Writes gan_step.json.

The discriminator's loss is softplus(−D(x)) + softplus(D(G(z))), means, real and fake images in forward passes of their
own; the generator's, without an update between, is softplus(−D(G(z))). x is 2·hash_uniform of the recorded name, z the noise of samples 0 to 3 at the recorded step.

A ReLU whose input is within f32's rounding of 0 may fall on either side, and then gradients differ by more than
rounding. So the inputs are, of many candidates, those whose nearest input of a ReLU to 0 is the farthest away.

usage: gan_step.py > gan_step.json     (needs torch)
"""
import math

import torch
import torch.nn.functional as F

from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend, statistics
from philox import draw

torch.set_default_dtype(torch.float64)
BATCH, SIZE, LATENT, WIDTH, STAGES, CANDIDATES, SEED = 4, 32, 16, 8, 3, 300, 5


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


def noise(step, sample):
    """Pairs of normal numbers (Box and Muller 1958)."""
    for pair in range(LATENT // 2):
        words = draw(SEED, "noise", step, sample, pair)
        length = math.sqrt(-2 * math.log(((words[0] >> 8) + 0.5) / 2**24))
        angle = 2 * math.pi * (words[1] >> 8) / 2**24
        yield from (length * math.cos(angle), length * math.sin(angle))


def inputs(candidate):
    images = 2 * hash_uniform(f"images {candidate}", BATCH * SIZE * SIZE * 3).reshape(BATCH, SIZE, SIZE, 3)
    z = torch.tensor([list(noise(candidate, sample)) for sample in range(BATCH)])
    return torch.from_numpy(images).float().double().permute(0, 3, 1, 2), z


def logits(k):
    """sin(k + 1.7 i + 0.31 i²), four of them."""
    i = torch.arange(4.0)
    return torch.sin(k + 1.7 * i + 0.31 * i * i)


model = Gan().train()
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))

start = {name: value.clone() for name, value in model.state_dict().items()}
margin = []
for network in (model.generator, model.discriminator):
    network.activation.register_forward_pre_hook(lambda m, x: margin.append(x[0].abs().min().item()))
best = (0, 0)
with torch.no_grad():
    for candidate in range(CANDIDATES):
        margin.clear()
        model.losses(*inputs(candidate))
        best = max(best, (min(margin), candidate))

record = {
    "torch": torch.__version__,
    "fields": "\n".join(["data = shapes:64", f"batch = {BATCH}", f"size = {SIZE}", f"width = {WIDTH}",
                         f"generator-width = {WIDTH}", f"latent = {LATENT}", f"seed = {SEED}"]),
    "step": best[1],
    "views": [{"name": f"images {best[1]}", "scale": 2, "shift": 0}],
    "margin": best[0],
}
for part, loss in zip(("discriminator", "generator"), model.losses(*inputs(best[1]))):
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if n.startswith(part)))
    gradients = torch.autograd.grad(loss, parameters)
    record[part] = {"loss": loss.item(), "gradients": {n: summary(n, g.numpy()) for n, g in zip(names, gradients)}}
model.load_state_dict(start)  # the running statistics moved
images = inputs(best[1])[0]


fake = None


def discriminator_turn(step):
    global fake
    fake = model.generator(inputs(step)[1])
    return {"discriminator": discriminator_loss(model.discriminator(images), model.discriminator(fake.detach()))}


def generator_turn(step):
    """From the images that the discriminator has learned from just now."""
    return {"generator": generator_loss(model.discriminator(fake))}


record["trajectory"] = descend(
    0.02, [(model.discriminator.parameters(), discriminator_turn), (model.generator.parameters(), generator_turn)],
    states=lambda: statistics(model), first=best[1])
record["losses_of_logits"] = [discriminator_loss(logits(0.3), logits(1.1)).item(), generator_loss(logits(1.1)).item()]
print(json_text(record))
