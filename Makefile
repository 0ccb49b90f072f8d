# make demo   all set-up included; the move, live, with a report at the end
# make test   all set-up included; the whole test suite

SHELL    := /bin/bash
GO       ?= go
DURATION ?= 20s
RATE     ?= 300
RUNS     ?= 20
export GOFLAGS ?= -buildvcs=auto

SEED     ?= 1
ROUNDS   ?= 400
CHAOS    ?= -faults 300 -within 35m -pairs 0.6

.PHONY: build setup tools demo demos test test-isolation compiled chaos lint soak fuzz bench clean

build: ## the one binary; BUILT=yes takes the one that is there
	$(if $(BUILT),test -x bin/godwit,$(GO) build -o bin/godwit ./cmd/godwit)

setup: build ## what the machine lacks: Postgres; says what else is missing
	./bin/godwit setup

tools: ## what only tests need: OpenTofu, moto, Packer, Maven, other majors of Postgres, PgBouncer
	./scripts/aws-tools

demo: setup ## the nonstop move, end to end
	./bin/godwit demo --duration $(DURATION) --rate $(RATE) --rollback --report .

demos: setup ## RUNS demos in a row, summed up
	./scripts/demos $(RUNS) $(DURATION) $(RATE)

# Compiling OpenTofu takes minutes, and tests wait a lot: the first time it is compiled
# in what those leave over that do not run it.
test: setup ## everything; fails on a skip that .ci/skips does not expect
	./scripts/aws-tools provider moto packer java builder postgres pooler
	$(GO) -C tools test ./schemaprovider
	@nice -n 19 ./scripts/aws-tools tofu & tofu=$$!; \
	trap 'kill $$tofu 2>/dev/null' EXIT; trap 'exit 130' INT; passed=yes; \
	./scripts/gotest $$($(GO) list ./... | grep -v ^godwit/internal/site/aws) || passed=; \
	wait $$tofu || exit; trap - EXIT INT; \
	./scripts/gotest ./internal/site/aws/... && [ $$passed ]

ISOLATION := ./internal/site/local/... ./internal/door/... ./internal/relay/...

test-isolation: setup ## what needs namespaces, for running as root and as an ordinary user
	./scripts/gotest $(ISOLATION)

compiled: ## the tests of test-isolation, for whoever has nothing compiled: COMPILED=bin/compiled
	mkdir -p bin/compiled
	for package in $$($(GO) list $(ISOLATION)); do $(GO) test -vet=off -c -o bin/compiled/$${package//\//-}.test $$package || exit 1; done

chaos: setup ## 300 times processes are killed and hang, the disk is full, the link is lost, while operations run; as root
	$(GO) build -o bin/chaos ./scripts/chaos
	./bin/chaos -seed $(SEED) -rounds $(ROUNDS) $(CHAOS)

lint: ## formatting, vet, static analysis, and what would not compile where Linux is not
	@test -z "$$(gofmt -l cmd internal examples scripts)" || { echo "not gofmt-ed:"; gofmt -l cmd internal examples scripts; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./scripts/typecheck -goos darwin ./cmd/godwit
	$(GO) -C tools vet ./schemaprovider
	for script in $$(git grep -Il '^#!/usr/bin/env bash'); do bash -n $$script || exit 1; done

soak: setup ## 1,000 instances, a service of 500, relays over fifty deaths; 200 slow clients of each kind while 20 holds are drained; a journal killed at every pair of places; schemas of 3,000 and 7,000 tables
	GODWIT_SOAK=1 $(GO) test -count 1 -v -timeout 60m -run 'ManyServices|LargeService|RelayFollows' ./internal/site/local
	GODWIT_SOAK=1 $(GO) test -count 1 -v -timeout 20m -run 'TestNoClientDecides$$' ./internal/gateway
	GODWIT_SOAK=1 $(GO) test -count 1 -v -timeout 20m -run 'TestKilledAnywhere$$' ./internal/journal
	GODWIT_SOAK=1 $(GO) test -count 1 -v -timeout 120m -run 'TestThousandsOfTables$$' ./internal/migrate/postgres

fuzz: ## every fuzz target for a minute
	$(GO) test -run '^$$' -fuzz FuzzParse -fuzztime 60s ./internal/landscape
	$(GO) test -run '^$$' -fuzz FuzzFraming -fuzztime 60s ./internal/gateway

bench: setup ## speed claims, as ratios against a peer in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin report.html report.json
