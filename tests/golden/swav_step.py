#!/usr/bin/env python3
"""One step of SwAV, and three of descent, in PyTorch (f64) on a narrow ResNet with one basic block a stage: two large and
two small views, assignments beside two queues, loss, terms, every gradient, and the queues after it.

The three steps begin one before the queues count as full; at a rate of 0.005 a ReLU lies on its kink in the third.

usage: swav_step.py > swav_step.json     (needs torch and torchvision)
"""
import torch
import torch.nn.functional as F

from formula import hash_uniform, json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN, OUT, PROTOTYPES, QUEUE, SMALL = 8, 48, 32, 24, 16, 8
TEMPERATURE, EPSILON, ROUNDS, STEP = 0.1, 0.05, 3, 2


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linears = torch.nn.ModuleList([torch.nn.Linear(8 * WIDTH, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, OUT)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        return self.linears[1](self.relu(self.norms[0](self.linears[0](x))))


class Swav(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.head = Head()
        self.prototypes = torch.nn.Linear(OUT, PROTOTYPES, bias=False)

    def forward(self, large, small):
        """Each size passes the encoder by itself, all views together the head."""
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
        z = F.normalize(self.head(torch.cat([self.encoder(large), self.encoder(small)])), dim=1)
        return z, self.prototypes(z)


def sinkhorn(scores):
    q = torch.exp((scores - scores.max()) / EPSILON).t()  # prototypes × samples
    q = q / q.sum()
    for _ in range(ROUNDS):
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).t()


def crops(name):
    return torch.cat(views(name)), torch.cat(views(f"{name} small", SMALL))


def entropy(p, dim):
    return -(p * p.log()).sum(dim=dim)


model = Swav().train()
set_parameters(model)
queues = [torch.from_numpy(0.6 * hash_uniform(f"queues.{i}.rows", QUEUE * OUT).reshape(QUEUE, OUT)).float().double()
          for i in range(2)]
start, first_queues = {part: value.clone() for part, value in model.state_dict().items()}, [q.clone() for q in queues]
best = clearest_views(relus_of(model), model.forward, draw=crops)
large, small = crops(best[1])
place = 0


def restart():
    global place
    place = 0
    model.load_state_dict(start)
    for queue, first in zip(queues, first_queues):
        queue.copy_(first)


def columns(step):
    global place
    z, scores = model(large, small)
    views_of = scores.chunk(4)
    log_p = [F.log_softmax(s / TEMPERATURE, dim=1) for s in views_of]
    loss, assigned = 0, []
    for i, queue in enumerate(queues):
        with torch.no_grad():
            out = views_of[i]
            if step * BATCH >= QUEUE:
                out = torch.cat([queue @ model.prototypes.weight.t(), out])
            q = sinkhorn(out)[-BATCH:]
            queue[(place + torch.arange(BATCH)) % QUEUE] = z.detach().chunk(4)[i]
        assigned.append(q)
        loss = loss + sum(-(q * log_p[v]).sum(dim=1).mean() for v in range(4) if v != i) / 3
    place += BATCH
    means = [q.mean(dim=0) for q in assigned]
    row_entropy = entropy(torch.cat(assigned), 1).mean()
    return {"loss": loss / 2,
            "row_entropy": row_entropy,
            "kl": loss / 2 - row_entropy,
            "mean_entropy": sum(entropy(m, 0) for m in means) / 2,
            "used_prototypes": sum((m >= 0.5 / PROTOTYPES).double().mean() for m in means) / 2}


def ring():
    at = torch.tensor([place % QUEUE, min(place, QUEUE)])
    return {f"queues.{i}.{name}": value for i, queue in enumerate(queues)
            for name, value in (("rows", queue), ("place", at))}


restart()
terms = columns(STEP)
loss = terms.pop("loss")
loss.backward()
gradients = {part: summary(part, p.grad.numpy()) for part, p in model.named_parameters()}
after = {name: summary(name, value.numpy()) for name, value in ring().items()}
restart()
fields = [line.replace("shapes:64", f"shapes:{15 * PROTOTYPES}") for line in fields_of(WIDTH, HIDDEN, OUT)]
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(fields + [f"prototypes = {PROTOTYPES}", f"queue = {QUEUE}", "queue-epochs = 0", "local-views = 2",
                                  f"local-size = {SMALL}", "freeze-prototypes-epochs = 0",
                                  f"temperature = {TEMPERATURE}", f"sinkhorn-epsilon = {EPSILON}", f"sinkhorn-rounds = {ROUNDS}"]),
    "views": [best[1], f"{best[1]} small"],
    "margin": best[0],
    "step": STEP,
    "states": {f"queues.{i}.rows": 0.6 for i in range(2)},
    "loss": loss.item(),
    "terms": {name: t.item() for name, t in terms.items()},
    "after": after,
    "gradients": gradients,
    "trajectory": descend(0.002, [(model.parameters(), columns)], states=lambda: statistics(model) | ring(),
                          first=STEP - 1),
}))
