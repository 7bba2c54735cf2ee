#!/usr/bin/env python3
"""A small graph with every kind of attribute, as onnx's own helper and protocol buffers write it.

usage: onnx_graph.py     (needs onnx; writes onnx_graph.json beside this file)
"""
import json
import pathlib
import struct

import onnx
from onnx import TensorProto, helper


def constant(name, kind, dims, data):
    return helper.make_tensor(name, kind, dims, data, raw=True)


scalar = TensorProto(data_type=TensorProto.FLOAT, dims=[1], raw_data=struct.pack("<f", -2.5))
nodes = [
    helper.make_node("Cast", ["images"], ["Cast_0"], name="Cast_0", to=TensorProto.FLOAT),
    helper.make_node("Div", ["Cast_0", "number_255"], ["Div_0"], name="Div_0"),
    helper.make_node("LayerNormalization", ["Div_0", "norm.weight"], ["LayerNormalization_0"],
                     name="LayerNormalization_0", axis=-1, epsilon=1e-6),
    helper.make_node("ReduceMean", ["LayerNormalization_0"], ["ReduceMean_0"], name="ReduceMean_0", axes=[1, -2],
                     keepdims=0),
    helper.make_node("ConstantOfShape", ["integers_300_-1"], ["ConstantOfShape_0"], name="ConstantOfShape_0",
                     value=scalar),
    helper.make_node("Div", ["ReduceMean_0", "number_255"], ["Div_1"], name="Div_1"),
    helper.make_node("Gather", ["Div_1", "integer_2"], ["Gather_0"], name="Gather_0", axis=0),
    helper.make_node("Identity", ["Gather_0"], ["features"], name="features_output"),
]
graph = helper.make_graph(
    nodes, "net",
    [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 300, 4, 3])],
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3])],
    [constant("number_255", TensorProto.FLOAT, [], struct.pack("<f", 255)),
     constant("norm.weight", TensorProto.FLOAT, [3], struct.pack("<3f", 1, 0.5, -2)),
     constant("integers_300_-1", TensorProto.INT64, [2], struct.pack("<2q", 300, -1)),
     constant("integer_2", TensorProto.INT64, [], struct.pack("<q", 2))])
model = helper.make_model(graph, ir_version=8, producer_name="gestalt", opset_imports=[helper.make_opsetid("", 17)])
helper.set_model_props(model, {"gestalt.image_size": "32", "note": "ü"})
record = {"onnx": onnx.__version__, "hex": model.SerializeToString(deterministic=True).hex()}
pathlib.Path(__file__).with_name("onnx_graph.json").write_text(json.dumps(record, indent=1) + "\n")
