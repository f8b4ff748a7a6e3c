# Kinesics. `make demo` and `make test` do all set-up by themselves; `make help` lists the rest.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || echo python3)
DATA ?= ../shared/data
AUDIO ?=
PACK ?= packs/starter
GESTURE_ENCODER ?=
MEAN_VELOCITY ?=
BERT ?=
MINUTES ?=
STEPS ?= 200
N ?= 1000000
KILLS ?= 200
SEED ?= 0

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
MATRIX := 4.2.23 5.0.1
ASSET := assets/character.npz

export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help venv venvs-matrix demo test test-matrix test-all test-gui test-ray soak fuzz kill-test guide-pictures evaluate train-starter package wheels benchmark clean

help:
	@echo "make demo [AUDIO=file]     a character speaks with its whole body, in headless Blender"
	@echo "make test                  lint, types, engine tests, tests inside Blender 4.5"
	@echo "make test-matrix           the Blender tests in 4.2 and 5.0"
	@echo "make test-all              make test and make test-matrix in one go"
	@echo "make test-gui              window tests in real Blender (root, debootstrap)"
	@echo "make test-ray              work shared out by Ray, in an environment of its own"
	@echo "make soak [STEPS=n SEED=n] 200 random steps in Blender 4.5 and 5.0: nothing lost, left over or growing"
	@echo "make fuzz [N=n SEED=n]     n damaged and forged inputs, a million by default, for every reader of files"
	@echo "make kill-test [KILLS=n SEED=n]   killed 200 times at random moments: nothing lost, nothing half"
	@echo "make guide-pictures        the pictures of docs/animators.md, anew (root, debootstrap)"
	@echo "make package               the extension's zips, light and with the engine inside, in dist/"
	@echo "make wheels [INDEX=url]    the list of the engine's wheels, made anew"
	@echo "make train-starter [DATA=folder] [RECIPE=name] [MINUTES=n]   train the starter pack"
	@echo "make evaluate [DATA=folder] [PACK=folder] [GESTURE_ENCODER=file] [MEAN_VELOCITY=file] [BERT=folder]"
	@echo "                           measure it, write docs/evaluation.md with plots"
	@echo "make benchmark             times and memory, in one table each"
	@echo "make clean                 remove results; keeps .venv and what training made in build/"

# --- set-up ---------------------------------------------------------------------------------------

$(STAMP): requirements.txt requirements-test.txt requirements-dev.txt
	@$(PYTHON) tools/check_system.py
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned requirements into $(VENV) (3 GB or more, once)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

venv: $(STAMP)

# One small environment per further Blender version: bpy, torch and pytest only.
.venv-%/.installed: requirements.txt requirements-test.txt
	@$(PYTHON) tools/check_system.py
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@echo "installing bpy $* into .venv-$*"
	@.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt bpy==$*
	@touch $@

venvs-matrix: $(MATRIX:%=.venv-%/.installed)

# Ray and what it needs stay out of the other environments; pyproject.toml's extra has the versions.
EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["ray"])

.venv-ray/.installed: requirements.txt requirements-test.txt pyproject.toml
	@$(PYTHON) tools/check_system.py
	@test -x .venv-ray/bin/python || $(PYTHON) -m venv .venv-ray
	@echo "installing Ray into .venv-ray"
	@.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt \
		$$(.venv-ray/bin/python -c '$(EXTRA)')
	@touch $@

CHARACTER := tools/build_character.py tools/makehuman.py $(wildcard tools/character_*.py) engine/motion/rest_pose.py

$(ASSET): $(STAMP) $(CHARACTER)
	$(PY) tools/build_character.py

# --- use --------------------------------------------------------------------------------------------

demo: $(STAMP) $(ASSET)
	$(PY) tools/demo.py $(if $(AUDIO),--audio "$(AUDIO)")

package: $(STAMP) $(ASSET)
	$(PY) tools/package.py --full

wheels: $(STAMP)
	$(PY) tools/lock_wheels.py $(if $(INDEX),--index "$(INDEX)")

train-starter: $(STAMP)
	$(PY) -m engine.training starter --data "$(DATA)" --out "$(PACK)" $(if $(RECIPE),--recipe $(RECIPE)) $(if $(MINUTES),--minutes $(MINUTES))

evaluate: $(STAMP) $(ASSET)
	$(PY) -m engine.evaluation --pack "$(PACK)" --data "$(DATA)" --out docs/evaluation.md --science $(if $(GESTURE_ENCODER),--gesture-encoder "$(GESTURE_ENCODER)") $(if $(MEAN_VELOCITY),--mean-velocity "$(MEAN_VELOCITY)") $(if $(BERT),--bert "$(BERT)")

benchmark: $(STAMP)
	@status=0; for script in benchmarks/*.py; do \
		echo "== $$script"; $(PY) $$script || status=1; \
	done; exit $$status

# --- tests ------------------------------------------------------------------------------------------

# Two checks run side by side: each uses one core, and every machine has two.
CHECKS := types engine blender lint
IN_MATRIX := $(MATRIX:%=blender-%)

test: $(STAMP) $(ASSET)
	$(PY) tools/run_tests.py --lanes 2 $(CHECKS)

test-matrix: $(STAMP) $(ASSET) venvs-matrix
	$(PY) tools/run_tests.py --lanes 2 $(IN_MATRIX)

test-all: $(STAMP) $(ASSET) venvs-matrix
	$(PY) tools/run_tests.py --lanes 2 $(CHECKS) $(IN_MATRIX)

test-gui: $(STAMP) $(ASSET)
	$(PY) tools/run_tests.py gui

# What else is in the file of the batch has nothing to do with Ray.
test-ray: .venv-ray/.installed
	.venv-ray/bin/python -m pytest -q tests/engine/test_data_ray.py tests/engine/test_batch.py -k ray

soak: $(STAMP) .venv-5.0.1/.installed
	@status=0; for python in $(PY) .venv-5.0.1/bin/python; do \
		$$python -m tests.blender.soak --steps $(STEPS) --seed $(SEED) || status=1; \
	done; exit $$status

# atheris is for this only; it stays out of the environment of the tests.
build/fuzz/packages/atheris: $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --target build/fuzz/packages atheris==3.0.0

fuzz: $(STAMP) build/fuzz/packages/atheris
	$(PY) tools/fuzz.py --inputs $(N) --seed $(SEED)

kill-test: $(STAMP)
	$(PY) tools/kill_test.py --kills $(KILLS) --seed $(SEED)

guide-pictures: $(STAMP) $(ASSET)
	$(PY) -m pytest tests/gui -q -k "guide and [5]"
	mkdir -p docs/pictures && cp build/gui/5/guide/[0-9]-*.png docs/pictures/

clean:
	rm -rf build/demo build/gui build/reports dist $(ASSET) .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
