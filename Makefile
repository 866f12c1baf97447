# make demo: try it; make test: prove it. Both set up .venv first, if it is not there yet.
# make help: every other target.
VENV   := .venv
PYTHON := $(VENV)/bin/python
SAMPLE := data
export NO_ALBUMENTATIONS_UPDATE := 1
# Empty is as if it were not set: Python keeps the compiled form of what it imports.
export PYTHONDONTWRITEBYTECODE :=

PRESET := robust
PYTHON_KAGGLE := python3.12
PYTHONS := python3.11 python3.12 python3.13
DATA := $(SAMPLE)/metadata.csv
OUTSIDE :=
PEERS :=
DEV := notebooks,dev,onnx,explain
DEPLOY := dev,deploy
DEV_LAB := $(DEV),lab

.NOTPARALLEL:
.PHONY: demo test types setup help lab readme notebooks executed kaggle test-kaggle test-deploy trust \
    loader waiting recipes study startup first-step peers peers-exports peers-accuracy format lock clean

demo: $(SAMPLE)/metadata.csv  ## a drawn sample, a quick run on it, two drawings answered
	@grep -q 'drawn sample' $(SAMPLE)/metadata.csv || \
	{ echo "$(SAMPLE)/ holds your own data; draw the sample elsewhere: make demo SAMPLE=drawn"; exit 2; }
	@# 284 drawings are 5 steps at the preset's batch of 64, too few to see it learn
	$(PYTHON) train_EfficientNet_Lite0_CA.py --preset quick-test --batch-size 16 \
	    --metadata $(SAMPLE)/metadata.csv
	@run=$$(ls -td results/EfficientNet_Lite0_CA_*/ | head -n 1) && run=$${run%/} && \
	echo && echo "two drawings of its test split, answered by $$run:" && \
	$(PYTHON) -m lite0ca predict "$$run" $(SAMPLE)/brown_spot/sample_066_0.jpg \
	    $(SAMPLE)/leaf_blast/sample_066_0.jpg && echo && \
	echo "the drawn sample  $(SAMPLE)/  (its scores say nothing about rice)" && \
	echo "the run           $$run/" && \
	echo "the model         $$run/best_model.pt" && \
	echo "the curves        $$run/training_plot.png" && \
	echo "a page to send    $$run/report.html" && \
	echo "a photo of yours  $(PYTHON) -m lite0ca predict $$run IMG_0412.HEIC" && \
	echo "for phones        $(PYTHON) -m lite0ca export $$run --web page (after make setup)" && \
	echo "python            $(PYTHON)"

$(SAMPLE)/metadata.csv: | $(VENV)/installed
	$(PYTHON) -m lite0ca sample $(SAMPLE)

test: $(VENV)/installed-dev  ## the whole suite, on all cores
	@# A core that is done takes tests from another. A thread for each: two that share cores wait.
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal

types: $(VENV)/installed-dev  ## pyright over the folders that pyproject.toml names
	$(PYTHON) -m pyright --pythonpath $(PYTHON)

setup: $(VENV)/installed-dev  ## .venv with all that tests and notebooks need

# Copies, so that what is run and changed is nobody's commit; those that are there stay.
lab: $(VENV)/installed-lab  ## the notebooks in JupyterLab, as copies in lab/
	@mkdir -p lab && for file in notebooks/*.ipynb; do \
	    test -e lab/$${file##*/} || cp $$file lab/; done
	@# Over sockets of its own: ipykernel warns that others on this machine could hear TCP.
	$(PYTHON) -m jupyterlab --KernelManager.transport=ipc \
	    --LabApp.default_url=/lab/tree/lab/01_data.ipynb $(LAB)

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

# $(call install,VENV,PYTHON,CONSTRAINTS,WHAT). Python compiles what it imports (10 CPU seconds, at
# the first start); pip would compile every file (33 of the install's 85). The package is built with
# the setuptools of the constraints, where isolation would fetch a fresh one.
define install
	test -x $(1)/bin/python || $(2) -m venv $(1)
	$(1)/bin/python -m pip install --quiet -c $(3) setuptools
	$(1)/bin/python -m pip install --quiet -c $(3) --no-compile --no-build-isolation -e $(4)
	@touch $@
endef

$(VENV)/installed: pyproject.toml constraints.txt
	$(call install,$(VENV),python3,constraints.txt,.)

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(call install,$(VENV),python3,constraints.txt,'.[$(DEV)]')
	@touch $(VENV)/installed

$(VENV)/installed-lab: pyproject.toml constraints.txt
	$(call install,$(VENV),python3,constraints.txt,'.[$(DEV_LAB)]')
	@touch $(VENV)/installed $(VENV)/installed-dev

readme: $(VENV)/installed-dev  ## write the generated tables into the documents
	$(PYTHON) tools/readme_tables.py README.md docs/reference.md

notebooks: $(VENV)/installed-dev  ## run them on the sample and store the outputs
	$(PYTHON) tools/notebook_pairs.py notebooks/*.py

# USER is always in the environment: whose kernels these are has to be typed.
ifneq ($(filter kaggle,$(MAKECMDGOALS)),)
ifneq ($(origin USER),command line)
$(error whose? make kaggle USER=your-kaggle-name)
endif
endif

kaggle: $(VENV)/installed-dev  ## what a Kaggle user pushes, in build/kaggle/
	@$(PYTHON) kaggle/build.py $(USER) --preset $(PRESET)

executed: $(VENV)/installed-dev  ## notebooks by papermill and nbval, kept in build/executed/
	mkdir -p build
	TRIES=10 $(PYTHON) -m pytest --basetemp build/executed tests/repository/test_notebooks.py

# The suite with the versions that Kaggle has. Its matplotlib warns with today's pyparsing, and
# Python 3.12 of forks, so warnings are no errors here.
test-kaggle: $(VENV)-kaggle/installed  ## the suite with Kaggle's versions
	$(VENV)-kaggle/bin/python -m pytest -W default

$(VENV)-kaggle/installed: pyproject.toml kaggle/constraints.txt
	$(call install,$(VENV)-kaggle,$(PYTHON_KAGGLE),kaggle/constraints.txt,'.[$(DEV)]')

# Every format's converter: half a gigabyte, plugins that do not go with this pytest, and imports
# that warn, so warnings are no errors here.
test-deploy: $(VENV)-deploy/installed  ## the exported files in all their runtimes
	$(VENV)-deploy/bin/python -m pytest -p no:anyio -W default tests/export/test_export.py tests/export/test_deployed.py tests/formats

$(VENV)-deploy/installed: pyproject.toml constraints-deploy.txt
	$(call install,$(VENV)-deploy,python3,constraints-deploy.txt,'.[$(DEPLOY)]')

# The tests of bad input, strangers' files and faults, with more tries than in `make test`: 50 kills
# of a training and of an export, 5 of a batch, 5,000 made-up CSV files, 200 epochs; about an hour.
trust: $(VENV)/installed-dev  ## bad input and faults, many tries; an hour
	OMP_NUM_THREADS=1 TRIES=50 EXAMPLES=5000 LONG_EPOCHS=200 $(PYTHON) -m pytest -n auto \
	    --dist load tests/robustness tests/settings/test_flags.py \
	    tests/training/test_train.py tests/headless/test_batch.py tests/machine tests/images \
	    tests/export/test_export.py tests/files tests/repository/test_notebooks.py \
	    tests/repository/test_guide.py tests/data/test_groups.py
	@# Asks the index for known weaknesses of what is installed.
	test -x $(VENV)-audit/bin/pip-audit || { python3 -m venv $(VENV)-audit && \
	    $(VENV)-audit/bin/python -m pip install --quiet pip-audit; }
	$(VENV)-audit/bin/pip-audit --strict --path \
	    $$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

loader: $(VENV)/installed-dev  ## the input pipeline on DATA beside torchvision's
	$(PYTHON) benchmarks/input_pipeline.py --metadata $(DATA)

waiting: $(VENV)/installed-dev  ## how long a fast device waits for the loaders, on DATA
	$(PYTHON) benchmarks/waiting.py --metadata $(DATA) --augmentation strong

recipes: $(VENV)/installed-dev  ## macro-F1 against wall time on DATA, over seeds; hours
	$(PYTHON) benchmarks/time_to_score.py --metadata $(DATA)

study: $(VENV)/installed-dev  ## does attention help? All arms on DATA, over seeds; hours, resumes
	$(PYTHON) benchmarks/study.py --metadata $(DATA)

startup: $(VENV)/installed-dev  ## CPU seconds until one photo is answered, beside a bare import torch
	$(PYTHON) benchmarks/startup.py

first-step: $(VENV)/installed-dev  ## from the command to a training's first step on DATA, stage by stage
	$(PYTHON) benchmarks/first_step.py --preset $(PRESET) --metadata $(DATA)

# The peers are installed here alone. ultralytics brings OpenCV with a window system, which would
# take the place of the headless one.
peers: $(VENV)-peers/installed  ## training throughput on DATA beside timm, fastai, Ultralytics
	$(VENV)-peers/bin/python benchmarks/training_against_peers.py --metadata $(DATA)

peers-exports: $(VENV)-peers/installed  ## one image through timm's and Ultralytics' exports and ours
	$(VENV)-peers/bin/python benchmarks/exports_against_peers.py

# AutoGluon asks for an older torch and timm. Where it cannot be installed it is left out, which is
# said. OUTSIDE is photos from elsewhere; PEERS are more flags, as --only fastai --seeds 2.
peers-accuracy: $(VENV)-peers/installed $(VENV)-autogluon/tried  ## test macro-F1 beside fastai, timm, Ultralytics, AutoGluon; a day, resumes
	$(VENV)-peers/bin/python benchmarks/peers_accuracy.py --metadata $(DATA) \
	    $(if $(OUTSIDE),--outside $(OUTSIDE)) \
	    --autogluon-python $(VENV)-autogluon/bin/python $(PEERS)

$(VENV)-autogluon/tried:
	test -x $(VENV)-autogluon/bin/python || python3 -m venv $(VENV)-autogluon
	-$(VENV)-autogluon/bin/python -m pip install --quiet --no-compile autogluon.multimodal
	@touch $@

$(VENV)-peers/installed: pyproject.toml
	test -x $(VENV)-peers/bin/python || python3 -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet -e '.[onnx,openvino]' fastai ultralytics onnxslim
	$(VENV)-peers/bin/python -m pip uninstall --quiet --yes opencv-python
	$(VENV)-peers/bin/python -m pip install --quiet --force-reinstall --no-deps \
	    opencv-python-headless
	@touch $@

format: $(VENV)/installed-dev  ## ruff: what it can mend, and the layout
	$(PYTHON) -m ruff check --fix . && $(PYTHON) -m ruff format .

# litert-torch asks for a typing-extensions and a pydantic that are older than Jupyter's: its
# environment, the one of test-deploy, has a file of its own.
lock:  ## today's versions into constraints*.txt; asks the index, installs nothing
	test -x $(VENV)-lock/bin/python || python3 -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lock/bin/python tools/lock.py constraints.txt \
	    $(DEV_LAB),openvino,executorch,ray,kaggle $(PYTHONS)
	$(VENV)-lock/bin/python tools/lock.py constraints-deploy.txt $(DEPLOY) $(PYTHONS)

clean:  ## everything that make made, but for data/, results/ and lab/
	rm -rf $(VENV) $(VENV)-kaggle $(VENV)-peers $(VENV)-autogluon $(VENV)-deploy $(VENV)-audit $(VENV)-lock \
	    build *.egg-info
