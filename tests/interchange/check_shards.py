"""Shards that webdataset writes give the metrics of the folder that they were made of."""
import json

from common import files_of, draw_images, report


def check(gestalt, _, __):
    import webdataset

    folder = gestalt.new()
    folder.mkdir()
    for name, size in (("ants", 40), ("bees", 41), ("cats", 42)):
        draw_images(folder / name, size, 24)
    classes = ["ants", "bees", "cats"]
    shards = gestalt.new()
    shards.mkdir()
    with webdataset.ShardWriter(f"{shards}/s-%03d.tar", maxcount=20, verbose=0) as writer:
        for path in files_of(folder):
            writer.write({"__key__": f"{path.parent.name}_{path.stem}", path.suffix[1:]: path.read_bytes(),
                          "json": json.dumps({"label": classes.index(path.parent.name)}).encode()})
    report("webdataset: several shards", len(list(shards.glob("*.tar"))) > 2)
    metrics = {}
    for source in (f"images:{folder}", f"tar:{shards}/s-*.tar"):
        run = gestalt.train("simclr", source, "--preset", "simclr-tiny", "--size", 32, "--batch", 16, "--probe-every", 1, steps=8)
        metrics[source] = (run / "metrics.csv").read_bytes()
    report("webdataset: shards give the folder's metrics.csv", len(set(metrics.values())) == 1)
