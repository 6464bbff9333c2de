# make train    install, make the embedded data set, train one network on all eight tasks, evaluate, draw
# make test     install and run the tests
# make fault-test  kills, full disks, dead workers, damaged and hostile files, by chance
# make demo     the web demo of a trained network, on this machine's own address
# make data     put PASCAL in Detail in place: DETAIL_JSON=its annotation file VOC=the archive of VOC2010;
#               or PASCAL_MT=, NYUD= the archives of multi-task papers
# make help     the rest

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# The first installation: where PyTorch comes from, and what makes the environment see packages of the machine's Python
TORCH_INDEX ?=
VENV_ARGS   ?=

CONFIG ?= auto
# Arguments of the tool. The shell would take the parentheses of a tuple for its own where no quotes are around them
ARGS   ?=
QUOTES := ' "
OPEN   := (
CLOSE  := )
WORDS   = $(if $(strip $(foreach quote,$(QUOTES),$(findstring $(quote),$(ARGS)))),$(ARGS),$(subst $(CLOSE),\$(CLOSE),$(subst $(OPEN),\$(OPEN),$(ARGS))))
NGPUS  ?= 1
NNODES ?= 1
NODE_RANK   ?= 0
MASTER_ADDR ?= 127.0.0.1
MASTER_PORT ?= 29500

ifeq ($(NGPUS)$(NNODES),11)
LAUNCH := $(BIN)/python
else
LAUNCH := $(BIN)/torchrun --nproc_per_node=$(NGPUS) --nnodes=$(NNODES) --node_rank=$(NODE_RANK) \
          --master_addr=$(MASTER_ADDR) --master_port=$(MASTER_PORT)
endif

# make data: the annotation file (.json, .zip, .tar.gz, .json.gz) and VOCtrainval_03-May-2010.tar, or its folder
DETAIL_JSON ?=
VOC ?=
# The archives of multi-task papers, or the folders that they were unpacked to (docs/pascal_context.md)
PASCAL_MT ?=
NYUD ?=

# make demo: the checkpoint to show
MODEL ?= output/mini_R_18_FPN/model_final.pth

.PHONY: train test slow-test fault-test demo docs data lint format install clean help

train: $(VENV)/.base
	@$(LAUNCH) tools/train_net.py --config-file $(CONFIG) $(WORDS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n auto -m "not slow" $(WORDS)

slow-test: $(VENV)/.dev
	@$(BIN)/python -m pytest -m slow $(WORDS)

fault-test: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m faults $(WORDS)

demo: $(VENV)/.demo
	@$(BIN)/python tools/demo.py $(MODEL) $(WORDS)

docs: $(VENV)/.docs
	@$(BIN)/python docs/options_tables.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(WORDS) && echo "the site: site/index.html"

data: $(VENV)/.base
	@$(BIN)/python tools/prepare_data.py $(if $(DETAIL_JSON),--annotations "$(DETAIL_JSON)") $(if $(VOC),--voc "$(VOC)") \
	  $(if $(PASCAL_MT),--pascal-mt "$(PASCAL_MT)") $(if $(NYUD),--nyud "$(NYUD)") $(WORDS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

install: $(VENV)/.dev

# Stamps are younger than pyproject.toml once their part is installed, so that a second run starts at once.
$(VENV)/.base: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 10) else \
	  "error: Python 3.10 or newer is needed, this is %d.%d; name another with make PYTHON=python3.12" % v)'
	@echo "installing into $(VENV) (the first time takes a few minutes)"
	@$(PYTHON) -m venv $(VENV_ARGS) $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade pip setuptools wheel
	@$(if $(TORCH_INDEX),$(BIN)/python -m pip install -qq --disable-pip-version-check --index-url "$(TORCH_INDEX)" torch torchvision)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

# What an extra of pyproject.toml adds
$(VENV)/.dev $(VENV)/.demo $(VENV)/.docs: $(VENV)/.base
	@echo "installing what $(subst .,,$(notdir $@)) needs"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable ".[$(subst .,,$(notdir $@))]"
	@touch $@

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache

help:
	@echo 'make train                          the configuration that suits this machine'
	@echo 'make train CONFIG=FILE ARGS="SOLVER.BASE_LR 0.01"    another configuration, other options'
	@echo 'make train ARGS="SOLVER.STEPS (180,230) SOLVER.SEED=1"    a tuple without spaces, KEY VALUE and KEY=VALUE'
	@echo 'make train NGPUS=4                  four processes by torchrun; with NNODES, NODE_RANK, MASTER_ADDR on several machines'
	@echo 'make train TORCH_INDEX=ADDRESS      PyTorch from that index at the first installation, such as its build for CPUs'
	@echo 'make train VENV_ARGS=--system-site-packages    with the PyTorch that the machine has'
	@echo 'make data DETAIL_JSON=FILE VOC=FILE  put PASCAL in Detail in place, prepare it, check it; without files only check'
	@echo 'make data PASCAL_MT=FILE NYUD=FILE  put PASCAL-Context and NYUD-v2 of multi-task papers in place, and check them'
	@echo 'make demo MODEL=FILE                the web demo of a checkpoint (default: $(MODEL))'
	@echo 'make docs                           the documentation as a site, in site/'
	@echo 'make fault-test ARGS="--seed 7"       kills, full disks, dead workers, damaged files, with seeds; at most 20 minutes'
	@echo 'make test, make slow-test, make lint, make format, make install, make clean'
