"""GPT: transformers gives the loss that `gestalt evaluate text` prints, its tokenizer the ids, onnxruntime the logits."""
import json

import torch

from common import TEXT, near, refuses, report, runs


def check(gestalt, _, given):
    import onnxruntime
    from transformers import AutoTokenizer, GPT2LMHeadModel

    text = gestalt.new(".txt")
    text.write_text(TEXT * 40)
    kinds = [("byte", []), ("character", ["--vocabulary-multiple", 64])] + ([("gpt2", ["--bpe", given.bpe])] if given.bpe else [])
    for kind, flags in kinds:
        run = gestalt.train("gpt", f"text:{text}", "--tokenizer", kind, "--context", 32, "--layers", 2, "--heads", 2,
                            "--width", 32, "--batch", 4, "--lr", 0.01, *flags)
        folder = gestalt.new()
        if kind == "gpt2":
            refuses("AutoTokenizer refuses the run's own folder, which has none",
                    lambda: AutoTokenizer.from_pretrained(run / "gpt2"))
        gestalt("export", run, "--out", folder)
        model, loading = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
        report(f"GPT2LMHeadModel: {kind}", not any(loading.values()), str({k: v for k, v in loading.items() if v} or ""))
        model.eval()
        runs(f"card: {kind}, its program", (folder / "README.md").read_text(), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(TEXT * 40)["input_ids"]
        report(f"AutoTokenizer: {kind}, text comes back", tokenizer.decode(ids) == TEXT * 40, f"{len(ids)} tokens")
        windows = (len(ids) - 1) // 32
        seen = torch.tensor(ids[: windows * 32]).view(windows, 32)
        after = torch.tensor(ids[1 : windows * 32 + 1]).view(windows, 32)
        logits = model(seen).logits
        loss = torch.nn.functional.cross_entropy(logits.double().flatten(0, 1), after.flatten()).item()
        said = json.loads(gestalt("evaluate", "text", run, "--data", f"text:{text}", "--split", "all", "--dtype", "f32",
                                  "--json", *(["--bpe", given.bpe] if kind == "gpt2" else [])))
        near(f"transformers: {kind}, the loss of evaluate text by its own tokens", loss, said["nats_per_token"])
        path = gestalt.new(".onnx")
        gestalt("export", run, "--onnx", path)
        net = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for batch, length in ((1, 1), (3, 17), (windows, 32)):
            got = net.run(["logits"], {"input_ids": seen[:batch, :length].numpy()})[0]
            near(f"onnxruntime: {kind}, logits of {batch} x {length}", got, logits[:batch, :length])
