package main

// A Request is one line of input; each kind has some of the fields.
type Request struct {
	Do      string  `json:"do"`
	First   int     `json:"first"`
	Count   int     `json:"count"`
	Batch   int     `json:"batch"`
	Wait    bool    `json:"wait"`
	LimitS  float64 `json:"limit_s"`
	PauseMS float64 `json:"pause_ms"`
}

// Opened answers open.
type Opened struct {
	Seconds float64 `json:"seconds"`
}

// Sent answers send.
type Sent struct {
	Done    int     `json:"done"`
	Seconds float64 `json:"seconds"`
	Failures
}

// Received answers receive.
type Received struct {
	Done    int     `json:"done"`
	Seconds float64 `json:"seconds"`
	Ranges  string  `json:"ranges"`
	Again   int     `json:"again"`
	Failures
}

// SentStamped answers send_stamped.
type SentStamped struct {
	Done     int     `json:"done"`
	BeforeNS []int64 `json:"before_ns"`
	AfterNS  []int64 `json:"after_ns"`
}

// ReceivedStamped answers receive_stamped.
type ReceivedStamped struct {
	Done    int     `json:"done"`
	Numbers []int   `json:"numbers"`
	HadNS   []int64 `json:"had_ns"`
}

// Depth answers depth.
type Depth struct {
	Messages int `json:"messages"`
}

// Version answers version.
type Version struct {
	Peer    string `json:"peer"`
	Runtime string `json:"runtime"`
	About
}

// Failures are the calls that failed and were made again.
type Failures struct {
	Failed int `json:"failed,omitempty"`
	// Failure is what the first said.
	Failure string `json:"failure,omitempty"`
}
