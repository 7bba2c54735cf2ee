"""Weights in: `gestalt embed` gives the features of torchvision, timm and transformers on their files; `--init` begins so."""
import torch

from common import TEXT, near, normalised, pixels_of, report


def shaken(net):
    """Weights as drawn, running statistics and constant parts away from where they begin."""
    generator = torch.Generator().manual_seed(1)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    return net.eval()


def check(gestalt, trained, _):
    import timm
    import torchvision
    import transformers
    from safetensors.torch import load_file, save_file

    def file_of(net):
        path = gestalt.new(".safetensors")
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
        return path

    def agrees(what, path, features, size, *flags):
        images = trained.images(size)
        near(what, gestalt.embed(path, images, *flags), features(normalised(pixels_of(images))))
        return path

    for name in ("resnet18", "resnet34", "resnet50"):
        net = shaken(getattr(torchvision.models, name)())
        path = file_of(net)
        said = gestalt("embed", path, "--data", f"images:{trained.images(64)}", "--size", 64, "--out", gestalt.new(".npy"))
        report(f"torchvision: {name}, the head is named", "ignored: fc.bias, fc.weight" in said)
        net.fc = torch.nn.Identity()
        agrees(f"torchvision: {name}", path, net, 64, "--size", 64)
    halves = torchvision.models.resnet18()
    halves.load_state_dict({name: value.half() if value.is_floating_point() else value for name, value in shaken(torchvision.models.resnet18()).state_dict().items()})
    path = gestalt.new(".safetensors")
    save_file({f"module.backbone.{name}": value.half() if value.is_floating_point() else value
               for name, value in halves.state_dict().items()} | {"projector.weight": torch.zeros(2, 2)}, path)
    halves.eval().fc = torch.nn.Identity()
    agrees("torchvision: resnet18 in halves, wrapped", path, halves, 64, "--size", 64)
    vit = shaken(torchvision.models.VisionTransformer(32, 8, 6, 4, 128, 512))
    vit.heads = torch.nn.Identity()
    agrees("torchvision: ViT", file_of(vit), vit, 32)

    net = shaken(timm.create_model("resnet18", num_classes=0))
    agrees("timm: resnet18", file_of(net), net, 64, "--size", 64)
    for flags, pool in (({}, "cls"), ({"global_pool": "avg", "fc_norm": False}, "mean")):
        net = shaken(timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, **flags))
        agrees(f"timm: vit_tiny, {pool}", file_of(net), net, 64, "--pool", pool)
    folder = gestalt.new()  # as timm writes it for Hugging Face's hub
    net.pretrained_cfg |= {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, 64, 64)}
    timm.models.save_for_hf(net, folder, safe_serialization=True, model_args={"img_size": 64, "global_pool": "avg", "fc_norm": False})
    images = trained.images(64)
    near("timm: vit_tiny in a folder of its hub", gestalt.embed(folder, images),
         net(normalised(pixels_of(images), (0.5,) * 3, (0.5,) * 3)))
    refuses_all = {"fc_norm": {"global_pool": "avg"}, "reg_token": {"reg_tokens": 4}, "gamma": {"init_values": 0.1}}
    for part, flags in refuses_all.items():
        path = file_of(timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, **flags))
        said = gestalt("embed", path, "--data", f"images:{images}", "--out", gestalt.new(".npy"), fails=True)
        report(f"gestalt refuses a ViT with {part}", part in said, said.strip().splitlines()[-1][:110])

    shape = dict(hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512, image_size=32,
                 patch_size=8)
    theirs = shaken(transformers.ViTModel(transformers.ViTConfig(**shape)))
    agrees("transformers: ViTModel", file_of(theirs), lambda x: theirs(x).last_hidden_state[:, 0], 32)
    folder = gestalt.new()
    theirs.save_pretrained(folder, max_shard_size="500KB")
    report("transformers: it is in parts", len(list(folder.glob("model-*.safetensors"))) > 1)
    agrees("transformers: ViTModel in parts", folder, lambda x: theirs(x).last_hidden_state[:, 0], 32)
    folder = gestalt.new()
    theirs.save_pretrained(folder)
    transformers.ViTImageProcessor(size=32, image_mean=(0.5,) * 3, image_std=(0.5,) * 3).save_pretrained(folder)
    images = trained.images(32)
    near("transformers: ViTModel in its folder", gestalt.embed(folder, images),
         theirs(normalised(pixels_of(images), (0.5,) * 3, (0.5,) * 3)).last_hidden_state[:, 0])
    mae = shaken(transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**shape, decoder_hidden_size=64, mask_ratio=0.0)))
    folder = gestalt.new()
    mae.save_pretrained(folder)
    agrees("transformers: ViTMAEForPreTraining in its folder", folder,
           lambda x: mae.vit(x, noise=torch.arange(16.0).repeat(len(x), 1)).last_hidden_state[:, 1:].mean(1), 32)
    for blocks, kind in (([2, 2, 2, 2], "basic"), ([3, 4, 6, 3], "bottleneck")):
        scale = 4 if kind == "bottleneck" else 1
        config = transformers.ResNetConfig(embedding_size=64, hidden_sizes=[64 * scale << i for i in range(4)],
                                           depths=blocks, layer_type=kind)
        resnet = shaken(transformers.ResNetModel(config))
        agrees(f"transformers: ResNetModel, {kind}", file_of(resnet), lambda x: resnet(x).pooler_output.flatten(1), 64,
               "--size", 64)

    # A learning rate of 0 leaves the weights where they began.
    vit = shaken(timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=0))
    flags = ["--batch", 16, "--lr", 0, "--model", "vit-tiny", "--patch", 8, "--pool", "cls", "--init", file_of(vit)]
    run = gestalt.train("simclr", f"images:{trained.images(32)}", "--size", 32, *flags)
    begun = load_file(run / "encoder.safetensors")
    expected = {name: value for name, value in vit.state_dict().items() if name in begun}
    report("--init: the weights are timm's", len(expected) == len(begun) and
           all(torch.equal(begun[name], value) for name, value in expected.items()), f"{len(begun)} tensors")
    run = gestalt.train("simclr", f"images:{trained.images(64)}", "--size", 64, *flags)
    larger = timm.layers.resample_abs_pos_embed(vit.pos_embed, [8, 8], num_prefix_tokens=1, antialias=False)
    near("--init: positions of another size", load_file(run / "encoder.safetensors")["pos_embed"], larger)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=256, n_positions=32, n_embd=32, n_layer=2, n_head=2, tie_word_embeddings=False))
    folder, text = gestalt.new(), gestalt.new(".txt")
    theirs.save_pretrained(folder)
    text.write_text(TEXT * 40)
    gpt = ["--tokenizer", "byte", "--context", 32, "--layers", 2, "--heads", 2, "--width", 32, "--batch", 4, "--lr", 0]
    said = gestalt("pretrain", "gpt", "--data", f"text:{text}", "--steps", 1, "--out", gestalt.new(), "--init", folder, *gpt,
                   fails=True)
    report("--init: a GPT-2 with a head of its own is refused", "lm_head.weight is not the token table" in said)
    theirs.config.tie_word_embeddings = True
    tied = transformers.GPT2LMHeadModel(theirs.config)
    tied.save_pretrained(folder)
    run = gestalt.train("gpt", f"text:{text}", "--init", folder, *gpt)
    begun, expected = load_file(run / "gpt2" / "model.safetensors"), tied.state_dict()
    report("--init: a GPT-2's weights", all(torch.equal(value, expected[name]) for name, value in begun.items()),
           f"{len(begun)} tensors")
