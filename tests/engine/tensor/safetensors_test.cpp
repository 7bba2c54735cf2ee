// The safetensors reader against files that Python's library wrote and against damaged ones; writing all or nothing.
#include "engine/tensor/safetensors.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "engine/run/files.h"
#include "tests/source_path.h"
#include "tests/temporary_folder.h"

namespace gestalt::test {
namespace {

const std::string golden = test::source_path("tests/golden/python.safetensors");

// A file of `header` and `data`, whose length field is right unless one is given.
std::string file_of(const std::string& header, const std::string& data, uint64_t length = UINT64_MAX) {
  if (length == UINT64_MAX) length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string reason(const std::string& path) {
  try {
    read_safetensors(path);
  } catch (const Error& error) { return error.what(); }
  return "";
}

// The tensors that tests/golden/safetensors.py records, in the order of its library.
std::vector<NamedTensor> recorded_tensors() {
  return {{"count", Tensor::from(std::vector<int32_t>{7}, {}), true},
          {"wide", Tensor::from(std::vector<double>{1.0 / 3, -2.5e300}, {2})},
          {"layer.weight", Tensor::from(std::vector<float>{1.5f, -2.25f, 0.1f, 3e38f, 1e-40f, -0.0f}, {2, 3})},
          {"labels", Tensor::from(std::vector<int32_t>{-1, 2147483647}, {2})},
          {"half", Tensor::from(std::vector<float>{1.0f, -0.333f, 65280.0f}, {3}).to(DType::bf16)},
          {"image", Tensor::from(std::vector<uint8_t>{0, 127, 255}, {1, 1, 3})},
          {"nothing", Tensor::from(std::vector<uint8_t>{}, {0, 4})}};
}

void check_equal(const std::vector<NamedTensor>& got, const std::vector<NamedTensor>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(expected[i].name);
    CHECK(got[i].name == expected[i].name);
    CHECK(got[i].as_i64 == expected[i].as_i64);
    CHECK(got[i].tensor.dtype() == expected[i].tensor.dtype());
    REQUIRE(got[i].tensor.shape() == expected[i].tensor.shape());
    const size_t bytes = static_cast<size_t>(got[i].tensor.bytes());
    if (bytes > 0) CHECK(std::memcmp(got[i].tensor.in().data, expected[i].tensor.in().data, bytes) == 0);
  }
}

}  // namespace

TEST_SUITE("safetensors") {
  TEST_CASE("safetensors: halves are read as floats, and truth values as bytes") {
    const TemporaryFolder folder;
    const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x3555, 0x8400};
    std::string data(reinterpret_cast<const char*>(halves), sizeof halves);
    data += std::string("\1\0", 2);
    const std::string header =
        R"({"a":{"dtype":"F16","shape":[7],"data_offsets":[0,14]},"b":{"dtype":"BOOL","shape":[2],"data_offsets":[14,16]}})";
    write_file_atomically(folder / "x.safetensors", file_of(header, data));
    const SafetensorsFile file = read_safetensors(folder / "x.safetensors");
    CHECK(file.at("a").dtype() == DType::f32);
    CHECK(file.at("a").values() == std::vector<float>{1, -2, 0x1p-24f, 65504, INFINITY, 1365 * 0x1p-12f, -0x1p-14f});
    CHECK(file.at("b").dtype() == DType::u8);
    CHECK(file.at("b").data<uint8_t>()[0] == 1);
  }

  TEST_CASE("safetensors: a file of another kind is said to be one") {
    const TemporaryFolder folder;
    const std::string path = folder / "x.safetensors";
    for (const std::string begin : {"PK\3\4", "\x80\2"}) {
      write_file_atomically(path, begin + std::string(100, 'x'));
      CHECK(reason(path).find("torch.load") != std::string::npos);
    }
    write_file_atomically(path, "version https://git-lfs.github.com/spec/v1\noid sha256:1\n");
    CHECK(reason(path).find("git lfs pull") != std::string::npos);
  }

  TEST_CASE("checksums say which tensor has changed, and are no part of what is read") {
    TemporaryFolder folder;
    const std::string path = folder / "sums.safetensors";
    const std::vector<NamedTensor> tensors{{"first", Tensor::full({3}, 1)}, {"second", Tensor::full({2}, 2)}};
    write_safetensors(path, tensors, {{"key", "value"}}, true);
    const SafetensorsFile file = read_safetensors(path);
    CHECK(file.verified);
    CHECK(file.metadata == Metadata{{"key", "value"}});
    check_equal(file.tensors, tensors);
    CHECK(read_safetensors_header(path).tensors.empty());
    std::string bytes = read_text(path);
    bytes.back() ^= 1;
    write_file_atomically(path, bytes);
    CHECK_THROWS_WITH_AS(read_safetensors(path), doctest::Contains("the checksum of 'second' is wrong"), Error);
    CHECK_THROWS_WITH_AS(verify_safetensors(path), doctest::Contains("the checksum of 'second' is wrong"), Error);
    CHECK_NOTHROW(read_safetensors_header(path));
    bytes.back() ^= 1;
    bytes[bytes.find("value")] ^= 1;
    write_file_atomically(path, bytes);
    CHECK_THROWS_WITH_AS(read_safetensors_header(path), doctest::Contains("the checksum of its header"), Error);
    write_safetensors(path, tensors);
    CHECK_FALSE(read_safetensors(path).verified);
  }

  TEST_CASE("a file of Python's library reads to the values it holds") {
    const SafetensorsFile file = read_safetensors(golden);
    check_equal(file.tensors, recorded_tensors());
    CHECK(file.metadata == Metadata{{"format", "pt"}});
    CHECK(file.at("labels").values() == std::vector<float>{-1, 2147483648.0f});
    CHECK_THROWS_WITH_AS(file.at("lables"), doctest::Contains("did you mean 'labels'"), Error);
  }

  TEST_CASE("the writer makes the bytes that Python's library makes") {
    TemporaryFolder folder;
    write_safetensors(folder / "x.safetensors", recorded_tensors(), {{"format", "pt"}});
    CHECK(read_text(folder / "x.safetensors") == read_text(golden));
  }

  TEST_CASE("tensors in any order come back in that order, aligned") {
    TemporaryFolder folder;
    std::vector<NamedTensor> tensors = recorded_tensors();
    std::reverse(tensors.begin(), tensors.end());
    tensors.push_back({"a \"quoted\" \xce\xbb name", Tensor::full({2, 1, 2, 1, 2, 1}, 3)});
    write_safetensors(folder / "x", tensors, {{"key", "line\nbreak"}, {"empty", ""}});
    const SafetensorsFile file = read_safetensors(folder / "x");
    check_equal(file.tensors, tensors);
    CHECK(file.metadata == Metadata{{"key", "line\nbreak"}, {"empty", ""}});
    write_safetensors(folder / "x", {});
    CHECK(read_safetensors(folder / "x").tensors.empty());
  }

  TEST_CASE("the writer refuses what it cannot write") {
    TemporaryFolder folder;
    const Tensor t = Tensor::zeros({2});
    CHECK_THROWS_WITH_AS(write_safetensors(folder / "x", {{"a", t}, {"a", t}}), doctest::Contains("two tensors"),
                         Error);
    CHECK_THROWS_AS(write_safetensors(folder / "x", {{"__metadata__", t}}), Error);
    CHECK_THROWS_AS(write_safetensors(folder / "x", {{"a", t, true}}), Error);
    CHECK_THROWS_AS(write_safetensors(folder / "x", {{"a", Tensor()}}), Error);
    CHECK_THROWS_WITH_AS(write_safetensors(folder / "no/x", {{"a", t}}), doctest::Contains("no/x"), Error);
    CHECK(std::filesystem::is_empty(folder.path()));
  }

  TEST_CASE("every cut of a file is refused") {
    TemporaryFolder folder;
    const std::string whole = read_text(golden);
    for (size_t size = 0; size < whole.size(); ++size) {
      write_file_atomically(folder / "cut", whole.substr(0, size));
      CAPTURE(size);
      CHECK(reason(folder / "cut").find("cut'") != std::string::npos);
    }
    write_file_atomically(folder / "long", whole + "x");
    CHECK(reason(folder / "long").find("the end of the file") != std::string::npos);
  }

  TEST_CASE("every changed byte is refused or read, never worse") {
    TemporaryFolder folder;
    const std::string whole = read_text(golden);
    for (size_t at = 0; at < whole.size(); ++at) {
      for (const unsigned char flip : {0x01, 0x10, 0x80, 0xff}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        write_file_atomically(folder / "x", damaged);
        reason(folder / "x");
      }
    }
  }

  TEST_CASE("damage is named") {
    struct Damage {
      std::string expected, header, data;
      uint64_t length = UINT64_MAX;
    };
    const std::string one = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    const std::string four(4, 'x'), eight(8, 'x');
    const std::vector<Damage> damages{
        {"overlap", one + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four},
        {"overlap", one + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", std::string(6, 'x')},
        {"hole", one + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[7,8]}})", eight},
        {"hole", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight},
        {"the end of the file", one + "}", eight},
        {"lie within", one + "}", "xxx"},
        {"lie within", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", four},
        {"lie within", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", four},
        {"lie within", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", four},
        {"more than 2", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", four},
        {"more than 6", R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}})", four},
        {"not allow", R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":{"F32":1},"shape":[1],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", four},
        {"not allow", R"({"a":1})", ""},
        {"not allow", R"({"a":"F32"})", ""},
        {"not allow", R"({"a":[]})", ""},
        {"not allow", R"({"__metadata__":{"a":1}})", ""},
        {"not allow", R"({"__metadata__":{"a":{}}})", ""},
        {"too large", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""},
        {"too large", R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", ""},
        {"too large", R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,0]}})", ""},
        {"expected 8 from", R"({"a":{"dtype":"F64","shape":[],"data_offsets":[0,4]}})", four},
        {"got dtype 'F33'", R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", four},
        {"32 bits", R"({"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})", eight},
        {"lacks", R"({"a":{"dtype":"F32","shape":[1]}})", four},
        {"unknown key 'extra'", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1}})", four},
        {"'a' stands twice", one + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight},
        {"'shape' stands twice", R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", four},
        {"'k' stands twice", R"({"__metadata__":{"k":"1","k":"2"}})", ""},
        {"'__metadata__' stands twice", R"({"__metadata__":{},"__metadata__":{}})", ""},
        {"begin with", " {}", ""},
        {"begin with", "[]", ""},
        {"begin with", "", ""},
        {"not JSON", "{}{}", ""},
        {"not JSON", "{\"a\xff\":1}", ""},
        {"got a header of 18446744073709551615", "{}", "", UINT64_MAX - 0},
        {"got a header of 18446744073709551608", "{}", "", UINT64_MAX - 7},
        {"got a header of 3", "{}", "", 3},
        {"got a header of 100000001", "{}", "", 100'000'001},
    };
    TemporaryFolder folder;
    for (const Damage& damage : damages) {
      std::string bytes = file_of(damage.header, damage.data, damage.length);
      if (damage.expected == "got a header of 18446744073709551615") std::memset(bytes.data(), 0xff, 8);
      write_file_atomically(folder / "x", bytes);
      CAPTURE(damage.header);
      CAPTURE(damage.length);
      const std::string got = reason(folder / "x");
      CHECK_MESSAGE(got.find(damage.expected) != std::string::npos, "got: ", got, "; expected: ", damage.expected);
    }
    CHECK(reason(folder / "absent").find("absent") != std::string::npos);
    CHECK(reason(folder.path()).find("not a file") != std::string::npos);
  }

  TEST_CASE("a disk that fills up while a file is written loses nothing") {
    TemporaryFolder folder;
    const Tensor small = Tensor::full({4}, 1), large = Tensor::full({1 << 16}, 2);
    write_safetensors(folder / "x", {{"a", small}});
    const std::string before = read_text(folder / "x");
    // A limit on file sizes fails a write half way, as a full disk does.
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit low{1 << 16, limit.rlim_max};
    const auto previous = std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    std::string message;
    try {
      write_safetensors(folder / "x", {{"a", large}});
    } catch (const Error& error) { message = error.what(); }
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, previous);
    CHECK(message.find(folder / "x") != std::string::npos);
    CHECK(read_text(folder / "x") == before);
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  }
}

}  // namespace gestalt::test
