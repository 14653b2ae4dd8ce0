package main

import (
	"slices"
	"strconv"
	"strings"
)

// rangesOf sorts numbers and returns them as ranges (0-4,7), and how many were there more than once.
func rangesOf(numbers []int) (string, int) {
	all := len(numbers)
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var runs []string
	for begin := 0; begin < len(numbers); {
		end := begin + 1
		for end < len(numbers) && numbers[end] == numbers[end-1]+1 {
			end++
		}
		run := strconv.Itoa(numbers[begin])
		if end-begin > 1 {
			run += "-" + strconv.Itoa(numbers[end-1])
		}
		runs = append(runs, run)
		begin = end
	}
	return strings.Join(runs, ","), all - len(numbers)
}
