// Package native keeps the C header, and in a folder for each platform the static library. They are packages because
// `go mod vendor` copies all that is in a folder, but only when it is a package that is imported.
//
// Beside a library, scripts/go.sh writes library.go with its hash. The go command does not look at what #cgo LDFLAGS names:
// without the hash it would take a program for up to date that was linked to an older library. Neither of the two files is
// in git. Where they are missing the package compiles all the same, for what is not linked: go vet, or another build tag.
package native
