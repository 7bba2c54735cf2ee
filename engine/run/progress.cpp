// The progress line: its text, its rate, and where it may be redrawn.
#include "engine/run/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace gestalt {
namespace {

// A wrapped line could not be redrawn with a carriage return.
size_t terminal_width(std::FILE* out) {
  winsize size{};
  const bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1u : 119u;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const int64_t s = std::llround(seconds), days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
  if (days > 0) return fmt::format("{} d {}:{:02}:{:02}", days, hours, minutes, s % 60);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, s % 60);
  return fmt::format("{}:{:02}", minutes, s % 60);
}

std::string progress_text(const ProgressPlan& plan, int64_t step, double loss, double rate, const PhaseClock& clock) {
  const int64_t per_epoch = std::max<int64_t>(1, plan.steps_per_epoch);
  const int64_t epochs = (plan.total_steps + per_epoch - 1) / per_epoch;
  const int64_t epoch = std::max<int64_t>(0, step - 1) / per_epoch;
  std::string text = fmt::format("epoch {}/{}  step {}/{}  loss {:.4f}  {:.0f} {}/s", epoch + 1, epochs,
                                 step - epoch * per_epoch, std::min(per_epoch, plan.total_steps - epoch * per_epoch),
                                 loss, rate * static_cast<double>(plan.items_per_step), plan.item);
  const double left = rate > 0 ? static_cast<double>(plan.total_steps - step) / rate : NAN;
  text += fmt::format("  {} left", duration_text(left));
  bool timed = false;
  for (size_t i = 0; i < phase_names.size(); ++i) {
    const auto phase = static_cast<Phase>(i);
    if (clock.seconds(phase) == 0) continue;  // text has no augmentation
    text += fmt::format("  {} {:.1f}", phase_names[i], clock.milliseconds_per_step(phase));
    timed = true;
  }
  return timed ? text + " ms" : text;
}

std::string shortened(const std::string& text, size_t width) {
  if (text.size() <= width) return text;
  const size_t cut = text.rfind("  ", width);
  return text.substr(0, cut == std::string::npos ? width : cut);
}

ProgressLine::ProgressLine(const ProgressPlan& plan, std::FILE* out)
    : ProgressLine(plan, out, isatty(fileno(out)) == 1) {}

ProgressLine::ProgressLine(const ProgressPlan& plan, std::FILE* out, bool terminal)
    : plan_(plan),
      out_(out),
      terminal_(terminal),
      last_print_(Clock::now()),
      last_rate_(last_print_),
      last_rate_step_(plan.first_step) {}

ProgressLine::~ProgressLine() {
  if (!drawn_) return;
  std::fputc('\n', out_);
  std::fflush(out_);
}

bool ProgressLine::due(int64_t step) const {
  if (step >= plan_.total_steps) return true;
  return Clock::now() - last_print_ >= (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(30));
}

double ProgressLine::steps_per_second(int64_t step, Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - last_rate_).count();
  const double latest = static_cast<double>(step - last_rate_step_) / std::max(seconds, 1e-9);
  // Averaged over some ten seconds, so that neither one slow step nor the warm-up decides the time left.
  const double weight = rate_ > 0 ? 1 - std::exp(-seconds / 10) : 1;
  rate_ += weight * (latest - rate_);
  last_rate_ = now;
  last_rate_step_ = step;
  return rate_;
}

void ProgressLine::erase() {
  if (drawn_) std::fputs("\r\x1b[K", out_);
  drawn_ = false;
}

void ProgressLine::update(int64_t step, double loss, const PhaseClock& clock) {
  if (!due(step)) return;
  last_print_ = Clock::now();
  std::string text = progress_text(plan_, step, loss, steps_per_second(step, last_print_), clock);
  if (terminal_) {
    text = shortened(text, terminal_width(out_));
    erase();
    drawn_ = true;
  } else {
    text += '\n';
  }
  std::fputs(text.c_str(), out_);
  std::fflush(out_);
}

void ProgressLine::line(const std::string& text) {
  erase();
  std::fputs((text + "\n").c_str(), out_);
  std::fflush(out_);
}

}  // namespace gestalt
