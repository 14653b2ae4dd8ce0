//go:build flockq_dev

package flockq

// #cgo CFLAGS: -I${SRCDIR}/../include
// #cgo LDFLAGS: ${SRCDIR}/../target/release/libflockq.a
// #cgo LDFLAGS: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"

// Linked says how the library was linked.
const Linked = "dev"
