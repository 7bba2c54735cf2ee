// Batches in a reproducible order; of a streaming set, decoded ahead by threads into reused buffers.
#include "engine/data/images/loader.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <numeric>
#include <thread>

#include "kernels/check.h"
#include "kernels/cpu/team.h"
#include "kernels/philox.h"

namespace gestalt {

std::vector<int32_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  Philox4 block{};
  for (int64_t i = count - 1, drawn = 0; i > 0; --i, ++drawn) {
    if (drawn % 2 == 0)
      block = draw(seed, Use::order, static_cast<uint64_t>(epoch), static_cast<uint32_t>(drawn / 2), 0);
    const uint64_t high = block.word[2 * (drawn % 2)], word = high << 32 | block.word[2 * (drawn % 2) + 1];
    // A fraction of 2^64 scaled to [0, i]: the bias is below 2^-32 for any set that fits an int32.
    const auto at = static_cast<int64_t>((static_cast<unsigned __int128>(word) * static_cast<uint64_t>(i + 1)) >> 64);
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(at)]);
  }
  return order;
}

namespace {

// One batch that is being decoded. Threads take its samples one by one; who finishes the last one joins the images.
struct Job {
  std::vector<int32_t> samples;
  std::vector<Image> images;
  size_t taken = 0, done = 0;
  Tensor buffer;  // at least as long as `used`, or undefined
  int64_t used = 0;
  std::vector<kernels::Frame> frames;
  std::exception_ptr failure;
  bool ready = false;
};

}  // namespace

class Loader::Decoder {
 public:
  Decoder(ImageSet& set, int threads) : set_(set) {
    for (int t = 0; t < threads; ++t) threads_.emplace_back([this](std::stop_token stop) { work(stop); });
  }

  size_t queued() const { return jobs_.size(); }  // only the consumer adds and removes

  void add(std::vector<int32_t> samples) {
    auto job = std::make_shared<Job>();
    job->images.resize(samples.size());
    job->samples = std::move(samples);
    for (auto& buffer : buffers_)
      if (buffer.sole_owner()) {
        job->buffer = std::move(buffer);
        std::swap(buffer, buffers_.back());
        buffers_.pop_back();
        break;
      }
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    wake_.notify_all();
  }

  // The oldest batch, when it is decoded.
  std::shared_ptr<Job> take() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return jobs_.front()->ready; });
    std::shared_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    if (job->failure) std::rethrow_exception(job->failure);
    buffers_.push_back(job->buffer);
    return job;
  }

  // Forgets all batches; a thread that is at one finishes its image first, and nobody reads it.
  void clear() {
    std::lock_guard lock(mutex_);
    jobs_.clear();
  }

 private:
  std::shared_ptr<Job> open_job() {  // one with samples nobody has taken, oldest first
    for (const auto& job : jobs_)
      if (job->taken < job->samples.size()) return job;
    return nullptr;
  }

  void work(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!wake_.wait(lock, stop, [&] { return open_job() != nullptr; })) return;
      std::shared_ptr<Job> job = open_job();
      const size_t i = job->taken++;
      lock.unlock();
      std::exception_ptr failure = decode(*job, i);
      lock.lock();
      if (failure && !job->failure) job->failure = failure;
      if (++job->done < job->samples.size()) continue;
      lock.unlock();
      if (!job->failure) failure = join(*job);
      lock.lock();
      if (!job->failure) job->failure = failure;
      job->ready = true;
      ready_.notify_all();
    }
  }

  std::exception_ptr decode(Job& job, size_t i) {
    try {
      job.samples[i] = static_cast<int32_t>(set_.decode_or_next(job.samples[i], job.images[i]));
    } catch (...) { return std::current_exception(); }
    return nullptr;
  }

  static std::exception_ptr join(Job& job) {
    try {
      for (const Image& image : job.images) {
        job.frames.push_back({job.used, image.height, image.width});
        job.used += static_cast<int64_t>(image.pixels.size());
      }
      // An eighth to spare, so that batches of slightly different sizes share buffers.
      if (!job.buffer || job.buffer.count() < job.used)
        job.buffer = Tensor::empty({job.used + job.used / 8}, DType::u8);
      uint8_t* to = job.buffer.data<uint8_t>();
      for (size_t i = 0; i < job.images.size(); ++i)
        std::memcpy(to + job.frames[i].offset, job.images[i].pixels.data(), job.images[i].pixels.size());
      job.images.clear();
    } catch (...) { return std::current_exception(); }
    return nullptr;
  }

  ImageSet& set_;
  std::mutex mutex_;
  std::condition_variable_any wake_, ready_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::vector<Tensor> buffers_;        // seen by the consumer's thread only
  std::vector<std::jthread> threads_;  // last, so that they end first
};

Loader::Loader(std::shared_ptr<ImageSet> set, const LoaderOptions& options) : set_(std::move(set)), options_(options) {
  check(options_.batch > 0, "[loader] got a batch of {}, expected at least 1; give a larger --batch", options_.batch);
  check(!options_.drop_last || set_->size() >= options_.batch,
        "[loader] got {} images in {}, fewer than one batch of {}; give a smaller --batch", set_->size(), set_->name(),
        options_.batch);
  check(set_->size() <= INT32_MAX, "[loader] got {} images, expected at most {}", set_->size(), INT32_MAX);
  if (set_->resident()) return;
  const int spare = std::max(1, kernels::cpu::team_size() - 1);
  decoder_ = std::make_unique<Decoder>(*set_, options_.threads > 0 ? options_.threads : spare);
}

Loader::~Loader() = default;

int64_t Loader::steps_per_epoch() const {
  return options_.drop_last ? set_->size() / options_.batch : (set_->size() + options_.batch - 1) / options_.batch;
}

std::vector<int32_t> Loader::samples_of(int64_t step) {
  const int64_t epoch = step / steps_per_epoch(), begin = step % steps_per_epoch() * options_.batch;
  const int64_t end = std::min(begin + options_.batch, set_->size());
  if (options_.shuffle && order_epoch_ != epoch) {
    order_ = epoch_order(set_->size(), options_.seed, epoch);
    order_epoch_ = epoch;
  }
  std::vector<int32_t> samples(static_cast<size_t>(end - begin));
  if (options_.shuffle)
    std::copy(order_.begin() + begin, order_.begin() + end, samples.begin());
  else
    std::iota(samples.begin(), samples.end(), static_cast<int32_t>(begin));
  return samples;
}

ImageBatch Loader::next() {
  ImageBatch batch;
  batch.epoch = step_ / steps_per_epoch(), batch.step = step_;
  if (decoder_) {
    while (static_cast<int64_t>(decoder_->queued()) < 1 + options_.prefetch)
      decoder_->add(samples_of(step_ + static_cast<int64_t>(decoder_->queued())));
    const std::shared_ptr<Job> job = decoder_->take();
    batch.pixels = job->buffer.slice(0, job->used);
    batch.frames = std::move(job->frames);
    batch.samples = std::move(job->samples);
    job->buffer = Tensor();
  } else {
    batch.pixels = set_->pixels();
    batch.samples = samples_of(step_);
    for (int32_t sample : batch.samples) batch.frames.push_back(set_->frames()[static_cast<size_t>(sample)]);
  }
  if (!set_->labels().empty())
    for (int32_t sample : batch.samples) batch.labels.push_back(set_->labels()[static_cast<size_t>(sample)]);
  ++step_;
  return batch;
}

void Loader::seek(int64_t step) {
  check(step >= 0, "[loader] got step {} to go to, expected 0 or more", step);
  step_ = step;
  if (decoder_) decoder_->clear();
}

}  // namespace gestalt
