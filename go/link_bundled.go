//go:build !flockq_system && !flockq_dev

package flockq

// #cgo CFLAGS: -I${SRCDIR}/internal/native
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/internal/native/linux_amd64/libflockq.a
// #cgo linux,arm64 LDFLAGS: ${SRCDIR}/internal/native/linux_arm64/libflockq.a
// #cgo LDFLAGS: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"

// Linked says how the library was linked.
const Linked = "bundled"
