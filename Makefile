PYTHON ?= python3
ARGS ?=

.PHONY: demo test check tablet bench bench-gateway faults screenshots clean

demo:  ## The whole loop on this machine; ARGS="--seconds 120 --report report.json"
	@$(PYTHON) deployment/install.py demo
	@exec .venv/bin/python deployment/demo.py $(ARGS)

test:  ## Checks and all tests
	@$(PYTHON) deployment/install.py test
	@deployment/check
	@deployment/test

check:  ## Format, lint, types, layering, tablet
	@$(PYTHON) deployment/install.py test
	@deployment/check

tablet:  ## Build the tablet app only
	@$(PYTHON) deployment/install.py tablet

screenshots:  ## The pictures in the README, from a run of the demo
	@$(PYTHON) deployment/install.py test
	@.venv/bin/python deployment/screenshots.py

bench:  ## Measure the parts; writes tests/bench/RESULTS.md
	@$(PYTHON) deployment/install.py test
	@.venv/bin/python -m tests.bench.run $(ARGS)

bench-gateway:  ## Measure ThingsBoard gateway and Sideline side by side; writes tests/bench/RESULTS.md
	@$(PYTHON) deployment/install.py test
	@.venv/bin/python -m tests.bench.gateway $(ARGS)

faults:  ## What is missing of the fault matrix, hours; ARGS=--again counts anew; writes tests/faults/RESULTS.md
	@$(PYTHON) deployment/install.py test
	@PYTHONPATH=. .venv/bin/python tests/faults/run.py $(ARGS)

clean:  ## Remove what was installed and built
	rm -rf .venv .demo artifacts edge/tablet/dist edge/tablet/node_modules
