package flockq

/*
#include "flockq.h"
*/
import "C"

import "encoding/json"

// A Report is what a check found, or what a repair did.
type Report struct {
	Queue string `json:"queue"`
	// Mode is how the queue commits: plain or journal.
	Mode     string `json:"mode"`
	Messages uint64 `json:"messages"`
	// Replaced counts how often another program has replaced the file of a journalled queue.
	Replaced uint64 `json:"replaced"`
	// Damage is what breaks a rule; of a repair, what could not be saved.
	Damage []Finding `json:"damage"`
	// Notes are no damage and worth knowing.
	Notes []string `json:"notes"`
	// Kept names the damaged files that a repair has kept.
	Kept []string `json:"kept"`
}

// A Finding is one piece of damage.
type Finding struct {
	Path string `json:"path"`
	// Offset is in bytes from the start of the file; nil when it is not of one place.
	Offset *uint64 `json:"offset"`
	Rule   string  `json:"rule"`
}

// IsSound reports whether there is no damage.
func (r *Report) IsSound() bool { return len(r.Damage) == 0 }

// readReport decodes a report and frees its text.
func readReport(op string, text *C.flockq_text) (*Report, error) {
	report := new(Report)
	if err := json.Unmarshal([]byte(ownedText(text)), report); err != nil {
		return nil, &Error{Op: op, Code: CodeInternal, Message: "the report cannot be read: " + err.Error(), Offset: -1}
	}
	return report, nil
}
