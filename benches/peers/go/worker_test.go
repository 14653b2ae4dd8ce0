package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestEveryMessageIsJSONOf300BytesWithItsNumberInTheID(t *testing.T) {
	renumbered := numbered(7)
	renumber(renumbered, 12)
	for _, one := range []struct {
		message []byte
		number  int
	}{
		{numbered(0), 0},
		{numbered(99_999_999), 99_999_999},
		{renumbered, 12},
		{stamped(3, 1<<62), 3},
		{stamped(4, 0), 4},
	} {
		var read map[string]any
		if err := json.Unmarshal(one.message, &read); err != nil || len(one.message) != payloadSize {
			t.Fatalf("%d bytes, %v: %s", len(one.message), err, one.message)
		}
		if id := fmt.Sprintf("m%08d", one.number); read["id"] != id {
			t.Errorf("the id is %v, not %s", read["id"], id)
		}
		if number, err := numberOf(one.message); err != nil || number != one.number {
			t.Errorf("the number is %d, not %d: %v", number, one.number, err)
		}
	}
}

func TestWhatIsNoMessageOfThisBenchmarkIsAnError(t *testing.T) {
	for _, text := range []string{"", `{"id":"m0000001x"}`, string(numbered(5)[:299]), strings.Repeat("x", payloadSize)} {
		if number, err := numberOf([]byte(text)); err == nil {
			t.Errorf("%q is taken for number %d", text, number)
		}
	}
}

func TestRangesNameEveryNumberOnceAndCountWhatCameAgain(t *testing.T) {
	for _, one := range []struct {
		numbers []int
		text    string
		again   int
	}{
		{nil, "", 0},
		{[]int{7}, "7", 0},
		{[]int{7, 0, 2, 1, 4, 3}, "0-4,7", 0},
		{[]int{5, 5, 6, 5, 9}, "5-6,9", 2},
	} {
		if text, again := rangesOf(one.numbers); text != one.text || again != one.again {
			t.Errorf("%v are %q with %d again, not %q with %d", one.numbers, text, again, one.text, one.again)
		}
	}
}

func TestEveryPeerGivesBackWhatItWasSentByteForByte(t *testing.T) {
	for _, name := range []string{"flockq", "goqite", "mail-daemon"} {
		t.Run(name, func(t *testing.T) {
			peer, err := open(name, t.TempDir(), false)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			sent := [][]byte{numbered(1), stamped(2, 123456789)}
			if err := peer.SendMany(sent); err != nil {
				t.Fatal(err)
			}
			came, err := peer.Wait(context.Background(), 2)
			if err != nil || len(came) != 2 {
				t.Fatalf("%d came: %v", len(came), err)
			}
			for i, delivery := range came {
				if string(delivery.Payload) != string(sent[i]) {
					t.Errorf("%s came, not %s", delivery.Payload, sent[i])
				}
			}
			if err := peer.Ack(came); err != nil {
				t.Fatal(err)
			}
			if depth, err := peer.Depth(); err != nil || depth != 0 {
				t.Errorf("%d are left: %v", depth, err)
			}
		})
	}
}
