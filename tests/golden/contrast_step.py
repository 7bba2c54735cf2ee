#!/usr/bin/env python3
"""One step of MoCo v2 (in its asymmetric or symmetric form), NNCLR, MoCo v3 or SupCon in PyTorch (f64) on a narrow ResNet with one basic block a stage: loss, terms, every gradient, and what the step leaves: the moving
average, the queue and its place.

usage: contrast_step.py NAME > FILE, with NAME of moco, moco-symmetric, nnclr, mocov3, supcon  (needs torch, torchvision)
"""
import sys

import torch
import torch.nn.functional as F

from formula import hash_uniform, json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN, OUT = 8, 48, 32
GROUPS, QUEUE, RATE, MOMENTUM = 2, 16, 0.05, 0.9


class Head(torch.nn.Module):
    """Two linear layers, ReLU between; with `norm`, batch norm before it, and with `last_norm` one without scale and
    shift after the second, which then has no bias."""

    def __init__(self, inside, out=OUT, norm=False, last_norm=False, last_bias=True):
        super().__init__()
        self.linears = torch.nn.ModuleList([
            torch.nn.Linear(inside, HIDDEN, bias=not norm), torch.nn.Linear(HIDDEN, out, bias=last_bias and not last_norm)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN)] if norm else [])
        if last_norm:
            self.norms.append(torch.nn.BatchNorm1d(out, affine=False))
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        x = self.linears[0](x)
        x = self.linears[1](self.relu(self.norms[0](x) if len(self.norms) else x))
        return self.norms[1](x) if len(self.norms) > 1 else x


n = lambda x: F.normalize(x, dim=1)


class Network(torch.nn.Module):
    def __init__(self, **head):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.head = Head(8 * WIDTH, **head)

    def forward(self, x):
        return self.head(self.encoder(x))


def cross_entropy(queries, keys, temperature):
    return F.cross_entropy(queries @ keys.t() / temperature, torch.arange(len(queries)))


class Moco(Network):
    """Queries pass batch norm in groups of neighbouring images, keys in groups of those with one remainder."""

    fields = [f"queue = {QUEUE}", f"norm-groups = {GROUPS}", f"key-momentum = {MOMENTUM}",
              f"key-momentum-end = {MOMENTUM}", "temperature = 0.2"]
    average, terms = "key.", ["accuracy"]

    def __init__(self, symmetric):
        super().__init__()
        self.key = Network()
        self.symmetric = symmetric
        self.fields = Moco.fields + ([f"symmetric = true"] if symmetric else [])

    def queries(self, images):
        return n(torch.cat([self(group) for group in images.chunk(GROUPS)]))

    def keys(self, images):
        with torch.no_grad():
            k = torch.empty(len(images), OUT)
            for g in range(GROUPS):
                k[g::GROUPS] = self.key(images[g::GROUPS])
            return n(k)

    def one_way(self, q, k, queue):
        logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ n(queue).t()], dim=1) / 0.2
        accuracy = (logits.argmax(dim=1) == 0).double().mean()
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), accuracy

    def loss(self, first, second, queue):
        q, k = self.queries(first), self.keys(second)
        loss, accuracy = self.one_way(q, k, queue)
        if not self.symmetric:
            return loss, [accuracy], k
        other_k = self.keys(first)
        other, other_accuracy = self.one_way(self.queries(second), other_k, queue)
        return loss + other, [(accuracy + other_accuracy) / 2], torch.cat([k, other_k])


class Nnclr(torch.nn.Module):
    """The queue's classes are -1, no class, until its rows come in."""

    fields = [f"queue = {QUEUE}", f"predictor-hidden = {HIDDEN}", "temperature = 0.2"]
    average, terms = None, ["accuracy", "used_neighbours", "class_share"]
    labels = [i * i % 5 % 3 for i in range(BATCH)]
    queue_classes = torch.full((QUEUE, 1), -1.0)

    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Head(8 * WIDTH, norm=True, last_norm=True)
        self.predictor = Head(OUT, norm=True)

    def loss(self, first, second, queue):
        z = [self.projector(self.encoder(view)) for view in (first, second)]
        p = [n(self.predictor(x)) for x in z]
        nearest = [(n(x.detach()) @ n(queue).t()).argmax(dim=1) for x in z]
        near = [n(queue)[rows] for rows in nearest]
        one, other = near[0] @ p[1].t(), near[1] @ p[0].t()
        accuracy = sum((s.argmax(dim=1) == torch.arange(BATCH)).double().mean() for s in (one, other)) / 2
        used = torch.tensor(len(set(nearest[0].tolist())) / BATCH)
        same = sum((self.queue_classes[rows, 0] == torch.tensor(self.labels)).double().mean() for rows in nearest) / 2
        loss = (cross_entropy(near[0], p[1], 0.2) + cross_entropy(near[1], p[0], 0.2)) / 2
        return loss, [accuracy, used, same], n(z[0].detach())


class Mocov3(torch.nn.Module):
    fields = [f"predictor-hidden = {HIDDEN}", f"key-momentum = {MOMENTUM}", f"key-momentum-end = {MOMENTUM}",
              "temperature = 0.2"]
    average, terms = "key.", ["accuracy"]

    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.projector = Head(8 * WIDTH, norm=True, last_norm=True)
        self.predictor = Head(OUT, norm=True, last_bias=False)
        self.key = torch.nn.ModuleDict({"encoder": narrow_resnet(WIDTH), "projector": Head(8 * WIDTH, norm=True, last_norm=True)})

    def loss(self, first, second, queue):
        q = [n(self.predictor(self.projector(self.encoder(view)))) for view in (first, second)]
        with torch.no_grad():
            k = [n(self.key["projector"](self.key["encoder"](view))) for view in (first, second)]
        accuracy = sum(((a @ b.t()).argmax(dim=1) == torch.arange(BATCH)).double().mean()
                       for a, b in ((q[0], k[1]), (q[1], k[0]))) / 2
        return 0.4 * (cross_entropy(q[0], k[1], 0.2) + cross_entropy(q[1], k[0], 0.2)), [accuracy], None


class Supcon(Network):
    """Both views pass the network together."""

    fields = ["temperature = 0.2"]
    average, terms = None, ["accuracy"]
    labels = [i * i % 5 % 3 for i in range(BATCH)]

    def loss(self, first, second, queue):
        z = n(self(torch.cat([first, second])))
        label, itself = torch.tensor(self.labels * 2), torch.eye(2 * BATCH, dtype=torch.bool)
        s = z @ z.t() / 0.2
        log_p = s - torch.logsumexp(s.masked_fill(itself, -torch.inf), dim=1, keepdim=True)
        same = (label[:, None] == label[None, :]) & ~itself
        nearest_other = s.masked_fill(label[:, None] == label[None, :], -torch.inf).max(dim=1).values
        accuracy = (s[torch.arange(2 * BATCH), torch.arange(BATCH, 3 * BATCH) % (2 * BATCH)] > nearest_other)
        return -((log_p * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)).mean(), [accuracy.double().mean()], None


name = sys.argv[1]
model = {"moco": lambda: Moco(False), "moco-symmetric": lambda: Moco(True), "nnclr": Nnclr, "mocov3": Mocov3,
         "supcon": Supcon}[name]().train()
set_parameters(model)
queue = torch.from_numpy(hash_uniform("queue.rows", QUEUE * OUT).reshape(QUEUE, OUT)).float().double()
start = {part: value.clone() for part, value in model.state_dict().items()}
best = clearest_views(relus_of(model, lambda part: not part.startswith("key")),
                      lambda first, second: model.loss(first, second, queue))
model.load_state_dict(start)  # the running statistics moved

loss, terms, pushed = model.loss(*views(best[1]), queue)
loss.backward()
average = model.average
online = {part: p for part, p in model.named_parameters() if not (average and part.startswith(average))}
record = {
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, OUT) + model.fields),
    "views": [best[1]],
    "margin": best[0],
    "states": ({average: ""} if average else {}) | ({"queue.rows": 1.0} if pushed is not None else {}),
    "labels": getattr(model, "labels", []),
    "loss": loss.item(),
    "terms": {term: t.item() for term, t in zip(model.terms, terms)},
    "gradients": {part: summary(part, p.grad.numpy()) for part, p in online.items()},
    "after": {},
}
# The update itself is at a rate of 0, so that the average is of weights that are known.
with torch.no_grad():
    for part, p in model.named_parameters():
        if average and part.startswith(average):
            p.copy_(MOMENTUM * p + (1 - MOMENTUM) * online[part[len(average):]])
            record["after"][part] = summary(part, p.numpy())
first_queue = queue.clone()
if pushed is not None:
    queue[:len(pushed)] = pushed
    record["after"]["queue.rows"] = summary("queue.rows", queue.numpy())
    record["after"]["queue.place"] = [len(pushed) % QUEUE, len(pushed)]

model.load_state_dict(start)
queue.copy_(first_queue)
place = 0


def columns(step):
    global place
    loss, terms, pushed = model.loss(*views(best[1]), queue)
    if pushed is not None:
        rows = (place + torch.arange(len(pushed))) % QUEUE
        queue[rows] = pushed.detach()
        if hasattr(model, "queue_classes"):
            model.queue_classes[rows, 0] = torch.tensor(model.labels, dtype=torch.double)
        place += len(pushed)
    return {"loss": loss} | dict(zip(model.terms, terms))


def move_average(step):
    for part, p in model.named_parameters():
        if part not in online:
            p.copy_(MOMENTUM * p + (1 - MOMENTUM) * online[part[len(average):]])


def states():
    held = statistics(model) | {part: p for part, p in model.named_parameters() if part not in online}
    if pushed is not None:
        ring = torch.tensor([place % QUEUE, min(place, QUEUE)])
        held |= {"queue.rows": queue, "queue.place": ring}
        if hasattr(model, "queue_classes"):
            held |= {"queue_classes.rows": model.queue_classes, "queue_classes.place": ring}
    return held


record["trajectory"] = descend(0.1 * RATE, [(online.values(), columns)], move_average, states)
print(json_text(record))
