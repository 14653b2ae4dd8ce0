package flockq

/*
#include <stdlib.h>
#include "flockq.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// A handle is freed when it is unreachable and nowhere else: Close only closes. So a call needs to keep its handle
// reachable until it returns (runtime.KeepAlive), and no call can meet a handle that another goroutine has freed.

// text copies borrowed bytes out of C.
func text(bytes C.flockq_bytes) string {
	if bytes.size == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(bytes.data)), int(bytes.size)))
}

// content copies borrowed bytes out of C.
func content(bytes C.flockq_bytes) []byte {
	return []byte(text(bytes))
}

// ownedText copies a text that C gave away, and frees it.
func ownedText(owned *C.flockq_text) string {
	defer C.flockq_text_free(owned)
	return text(C.flockq_text_bytes(owned))
}

// ownedTexts copies a list of texts that C gave away, and frees it.
func ownedTexts(owned *C.flockq_texts) []string {
	defer C.flockq_texts_free(owned)
	all := make([]string, int(C.flockq_texts_size(owned)))
	for i := range all {
		all[i] = text(C.flockq_texts_get(owned, C.size_t(i)))
	}
	return all
}

// pinned lends Go memory to one C call.
type pinned struct{ runtime.Pinner }

func (p *pinned) bytes(content []byte) C.flockq_bytes {
	if len(content) == 0 {
		return C.flockq_bytes{}
	}
	data := unsafe.SliceData(content)
	p.Pin(data)
	return C.flockq_bytes{data: (*C.char)(unsafe.Pointer(data)), size: C.size_t(len(content))}
}

func (p *pinned) text(content string) C.flockq_bytes {
	if len(content) == 0 {
		return C.flockq_bytes{}
	}
	data := unsafe.StringData(content)
	p.Pin(data)
	return C.flockq_bytes{data: (*C.char)(unsafe.Pointer(data)), size: C.size_t(len(content))}
}

// texts lends a list; the array itself is Go memory that holds pinned pointers only.
func (p *pinned) texts(all []string) (*C.flockq_bytes, C.size_t) {
	if len(all) == 0 {
		return nil, 0
	}
	array := make([]C.flockq_bytes, len(all))
	for i, one := range all {
		array[i] = p.text(one)
	}
	p.Pin(&array[0])
	return &array[0], C.size_t(len(array))
}

// failure turns a failed call's error into a Go value, and frees it. It takes the place of the error and not the error,
// because Go may read a variable before it makes the call that stands in the same line.
func failure(op string, status C.flockq_status, place **C.flockq_error) error {
	if status == C.FLOCKQ_STATUS_OK {
		return nil
	}
	failed := *place
	defer C.flockq_error_free(failed)
	return &Error{
		Op:      op,
		Code:    Code(status),
		Message: text(C.flockq_error_message(failed)),
		Path:    text(C.flockq_error_path(failed)),
		Errno:   syscall.Errno(C.flockq_error_errno(failed)),
		Offset:  int64(C.flockq_error_offset(failed)),
	}
}

func statusName(code Code) string    { return text(C.flockq_status_name(C.int32_t(code))) }
func statusSummary(code Code) string { return text(C.flockq_status_summary(C.int32_t(code))) }

// Version returns the version of the library that is running.
func Version() string { return text(C.flockq_version()) }

// milliseconds returns what C is told of a duration. The error names the operation, and the argument or option.
func milliseconds(op, name string, d time.Duration) (C.uint64_t, error) {
	if d < 0 {
		return 0, negative(op, name, d)
	}
	return roundedUp(d), nil
}

// waiting is milliseconds for a wait, which may be NoWait or Forever; 0 is the default.
func waiting(op, name string, d time.Duration) (C.uint64_t, error) {
	switch d {
	case NoWait:
		return C.FLOCKQ_NO_WAIT, nil
	case Forever:
		return C.FLOCKQ_FOREVER, nil
	}
	return milliseconds(op, name, d)
}

// roundedUp rounds up to milliseconds, so that a short time is not taken for the default.
func roundedUp(d time.Duration) C.uint64_t {
	ms := C.uint64_t(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// count is milliseconds for a number of messages.
func count(op, name string, n int) (C.size_t, error) {
	if n < 0 {
		return 0, negative(op, name, n)
	}
	return C.size_t(n), nil
}

// negative refuses what has no number in C. It is often what is left: of the time until a moment that has passed, or of a
// number of which more was taken. As 0 it would mean the default: for ever, or all.
func negative(op, name string, value any) error {
	return &Error{Op: op, Code: CodeInvalidArgument, Message: fmt.Sprintf("%s is %v; it must not be less than 0", name, value), Offset: -1}
}

func flag(set bool) C.uint32_t {
	if set {
		return 1
	}
	return 0
}
