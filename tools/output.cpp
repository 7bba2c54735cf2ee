// Seeing to it that what was printed has arrived.
#include "tools/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/check.h"

namespace gestalt::tools {

void flush_output() {
  errno = 0;
  bool failed = std::fflush(stdout) != 0;
  if (!failed && std::ferror(stdout)) {  // an earlier write failed: the same again, for its reason
    std::clearerr(stdout);
    failed = true;
    if (std::fputc('\n', stdout) != EOF) std::fflush(stdout);
  }
  check(!failed, "cannot write the output: {}", errno != 0 ? std::strerror(errno) : "an earlier write failed");
}

}  // namespace gestalt::tools
