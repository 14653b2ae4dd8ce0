//go:build !flockq_system && !flockq_dev

package flockq

// #cgo CFLAGS: -I${SRCDIR}/internal/native
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/internal/native/linux_amd64/libflockq.a
// #cgo linux,arm64 LDFLAGS: ${SRCDIR}/internal/native/linux_arm64/libflockq.a
// #cgo LDFLAGS: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"

// For the header and the libraries in their folders.
import (
	_ "github.com/flockq/flockq/go/internal/native"
	_ "github.com/flockq/flockq/go/internal/native/linux_amd64"
	_ "github.com/flockq/flockq/go/internal/native/linux_arm64"
)

// Linked says how the library was linked.
const Linked = "bundled"
