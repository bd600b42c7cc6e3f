// A view of contiguous elements (std::span of C++20, the part we use).
#ifndef TRITSTACK_MODEL_FORMAT_SPAN_H_
#define TRITSTACK_MODEL_FORMAT_SPAN_H_

#include <cassert>
#include <cstddef>
#include <vector>

namespace trit {

template <typename T>
class Span {
 public:
  Span() = default;
  Span(T* data, size_t size) : data_(data), size_(size) {}
  template <typename U>
  Span(const std::vector<U>& v) : data_(v.data()), size_(v.size()) {}  // NOLINT: a view of it

  T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  T& operator[](size_t i) const {
    assert(i < size_);
    return data_[i];
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace trit

#endif  // TRITSTACK_MODEL_FORMAT_SPAN_H_
