# `make` lists the targets. Each does the set-up that it needs; nothing has to be done before.

.DEFAULT_GOAL := help
.PHONY: help setup track test test-all lint audit docs peers mot-peers results clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIN := $(shell $(PYTHON) -c "import sys; print('-c constraints.txt' if sys.version_info >= (3, 11) else '')")
PIP := -m pip --quiet --disable-pip-version-check
# In continuous integration files are checked against .ci/requirements.txt, on the platform that it was written for.
HASHED := $(if $(CI),$(shell $(PYTHON) -c "import sys, platform as p; \
            print('yes' if sys.version_info[:2] == (3, 11) and (p.system(), p.machine()) == ('Linux', 'x86_64') else '')"))
BIN := .venv/bin
READY := .venv/.ready
# torch, LightGBM and scikit-learn each bring an OpenMP of their own into the tests' process
ONE_THREAD := OMP_NUM_THREADS=1
PEERS_READY := .venv-peers/.ready
MOT_READY := .venv-mot/.ready
MOT_PEERS := boxmot==25.0.0 trackers==2.6.1 norfair==2.3.0 sort-tracker-py==1.0.2 supervision==0.31.2 lapx==0.11.1 \
             filterpy==1.4.5
MEASURED := compact ciresnet22 opencv:nano opencv:vit opencv:csrt opencv:mil opencv:kcf opencv:mosse opencv:medianflow \
            siamfc:../shared/peers/fdsiamfc_30.pth
REPORTED := compact ciresnet22 nano vit csrt mil kcf mosse medianflow fdsiamfc_30
IMPORT_CV2 := -c "import cv2"

ifdef VIDEO
TARGET = $(if $(BOX),--box "$(BOX)",--show)
else
VIDEO := examples/demo.mp4
TARGET = --box "$(or $(BOX),examples/demo_box.json)"
endif

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

setup: $(READY)  ## make .venv with the package and everything that tests need
	@echo "setup: .venv is ready"

$(READY): setup.py pyproject.toml constraints.txt .ci/requirements.txt
	@echo "setup: installing into .venv (once; takes minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) uninstall --yes opencv-python-headless 2>/dev/null
	$(if $(HASHED),@$(BIN)/python $(PIP) install --no-deps --require-hashes --requirement .ci/requirements.txt)
	@$(BIN)/python $(PIP) install $(PIN) --editable ".[train,tune,onnx,openvino,benchmarks,ray,robot,rerun,dev]"
	@$(BIN)/python $(IMPORT_CV2) 2>/dev/null || { \
	    echo "setup: this machine has no libGL, so OpenCV is installed without windows"; \
	    $(BIN)/python $(PIP) uninstall --yes opencv-python && \
	    $(BIN)/python $(PIP) install $(PIN) opencv-python-headless && \
	    $(BIN)/python $(IMPORT_CV2); }
	@touch $@

track: $(READY)  ## track a video: VIDEO=clip.mp4 BOX=x,y,w,h (default: the bundled clip)
	@mkdir -p runs
	@name=$$(basename "$(VIDEO)"); name=runs/$${name%.*}_tracked; \
	echo "track: $(VIDEO) to $$name.mp4 and $$name.csv"; \
	$(BIN)/python tools/track.py --video "$(VIDEO)" $(TARGET) --output "$$name.mp4" --save "$$name.csv" --overwrite

# In two processes: after some 3,500 tests one process, with all the runtimes in it, ended in a segmentation fault.
test: $(READY)  ## run the tests that take less than ten minutes in all
	@echo "test: everything that is not marked slow"
	@$(ONE_THREAD) $(BIN)/python -m pytest -q -m "not slow" --ignore=tests/tracker; first=$$?; \
	$(ONE_THREAD) $(BIN)/python -m pytest -q -m "not slow" tests/tracker && exit $$first

test-all: $(READY)  ## run all tests
	@echo "test-all: the slow tests too"
	@$(ONE_THREAD) $(BIN)/python -m pytest -q --ignore=tests/tracker; first=$$?; \
	$(ONE_THREAD) $(BIN)/python -m pytest -q tests/tracker && exit $$first

lint: $(READY)  ## check style, format and types
	@echo "lint: ruff and mypy"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

audit: $(READY)  ## look for known security holes in what is pinned (asks PyPI; skipped where pip-audit is not installed)
	@if $(BIN)/python -c "import pip_audit" 2>/dev/null; then \
	    echo "audit: what constraints.txt pins, against PyPI's advisories"; \
	    $(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip; \
	else \
	    echo "audit: skipped; $(BIN)/python -m pip install pip-audit, and a network, are needed"; \
	fi

docs: $(READY)  ## build the manual as a site in runs/site
	@echo "docs: the site goes to runs/site"
	@$(BIN)/python $(PIP) install $(PIN) --editable ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

peers: $(PEERS_READY)  ## make .venv-peers with OpenCV's contributed trackers, to compare with
	@echo "peers: .venv-peers is ready"

$(PEERS_READY): setup.py constraints.txt
	@echo "peers: installing into .venv-peers (once; takes minutes)"
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python $(PIP) uninstall --yes opencv-contrib-python-headless 2>/dev/null
	@.venv-peers/bin/python $(PIP) install $(PIN) opencv-contrib-python torch numpy shapely numba safetensors tqdm
	@.venv-peers/bin/python $(IMPORT_CV2) 2>/dev/null || { \
	    .venv-peers/bin/python $(PIP) uninstall --yes opencv-contrib-python && \
	    .venv-peers/bin/python $(PIP) install $(PIN) opencv-contrib-python-headless && \
	    .venv-peers/bin/python $(IMPORT_CV2); }
	@.venv-peers/bin/python $(PIP) install --no-deps --editable .
	@touch $@

mot-peers: $(MOT_READY)  ## make .venv-mot with other multi-object trackers, to compare association with
	@echo "mot-peers: .venv-mot is ready"

$(MOT_READY): Makefile
	@echo "mot-peers: installing into .venv-mot (once; takes minutes)"
	@test -x .venv-mot/bin/python || $(PYTHON) -m venv .venv-mot
	@.venv-mot/bin/python $(PIP) install $(PIN) torch numpy scipy matplotlib opencv-python-headless PyYAML requests tqdm
	@.venv-mot/bin/python $(PIP) install pandas rich defusedxml pyDeprecate
	@.venv-mot/bin/python $(PIP) install --no-deps $(MOT_PEERS)
	@touch $@

results: $(READY) $(PEERS_READY)  ## measure our models and their peers on the dev set, and write docs/results
	@echo "results: 22 sequences of OTB and 2 of TinyTLP with every tracker; takes half an hour, goes on where it stopped"
	@for set in otb100=otb tinytlp=tinytlp; do \
	    .venv-peers/bin/python tools/evaluate.py run --benchmark $${set%=*} --root ../shared/data/$${set#*=} \
	        --results runs/results --partial --workers 2 --tracker $(MEASURED) || exit; \
	done
	@for set in otb100=otb tinytlp=tinytlp; do \
	    $(BIN)/python tools/evaluate.py report --benchmark $${set%=*} --root ../shared/data/$${set#*=} \
	        --results runs/results --tracker $(REPORTED) --no-filmstrips --formats markdown svg csv \
	        --output docs/results/$${set%=*} || exit; \
	done
	@$(BIN)/python -m benchmarks.hours --benchmark tlp --results runs/results/TinyTLP > docs/results/tlp_hours.md

clean:  ## remove caches and build products; environments and results stay
	@echo "clean: caches and build products"
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
