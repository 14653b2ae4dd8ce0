package main

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	payloadSize = 300
	beforeID    = `{"id":"m`
	idDigits    = 8
)

// numbered returns a message with this number: a JSON object of exactly 300 bytes.
func numbered(number int) []byte { return padded(number, "") }

// stamped returns a message with this number that tells when it was about to be sent.
func stamped(number int, beforeNS int64) []byte {
	return padded(number, fmt.Sprintf(`"before_ns":%d,`, beforeNS))
}

func padded(number int, more string) []byte {
	begin := fmt.Sprintf(`%s%0*d","from":"mayor/","to":"deacon/","subject":"hello",%s"body":"`, beforeID, idDigits, number, more)
	const end = `"}`
	return []byte(begin + strings.Repeat("x", payloadSize-len(begin)-len(end)) + end)
}

// renumber gives a message that numbered made another number: what is measured is not how a text is put together.
func renumber(message []byte, number int) {
	for place := len(beforeID) + idDigits - 1; place >= len(beforeID); place-- {
		message[place] = byte('0' + number%10)
		number /= 10
	}
}

// numberOf returns the number of a message.
func numberOf(message []byte) (int, error) {
	if len(message) == payloadSize && strings.HasPrefix(string(message[:len(beforeID)]), beforeID) {
		if number, err := strconv.Atoi(string(message[len(beforeID) : len(beforeID)+idDigits])); err == nil {
			return number, nil
		}
	}
	return 0, fmt.Errorf("not a message of this benchmark: %s", message)
}
