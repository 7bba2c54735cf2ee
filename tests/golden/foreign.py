#!/usr/bin/env python3
"""The tensors of small encoders of torchvision, timm and transformers, and the features that their own code gives.

Every tensor is made by the formula from the name that it has in the library's file.

usage: foreign.py     (needs torch, torchvision, timm, transformers and safetensors; writes foreign.json beside this file)
"""
import pathlib
import sys
import tempfile

from formula import hash_uniform, json_text, parameter, summary

sys.path.pop(0)  # safetensors.py beside this file is not the package
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

torch.set_grad_enabled(False)
VIT = dict(hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512, image_size=32, patch_size=8)


def made_up(name, tensor):
    if not tensor.is_floating_point():
        return tensor
    values = parameter(name, tuple(tensor.shape))
    return torch.from_numpy(1 + values if name.endswith("running_var") else values).float()


def images(size):
    pixels = hash_uniform("images", 2 * size * size * 3).reshape(2, size, size, 3)
    return torch.from_numpy(pixels).float().double().permute(0, 3, 1, 2)


def record_of(tensors, features):
    return {"tensors": {name: list(t.shape) for name, t in tensors.items()},
            "features": {str(size): summary("features", f(images(size)).numpy()) for size, f in features.items()}}


def of_state(net, features):
    tensors = {name: made_up(name, t) for name, t in net.state_dict().items()}
    net.load_state_dict(tensors)
    net.double().eval()
    return record_of(tensors, {size: f for size, f in features.items()})


def of_folder(net, features):
    """`features` are functions of the model, by the size of the images."""
    with tempfile.TemporaryDirectory() as folder:
        net.save_pretrained(folder)
        path = pathlib.Path(folder) / "model.safetensors"
        # transformers 5 reads the decoder's layers under the name of its own files of old, and writes another.
        old = {name: name.replace("decoder_encoder.layer.", "decoder_layers.") for name in load_file(path)}
        tensors = {old[name]: made_up(old[name], t) for name, t in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})
        net = type(net).from_pretrained(folder).double().eval()
    return record_of(tensors, {size: (lambda x, f=f: f(net, x)) for size, f in features.items()})


def narrow_resnet(width):
    """torchvision's ResNet with one block a stage, of another width."""
    Block = torchvision.models.resnet.BasicBlock
    net = torchvision.models.ResNet(Block, [1, 1, 1, 1], num_classes=5)
    net.inplanes = width
    net.conv1 = torch.nn.Conv2d(3, width, 7, 2, 3, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(width)
    for stage in range(4):
        setattr(net, f"layer{stage + 1}", net._make_layer(Block, width << stage, 1, stride=min(stage, 1) + 1))
    net.fc = torch.nn.Linear(8 * width, 5)
    return net


def without_head(net, head):
    def features(x):
        kept = getattr(net, head)
        setattr(net, head, torch.nn.Identity())
        y = net(x)
        setattr(net, head, kept)
        return y

    return features


resnet = narrow_resnet(8)
torchvision_vit = torchvision.models.VisionTransformer(32, 8, 6, 4, 128, 512, num_classes=5)
timm_vit = timm.models.vision_transformer.VisionTransformer(
    32, 8, embed_dim=128, depth=6, num_heads=4, num_classes=5, global_pool="avg", fc_norm=False)
vit_config = transformers.ViTConfig(**VIT)
resnet_config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[2, 2, 2, 2],
                                          layer_type="basic")
mae = transformers.ViTMAEForPreTraining(
    transformers.ViTMAEConfig(**VIT, decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
                              decoder_intermediate_size=128, mask_ratio=0.0))
seen = torch.arange(16.0).repeat(2, 1)
record = {
    "torchvision": torchvision.__version__, "timm": timm.__version__, "transformers": transformers.__version__,
    "cases": {
        "torchvision resnet": of_state(resnet, {32: without_head(resnet, "fc")}),
        "torchvision vit": of_state(torchvision_vit, {32: without_head(torchvision_vit, "heads")}),
        "timm vit": of_state(timm_vit, {32: without_head(timm_vit, "head")}),
        "transformers vit": of_folder(
            transformers.ViTModel(vit_config),
            {32: lambda net, x: net(x).last_hidden_state[:, 0],
             48: lambda net, x: net(x, interpolate_pos_encoding=True).last_hidden_state[:, 0]}),
        "transformers resnet": of_folder(transformers.ResNetModel(resnet_config),
                                         {32: lambda net, x: net(x).pooler_output.flatten(1)}),
        "transformers mae": of_folder(mae, {32: lambda net, x: net.vit(x, noise=seen).last_hidden_state[:, 1:].mean(1)}),
    },
}
pathlib.Path(__file__).with_name("foreign.json").write_text(json_text(record) + "\n")
