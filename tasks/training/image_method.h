// ImageMethod: what methods on images share: the data, the views and the encoder.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/images/augment.h"
#include "engine/data/images/loader.h"
#include "engine/data/images/splits.h"
#include "models/export.h"
#include "tasks/training/method.h"

namespace gestalt {

using MakeEncoder = std::function<std::unique_ptr<Encoder>(Random&)>;

class ImageMethod : public Method {
 public:
  int64_t image_size = 0;   // of the views; 0: the data's own
  bool unlabelled = false;  // look at no label
  double damage_limit = OpenOptions().damage_limit;
  AugmentOptions augment;
  EncoderOptions model;
  std::string init;  // whose weights the encoder begins with: a file, a folder, a run; empty: drawn ones

  Modality modality() const override { return Modality::images; }
  Wants wants() const override { return {.groups = views(), .view_dtype = view_dtype()}; }
  std::unique_ptr<Feed> open() override;
  DataIdentity held_out_identity() const override;
  int64_t least_batch() const override { return 2; }  // a contrast, or batch norm in a head, needs another image
  void build(Random& random) final;
  std::string export_to(const std::string& folder) override;
  std::optional<Picture> views_picture(int64_t step) override;
  // Adds to a folder that save_encoder_folder() wrote what a method has besides its encoder that other libraries know.
  virtual void add_to_folder(const std::string& /*folder*/) {}
  EncoderInfo exported_info() const;  // what the exported encoder's file says of it
  void visit(Visitor& v) override { v("encoder", *encoder_); }
  std::optional<Picture> held_out_picture() final;

  // Trains encoders that `make` gives instead of the one that `model` names; a teacher is made by it too. Call it
  // before build(). On cuda its passes are captured in a graph: if they differ from step to step, set run.graph to
  // false.
  void use_encoder(MakeEncoder make);
  // What is measured and exported. Built by build().
  virtual Encoder& encoder() { return *encoder_; }
  // A fresh encoder of the same architecture, on the CPU: a teacher, a baseline.
  std::unique_ptr<Encoder> new_encoder(Random& random) const;
  const ImageSplits& images() const { return images_; }

 protected:
  // Groups of views, each one launch. One group of two alike, unless overridden.
  virtual std::vector<ViewGroup> views() const;
  virtual DType view_dtype() const { return run.resolved_dtype(); }
  // How many images are learned from; 0 where the data are not open, as in load_run().
  int64_t learned_images() const { return images_.pretrain ? images_.pretrain->size() : 0; }
  // Calls f(views, samples) on whole batches of the images that are learned from, in order. The views are the first
  // group's, as they are drawn at step `drawn_at`, or without one the evaluation's. The first images come again to fill
  // the last batch.
  void for_each_batch(std::optional<uint64_t> drawn_at,
                      const std::function<void(const Tensor& views, const Tensor& samples)>& f) const;
  virtual void build_heads(Random& random) = 0;
  void modality_fields(Fields& f) override;

  std::unique_ptr<Encoder> encoder_;

 private:
  MakeEncoder make_;
  ImageSplits images_;
};

// Samples 0 … count − 1 (count) i32, for what is drawn outside training, such as pictures.
Tensor first_samples(int64_t count, Device device);

// The views of one group (B, S, S, 3), for methods that pass them one by one.
std::vector<Tensor> split_views(const Tensor& group, int64_t count);

// A sheet of what the method's encoder is shown of `images` in its first steps: a row an image, a column a view.
Picture draw_views(const ImageMethod& method, const ImageBatch& images, uint64_t step);

}  // namespace gestalt
