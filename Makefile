# make demo: install and mine the bundled sample.   make test: every check there is.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test clean

demo: $(VENV)/installed
	$(VENV)/bin/bitextmine demo

test: $(VENV)/installed-for-development
	VENV=$(VENV) bash scripts/check.sh

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[cpu,e5]'
	touch $@

$(VENV)/installed-for-development: $(VENV)/installed
	$(PIP) --editable '.[cpu,e5,parquet,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
