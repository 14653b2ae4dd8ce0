// Package flockq is a durable message queue that lives in a directory of JSON files. Processes in C,
// Go, Python and Rust, and shell scripts, share the same files through the same lock protocol. There
// is no server.
//
// A spool is a directory, a queue one NAME.json in it, a message a JSON payload with an envelope.
// [Queue.Send] puts a message in; when it returns, the message cannot be lost any more.
// [Queue.Receive] takes one under a lease and yields a [Delivery]; [Delivery.Ack] says that it is
// done, [Delivery.Nack] gives it back. [Queue.Receive] waits until ctx ends, which with
// [context.Background] is for ever; [Queue.TryReceive] does not wait, and returns nil when nothing is ready.
//
//	spool, err := flockq.Open("mail-queues", &flockq.Options{Create: true})
//	inbound, err := spool.Queue("inbound")
//	id, err := inbound.Send(ctx, map[string]string{"to": "deacon/"}, nil)
//	delivery, err := inbound.Receive(ctx, &flockq.ReceiveOptions{Lease: time.Minute})
//	err = delivery.Ack(ctx)
//
// # Linking
//
// By default the static library beside the package is linked, which `make build` puts there, and which
// `go mod vendor` copies. With the build tag flockq_system the installed library is found through
// pkg-config, with flockq_dev the one in ../target/release; only `go build -a` notices that that one
// is new.
//
// # Contexts
//
// A context that ends interrupts a waiting receive at once. It is looked at before every other
// operation; one that has begun to wait for a lock goes on until the lock wait of [Options] ends.
// The error names the operation and is the context's: errors.Is finds [context.Canceled] or
// [context.DeadlineExceeded]. When the context has a cause, the error's text ends with it.
//
// # Waiting
//
// What waits, for a message, for room or for a lock, waits in C: each such call has a thread of the
// operating system to itself until it returns. A program with more than 10,000 threads crashes, unless
// [runtime/debug.SetMaxThreads] allows more. So let a few goroutines receive, and hand the deliveries
// to the others.
//
// # Caveats
//
//   - Delivery is at least once: a message is delivered again when its lease runs out, its consumer
//     dies or gives it back, or a power cut undoes an unsynced ack or pop.
//   - In a plain queue every commit rewrites the whole file: its cost grows with the length of the
//     queue.
//   - The file of a journalled queue shows the queue as of the last checkpoint. What another
//     program removes by replacing that file is gone.
//   - Programs that do not use the library do not know about leases. Where they take messages too,
//     use [Queue.Pop].
//   - A program that does not know about moves can cause a second delivery: when a killed process
//     has left a message between two queues, and the program takes it from one of the files, or
//     drops its "move" key, before flockq has finished the move.
//   - A queue takes back every message that is ready in its retry queue, unless it came from
//     another queue.
//   - A program that unlinks the lock file when it unlocks leaves a gap in which its changes and
//     flockq's can overwrite each other. Processes with the library never lose each other's
//     messages, as long as nobody removes the guard file as well.
//   - At durability "off" a power cut can lose the last commits, and leave a plain queue's file
//     empty or zeroed; it is then reported as damaged, not as an empty queue.
//   - Lock statistics are written once a second, when the process next does something: a killed
//     process takes the last of them with it. In a journalled queue the counts of messages are
//     exact. Writes of other programs to a plain queue are counted when flockq next writes it, so
//     several can count as one.
//   - On a full disk, acks in a journalled queue use a reserve of 64 KiB. Once it is in use, a send
//     by another process, or on btrfs any large send that fails, may take that space, and a new
//     consumer may get leases that do not end with its process. A plain queue cannot be changed at
//     all: each change writes a new file.
//   - A plain queue does not remember the ids that have left it: there Dedup sees only what is in the
//     queue, and not what waits in its retry queue. A journalled queue with a dedup_window does.
//   - When retry_queue is changed, what waits in the old one stays there until it is redriven;
//     flockq doctor says so.
//   - Stats, and each page of List, look at every message: their cost grows with the queue.
//   - All senders that wait for room in a full queue wake together; which of them sends first is a
//     matter of chance.
//   - Leases end at a reboot. Network file systems are refused by default.
//   - Whoever can open the lock file can keep everybody else waiting: the directory's permissions
//     are the boundary.
//   - Only Linux is built and tested.
package flockq
