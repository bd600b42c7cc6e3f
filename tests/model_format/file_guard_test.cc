// A mapping whose file is cut while it is in use: zeros and a flag instead of a signal, and only
// for what was registered. Each case runs in a process of its own, whose end is the result.
#include "model_format/file_guard.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

using namespace trit;

namespace {

constexpr size_t kPages = 16;

size_t page_bytes() {
  return static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
}

// A file of kPages pages, each full of its number + 1, mapped.
class Mapped {
 public:
  Mapped() {
    std::string bytes;
    for (size_t page = 0; page < kPages; ++page)
      bytes.append(page_bytes(), static_cast<char>(page + 1));
    write_file(path_, bytes);
    const int fd = open(path_.c_str(), O_RDONLY);
    data_ =
        static_cast<volatile uint8_t*>(mmap(nullptr, bytes.size(), PROT_READ, MAP_PRIVATE, fd, 0));
    close(fd);
  }
  void guard() { register_mapping(address(), kPages * page_bytes(), &poisoned); }
  void cut(size_t bytes) const {
    if (truncate(path_.c_str(), static_cast<off_t>(bytes)) != 0) _exit(100);
  }
  void* address() const { return const_cast<uint8_t*>(data_); }
  uint8_t page(size_t index) const { return data_[index * page_bytes()]; }

  std::atomic<bool> poisoned{false};

 private:
  TempDir folder_;
  const std::string path_ = folder_.path("file");
  volatile uint8_t* data_;
};

int exit_code(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    // The sanitizers' own handlers would report a death that is wanted here.
    for (const int fatal : {SIGBUS, SIGSEGV}) signal(fatal, SIG_DFL);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return exit_code_of(status);
}

int handled = 0;
void count_and_end(int) {
  _exit(50 + ++handled);
}
void count_with_information(int, siginfo_t* info, void*) {
  _exit(info->si_addr ? 60 : 61);
}

}  // namespace

TEST_CASE("a file cut below a page in use reads as zeros from there, and the flag is set") {
  CHECK(exit_code([] {
          Mapped file;
          if (!guard_file_access().ok()) return 1;
          file.guard();
          file.cut(4 * page_bytes());
          if (file.page(3) != 4 || file.poisoned) return 2;
          if (file.page(9) != 0 || !file.poisoned) return 3;
          for (size_t page = 4; page < kPages; ++page)
            if (file.page(page) != 0) return 4;
          return file.page(3) == 4 && file.page(0) == 1 ? 0 : 5;
        }) == 0);
}

TEST_CASE("of several mappings only the one that is cut is poisoned") {
  CHECK(exit_code([] {
          std::vector<Mapped> files(5);
          if (!guard_file_access().ok() || !guard_file_access().ok()) return 1;
          for (Mapped& file : files) file.guard();
          unregister_mapping(files[1].address());
          files[3].cut(0);
          if (files[3].page(0) != 0) return 2;
          for (size_t i = 0; i < files.size(); ++i)
            if (files[i].poisoned != (i == 3)) return 3;
          files[1].guard();
          files[1].cut(1);
          return files[1].page(1) == 0 && files[1].poisoned && files[1].page(0) == 1 ? 0 : 4;
        }) == 0);
}

TEST_CASE("without the guard, or outside of what is registered, it is the signal that it was") {
  CHECK(exit_code([] {
          Mapped file;
          file.guard();
          file.cut(0);
          return int{file.page(0)};
        }) == -SIGBUS);
  CHECK(exit_code([] {
          Mapped file, other;
          if (!guard_file_access().ok()) return 1;
          file.guard();
          other.cut(0);
          return int{other.page(0)};
        }) == -SIGBUS);
  CHECK(exit_code([] {
          Mapped file;
          if (!guard_file_access().ok()) return 1;
          file.guard();
          unregister_mapping(file.address());
          file.cut(0);
          return int{file.page(0)};
        }) == -SIGBUS);
}

TEST_CASE("a handler that was there before gets the faults that are not ours, of both forms") {
  CHECK(exit_code([] {
          Mapped file, other;
          signal(SIGBUS, count_and_end);
          if (!guard_file_access().ok()) return 1;
          file.guard();
          file.cut(0);
          if (file.page(0) != 0) return 2;
          other.cut(0);
          return int{other.page(0)};
        }) == 51);
  CHECK(exit_code([] {
          Mapped other;
          struct sigaction action = {};
          action.sa_sigaction = count_with_information;
          action.sa_flags = SA_SIGINFO;
          sigaction(SIGBUS, &action, nullptr);
          if (!guard_file_access().ok()) return 1;
          other.cut(0);
          return int{other.page(0)};
        }) == 60);
}

TEST_CASE("a SIGBUS that somebody sends is not a fault") {
  CHECK(exit_code([] {
          if (!guard_file_access().ok()) return 1;
          return raise(SIGBUS);
        }) == -SIGBUS);
  CHECK(exit_code([] {
          signal(SIGBUS, SIG_IGN);
          if (!guard_file_access().ok()) return 1;
          return raise(SIGBUS);
        }) == 0);
}

TEST_CASE("threads fault in one mapping while others come and go") {
  CHECK(exit_code([] {
          if (!guard_file_access().ok()) return 1;
          Mapped file;
          file.guard();
          file.cut(0);
          std::atomic<int> wrong{0};
          std::vector<std::thread> threads;
          for (size_t thread = 0; thread < 3; ++thread) {
            threads.emplace_back([&, thread] {
              for (size_t i = 0; i < kPages; ++i)
                wrong += file.page((i + thread * 5) % kPages) != 0;
            });
            threads.emplace_back([&] {
              for (int i = 0; i < 20; ++i) {
                Mapped other;
                other.guard();
                other.cut(page_bytes());
                wrong += other.page(0) != 1 || other.page(1) != 0 || !other.poisoned;
                unregister_mapping(other.address());
              }
            });
          }
          for (std::thread& thread : threads) thread.join();
          return wrong == 0 && file.poisoned ? 0 : 2;
        }) == 0);
}
