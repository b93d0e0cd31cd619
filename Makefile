# GNU make. `make help` lists the targets. Everything longer than a line is in scripts/.

# (What `make test-vm` narrows down is only what was given.)
test_vm = $(if $(filter-out file,$(origin KERNEL)),--kernel '$(KERNEL)') $(if $(FULL),--full) \
	$(if $(ARCH),--arch '$(ARCH)') \
	$(if $(filter-out file,$(origin TOOL)),-- '$(TOOL)::')

TOOL ?= execsnoop
ARGS ?=
KERNEL ?= 6.12
PREFIX ?= /usr/local
MINUTES ?= 1
CARGO ?= cargo

# Where cargo puts what it builds; where rustup puts cargo.
target := $(or $(CARGO_TARGET_DIR),target)
tools := $(patsubst src/bin/%.rs,$(target)/release/%,$(wildcard src/bin/*.rs))
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO

.PHONY: help build run vm examples picture check test test-vm fuzz bench install dist clean deps
.DEFAULT_GOAL := help

help: ## show this list
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-9s%s\n' "$$name" "$$text"; done
	@echo 'PACKAGES=1 make test: the packages too. FULL=1 make test, or test-vm: each test in all ways'
	@echo 'on each kernel, before a release.'
	@echo "Variables: TOOL=$(TOOL) ARGS='...' WORKLOAD=1 FULL=1 PACKAGES=1 KERNEL=$(KERNEL) ARCH= MINUTES=$(MINUTES) PREFIX=$(PREFIX) DESTDIR="

deps: ## install what a build needs, if something is missing
	@scripts/install-deps.sh build

build: deps ## compile the tools, optimised
	@$(CARGO) build --release --locked

# The build is done as the user who runs make; only the tool gets more rights.
run: build ## trace this machine for ten seconds, or do as ARGS say
	@export WORKLOAD='$(WORKLOAD)' && exec scripts/run.sh '$(target)/release/$(TOOL)' $(ARGS)

vm: build ## the same in a virtual machine, without root
	@scripts/install-deps.sh vm
	@exec scripts/vm.sh '$(KERNEL)' '$(target)/release/$(TOOL)' $(ARGS)

examples: build ## compile the lessons of examples/, for bpfrun
	@scripts/examples.sh '$(target)/examples'

picture: build ## draw a build of the C sources, in docs/pictures/build.svg (root)
	@scripts/picture.sh '$(target)/release/procsnoop' docs/pictures/build.svg

check: ## style, lints and all tests that need no root: three minutes
	@scripts/test.sh check

test: ## make check, live tests on this kernel (root), and make test-vm
	@scripts/test.sh

# Without TOOL the kernels share the tests; those of a tool that is named go all ways on each.
test-vm: ## live tests in virtual machines; KERNEL=6.1, TOOL=mmapsnoop, ARCH=arm64: only these
	@scripts/install-deps.sh build test vm $(if $(ARCH),arch)
	@exec tests/vm/matrix.sh --jobs 2 $(test_vm)

fuzz: ## look for inputs that crash, hang or take too much memory; MINUTES=5
	@scripts/install-deps.sh build fuzz
	@scripts/fuzz.sh '$(MINUTES)'

bench: build ## measure costs, against the tools that are installed too
	@scripts/install-deps.sh bench
	@$(CARGO) bench --locked --bench format --bench mmap
	@bench/run.sh

install: ## copy the tools to PREFIX/bin (after make build)
	@for tool in $(tools); do test -x "$$tool" || { echo 'nothing to install: make build first' >&2; exit 1; }; done
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(tools) '$(DESTDIR)$(PREFIX)/bin/'

dist: ## make what is released, in target/packages: .deb, .rpm, static tarball, SBOM
	@scripts/install-deps.sh build dist $(if $(ARCH),arch)
	@packaging/dist.sh

clean: ## remove all that was built (kernels for make test stay)
	@$(CARGO) clean --quiet --release && $(CARGO) clean --quiet --profile dev
