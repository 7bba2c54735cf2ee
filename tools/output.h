// What a command leaves behind besides its files: its output, and its exit status.
#pragma once

#include <string>

namespace gestalt::tools {

inline constexpr int status_of_warning = 4;
inline constexpr const char* exit_statuses =
    "Exit status: 0 done; 1 a failure that the message explains; 2 a wrong command line; 3 a defect of the program; "
    "4 trained, saved and exported, but not measured, as a warning says; 128 + N stopped by signal N after saving.";

// Columns of the terminal that is printed to, 0 where it is none.
int terminal_columns();
// `text` beside `name`, from column `indent` on, in lines of up to `columns` characters, or in one where these are 0.
std::string beside(const std::string& name, const std::string& text, size_t indent, int columns);

// Throws Error where what was printed has not arrived, as on a full disk.
void flush_output();

}  // namespace gestalt::tools
