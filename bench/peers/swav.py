"""A training step of SwAV: ResNet-18 with the CIFAR stem, two views of a batch, two queues (Caron et al. 2020)."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .common.losses import sinkhorn
from .common.models import mlp, resnet18_cifar
from .common.training import Case, amp, compiled, sgd, trainer, two_views

PROTOTYPES, WIDTH, QUEUE, TEMPERATURE = 512, 128, 1024, 0.1


def case(options):
    model = nn.Sequential(resnet18_cifar(), mlp(512, 2048, WIDTH)).to(options.device)
    model = model.to(memory_format=torch.channels_last)
    prototypes = nn.Linear(WIDTH, PROTOTYPES, bias=False).to(options.device)
    queues = F.normalize(torch.randn(2, QUEUE, WIDTH, device=options.device), dim=2)
    views = two_views(options)
    batch = len(views) // 2

    @compiled(options)
    def loss_of(x, queues):
        with amp(options):
            z = F.normalize(model(x), dim=1)
            scores = prototypes(z)
            with torch.no_grad():
                assigned = [sinkhorn(torch.cat([prototypes(queue), own]))[-batch:]
                            for queue, own in zip(queues, scores.chunk(2))]
        log_p = F.log_softmax(scores.float() / TEMPERATURE, dim=1).chunk(2)
        loss = -((assigned[0] * log_p[1]).sum(1).mean() + (assigned[1] * log_p[0]).sum(1).mean()) / 2
        return loss, z.detach()

    def step_loss():
        with torch.no_grad():
            prototypes.weight.copy_(F.normalize(prototypes.weight, dim=1))
        loss, z = loss_of(views, queues)
        with torch.no_grad():
            for queue, own in zip(queues, z.chunk(2)):
                queue[batch:] = queue[:-batch].clone()
                queue[:batch] = own
        return loss

    return Case(trainer(step_loss, sgd([model, prototypes])), [model, prototypes])
