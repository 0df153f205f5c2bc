# What a developer or a visitor types. Every target installs what it needs on a Debian or Ubuntu machine; the Swift
# toolchain itself must be there: https://www.swift.org/install
#
#   make demo      a trained vision transformer read, rewritten two ways, proved and written back
#   make test      all tests
#   make bench     time and memory beside cp and ONNX Runtime, then `make bench-keras`: a Keras ViT beside Keras's own way to ONNX
#   make scaling   the time of inspect over the number of nodes: docs/recognition.md
#   make conformance  the backend tests of the onnx package, on vitconv and ONNX Runtime: docs/conformance.md
#   make keras-oracle  Keras, onnx.checker and ONNX Runtime on what vitconv writes for them
#   make zoo       416 small models of timm, transformers and papers, in a dozen dialects, below build/zoo (some hours)
#   make recall    what is found in them, beside ONNX Runtime and onnxscript: docs/recognition.md
#   make fixtures  trains and draws the fixtures again
#   make format    formats the sources; `make lint` only checks
#   make proto     the C in Sources/CONNX again from schemas/onnx.proto
#   make install   the program and its manual below PREFIX (default /usr/local)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

PREFIX ?= /usr/local
PYTHON ?= python3
VENV := .venv
BIN := .build/release/vitconv
# The standard library is linked in, so that the program starts in a few milliseconds and runs without a toolchain.
RELEASE := -c release --static-swift-stdlib --product vitconv

# What the sources link against.
PACKAGES := pkg-config libprotobuf-c-dev libdnnl-dev libzip-dev libyaml-dev zlib1g-dev libpng-dev libturbojpeg0-dev libhdf5-dev

# $(call install,PACKAGES) installs those Debian packages that are missing.
define install
	missing=(); for p in $(1); do dpkg -s "$$p" >/dev/null 2>&1 || missing+=("$$p"); done; \
	if (( $${#missing[@]} )); then \
	  if ! command -v apt-get >/dev/null; then echo "make: please install: $${missing[*]}" >&2; exit 1; fi; \
	  sudo=(); if [ "$$(id -u)" != 0 ]; then sudo=(sudo); fi; \
	  echo "make: installing $${missing[*]}"; \
	  "$${sudo[@]}" apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive "$${sudo[@]}" apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi
endef

.PHONY: proto build demo test bench bench-keras scaling conformance keras-oracle fixtures format lint manual install deps swift clean zoo recall

swift:
	@command -v swift >/dev/null || { echo "make: Swift 6.2 or newer is needed and was not found: https://www.swift.org/install" >&2; exit 1; }

deps: swift
	@$(call install,$(PACKAGES))

build: deps
	swift build $(RELEASE)

demo: build
	demo/demo.sh $(BIN)

test: deps
	swift build --build-tests
	swift test --skip-build

format: swift
	swift format --in-place --parallel --recursive Package.swift Sources Tests

lint: swift
	swift format lint --strict --parallel --recursive Package.swift Sources Tests

# The C that decodes ONNX, from our own text of its messages.
proto:
	@$(call install,protobuf-c-compiler)
	protoc-c --c_out=Sources/CONNX --proto_path=schemas onnx.proto
	mv Sources/CONNX/onnx.pb-c.h Sources/CONNX/include/

# $(call venv,NAME,REQUIREMENTS) makes a virtual environment once, and again when its requirements change.
define venv
	@$(call install,python3-venv)
	test -x $(VENV)/$(1)/bin/python || $(PYTHON) -m venv $(VENV)/$(1)
	$(VENV)/$(1)/bin/python -m pip install -q --disable-pip-version-check -r $(2)
	touch $@
endef

$(VENV)/bench/.ready: benchmarks/requirements.txt
	$(call venv,bench,$<)

$(VENV)/fixtures/.ready: fixtures/make/requirements.txt
	$(call venv,fixtures,$<)

$(VENV)/conformance/.ready: conformance/requirements.txt
	$(call venv,conformance,$<)

$(VENV)/bench-keras/.ready: benchmarks/requirements-keras.txt
	$(call venv,bench-keras,$<)

bench: build $(VENV)/bench/.ready
	$(VENV)/bench/bin/python benchmarks/bench.py $(BIN)
	$(MAKE) bench-keras

bench-keras: build $(VENV)/bench-keras/.ready
	$(VENV)/bench-keras/bin/python benchmarks/keras_vit.py $(BIN)

# How the time of `inspect` grows with a graph: a section of docs/recognition.md and its plot.
scaling: build $(VENV)/bench/.ready
	$(VENV)/bench/bin/python benchmarks/scaling.py $(BIN)

conformance: build $(VENV)/conformance/.ready
	$(VENV)/conformance/bin/python conformance/conformance.py $(BIN)

$(VENV)/keras/.ready: conformance/keras-requirements.txt
	$(call venv,keras,$<)

# What the tools that the files are for say of them. JUDGED: folders with models and arrays beside them.
JUDGED ?= fixtures/keras fixtures/models/zoo
keras-oracle: build $(VENV)/keras/.ready
	$(VENV)/keras/bin/python -W ignore conformance/keras_oracle.py $(BIN) $(JUDGED)
	for form in keras keras-h5; do for rewrite in fcvit oamixer:kappa=2; do \
	  $(VENV)/keras/bin/python -W ignore conformance/keras_oracle.py $(BIN) fixtures/keras/digits.keras \
	    --rewrite $$rewrite --samples fixtures/data/digits_nhwc.npz --format $$form -v; done; done
	$(VENV)/keras/bin/python conformance/opset_oracle.py $(BIN) $(JUDGED)
	$(VENV)/keras/bin/python conformance/roundtrip.py $(BIN) $(JUDGED)

$(VENV)/recall/.ready: recall/requirements.txt
	$(call venv,recall,$<)

# ZOO names other folders that `recall/zoo.py` wrote; MODELS builds only some, PEERS names the dialects that peers see.
ZOO ?= build/zoo
PEERS ?= legacy17,dynamo20_dyn

zoo: $(VENV)/recall/.ready
	nice $(VENV)/recall/bin/python recall/zoo.py build/zoo $(MODELS)

recall: build $(VENV)/recall/.ready
	@test -n "$$(ls $(ZOO)/*.json 2>/dev/null)" || $(MAKE) zoo
	$(VENV)/recall/bin/python recall/recall.py $(BIN) $(ZOO) --peers $(PEERS) --markdown docs/recognition.md

# Training takes about half an hour; the small files are committed.
fixtures: $(VENV)/fixtures/.ready
	cd fixtures/make && for script in arrays operator_cases cases hostile zoo vectors digits shapes; do \
	  echo "make: fixtures/make/$$script.py"; ../../$(VENV)/fixtures/bin/python $$script.py; done

# The manual from the declarations of the commands.
manual: swift
	swift package --allow-writing-to-package-directory generate-manual --configuration debug --date "$$(date +%F)" --output-directory docs

install: build
	install -D -m 755 $(BIN) "$(DESTDIR)$(PREFIX)/bin/vitconv"
	install -D -m 644 docs/vitconv.1 "$(DESTDIR)$(PREFIX)/share/man/man1/vitconv.1"
	install -d "$(DESTDIR)$(PREFIX)/share/bash-completion/completions"
	$(BIN) --generate-completion-script bash > "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vitconv"

clean:
	rm -rf .build build
