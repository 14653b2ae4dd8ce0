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
// By default the static library beside the package is linked, which `make build` puts there. With
// the build tag flockq_system the installed library is found through pkg-config, with flockq_dev
// the one in ../target/release.
//
// # Contexts
//
// A context that ends interrupts a waiting receive at once. It is looked at before every other
// operation; one that has begun to wait for a lock goes on until the lock wait of [Options] ends.
//
// # Caveats
//
//   - Delivery is at least once: a message comes again when its lease ran out, its consumer died or
//     gave it back, or a power cut forgot an unsynced ack or pop.
//   - In a plain queue every commit writes the whole file: its cost grows with the length of the queue.
//   - The file of a journalled queue shows what was folded last. What another program takes away by replacing it is gone.
//   - Programs that do not use the library do not know leases. Where they take messages too, use Pop.
//   - A program that unlinks the lock file while it unlocks leaves a gap in which its changes and
//     flockq's can overwrite each other. Processes with the library never lose each other's messages as
//     long as nobody removes the guard file as well.
//   - At durability "off" a power cut can lose the last commits, and leave a plain queue's file empty or zeroed; it is
//     then reported as damaged, not as an empty queue.
//   - How a lock was used is told once a second; a process that is killed takes the last of that with it. In a
//     journalled queue what is done with messages is counted exactly.
//   - A plain queue does not know which ids have left it: there dedup sees what is in the queue.
//   - Leases end at a reboot. Network file systems are refused.
//   - Whoever may open the lock file can keep everybody waiting: the directory's permissions are the
//     boundary.
//   - Linux is what is built and tested.
package flockq
