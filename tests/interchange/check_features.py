"""Features out: NumPy, scikit-learn and faiss on the file of `gestalt embed` give the accuracy of `evaluate knn`."""
import csv
import json

import numpy as np

from common import report

K, TEMPERATURE = 20, 0.1


def accuracy(similarities, neighbours, labels, truth):
    """Of votes that weigh exp(similarity / temperature), in percent."""
    votes = np.zeros((len(truth), labels.max() + 1))
    for row, (found, near) in enumerate(zip(neighbours, similarities)):
        np.add.at(votes[row], labels[found], np.exp(np.float64(near) / TEMPERATURE))
    return 100 * np.mean(votes.argmax(1) == truth)


def check(gestalt, _, given):
    import faiss
    from sklearn.neighbors import KNeighborsClassifier

    data = f"images:{given.photos}" if given.photos else "shapes:1600"
    run = gestalt.train("simclr", data, "--preset", "simclr-tiny", "--size", 32, steps=100)
    out = gestalt.new(".npy")
    gestalt("embed", run, "--data", data, "--dtype", "f32", "--out", out)
    rows = list(csv.DictReader(open(str(out)[:-4] + ".files.csv")))
    x, names = np.load(out), sorted({row["label"] for row in rows})
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.array([names.index(row["label"]) for row in rows])
    bank = np.array([row["split"] == "train" for row in rows])
    said = json.loads(gestalt("evaluate", "knn", run, "--data", data, "--dtype", "f32", "--knn-k", K, "--json"))
    expected, step = said["accuracy"], 100 / (~bank).sum()
    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x[bank])
    near, found = index.search(x[~bank], K)
    ways = {"faiss": accuracy(near, found, labels[bank], labels[~bank])}
    products = x[~bank] @ x[bank].T
    found = np.argsort(-products, axis=1, kind="stable")[:, :K]
    ways["NumPy"] = accuracy(np.take_along_axis(products, found, 1), found, labels[bank], labels[~bank])
    model = KNeighborsClassifier(K, metric="cosine", weights=lambda distances: np.exp((1 - distances) / TEMPERATURE))
    ways["scikit-learn"] = 100 * model.fit(x[bank], labels[bank]).score(x[~bank], labels[~bank])
    for name, value in ways.items():
        report(f"{name}: kNN on {out.name} is evaluate knn's", abs(value - expected) < step / 2, f"{value:.3f} and {expected:.3f} %")
