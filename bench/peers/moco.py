"""A training step of MoCo v2: ResNet-18 with the CIFAR stem, a queue of 4,096 keys (He et al. 2020)."""
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common.losses import moco
from .common.models import plain_mlp, resnet18_cifar
from .common.training import Case, amp, compiled, sgd, trainer, two_views


def case(options):
    query = nn.Sequential(resnet18_cifar(), plain_mlp(512, 512, 128)).to(options.device, memory_format=torch.channels_last)
    key = copy.deepcopy(query).requires_grad_(False)
    queue = F.normalize(torch.randn(128, 4096, device=options.device), dim=0)
    views, place, own = two_views(options), [0], torch.Generator().manual_seed(1)
    count = views.shape[0] // 2
    weights, averages = list(query.parameters()), list(key.parameters())

    @compiled(options)
    def loss_of(first, second, negatives):
        with amp(options):
            q = query(first)
            with torch.no_grad():
                k = F.normalize(key(second).float(), dim=1)
        return moco(q, k, negatives, 0.1), k

    def loss():
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 0.01)
        order = torch.randperm(count, generator=own).to(options.device)  # batch norm is shuffled: keys pass in another order
        value, k = loss_of(views[:count], views[count:][order], queue.clone())
        queue[:, place[0]:place[0] + count] = k.t()
        place[0] = (place[0] + count) % queue.shape[1]
        return value

    return Case(trainer(loss, sgd([query])), [query])
