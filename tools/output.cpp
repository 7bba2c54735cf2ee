// Fitting what is printed into a terminal, and seeing to it that it has arrived.
#include "tools/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace gestalt::tools {

int terminal_columns() {
  winsize size{};
  return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string beside(const std::string& name, const std::string& text, size_t indent, int columns) {
  const size_t room = columns > 0
                          ? std::max<size_t>(20, static_cast<size_t>(columns) - std::min<size_t>(indent, columns))
                          : text.size();
  std::string lines = fmt::format("{:<{}}", name, indent - 1) + " ";
  for (std::string_view rest = text; !rest.empty();) {
    if (rest.size() != text.size()) lines += "\n" + std::string(indent, ' ');
    size_t end = rest.size() <= room ? rest.size() : rest.rfind(' ', room);
    if (end == std::string_view::npos || end == 0) end = std::min(rest.find(' ', 1), rest.size());
    lines += rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return lines;
}

void flush_output() {
  errno = 0;
  bool failed = std::fflush(stdout) != 0;
  if (!failed && std::ferror(stdout)) {  // an earlier write failed: the same again, for its reason
    std::clearerr(stdout);
    failed = true;
    if (std::fputc('\n', stdout) != EOF) std::fflush(stdout);
  }
  if (failed && errno == EPIPE) throw NobodyReads("nobody reads the output");
  check(!failed, "cannot write the output: {}", errno != 0 ? std::strerror(errno) : "an earlier write failed");
}

void note(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

void prepare_files() {
  for (const int ending : {SIGPIPE, SIGXFSZ}) std::signal(ending, SIG_IGN);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
      open("/dev/null", descriptor == STDOUT_FILENO ? O_RDONLY : O_WRONLY);  // takes the lowest number that is free
}

}  // namespace gestalt::tools
