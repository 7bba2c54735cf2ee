"""ONNX files: onnxruntime gives the features of `gestalt embed`, for every kind of encoder."""
import numpy as np

from common import near, pixels_of


def check(gestalt, trained, _):
    import onnx
    import onnxruntime

    def session(path):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    for name, _, size, run, folder in trained.all():
        features, pixels = gestalt.embed(run, folder), pixels_of(folder)
        for kind in ("pixels", "images"):
            path = gestalt.new(".onnx")
            gestalt("export", run, "--onnx", path, "--onnx-input", kind)
            net = session(path)
            given = pixels if kind == "pixels" else (pixels.astype(np.float32) / 255).transpose(0, 3, 1, 2)
            for batch in (1, 3, 17):
                got = net.run(["features"], {"images": np.ascontiguousarray(given[:batch])})[0]
                near(f"onnxruntime: {name}, {kind}, batch {batch}", got, features[:batch])
        if "resnet" in name:
            other = trained.images(48)
            got = net.run(None, {"images": (pixels_of(other).astype(np.float32) / 255).transpose(0, 3, 1, 2)})[0]
            near(f"onnxruntime: {name}, images of 48 pixels", got, gestalt.embed(run, other, "--size", 48))
