// The worker in Go of `make bench-peers`: one actor with one queue. The protocol is described in ../README.md.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"time"
)

func main() {
	peer := flag.String("peer", "", "flockq, flockq-full, goqite or mail-daemon")
	durability := flag.String("durability", "", "power or system")
	place := flag.String("place", "", "the directory of the queue")
	flag.Parse()
	if *peer == "" || *place == "" || *durability != "power" && *durability != "system" {
		flag.Usage()
		os.Exit(2)
	}
	worker := worker{name: *peer, place: *place, power: *durability == "power"}
	replies := json.NewEncoder(os.Stdout)
	replies.SetEscapeHTML(false)
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		if err := replies.Encode(worker.answer(requests.Bytes())); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(requests.Err(), worker.close()); err != nil {
		log.Fatal(err)
	}
}

type worker struct {
	name, place string
	power       bool
	peer        Peer
}

func (w *worker) answer(line []byte) any {
	reply, err := w.do(line)
	var unsupported Unsupported
	switch {
	case errors.As(err, &unsupported):
		return map[string]string{"unsupported": string(unsupported)}
	case err != nil:
		return map[string]string{"error": err.Error()}
	}
	return reply
}

func (w *worker) do(line []byte) (any, error) {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, err
	}
	switch request.Do {
	case "open":
		started := time.Now()
		peer, err := open(w.name, w.place, w.power)
		if err != nil {
			return nil, err
		}
		w.peer = peer
		return Opened{Seconds: time.Since(started).Seconds()}, nil
	case "close":
		return struct{}{}, w.close()
	}
	if w.peer == nil {
		return nil, errors.New("the queue is not open")
	}
	switch request.Do {
	case "send":
		return send(w.peer, &request)
	case "receive":
		return receive(w.peer, &request)
	case "send_stamped":
		return sendStamped(w.peer, &request)
	case "receive_stamped":
		return receiveStamped(w.peer, &request)
	case "depth":
		messages, err := w.peer.Depth()
		return Depth{Messages: messages}, err
	case "version":
		return Version{Peer: w.name, Runtime: runtime.Version(), About: w.peer.About()}, nil
	}
	return nil, fmt.Errorf("there is no request called %q", request.Do)
}

func (w *worker) close() error {
	if w.peer == nil {
		return nil
	}
	peer := w.peer
	w.peer = nil
	return peer.Close()
}

// open opens the queue of a peer, and makes it when it is missing.
func open(name, place string, power bool) (Peer, error) {
	switch name {
	case "flockq":
		return openFlockq(place, power, false)
	case "flockq-full":
		return openFlockq(place, power, true)
	case "goqite":
		return openGoqite(place, power)
	case "mail-daemon", "daemon":
		return openMailDaemon(place, power)
	}
	return nil, Unsupported("the worker in Go knows no peer called " + name)
}
