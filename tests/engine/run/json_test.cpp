// Documents: what they hold, how they are written, and what is refused.
#include "engine/run/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "kernels/check.h"

namespace gestalt::test {

TEST_CASE("json: lists are objects where all parts are pairs of a name and a value, and arrays else") {
  const Json pairs{{"a", 1}, {"b", {"x", 2.5, true, nullptr}}, {"c", {{"d", std::vector<int>{3, 4}}}}};
  CHECK(pairs.dump() == R"({"a":1,"b":["x",2.5,true,null],"c":{"d":[3,4]}})");
  CHECK(Json{1, 2}.dump() == "[1,2]");
  CHECK(Json{{1, 2}, {3, 4}}.dump() == "[[1,2],[3,4]]");
  CHECK(Json::array().dump() == "[]");
  CHECK(Json::object().dump() == "{}");
  CHECK(Json().dump() == "null");
  CHECK(pairs.at("c").dump(2) == "{\n  \"d\": [\n    3,\n    4\n  ]\n}");
}

TEST_CASE("json: numbers are written so that reading gives the same, and what is no number or no text is replaced") {
  const Json numbers{0.1,   1.0, -7, 1e300, std::numeric_limits<uint64_t>::max(), std::numeric_limits<int64_t>::min(),
                     0.485f};
  CHECK(numbers.dump() == "[0.1,1.0,-7,1e+300,18446744073709551615,-9223372036854775808,0.48500001430511475]");
  CHECK(parse_json("test", numbers.dump()) == numbers);
  CHECK(Json{NAN, 1}.dump() == "[null,1]");
  CHECK(Json("a\xff\n\"").dump() == "\"a\xEF\xBF\xBD\\n\\\"\"");
  CHECK(parse_json("test", R"("\u00e4\ud83d\ude00")").text() == "\xC3\xA4\xF0\x9F\x98\x80");
}

TEST_CASE("json: values are the same by what they are, not by how they are held") {
  CHECK(Json(3) == parse_json("test", "3"));
  CHECK(Json(3) == Json(3.0));
  CHECK(Json(-1) != Json(std::numeric_limits<uint64_t>::max()));
  CHECK(Json(true) != Json(1));
  CHECK(Json("1") != Json(1));
  CHECK(Json{{"a", 1}, {"b", 2}} == parse_json("test", R"({"a": 1, "b": 2})"));
  CHECK(Json{{"a", 1}, {"b", 2}} != Json{{"b", 2}, {"a", 1}});
  CHECK(Json::array() != Json::object());
}

TEST_CASE("json: members are added, found, replaced and taken away, and keep their order") {
  Json json;
  json["b"] = 1;
  json["a"]["c"] = {1, 2};
  json["a"]["d"].push_back("x");
  CHECK(json.dump() == R"({"b":1,"a":{"c":[1,2],"d":["x"]}})");
  json.update(Json{{"b", 2}, {"e", 3}});
  json.erase("a");
  json.erase("none");
  CHECK(json.dump() == R"({"b":2,"e":3})");
  std::string names;
  for (const auto& [name, value] : json.items()) names += name + std::to_string(value.get<int>());
  CHECK(names == "b2e3");
  CHECK(json.contains("e"));
  CHECK(json.find("a") == nullptr);
  CHECK(Json(3).find("a") == nullptr);
  CHECK(json.value("e", 7) == 3);
  CHECK(json.value("z", std::string("none")) == "none");
}

TEST_CASE("json: asking for what is not there, or is of another kind, is an error") {
  const Json json{{"text", "x"}, {"real", 2.5}, {"much", std::numeric_limits<uint64_t>::max()}, {"list", {1, "y"}}};
  CHECK_THROWS_WITH_AS(json.at("none"), "[json] the object has no 'none'", Error);
  CHECK_THROWS_WITH_AS(json.at("text").at("x"), "[json] string has no 'x'", Error);
  CHECK_THROWS_WITH_AS(json.at("text").get<int64_t>(), "[json] got string, expected a number", Error);
  CHECK_THROWS_AS(json.at("real").text(), Error);
  CHECK_THROWS_AS(json.at("real").get<bool>(), Error);
  CHECK_THROWS_AS(json.at("much").get<int64_t>(), Error);
  CHECK_THROWS_AS(Json(1e300).get<int64_t>(), Error);
  CHECK_THROWS_AS(Json(-1).get<uint64_t>(), Error);
  CHECK_THROWS_AS(json.at("list").get<std::vector<int>>(), Error);
  CHECK_THROWS_AS(json.at("list").at(2), Error);
  CHECK_THROWS_AS(Json(3).push_back(1), Error);
  CHECK_THROWS_AS(Json(3).begin(), Error);
  CHECK_THROWS_AS(Json("a").items(), Error);
  CHECK_THROWS_AS(Json::array().items(), Error);
  CHECK(json.at("real").get<int64_t>() == 2);
  CHECK(json.at("much").get<uint64_t>() == std::numeric_limits<uint64_t>::max());
  CHECK(parse_json("test", "[[1], [2, 3]]").get<std::vector<std::vector<int>>>() ==
        std::vector<std::vector<int>>{{1}, {2, 3}});
}

TEST_CASE("json: a document that somebody edited is refused by the place of what is wrong") {
  CHECK_THROWS_WITH_AS(parse_json("a.json", R"({"a": 1, "b": {"a": 2}, "a": 3})"),
                       "[json] a.json: the key 'a' stands twice", Error);
  CHECK_THROWS_WITH_AS(parse_json("a.json", "{\n\"a\": }"), doctest::Contains("a.json: "), Error);
  CHECK_THROWS_WITH_AS(parse_json("a.json", "{\n\"a\": }"), doctest::Contains("line 2"), Error);
  for (const char* broken : {"", "{", "[1,]", "1 2", "nul", "\"\xff\"", "1e999"})
    CHECK_THROWS_AS(parse_json("a", broken), Error);
  CHECK(parse_json("a", std::string(32, '[') + std::string(32, ']')).is_array());
  CHECK_THROWS_WITH_AS(parse_json("a", std::string(33, '[') + std::string(33, ']')), "[json] a: nested deeper than 32",
                       Error);
  CHECK(json_or_null(R"({"a": 1, "a": 2})").at("a") == 2);
  CHECK(json_or_null("{").is_null());
  CHECK(json_or_null(std::string(1000, '[') + std::string(1000, ']')).is_array());
  CHECK(json_or_null(std::string(1'000'000, '[')).is_null());
}

}  // namespace gestalt::test
