// Sends messages one by one and prints how many microseconds each took.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	flockq "github.com/flockq/flockq/go"
)

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	spool, err := flockq.Open(os.Args[1], &flockq.Options{Sync: flockq.SyncOff})
	if err != nil {
		log.Fatal(err)
	}
	inbound, err := spool.Queue("inbound")
	if err != nil {
		log.Fatal(err)
	}
	message := json.RawMessage(`{"id":"m000000001","from":"mayor/","to":"deacon/","subject":"hello","body":"` + strings.Repeat("x", 219) + `"}`)
	ctx := context.Background()
	var started time.Time
	for number := range count + 1 {
		if number == 1 {
			started = time.Now()
		}
		if _, err := inbound.Send(ctx, message, nil); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(float64(time.Since(started).Nanoseconds()) / 1000 / float64(count))
}
