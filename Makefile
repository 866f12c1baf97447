# make demo: try it; make test: prove it. Both set up .venv first, if it is not there yet.
VENV   := .venv
PYTHON := $(VENV)/bin/python
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: demo test setup readme format clean

demo: $(VENV)/installed data/metadata.csv
	$(PYTHON) train_EfficientNet_Lite0_CA.py --preset quick-test
	@run=$$(ls -td results/EfficientNet_Lite0_CA_*/ | head -n 1) && run=$${run%/} && \
	echo && echo "two photos of the sample's test split, answered by $$run:" && \
	$(PYTHON) -m lite0ca predict "$$run" data/brown_spot/sample_066_0.jpg data/healthy/sample_066_0.jpg && \
	echo && echo "drawn sample data  data/  (drawings: its scores say nothing about rice)" && \
	echo "the run            $$run/" && \
	echo "the model          $$run/best_model.pt" && \
	echo "the curves         $$run/training_plot.png" && \
	echo "python             $(PYTHON)"

data/metadata.csv: | $(VENV)/installed
	$(PYTHON) -m lite0ca sample data

test: $(VENV)/installed-dev
	$(PYTHON) -m pytest

setup: $(VENV)/installed-dev

$(VENV)/installed: pyproject.toml
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PYTHON) -m pip install --quiet -e '.[dev]'
	@touch $@

readme: $(VENV)/installed-dev  ## write the generated tables into README.md
	$(PYTHON) -m lite0ca.tables README.md

format: $(VENV)/installed-dev
	$(PYTHON) -m ruff check --fix . && $(PYTHON) -m ruff format .

clean:
	rm -rf $(VENV) build *.egg-info
