// `gestalt show`: pictures of runs.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/run/files.h"
#include "tasks/training/run.h"
#include "tests/tasks/training/tiny_method.h"
#include "tests/tools/command_runs.h"

namespace gestalt::test {

TEST_CASE("show: a run whose method keeps a memory of its data is looked at without them") {
  const TemporaryFolder folder;
  for (const char* method : {"moco", "nnclr", "deepclusterv2"}) {
    const std::unique_ptr<Method> made = tiny_method(method);
    made->run.steps = 1;
    pretrain(*made, {.out = folder / method, .quiet = true});
    const std::string out = folder / (std::string(method) + ".png");
    CHECK(
        contains(gestalt_prints("show " + folder / method + " --data shapes:30 --images 0-1 --dtype f32 --out " + out),
                 "a row an image, 2 views each"));
    CHECK(std::filesystem::exists(out));
  }
}

TEST_CASE("show: a picture of chosen images, by number or by file") {
  const TemporaryFolder folder;
  const std::string out = folder / "grid.png", show = "show " + runs().mae;
  const std::string said = gestalt_prints(show + " --images 0,2-3 --dtype f32 --out " + out);
  CHECK(contains(said, "masked loss "));
  CHECK(contains(said, "3 images, 75 % hidden"));
  const Image grid = image_in(out);
  CHECK(grid.height / 3 == doctest::Approx(grid.width / 4).epsilon(0.05));  // a row an image, four columns
  // A file that was written is one that can be shown.
  CHECK(contains(gestalt_prints(show + " " + out + " --dtype f32 --out " + folder / "again.png"), "1 images"));
  // Another draw hides other patches, the same draw the same ones.
  gestalt_prints(show + " --images 0,2-3 --dtype f32 --draw 1 --out " + folder / "other.png");
  gestalt_prints(show + " --images 0,2-3 --dtype f32 --out " + folder / "same.png");
  CHECK(image_in(folder / "other.png").pixels != grid.pixels);
  CHECK(image_in(folder / "same.png").pixels == grid.pixels);
  CHECK(contains(gestalt_prints(show + " --images 5-3"), "--images '5-3'"));
  CHECK(contains(gestalt_prints(show + " --images 0-99999"), "up to 512"));
}

TEST_CASE("show: the views that an encoder is shown, a row an image") {
  const TemporaryFolder folder;
  const std::string out = folder / "views.png";
  for (const std::string& line : {"show " + runs().simclr, "show " + runs().mae + " --views"}) {
    CAPTURE(line);
    const int columns = contains(line, "--views") ? 1 : 2;  // SimCLR has no picture of its own
    const std::string said = gestalt_prints(line + " --images 0-2 --split train --dtype f32 --out " + out);
    CHECK(contains(said, fmt::format("what the encoder is shown: a row an image, {} views each", columns)));
    const Image sheet = image_in(out);
    CHECK(sheet.height / 3 == doctest::Approx(sheet.width / columns).epsilon(0.05));
  }
  CHECK(contains(gestalt_prints("show " + runs().gpt), "gestalt generate"));
}

}  // namespace gestalt::test
