// A set of images and their labels, opened by a spec such as `cifar10:DIR`, and held in memory or decoded when asked.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/data/images/image_codec.h"
#include "engine/tensor/tensor.h"
#include "kernels/augment.h"
#include "kernels/check.h"

namespace gestalt {

struct OpenOptions {
  // "train", "test", or "pretrain": the images to learn from without labels, which is STL-10's unlabelled split where
  // there is one and "train" everywhere else.
  std::string split = "train";
  // Where a labelled set has no test split of its own (`images:` without two folders of splits, `packed:`), "test" is
  // every 10th image of each class, in order of path; of fewer than ten the last, of a single one none. "train" leaves
  // those out only if this is set, so set it whenever the same set will be asked for its test split. Of unlabelled
  // images none is held out, for nothing can be measured on them.
  bool hold_out = false;
  bool unlabelled = false;                    // look at no label: folders are just folders
  int32_t decode_size = 0;                    // `images:`: short side to shrink to; 0 keeps the stored size
  bool decode_crop = false;                   // `images:`: cut to centre squares of decode_size, also enlarged
  int64_t resident_bytes = int64_t{4} << 30;  // sets whose pixels fit stay in memory
  int threads = 0;                            // that decode at opening; 0 is one a core
  uint64_t seed = 0;                          // which `shapes` are drawn; not the seed of training
  double damage_limit = 0.1;                  // the fraction of unreadable images that is an error
};

struct Damage {
  std::string file, reason;
};

// Thrown for an image that cannot be decoded; other Errors are not the image's fault.
class DamagedImage : public Error {
 public:
  explicit DamagedImage(Damage d) : Error("[data] " + d.file + " " + d.reason), damage(std::move(d)) {}
  Damage damage;
};

// Thrown where the split that is asked for has no image.
class EmptySplit : public Error {
 public:
  using Error::Error;
};

struct DamageReport {
  std::vector<Damage> damaged;     // candidates that could not be decoded, in order of path
  std::vector<Damage> not_images;  // files whose names end in no known extension, the first thousand
  int64_t not_image_count = 0;

  bool any() const { return !damaged.empty() || not_image_count > 0; }
  std::string text(size_t most = 10) const;  // a line with the counts, then up to `most` files with their reasons
};

class ImageSet {
 public:
  virtual ~ImageSet() = default;
  ImageSet(const ImageSet&) = delete;
  ImageSet& operator=(const ImageSet&) = delete;

  int64_t size() const { return static_cast<int64_t>(size_); }
  const std::vector<int32_t>& labels() const { return labels_; }  // one an image, or none at all
  const std::vector<std::string>& class_names() const { return class_names_; }
  const std::string& name() const { return name_; }
  // Which image it is, to people and in files: the path below the folder that was opened ("train/cat/7.jpg"), elsewhere
  // split and number ("test/7"), of a packed file its name and the number in it. No two of a set's splits share one.
  virtual std::string image_name(int64_t index) const = 0;
  // The file that it is, "" where it has none of its own.
  virtual std::string image_path(int64_t) const { return ""; }
  // Its sides as they are stored, 0 of a damaged image.
  virtual ImageSize stored_size(int64_t index) const;
  virtual std::string describe() const = 0;  // one line: name, split, count, size, classes, where it is held

  virtual bool resident() const = 0;
  // Of a resident set: all pixels, u8 (bytes), and where in them each image lies. Throws for others.
  virtual Tensor pixels() const;
  virtual const std::vector<kernels::Frame>& frames() const;

  // Of all that the set holds, wherever it lies. Sets that are decoded as they are needed are known by the names and
  // sizes of their files, sets of more than 8 GiB by a part of their pixels.
  virtual uint64_t checksum() const;

  // One image. Throws DamagedImage.
  virtual Image decode(int64_t index) const = 0;
  // Decodes image `index` or, where it is damaged, the next good one after it (round the end); returns which. Depends
  // on nothing but the files. Notes the damage once; throws, listing it, when more than damage_limit of the set is
  // damaged.
  int64_t decode_or_next(int64_t index, Image& image);

  // False where the image is damaged, which is noted as above; `image` is then empty.
  bool decode_or_note(int64_t index, Image& image);

  DamageReport damage() const;
  void forget_labels() { labels_.clear(), class_names_.clear(); }

 protected:
  ImageSet() = default;
  void note_damage(int64_t index, Damage);
  void check_damage() const;  // throws, listing what was found, if it is more than damage_limit of the set
  std::string class_text() const;

  std::string name_;
  size_t size_ = 0;
  std::vector<int32_t> labels_;
  std::vector<std::string> class_names_;
  double damage_limit_ = 0.1;
  DamageReport report_;  // what was found at opening

 private:
  bool known_damaged(int64_t index) const;

  mutable std::mutex mutex_;
  std::map<int64_t, Damage> found_;  // what was found since
};

// Opens what image_sources() lists, or several of these with commas between them ("images:a,tar:b.tar"), as one set
// whose classes are those of all parts by name; its images are unlabelled if those of one part are. Throws Error naming
// what was looked for and the cure.
std::shared_ptr<ImageSet> open_images(const std::string& spec, const OpenOptions& = {});

// One line for `gestalt list data`.
struct ImageSource {
  std::string scheme, usage, help;
};
const std::vector<ImageSource>& image_sources();
// Whether it begins with one of their schemes.
bool names_images(const std::string& spec);
// Whether its images are files, which take time to decode.
bool names_image_files(const std::string& spec);

// Writes the set, cut to squares of `side` pixels (0: as they are, if all share one size), as one `packed:` file.
// Damaged images are left out. The file appears whole or not at all.
void write_packed(ImageSet&, const std::string& path, int32_t side, int threads = 0);

}  // namespace gestalt
