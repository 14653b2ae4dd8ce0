package flockq

import (
	"context"
	"errors"
	"syscall"
)

// Code is what kind of thing went wrong; the numbers are those of every language.
type Code int32

// The codes. What each means, its sentinel error says.
const (
	CodeInvalidArgument  Code = 1
	CodeIo               Code = 2
	CodeLockTimeout      Code = 3
	CodeInterrupted      Code = 4
	CodeNotFound         Code = 5
	CodeAlreadyExists    Code = 6
	CodeCorrupt          Code = 7
	CodeVersion          Code = 8
	CodeTooLarge         Code = 9
	CodeInvalidJson      Code = 10
	CodeStaleReceipt     Code = 11
	CodeFull             Code = 12
	CodeClosed           Code = 13
	CodePoisoned         Code = 14
	CodeOutcomeUnknown   Code = 15
	CodeWouldDeadlock    Code = 16
	CodeUnsafeFilesystem Code = 17
	CodeInternal         Code = 18
)

// The sentinels, for errors.Is.
var (
	// ErrInvalidArgument is returned when an argument is not allowed: a name, an option, a receipt that is no receipt.
	ErrInvalidArgument = sentinel(CodeInvalidArgument)
	// ErrIo is returned when the operating system refused; the error unwraps to its syscall.Errno.
	ErrIo = sentinel(CodeIo)
	// ErrLockTimeout is returned when the lock could not be had in the time allowed; nothing was changed.
	ErrLockTimeout = sentinel(CodeLockTimeout)
	// ErrInterrupted is returned when the wait was ended by an interrupt; nothing was changed.
	ErrInterrupted = sentinel(CodeInterrupted)
	// ErrNotFound is returned when the spool directory or a file that must be there does not exist.
	ErrNotFound = sentinel(CodeNotFound)
	// ErrAlreadyExists is returned when the id is already in the queue, or the spool is already set up differently.
	ErrAlreadyExists = sentinel(CodeAlreadyExists)
	// ErrCorrupt is returned when a file is damaged; the error names the file, the offset and the rule that it breaks.
	ErrCorrupt = sentinel(CodeCorrupt)
	// ErrVersion is returned when a file was written by a newer version of flockq, or asks for what this one does not have.
	ErrVersion = sentinel(CodeVersion)
	// ErrTooLarge is returned when what is sent is larger than a limit.
	ErrTooLarge = sentinel(CodeTooLarge)
	// ErrInvalidJson is returned when the payload is not JSON that every language reads alike.
	ErrInvalidJson = sentinel(CodeInvalidJson)
	// ErrStaleReceipt is returned when the lease that the receipt names has ended; nothing was changed.
	ErrStaleReceipt = sentinel(CodeStaleReceipt)
	// ErrFull is returned when the queue has reached its limit.
	ErrFull = sentinel(CodeFull)
	// ErrClosed is returned when the handle was closed, or belongs to the process before a fork.
	ErrClosed = sentinel(CodeClosed)
	// ErrPoisoned is reserved: no version of flockq returns it.
	ErrPoisoned = sentinel(CodePoisoned)
	// ErrOutcomeUnknown is returned when the change may or may not have become durable; look before doing it again.
	ErrOutcomeUnknown = sentinel(CodeOutcomeUnknown)
	// ErrWouldDeadlock is returned when the caller already holds this lock, or waits for it; waiting for it would never end.
	ErrWouldDeadlock = sentinel(CodeWouldDeadlock)
	// ErrUnsafeFilesystem is returned where locks do not exclude, or it is not known that they do.
	ErrUnsafeFilesystem = sentinel(CodeUnsafeFilesystem)
	// ErrInternal is a bug in flockq; please report it.
	ErrInternal = sentinel(CodeInternal)
)

// An Error is what every failed operation returns.
type Error struct {
	// Op is the operation, such as "send".
	Op string
	// Code is the kind of error.
	Code Code
	// Message is one line that says what was found, where, and what to do.
	Message string
	// Path is the file that the error is about, if any.
	Path string
	// Errno is the operating system's error, or 0.
	Errno syscall.Errno
	// Offset is where in the file or the payload the rule is broken, or -1.
	Offset int64

	// cause is the error in this process that led to it, if any.
	cause error
}

// Error returns the operation and the message.
func (e *Error) Error() string {
	if e.Op == "" {
		return "flockq: " + e.Message
	}
	return "flockq: " + e.Op + ": " + e.Message
}

// Is reports whether target is the sentinel of the same code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Op == "" && other.Code == e.Code
}

// Unwrap returns the operating system's error, so that errors.Is(err, fs.ErrNotExist) works; for a payload that cannot be
// marshalled, the error that says so.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return e.cause
	}
	return e.Errno
}

func sentinel(code Code) error {
	return &Error{Code: code, Message: statusSummary(code), Offset: -1}
}

// String returns the name of the code, the same in every language.
func (c Code) String() string { return statusName(c) }

// CodeOf returns the code of an error, or 0 when it is not one of this package.
func CodeOf(err error) Code {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Code
	}
	return 0
}

// A contextError is the end of a context, told as an operation's. It does not unwrap to the cause: that may be an error of
// this package that another operation returned, as with errgroup, which would be taken for this one's.
type contextError struct {
	op         string
	err, cause error
}

func (e *contextError) Error() string {
	text := "flockq: " + e.op + ": " + e.err.Error()
	if e.cause != nil && e.cause.Error() != e.err.Error() {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *contextError) Unwrap() error { return e.err }

// ended returns the context's error, told as this operation's.
func ended(ctx context.Context, op string) error {
	if ctx == nil || ctx.Err() == nil {
		return nil
	}
	return &contextError{op: op, err: ctx.Err(), cause: context.Cause(ctx)}
}
