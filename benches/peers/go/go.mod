// The worker in Go of `make bench-peers`. A module of its own, so that nobody who uses flockq gets its peers.
module github.com/flockq/flockq/benches/peers/go

go 1.24.0

require (
	github.com/flockq/flockq/go v0.0.0
	github.com/mattn/go-sqlite3 v1.14.53
	golang.org/x/sys v0.38.0
	maragu.dev/goqite v0.4.0
)

replace github.com/flockq/flockq/go => ../../../go
