// Tables of numbers, read as runs write them and as other programs save them.
#include "engine/run/table.h"

#include <doctest/doctest.h>

#include "kernels/check.h"

namespace gestalt::test {

TEST_CASE("table: rows are lines of JSON, where an empty cell and what is not finite is null") {
  const NumberTable table = parse_number_table("t", "step,a b\n1,0.30000000000000004\n2,\n3,nan\n4,-inf\n5,1e-300\n");
  CHECK(json_lines(table) ==
        "{\"step\": 1, \"a b\": 0.30000000000000004}\n{\"step\": 2, \"a b\": null}\n"
        "{\"step\": 3, \"a b\": null}\n{\"step\": 4, \"a b\": null}\n{\"step\": 5, \"a b\": 1e-300}\n");
}

TEST_CASE("number table: cells, empty ones, and lines that are none") {
  const NumberTable table = parse_number_table("m.csv", "step,loss,probe\r\n1,2.5,\r\n\n2,nan,3e1\n3,1");
  CHECK(table.columns == std::vector<std::string>{"step", "loss", "probe"});
  REQUIRE(table.rows.size() == 2);
  CHECK(table.last("step") == 2);
  CHECK(table.last("probe") == 30);
  CHECK_FALSE(table.column("probe")[0].has_value());
  CHECK(table.column("nothing").size() == 2);
  CHECK_FALSE(table.last("nothing").has_value());
  CHECK_THROWS_WITH_AS(parse_number_table("m.csv", "a,b\n1,2\n1\n"), doctest::Contains("m.csv:3 has 1 cells"), Error);
  CHECK_THROWS_WITH_AS(parse_number_table("m.csv", "a\nx1\n"), doctest::Contains("m.csv:2 got 'x1'"), Error);
}

TEST_CASE("aligned columns: as wide as their widest cell in characters") {
  CHECK(aligned_columns({{"run", "é"}, {"a", "bcd"}, {"lange", ""}}) == "run    é\na      bcd\nlange\n");
  CHECK(aligned_columns({}).empty());
}

}  // namespace gestalt::test
