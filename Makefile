# tritstack: `make` builds ./tritstack, `make chat` talks to the small model, `make test` runs the suite.
#
#   make [config=release|debug|sanitize|coverage]   ./tritstack (release) or build/<config>/tritstack
#   make deps      install what the build needs and lacks (apt-get or brew)
#   make chat      build, then chat with cmd/demo/*.trit
#   make test      lint and the whole suite;  make test-all: the suite under sanitizers too
#   make test-<room>   one room: kernels model_format convert text runtime cmd
#   make test-emulated the kernels and the demo on CPUs that qemu has: part of `make test`
#   make bench         how fast models of three sizes run here, as build/release/bench.csv (minutes)
#   make bench-stall   whether decoding ever stalls, alone and beside busy processes (20 minutes)
#   make test-large    the converter at the size of a 1B model (minutes, 5 GB of disk)
#   make test-memory   budgets kept, by the system's own count, up to a file of 4 GB (ten minutes)
#   make test-quality  ours, PTQTP and BitStack at equal bytes: a table (minutes)
#   make lint | format | install PREFIX=/usr/local DESTDIR= | clean
#
# Sources are found by wildcard: adding a file needs no change here. No file needs flags to be right:
# code for one instruction set sits in target regions (kernels/target.h).

# All cores, unless a -j was given; a make within make shares the jobs of the first.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
endif
# A short line for each step; V=1 shows the commands.
step = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2) &&)

config ?= release
BUILD ?= build/$(config)
PREFIX ?= /usr/local
CXX ?= c++

CXXFLAGS_release := -Os -DNDEBUG
CXXFLAGS_debug := -O0 -g
CXXFLAGS_sanitize := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CXXFLAGS_coverage := -O0 -g --coverage
# Contraction off: the same bits on every CPU (see kernels/README.md).
FLAGS := -std=c++17 -I. -Wall -Wextra -Wshadow -fvisibility=hidden -fPIC -ffp-contract=off -pthread \
         -ffunction-sections -fdata-sections \
         $(CXXFLAGS_$(config)) $(CXXFLAGS)
ifeq ($(shell uname),Darwin)
DROP_UNUSED := -Wl,-dead_strip
CXX_LIBRARY := -lc++
else
CXX_LIBRARY := -lstdc++
DROP_UNUSED := -Wl,--gc-sections
EXPORTS := -Wl,--version-script=runtime/exports.map
endif
LINK = $(call step,LINK,$@) $(CXX) $(FLAGS) $(LTO) $(DROP_UNUSED) $(LDFLAGS)

sources = $(sort $(wildcard $(addsuffix /*.cc,$(1))))
objects = $(patsubst %.cc,$(BUILD)/%.o,$(call sources,$(1)))
ROOMS := kernels model_format convert runtime
SRC_kernels := kernels
SRC_model_format := model_format
SRC_convert := model_format/convert
SRC_runtime := runtime runtime/text
TEST_ROOMS := kernels model_format convert text runtime cmd
LONG_ROOMS := large memory quality emulated
# What each room's tests link: the rooms below it only.
LINK_kernels := kernels
LINK_model_format := model_format kernels
LINK_convert := convert model_format kernels
LINK_text := runtime convert model_format kernels
LINK_runtime := runtime convert model_format kernels
LINK_cmd := runtime convert model_format kernels
LINK_large := model_format kernels
LINK_memory := runtime convert model_format kernels
LINK_quality := runtime convert model_format kernels
LINK_emulated := kernels

ifeq ($(config),release)
COMMAND := tritstack
else
COMMAND := $(BUILD)/tritstack
endif

.PHONY: all chat test test-all lint format deps install clean lib bench bench-stall $(TEST_ROOMS:%=test-%) $(LONG_ROOMS:%=test-%)
.SECONDARY:
all: $(COMMAND)
lib: $(BUILD)/libtritstack.a

$(COMMAND): $(call objects,cmd cmd/common) $(BUILD)/libruntime.a $(BUILD)/libconvert.a \
            $(BUILD)/libmodel_format.a $(BUILD)/libkernels.a
	$(LINK) -o $@ $^

$(BUILD)/libtritstack.a: $(call objects,kernels model_format runtime runtime/text)
	$(call step,AR,$@) rm -f $@ && $(AR) rcs $@ $^ $(if $(LTO),&& objcopy -w -R '.gnu.lto_*' $@)
define room_library
$(BUILD)/lib$(1).a: $(call objects,$(SRC_$(1)))
	$$(call step,AR,$$@) rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach room,$(ROOMS),$(eval $(call room_library,$(room))))
$(BUILD)/libsupport.a: $(filter-out %/main.o,$(call objects,tests/support))
	$(call step,AR,$@) rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.cc | deps
	@mkdir -p $(@D)
	$(call step,CXX,$<) $(CXX) $(FLAGS) -MMD -MP -c -o $@ $<
# The command stays below 1 MB stripped (lint measures it): small code, speed for what a profile
# shows, and with GCC it is linked from code that the linker optimizes as a whole. The same objects
# hold machine code for everything else, and the library that others link nothing but that. Nobody
# asks for the type of an object, and code and tables may share pages.
HOT := kernels/% model_format/convert/decompose.o runtime/sampler.o runtime/text/bpe.o \
       runtime/text/encoder.o
ifeq ($(config),release)
$(HOT:%=$(BUILD)/%): FLAGS += -O2 -ftree-vectorize
$(BUILD)/kernels/%: FLAGS += -fno-exceptions -fno-asynchronous-unwind-tables
ifeq ($(shell $(CXX) -dM -E -x c++ /dev/null | grep -c __clang__),0)
$(addprefix $(BUILD)/,cmd/% model_format/% runtime/%): FLAGS += -flto -ffat-lto-objects -fno-rtti
LTO := -fno-lto
$(COMMAND): private LTO := -flto=auto -Wl,-z,noseparate-code
endif
endif

define room_test
$(BUILD)/test_$(1): $(call objects,tests/$(1) $(if $(filter cmd,$(1)),cmd/common)) $(BUILD)/tests/support/main.o \
                    $(BUILD)/libsupport.a $(LINK_$(1):%=$(BUILD)/lib%.a)
	$$(LINK) -o $$@ $$^
test-$(1): $(BUILD)/test_$(1) $(if $(filter cmd large memory quality emulated,$(1)),$(COMMAND))
	@TRITSTACK=$(abspath $(COMMAND)) $(BUILD)/test_$(1)
endef
$(foreach room,$(TEST_ROOMS) $(LONG_ROOMS),$(eval $(call room_test,$(room))))

chat: $(COMMAND)
	@./$(COMMAND) chat --drop-oldest -m $(firstword $(wildcard cmd/demo/*.trit))

test: lint $(TEST_ROOMS:%=$(BUILD)/test_%) $(COMMAND) $(BUILD)/hello $(BUILD)/test_emulated cross
	@TRITSTACK=$(abspath $(COMMAND)) BUILD=$(BUILD) tests/tools/run_tests.sh $(TEST_ROOMS) emulated

test-all: test
	$(MAKE) config=sanitize suite
.PHONY: suite
suite: $(TEST_ROOMS:%=$(BUILD)/test_%) $(COMMAND)
	@TRITSTACK=$(abspath $(COMMAND)) BUILD=$(BUILD) tests/tools/run_tests.sh $(TEST_ROOMS)

# The programs that tests/emulated runs on Arm CPUs, where a compiler for them is installed.
CROSS := aarch64-linux-gnu-g++
CROSS_BUILD := $(BUILD)/aarch64
CROSS_PROGRAMS := $(CROSS_BUILD)/test_kernels $(CROSS_BUILD)/tritstack
.PHONY: cross
cross: | deps
	@if command -v $(CROSS) >/dev/null; then $(MAKE) --no-print-directory config=release \
	  BUILD=$(CROSS_BUILD) COMMAND=$(CROSS_BUILD)/tritstack CXX=$(CROSS) CXXFLAGS= LDFLAGS=-static \
	  $(CROSS_PROGRAMS); fi
test-emulated: $(BUILD)/test_kernels cross

bench: $(COMMAND)
	@TRITSTACK=$(abspath $(COMMAND)) BUILD=$(BUILD) tests/tools/bench.sh
bench-stall: $(COMMAND)
	@TRITSTACK=$(abspath $(COMMAND)) tests/tools/bench_stall.sh

# The smallest embedding, compiled as C99 against the public header and linked as README says.
$(BUILD)/hello: cmd/hello.c $(BUILD)/libtritstack.a
	$(call step,CC,$<) $(CC) -std=c99 -Wall -Wextra -pedantic -Iruntime/include -c -o $(BUILD)/hello.o $<
	$(call step,LINK,$@) $(CC) $(FLAGS) $(LDFLAGS) -o $@ $(BUILD)/hello.o -L$(BUILD) -ltritstack $(CXX_LIBRARY) -lm -pthread
# Exports trit_* only (runtime/exports.map); lint checks it.
$(BUILD)/libtritstack.so: $(call objects,kernels model_format runtime runtime/text) runtime/exports.map
	$(LINK) -shared $(EXPORTS) -o $@ $(filter %.o,$^)

lint: $(BUILD)/libkernels.a $(BUILD)/libtritstack.so $(COMMAND)
	@BUILD=$(BUILD) COMMAND=$(if $(filter release,$(config)),$(COMMAND)) CXX="$(CXX)" CC="$(CC)" tests/lint/lint.sh
format:
	@$$(command -v clang-format-14 || echo clang-format) -i $$(git ls-files '*.cc' '*.h' '*.inl' '*.c')

# Emulators and a cross compiler only for those who test.
deps:
	@tests/tools/deps.sh $(CXX) $(if $(filter deps lint test test-all test-emulated,$(MAKECMDGOALS)),test)

install: all lib
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/pkgconfig include)
	install -m 755 $(COMMAND) $(DESTDIR)$(PREFIX)/bin/tritstack
	install -m 644 $(BUILD)/libtritstack.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 runtime/include/tritstack.h $(DESTDIR)$(PREFIX)/include
	version=$$(awk '/^#define TRIT_VERSION_/ { v = v dot $$3; dot = "." } END { print v }' runtime/include/tritstack.h) && \
	sed "s|@PROJECT_VERSION@|$$version|; s|@include@|../../include|; s|@cxx_library@|$(CXX_LIBRARY)|" \
	  runtime/tritstack.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/tritstack.pc

clean:
	rm -rf build tritstack

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
