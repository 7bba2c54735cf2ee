// ONNX files: bytes equal those of onnx's own library. tests/interchange/run.py runs whole models in onnxruntime.
#include "models/onnx.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engine/run/files.h"
#include "models/onnx_graph.h"
#include "tests/golden_step.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {

TEST_CASE("ONNX: a graph with every kind of attribute has the bytes that onnx's library writes") {
  OnnxGraph g("net");
  const std::string images = g.input("images", OnnxType::u8, {"batch", int64_t{300}, int64_t{4}, int64_t{3}});
  const std::string cast = g.node("Cast", {images}, {{"to", static_cast<int64_t>(OnnxType::f32)}});
  const std::string scaled = g.node("Div", {cast, g.number(255)});
  const std::string weight = g.constant("norm.weight", Tensor::from(std::vector<float>{1, 0.5f, -2}, {3}));
  const std::string normed =
      g.node("LayerNormalization", {scaled, weight}, {{"axis", int64_t{-1}}, {"epsilon", 1e-6f}});
  const std::string mean =
      g.node("ReduceMean", {normed}, {{"axes", std::vector<int64_t>{1, -2}}, {"keepdims", int64_t{0}}});
  g.node("ConstantOfShape", {g.integers({300, -1})}, {{"value", OnnxScalar{-2.5f}}});
  const std::string again = g.node("Div", {mean, g.number(255)});  // the same constant
  g.output("features", g.node("Gather", {again, g.integer(2)}, {{"axis", int64_t{0}}}), OnnxType::f32,
           {"batch", int64_t{3}});
  std::string hex;
  for (unsigned char byte : g.bytes({{"gestalt.image_size", "32"}, {"note", "ü"}})) hex += fmt::format("{:02x}", byte);
  CHECK(hex == golden_record("onnx_graph.json").at("hex").get<std::string>());
}

TEST_CASE("ONNX: every kind of encoder and a GPT are written, an encoder of one's own is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "net.onnx";
  Random random(3);
  for (const EncoderOptions& options :
       {EncoderOptions{.model = "resnet10", .resnet = {.width = 8}},
        EncoderOptions{.model = "resnet50", .resnet = {.width = 8}}, EncoderOptions{.model = "vit-nano"},
        EncoderOptions{.model = "vit-nano", .vit = {.class_token = false}},
        EncoderOptions{.model = "vit-nano", .vit = {.pool = "cls"}},
        EncoderOptions{.model = "dcgan", .resnet = {.width = 8}}}) {
    CAPTURE(options.model);
    const auto encoder = make_encoder(options, 32, random);
    save_onnx(path, *encoder, {options, 32, {{"gestalt.normalise", "cifar10"}}}, OnnxInput::pixels);
    const std::string bytes = read_text(path);
    CHECK(bytes.find("gestalt.normalise") != std::string::npos);
    CHECK(bytes.size() > 4 * static_cast<size_t>(parameter_count(*encoder)));
  }
  struct Own : Encoder {
    Tensor forward(const Tensor& images, bool) override { return images; }
    int64_t features() const override { return 3; }
    void visit(Visitor&) override {}
  } own;
  CHECK_THROWS_WITH_AS(save_onnx(path, own, {{.model = "mine"}, 32, {}}, OnnxInput::images),
                       doctest::Contains("'mine'"), Error);
  Gpt gpt({.layers = 1, .heads = 2, .width = 16, .context = 8}, 11, random);
  save_onnx(path, gpt);
  CHECK(read_text(path).find("input_ids") != std::string::npos);
}

}  // namespace gestalt::test
