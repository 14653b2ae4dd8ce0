//go:build flockq_system

package flockq

// #cgo pkg-config: flockq
import "C"

// Linked says how the library was linked.
const Linked = "system"
