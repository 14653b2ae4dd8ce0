module github.com/flockq/flockq/go

go 1.24
