// Config files and run records, as lines and as JSON, into a struct of fields.
#include "engine/run/fields_json.h"
#include "engine/run/fields_text.h"
#include "tasks/training/run_options.h"
#include "tests/fuzz/fuzz.h"

using namespace gestalt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of({data, size});
  fuzz::refused_or([&] {
    TextReader reader("x.conf", text);
    RunOptions options;
    options.fields(reader);
    reader.finish();
    check_fields(options);
  });
  fuzz::refused_or([&] {
    JsonReader reader("config.json", parse_json("config.json", text));
    RunOptions options;
    options.fields(reader);
    reader.finish();
    JsonWriter writer;
    options.fields(writer);
    JsonReader again("config.json", writer.object);
    RunOptions same;
    same.fields(again);
    again.finish();
    fuzz::expect(same.data == options.data && same.batch == options.batch && same.seed == options.seed);
  });
  return 0;
}
