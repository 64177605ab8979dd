# DeepSeg's commands. `make` alone lists them. Works with GNU make 3.81 (macOS) and newer.

.DEFAULT_GOAL := help
.PHONY: help demo test lint format typecheck setup link package clean

PYTHON := .venv/bin/python
CHECKED := deepseg_qgis processing tests scripts benchmarks

# What the user may set travels to the recipes in the environment: no quoting, any file name.
export TORCH RASTER ANNOTATIONS CATEGORY_FIELD AOI EPOCHS OUTPUT

help: ## show this list
	@echo "DeepSeg: segmentation models inside QGIS. Usage: make TARGET [NAME=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "The demo on your own data:"
	@echo "  make demo RASTER=a.tif ANNOTATIONS=b.gpkg [CATEGORY_FIELD=c] [AOI=d.gpkg] [EPOCHS=20] [OUTPUT=folder]"
	@echo "TORCH=cpu takes torch's CPU build (on Linux a third of the size); ARGS=... goes to pytest; ARGS=-n0 runs the tests one after another."

demo: setup ## train, evaluate and predict on a made-up scene, or on your own data
	@$(PYTHON) scripts/demo.py

test: setup ## run all tests
	@mkdir -p build/run && chmod 700 build/run
	@QT_QPA_PLATFORM=offscreen XDG_RUNTIME_DIR="$(CURDIR)/build/run" \
		QGIS_CUSTOM_CONFIG_PATH="$(CURDIR)/build/qgis-profile-tests" OMP_WAIT_POLICY=PASSIVE \
		$(PYTHON) -I -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup ## check style, the forbidden imports and the format
	@$(PYTHON) -m ruff check $(wildcard $(CHECKED))
	@$(PYTHON) -m ruff format --check $(wildcard $(CHECKED))

format: setup ## put the code into its format
	@$(PYTHON) -m ruff check --select I --fix $(wildcard $(CHECKED))
	@$(PYTHON) -m ruff format $(wildcard $(CHECKED))

typecheck: setup ## check the types of contract, engine and QGIS side
	@cd build/plugins && ../../$(PYTHON) -I -m mypy --config-file ../../pyproject.toml -p deepseg_qgis

setup: ## install what is missing: QGIS (Debian, Ubuntu), .venv, the plugin's links
	@scripts/setup.sh

link: ## link the plugin anew under build/plugins, for QGIS_PLUGINPATH
	@python3 scripts/link_plugin.py

package: ## make build/deepseg_qgis-VERSION.zip, to install in QGIS from a zip
	@python3 scripts/package.py

clean: ## remove build/, dist/ and caches; .venv and demo/ stay
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find $(wildcard $(CHECKED)) -name __pycache__ -type d -prune -exec rm -rf {} +
