# `make run` and `make test` each set up all they need; a second call finds it done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST ?= -q -n auto --dist worksteal
# Whole agents, hundreds of them killed: not slowed down by counting lines, which calmer tests do.
FIRE := tests/crash tests/flow/test_chaos.py tests/s3/test_s3_kills.py
# Files that only decide: import-linter keeps them pure, and tests reach every line of them.
PURE := agent/actors/broadcaster/metrics.py,agent/actors/broadcaster/route_status.py,agent/actors/broadcaster/status_model.py,agent/actors/copier_pool/decisions.py,agent/actors/dispatcher/batching.py,agent/actors/dispatcher/destination_queue.py,agent/actors/dispatcher/commands.py,agent/actors/dispatcher/decisions.py,agent/actors/dispatcher/job.py,agent/actors/dispatcher/priority_queue.py,agent/actors/dispatcher/room.py,agent/actors/dispatcher/scheduler.py,agent/actors/dispatcher/setbacks.py,agent/actors/dispatcher/routes.py,agent/actors/dispatcher/storage.py,agent/actors/dispatcher/transitions.py,agent/actors/stability_tracker/emptied_folders.py,agent/actors/stability_tracker/growth.py,agent/actors/stability_tracker/hold.py,agent/actors/stability_tracker/hung_files.py,agent/actors/stability_tracker/recheck_queue.py,agent/actors/stability_tracker/removed_files.py,agent/actors/stability_tracker/tracked_file.py,agent/actors/stability_tracker/tracker.py,agent/actors/storage_monitor/availability.py,agent/actors/upload_manager/upload_job.py,agent/actors/watcher/scan_planner.py,agent/actors/watcher/unreadable_folders.py,agent/model/*,agent/worker/source/containers/*
UNCOUNTED := tests/system tests/s3/test_s3_growing.py $(FIRE)

# Programs, and the Debian packages that bring them.
CEPH := ceph-mon ceph-osd radosgw openssl ffmpeg

.PHONY: run test test-fire test-ceph bench bench-growing lint types check clean
.DEFAULT_GOAL := run

$(VENV)/run.done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'transfer-agent needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.done: $(VENV)/run.done
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/bench.done: $(VENV)/dev.done
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

run: $(VENV)/run.done
	@mkdir -p var/source var/nas
	@echo 'Drop a media file into  var/source ; a few seconds later it is in  var/nas , verified.'
	@echo 'The page:               http://127.0.0.1:8080     (Ctrl-C stops; a stop in mid-copy is resumed.)'
	@$(BIN)/transfer-agent run

test: lint types
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(PYTEST) $(UNCOUNTED:%=--ignore=%)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
	$(BIN)/python -m pytest $(PYTEST) $(UNCOUNTED)

# Every kill, power cut, fault and seed of chaos, of which `make test` tries a part. One test has hundreds: none hangs.
test-fire: $(VENV)/dev.done
	$(BIN)/python -m pytest $(PYTEST) -o faulthandler_timeout=3600 --every $(FIRE) tests/flow/test_faults.py tests/s3/test_s3_faults.py

# The S3 tests against a Ceph of one node, which they start and end: about ten minutes.
test-ceph: $(VENV)/dev.done
	@missing=$$(for each in $(CEPH); do command -v $$each >/dev/null || printf ' %s' $$each; done); \
	test -z "$$missing" || { echo "test-ceph needs the Debian packages$$missing" >&2; exit 1; }
	$(BIN)/python -m pytest -q -n 0 --every tests/s3/test_ceph.py

# BENCH names measurements (default: all) and options; `make bench BENCH=--list` shows the names.
bench: $(VENV)/bench.done
	$(BIN)/python -m bench $(BENCH)

bench-growing: $(VENV)/dev.done
	$(BIN)/python -m bench.growing

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/dev.done
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .hypothesis
