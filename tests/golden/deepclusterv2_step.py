#!/usr/bin/env python3
"""One step of DeepCluster v2 in PyTorch (f64) on a narrow ResNet with one basic block a stage, at the beginning of its
second epoch: clusters of a given memory, loss, every gradient, and what the step leaves in the memory.

usage: deepclusterv2_step.py > deepclusterv2_step.json  (needs torch, torchvision and scikit-learn)
"""
import torch
import torch.nn.functional as F

from clusters import sample_rows, spherical
from formula import hash_uniform, json_text, summary
from trajectory import descend, statistics
from narrow_step import BATCH, clearest_views, fields_of, narrow_resnet, relus_of, set_parameters, views

WIDTH, HIDDEN, OUT = 8, 48, 32
IMAGES, CLUSTERS, CLUSTERINGS, ITERATIONS, TEMPERATURE, SEED, EPOCH = 64, 4, 3, 3, 0.2, 7, 1


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linears = torch.nn.ModuleList(
            [torch.nn.Linear(8 * WIDTH, HIDDEN, bias=False), torch.nn.Linear(HIDDEN, OUT)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(HIDDEN)])
        self.relu = torch.nn.ReLU()

    def forward(self, x):
        return self.linears[1](self.relu(self.norms[0](self.linears[0](x))))


class DeepClusterV2(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = narrow_resnet(WIDTH)
        self.head = Head()

    def forward(self, first, second):
        return F.normalize(self.head(self.encoder(torch.cat([first, second]))), dim=1)


memory = [hash_uniform(f"memory.{crop}.rows", IMAGES * OUT).reshape(IMAGES, OUT).astype("float32").astype("float64")
          for crop in range(2)]
found = []
for c in range(CLUSTERINGS):
    rows = memory[c % 2]
    start = sample_rows(IMAGES, CLUSTERS, SEED, EPOCH * CLUSTERINGS + c, 0)
    found.append(spherical(rows, rows[start], ITERATIONS))
labels = [torch.tensor(f["assignments"]) for f in found]
prototypes = [torch.tensor(f["centres"]).reshape(CLUSTERS, OUT) for f in found]
empty = sum(CLUSTERS - len(set(f["assignments"])) for f in found) / CLUSTERS / CLUSTERINGS

model = DeepClusterV2().train()
set_parameters(model)
start = {part: value.clone() for part, value in model.state_dict().items()}
best = clearest_views(relus_of(model), model)
model.load_state_dict(start)  # the running statistics moved
z = model(*views(best[1]))
loss = sum(F.cross_entropy(z @ p.t() / TEMPERATURE, l[:BATCH].repeat(2)) for p, l in zip(prototypes, labels)) / CLUSTERINGS
loss.backward()
model.load_state_dict(start)


def columns(step):
    z = model(*views(best[1]))
    for crop in range(2):
        memory[crop][:BATCH] = z.detach().chunk(2)[crop].numpy()
    return {"loss": sum(F.cross_entropy(z @ p.t() / TEMPERATURE, l[:BATCH].repeat(2))
                        for p, l in zip(prototypes, labels)) / CLUSTERINGS}


def memories():
    return {f"memory.{crop}.rows": torch.tensor(memory[crop]) for crop in range(2)}


columns(EPOCH)
after = {name: summary(name, rows.numpy()) for name, rows in memories().items()}
model.load_state_dict(start)
record = {
    "torch": torch.__version__,
    "fields": "\n".join(fields_of(WIDTH, HIDDEN, OUT) + [
        "local-views = 0", f"clusters = {CLUSTERS}", f"clusterings = {CLUSTERINGS}", f"kmeans-iterations = {ITERATIONS}",
        f"temperature = {TEMPERATURE}", f"seed = {SEED}"]),
    "views": [best[1]],
    "margin": best[0],
    "steps_per_epoch": 8,
    "step": 8 * EPOCH,
    "states": {f"memory.{crop}.rows": 1.0 for crop in range(2)},
    "loss": loss.item(),
    "terms": {"nmi_before": 0.0, "empty_clusters": empty},
    "after": after | {
        "prototypes": summary("prototypes", torch.stack(prototypes).numpy()),
        "clusters.labels": torch.stack(labels).ravel().tolist()},
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(0.001, [(model.parameters(), columns)], first=8 * EPOCH, states=lambda: statistics(model) | memories() | {
        "prototypes": torch.stack(prototypes), "clusters.labels": torch.stack(labels).double()}),
}
record["trajectory"]["states"]["clusters.figures"] = None  # with the classes of the data, unknown here; the terms are in it
print(json_text(record))
