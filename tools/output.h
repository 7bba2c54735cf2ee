// What a command leaves behind besides its files: its output, and its exit status.
#pragma once

#include <string>

#include "kernels/check.h"

namespace gestalt::tools {

inline constexpr int status_of_warning = 4;
inline constexpr const char* exit_statuses =
    "Exit status: 0 done; 1 a failure that the message explains; 2 a wrong command line; 3 a defect of the program; "
    "4 trained, saved and exported, but not measured, as a warning says; 128 + N stopped by signal N after saving.";

// Columns of the terminal that is printed to, 0 where it is none.
int terminal_columns();
// `text` beside `name`, from column `indent` on, in lines of up to `columns` characters, or in one where these are 0.
std::string beside(const std::string& name, const std::string& text, size_t indent, int columns);

// The reader of the output has ended before the command did.
struct NobodyReads : Error {
  using Error::Error;
};

// Throws Error where what was printed has not arrived, as on a full disk; NobodyReads where nobody wants it.
void flush_output();

// A line on standard error. One that cannot be written is no failure: there is nobody to tell.
void note(const std::string& line);

// For the program's start. Takes the places of standard files that the caller closed, which the next files to be opened
// would get: then what is printed would be written into a checkpoint. Reading, and writing output, fail as before; notes
// go nowhere. A reader of the output that ends, as `head` does, and a file beyond the limit of its size do not end the
// program either, but are errors of the write.
void prepare_files();

}  // namespace gestalt::tools
