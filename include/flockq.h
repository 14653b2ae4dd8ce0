/**
 * flockq: durable message queues in JSON files that processes in C, Go, Python, Rust and the shell share.
 * Licensed under MIT or Apache-2.0.
 *
 * This header is the manual of the C interface. It is generated; what it says comes from src/capi.
 *
 * A spool is a directory, a queue one NAME.json in it, a message a JSON payload with an envelope. flockq_queue_send()
 * puts a message in. flockq_queue_receive() takes one under a lease, which yields a delivery with a receipt;
 * flockq_delivery_ack() says that it is done, flockq_delivery_nack() gives it back.
 *
 *     flockq_spool *spool = NULL;
 *     flockq_queue *queue = NULL;
 *     flockq_delivery *delivery = NULL;
 *     flockq_error *error = NULL;
 *     if (flockq_spool_open(flockq_bytes_of("mail-queues"), NULL, &spool, &error) != FLOCKQ_STATUS_OK ||
 *         flockq_spool_queue(spool, flockq_bytes_of("inbound"), &queue, &error) != FLOCKQ_STATUS_OK ||
 *         flockq_queue_send(queue, flockq_bytes_of("{\"to\": \"deacon/\"}"), NULL, NULL, &error) != FLOCKQ_STATUS_OK ||
 *         flockq_queue_receive(queue, NULL, &delivery, &error) != FLOCKQ_STATUS_OK) {
 *         flockq_bytes text = flockq_error_message(error);
 *         fprintf(stderr, "%.*s\n", (int)text.size, text.data);
 *     } else if (delivery != NULL && flockq_delivery_ack(delivery, &error) != FLOCKQ_STATUS_OK) {
 *         flockq_bytes text = flockq_error_message(error);
 *         fprintf(stderr, "not acked: %.*s\n", (int)text.size, text.data);
 *     }
 *     flockq_delivery_free(delivery);
 *     flockq_queue_free(queue);
 *     flockq_spool_free(spool);
 *     flockq_error_free(error);
 *
 * RULES. They hold for every function; the functions only say what is special.
 *
 *  1. Handles are opaque. _open, _acquire, _begin, _receive and their like give ownership, the matching _free takes it;
 *     free(NULL) does nothing. What was freed must not be used.
 *  2. Order of parameters: object, inputs, outputs, `flockq_error **error` last. `error` may be NULL; otherwise it is
 *     written only on failure, and the caller frees it by flockq_error_free(). There is no "last error" of a thread.
 *  3. Inputs are const. Outputs are written only on success, and what was there before is not read.
 *  4. Text is a pointer and a size, UTF-8, not NUL-terminated; NULL only with size 0. Inputs are not kept after the call.
 *  5. Borrowed results live until the handle that they were borrowed from is freed; the comment names it.
 *  6. Any function from any thread. After fork() parent and child may both go on with every handle: the child opens what
 *     it needs anew at its first use. A transaction and a held file lock stay with the parent; in the child a transaction
 *     is FLOCKQ_STATUS_CLOSED and may be freed.
 *  7. Option structs begin with `size_t size`, to be set to their sizeof; all other fields zero means the defaults, and so
 *     does a NULL pointer. Fields are only appended.
 *  8. Enums go out, uint32_t comes in; 0 is the default. Callbacks take `void *context` and must not re-enter.
 *  9. Every pointer is checked: NULL where it must not be is FLOCKQ_STATUS_INVALID_ARGUMENT. A panic becomes
 *     FLOCKQ_STATUS_INTERNAL, and Rust writes to standard error where it was; nothing else prints, and nothing exits.
 *     FLOCKQ_STATUS_CLOSED is possible wherever a handle is used.
 *     What takes the lock of a queue or of the configuration can return FLOCKQ_STATUS_LOCK_TIMEOUT,
 *     FLOCKQ_STATUS_INTERRUPTED (the interrupt_check said so), FLOCKQ_STATUS_WOULD_DEADLOCK (this thread has the lock, by
 *     a transaction or a file lock) and FLOCKQ_STATUS_UNSAFE_FILESYSTEM; what reads a file FLOCKQ_STATUS_IO,
 *     FLOCKQ_STATUS_CORRUPT and FLOCKQ_STATUS_VERSION (a newer flockq wrote it). Whoever finds that another program has
 *     replaced the file of a journalled queue makes it a part of the queue first, also to look: that is a change, which
 *     can return FLOCKQ_STATUS_OUTCOME_UNKNOWN.
 * 10. FLOCKQ_VERSION_NUMBER and flockq_version() tell the versions of header and library. The SONAME changes with the ABI.
 *
 * CAVEATS: what is not promised.
 *
 *  - Delivery is at least once: a message is delivered again when its lease runs out, its consumer dies or gives it
 *    back, or a power cut undoes an unsynced ack or pop.
 *  - In a plain queue every commit rewrites the whole file: its cost grows with the length of the queue.
 *  - The file of a journalled queue shows the queue as of the last checkpoint. What another program removes by
 *    replacing that file is gone.
 *  - Programs that do not use the library do not know about leases. Where they take messages too, use
 *    flockq_queue_pop().
 *  - A program that does not know about moves can cause a second delivery: when a killed process has left a message
 *    between two queues, and the program takes it from one of the files, or drops its "move" key, before flockq has
 *    finished the move.
 *  - A queue takes back every message that is ready in its retry queue, unless it came from another queue.
 *  - A program that unlinks the lock file when it unlocks leaves a gap in which its changes and flockq's can overwrite
 *    each other. Processes with the library never lose each other's messages, as long as nobody removes the guard file
 *    as well.
 *  - At durability "off" a power cut can lose the last commits, and leave a plain queue's file empty or zeroed; it is
 *    then reported as damaged, not as an empty queue.
 *  - Lock statistics are written once a second, when the process next does something: a killed process takes the last
 *    of them with it. In a journalled queue the counts of messages are exact. Writes of other programs to a plain
 *    queue are counted when flockq next writes it, so several can count as one.
 *  - On a full disk, acks in a journalled queue use a reserve of 64 KiB. Once it is in use, a send by another process,
 *    or on btrfs any large send that fails, may take that space, and a new consumer may get leases that do not end
 *    with its process. A plain queue cannot be changed at all: each change writes a new file.
 *  - A plain queue does not remember the ids that have left it: there dedup sees only what is in the queue, and not
 *    what waits in its retry queue. A journalled queue with a dedup_window does.
 *  - When retry_queue is changed, what waits in the old one stays there until it is redriven; flockq doctor says so.
 *  - stats, and each page of list, look at every message: their cost grows with the queue.
 *  - All senders that wait for room in a full queue wake together; which of them sends first is a matter of chance.
 *  - Leases end at a reboot. Network file systems are refused by default.
 *  - Whoever can open the lock file can keep everybody else waiting: the directory's permissions are the boundary.
 *  - Only Linux is built and tested.
 */


#ifndef FLOCKQ_H
#define FLOCKQ_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header. */
#define FLOCKQ_VERSION "0.1.0"
#define FLOCKQ_VERSION_MAJOR 0
#define FLOCKQ_VERSION_MINOR 1
#define FLOCKQ_VERSION_PATCH 0
/** One number that grows with the version. */
#define FLOCKQ_VERSION_NUMBER 1000


/**
 * Where a wait is given in milliseconds: not at all, try once. In an update's delay: at once.
 */
#define FLOCKQ_NO_WAIT (UINT64_MAX - 1)

/**
 * Where a wait is given in milliseconds: until it comes. In an update's time to live: however old it is.
 */
#define FLOCKQ_FOREVER UINT64_MAX

/**
 * The largest payload that can be sent, in bytes.
 */
#define FLOCKQ_MAX_PAYLOAD_BYTES 16777216

/**
 * How deep arrays and objects in a payload may stand in each other.
 */
#define FLOCKQ_MAX_DEPTH 100

/**
 * The longest id that can be given to a message, in bytes.
 */
#define FLOCKQ_MAX_ID_BYTES 512

/**
 * Which messages go first.
 */
enum flockq_priority
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Where a priority is given: the payload's own, else normal.
   */
  FLOCKQ_PRIORITY_DEFAULT = 0,
  /**
   * Before all others.
   */
  FLOCKQ_PRIORITY_URGENT = 1,
  /**
   * Before normal.
   */
  FLOCKQ_PRIORITY_HIGH = 2,
  /**
   * What a message has that says nothing.
   */
  FLOCKQ_PRIORITY_NORMAL = 3,
  /**
   * After all others.
   */
  FLOCKQ_PRIORITY_LOW = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum flockq_priority flockq_priority;
#else
typedef int32_t flockq_priority;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What every function returns: 0 for success, else what went wrong. Numbers are never used again
 * for another meaning.
 */
enum flockq_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Success.
   */
  FLOCKQ_STATUS_OK = 0,
  /**
   * An argument is not allowed: a name, an option, a receipt that is no receipt, a NULL pointer.
   */
  FLOCKQ_STATUS_INVALID_ARGUMENT = 1,
  /**
   * The operating system refused; flockq_error_errno() has its error number.
   */
  FLOCKQ_STATUS_IO = 2,
  /**
   * The lock could not be had in the time allowed; nothing was changed.
   */
  FLOCKQ_STATUS_LOCK_TIMEOUT = 3,
  /**
   * The wait was ended by an interrupt or a signal; nothing was changed.
   */
  FLOCKQ_STATUS_INTERRUPTED = 4,
  /**
   * The spool directory or a file that must be there does not exist.
   */
  FLOCKQ_STATUS_NOT_FOUND = 5,
  /**
   * The id is already in the queue, or the spool is already set up differently.
   */
  FLOCKQ_STATUS_ALREADY_EXISTS = 6,
  /**
   * A file is damaged; the error names the file, the offset and the rule that it breaks.
   */
  FLOCKQ_STATUS_CORRUPT = 7,
  /**
   * A file was written by a newer version of flockq, or asks for what this one does not have.
   */
  FLOCKQ_STATUS_VERSION = 8,
  /**
   * What is sent is larger than a limit.
   */
  FLOCKQ_STATUS_TOO_LARGE = 9,
  /**
   * The payload is not JSON that every language reads alike.
   */
  FLOCKQ_STATUS_INVALID_JSON = 10,
  /**
   * The lease that the receipt names has ended; nothing was changed.
   */
  FLOCKQ_STATUS_STALE_RECEIPT = 11,
  /**
   * The queue has reached its limit.
   */
  FLOCKQ_STATUS_FULL = 12,
  /**
   * The handle was closed, or belongs to the process before a fork.
   */
  FLOCKQ_STATUS_CLOSED = 13,
  /**
   * Reserved: no version of flockq returns it.
   */
  FLOCKQ_STATUS_POISONED = 14,
  /**
   * The change may or may not have become durable; look before doing it again.
   */
  FLOCKQ_STATUS_OUTCOME_UNKNOWN = 15,
  /**
   * The caller already holds this lock, or waits for it; waiting for it would never end.
   */
  FLOCKQ_STATUS_WOULD_DEADLOCK = 16,
  /**
   * Locks do not exclude on this file system, or it is not known that they do.
   */
  FLOCKQ_STATUS_UNSAFE_FILESYSTEM = 17,
  /**
   * A bug in flockq; please report it.
   */
  FLOCKQ_STATUS_INTERNAL = 18,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum flockq_status flockq_status;
#else
typedef int32_t flockq_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a message stands.
 */
enum flockq_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Where a state is chosen: any.
   */
  FLOCKQ_STATE_ANY = 0,
  /**
   * A receive would get it.
   */
  FLOCKQ_STATE_READY = 1,
  /**
   * Its time has not come.
   */
  FLOCKQ_STATE_DELAYED = 2,
  /**
   * Somebody has it under a lease.
   */
  FLOCKQ_STATE_LEASED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum flockq_state flockq_state;
#else
typedef int32_t flockq_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a queue commits.
 */
enum flockq_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * None: a choice that was not made.
   */
  FLOCKQ_MODE_DEFAULT = 0,
  /**
   * Every commit writes the whole file: for queues that are shared with programs that do not use the library.
   */
  FLOCKQ_MODE_PLAIN = 1,
  /**
   * Every commit appends to a journal beside the file.
   */
  FLOCKQ_MODE_JOURNAL = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum flockq_mode flockq_mode;
#else
typedef int32_t flockq_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is on stable storage when a call returns.
 */
enum flockq_sync
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * What the configuration says, else normal.
   */
  FLOCKQ_SYNC_DEFAULT = 0,
  /**
   * Every commit.
   */
  FLOCKQ_SYNC_FULL = 1,
  /**
   * Every commit, except receive, pop, extend, detach, ack and a nack without a reason.
   */
  FLOCKQ_SYNC_NORMAL = 2,
  /**
   * Nothing: left to the operating system.
   */
  FLOCKQ_SYNC_OFF = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum flockq_sync flockq_sync;
#else
typedef int32_t flockq_sync;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A list of deliveries. Freed by flockq_deliveries_free(), which frees the deliveries in it.
 */
typedef struct flockq_deliveries flockq_deliveries;

/**
 * A message under a lease. Made by flockq_queue_receive(), freed by flockq_delivery_free(). Freeing settles nothing: the
 * lease goes on. Use it from any thread, and also after its queue's handle was freed.
 */
typedef struct flockq_delivery flockq_delivery;

/**
 * A message as it stood in the queue. Its texts are borrowed from it; times are as the file has them.
 */
typedef struct flockq_envelope flockq_envelope;

/**
 * A list of envelopes. Freed by flockq_envelopes_free(), which frees the envelopes in it.
 */
typedef struct flockq_envelopes flockq_envelopes;

/**
 * What went wrong, in full. Freed by flockq_error_free().
 */
typedef struct flockq_error flockq_error;

/**
 * A held lock on a file. Taken by flockq_file_lock_acquire(), given back by flockq_file_lock_free(), from any thread.
 */
typedef struct flockq_file_lock flockq_file_lock;

/**
 * Extends a lease, in a thread of its own. Made by flockq_queue_keep(), ended by flockq_keeper_free().
 */
typedef struct flockq_keeper flockq_keeper;

/**
 * A queue. Opened by flockq_spool_queue(), freed by flockq_queue_free(). Use it from any thread.
 */
typedef struct flockq_queue flockq_queue;

/**
 * A directory of queues. Opened by flockq_spool_open(), freed by flockq_spool_free(). Use it from any thread.
 */
typedef struct flockq_spool flockq_spool;

/**
 * One owned text. Freed by flockq_text_free().
 */
typedef struct flockq_text flockq_text;

/**
 * A list of texts. Freed by flockq_texts_free().
 */
typedef struct flockq_texts flockq_texts;

/**
 * A change of the whole array under one lock. Begun by flockq_queue_begin(), freed by flockq_transaction_free(), which
 * rolls back what was not committed. Any thread may use it; calls on one transaction take turns. While it is open,
 * other operations on the queue wait, and those of the thread that began it are FLOCKQ_STATUS_WOULD_DEADLOCK.
 */
typedef struct flockq_transaction flockq_transaction;

/**
 * Borrowed bytes: a pointer and a size. Text is UTF-8 and not NUL-terminated. `data` may be NULL
 * only when `size` is 0.
 */
typedef struct {
  /**
   * The first byte.
   */
  const char *data;
  /**
   * How many bytes there are.
   */
  size_t size;
} flockq_bytes;

/**
 * Options of a nack. All zero (but `size`) means: given back without a reason, ready at once; given up
 * if that was the last attempt.
 *
 * What has a reason has failed: it waits and is given up as the queue's policy in flockq.json says.
 */
typedef struct {
  /**
   * sizeof(flockq_nack_options).
   */
  size_t size;
  /**
   * Why it failed; kept in the envelope. No bytes: no reason.
   */
  flockq_bytes reason;
  /**
   * Not to be received again before this many milliseconds have passed; 0 is as the policy says.
   */
  uint64_t delay_ms;
} flockq_nack_options;

/**
 * Asked while a call waits, after every signal and at least once a second; non-zero ends the wait with
 * FLOCKQ_STATUS_INTERRUPTED. It must not use the spool. It may be called from any thread that uses it, and
 * from the threads of keepers (flockq_queue_keep()).
 */
typedef int32_t (*flockq_interrupt_check)(void *context);

/**
 * Options of flockq_file_lock_acquire(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_file_lock_options).
   */
  size_t size;
  /**
   * Non-zero: shared; others may have it shared at the same time.
   */
  uint32_t shared;
  /**
   * Non-zero: go on where it is not known that locks exclude.
   */
  uint32_t allow_unverified_fs;
  /**
   * Non-zero: the lock does not belong to the thread that takes it, for languages in which callers share threads. Whoever
   * asks for a lock that he has then waits for himself.
   */
  uint32_t untied;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * How long to wait; 0 is 30 seconds, or FLOCKQ_NO_WAIT or FLOCKQ_FOREVER.
   */
  uint64_t wait_ms;
  /**
   * Asked while the call waits; NULL for nobody.
   */
  flockq_interrupt_check interrupt_check;
  /**
   * Given to `interrupt_check`. It has to stay good until the call returns.
   */
  void *interrupt_context;
} flockq_file_lock_options;

/**
 * Options of flockq_queue_send() and flockq_queue_send_many(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_send_options).
   */
  size_t size;
  /**
   * The message's id; no bytes: the payload's own string `id`, else a new UUIDv7. Of several messages only one can have it.
   */
  flockq_bytes id;
  /**
   * A flockq_priority.
   */
  uint32_t priority;
  /**
   * Non-zero: with an id that is already in the queue, or left it within its dedup_window, send nothing and return that id.
   */
  uint32_t dedup;
  /**
   * Not to be received before this many milliseconds have passed.
   */
  uint64_t delay_ms;
  /**
   * A flockq_sync: the durability of this send alone.
   */
  uint32_t sync;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * Not to be delivered any more when this many milliseconds have passed; 0 is never.
   */
  uint64_t ttl_ms;
  /**
   * When the queue is full, wait this long for room; 0 does not wait; or FLOCKQ_FOREVER.
   */
  uint64_t wait_ms;
} flockq_send_options;

/**
 * Options of flockq_queue_receive() and flockq_queue_receive_many(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_receive_options).
   */
  size_t size;
  /**
   * How long the message is this consumer's; 0 is as configured, else 5 minutes.
   */
  uint64_t lease_ms;
  /**
   * Wait this long for a message; 0 does not wait; or FLOCKQ_FOREVER.
   */
  uint64_t wait_ms;
  /**
   * Non-zero: the lease ends at its deadline or a reboot, but not with this process.
   */
  uint32_t detached;
  /**
   * Must be zero.
   */
  uint32_t reserved;
} flockq_receive_options;

/**
 * Options of flockq_queue_list(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_list_options).
   */
  size_t size;
  /**
   * A flockq_state: only messages in this state.
   */
  uint32_t state;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * At most this many; 0 is 100.
   */
  uint64_t limit;
  /**
   * From where the page before ended: its flockq_envelopes_cursor(). No bytes: from the start.
   */
  flockq_bytes cursor;
} flockq_list_options;

/**
 * What has been done with a queue's messages, by all processes together. Each count only grows, until the queue's files are
 * made anew.
 */
typedef struct {
  /**
   * Messages that were sent.
   */
  uint64_t sent;
  /**
   * Deliveries.
   */
  uint64_t received;
  /**
   * Messages that were acked or popped.
   */
  uint64_t acked;
  /**
   * Deliveries that were given back, with or without a reason.
   */
  uint64_t nacked;
  /**
   * Messages that went to the retry queue.
   */
  uint64_t retried;
  /**
   * Messages that were given up, to the dead-letter queue.
   */
  uint64_t dead_lettered;
  /**
   * Messages whose time to live had ended; those that were not dropped are dead-lettered too.
   */
  uint64_t expired;
  /**
   * Messages that were removed by hand.
   */
  uint64_t removed;
  /**
   * Messages that came from another queue.
   */
  uint64_t moved_in;
  /**
   * Messages that went to another queue, for whatever reason.
   */
  uint64_t moved_out;
  /**
   * Deliveries of messages that had been given back.
   */
  uint64_t redelivered_nacked;
  /**
   * Deliveries of messages whose lease had come to its deadline.
   */
  uint64_t redelivered_expired_lease;
  /**
   * Deliveries of messages whose consumer had died.
   */
  uint64_t redelivered_dead_consumer;
  /**
   * Deliveries of messages that were leased before a reboot.
   */
  uint64_t redelivered_reboot;
  /**
   * Deliveries of messages whose lease another program had erased.
   */
  uint64_t redelivered_erased_lease;
} flockq_counters;

/**
 * How the lock of a queue was used. A process tells once a second, with what it does next, and when it closes the queue.
 */
typedef struct {
  /**
   * How often it was taken to change something.
   */
  uint64_t acquired;
  /**
   * How often somebody had to wait for it.
   */
  uint64_t contended;
  /**
   * How often somebody waited in vain.
   */
  uint64_t timed_out;
  /**
   * How often its file had been removed or replaced by another program.
   */
  uint64_t replaced;
  /**
   * All waits together, in microseconds.
   */
  uint64_t wait_us;
  /**
   * The longest wait, in microseconds.
   */
  uint64_t wait_max_us;
  /**
   * How many waits were at most 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, and longer.
   */
  uint64_t waits[8];
} flockq_lock_stats;

/**
 * How a queue stands. Written whole by the library; fields are only appended, with the SONAME.
 */
typedef struct {
  /**
   * All messages, in whatever state.
   */
  uint64_t messages;
  /**
   * Those that a receive would get now.
   */
  uint64_t ready;
  /**
   * Those whose time has not come.
   */
  uint64_t delayed;
  /**
   * Those that somebody has under a lease.
   */
  uint64_t leased;
  /**
   * The bytes of all envelopes.
   */
  uint64_t bytes;
  /**
   * The age of the oldest message in milliseconds; -1 when there is none or its age is unknown.
   */
  int64_t oldest_age_ms;
  /**
   * How often another program has written or replaced the file, as far as it was noticed.
   */
  uint64_t foreign_writes;
  /**
   * How often the journal was folded.
   */
  uint64_t checkpoints;
  /**
   * What has been done with messages.
   */
  flockq_counters counters;
  /**
   * How the lock was used.
   */
  flockq_lock_stats lock;
} flockq_stats;

/**
 * What flockq_queue_update_message() changes. What is zero stays as it is.
 */
typedef struct {
  /**
   * sizeof(flockq_update_options).
   */
  size_t size;
  /**
   * Another payload, whose bytes are kept as they are. The message keeps its id, whatever the payload says of itself.
   */
  flockq_bytes json;
  /**
   * A flockq_priority.
   */
  uint32_t priority;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * Not to be received before this many milliseconds have passed from now; FLOCKQ_NO_WAIT: at once.
   */
  uint64_t delay_ms;
  /**
   * Not to be delivered any more when this many milliseconds have passed from now; FLOCKQ_FOREVER: however old it is.
   */
  uint64_t ttl_ms;
} flockq_update_options;

/**
 * Which messages flockq_queue_move_to() and flockq_queue_redrive() move. All zero (but `size`) means all that nobody has under
 * a lease.
 */
typedef struct {
  /**
   * sizeof(flockq_filter_options).
   */
  size_t size;
  /**
   * Only those with one of these ids; NULL for any. An array that is empty names none.
   */
  const flockq_bytes *ids;
  /**
   * How many `ids` there are.
   */
  size_t id_count;
  /**
   * A flockq_state: only messages in this state.
   */
  uint32_t state;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * Only those whose error has this in it; no bytes for any.
   */
  flockq_bytes error;
  /**
   * At most this many; 0 is all.
   */
  uint64_t limit;
} flockq_filter_options;

/**
 * Options of flockq_spool_open(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_spool_options).
   */
  size_t size;
  /**
   * Non-zero: make the directory, and its parents, when it is missing.
   */
  uint32_t create;
  /**
   * Non-zero: go on where it is not known that locks exclude.
   */
  uint32_t allow_unverified_fs;
  /**
   * A flockq_sync: the durability of this process's commits.
   */
  uint32_t sync;
  /**
   * Must be zero.
   */
  uint32_t reserved;
  /**
   * How long operations wait for a lock; 0 is 30 seconds, or FLOCKQ_NO_WAIT or FLOCKQ_FOREVER.
   */
  uint64_t lock_wait_ms;
  /**
   * Asked while a call waits; NULL for nobody.
   */
  flockq_interrupt_check interrupt_check;
  /**
   * Given to `interrupt_check`. It has to stay good until the spool and all that was opened from it is freed.
   */
  void *interrupt_context;
} flockq_spool_options;

/**
 * Options of flockq_spool_init(). All zero (but `size`) means the defaults.
 */
typedef struct {
  /**
   * sizeof(flockq_init_options).
   */
  size_t size;
  /**
   * Non-zero: new queues are plain files, for directories that are shared with programs without the library.
   */
  uint32_t plain;
  /**
   * A flockq_sync: the durability of all queues.
   */
  uint32_t sync;
  /**
   * Another lock directory, relative to the spool; no bytes for the usual one.
   */
  flockq_bytes lock_dir;
} flockq_init_options;





#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The message's id. Borrowed from `delivery`, as are all its texts.
 */
flockq_bytes flockq_delivery_id(const flockq_delivery *delivery);

/**
 * The text that names this delivery of this message, for flockq_queue_ack() and its like in any process and language.
 * Its first part is a number that grows with each delivery of the message: a fencing token.
 */
flockq_bytes flockq_delivery_receipt(const flockq_delivery *delivery);

/**
 * The payload: JSON text, byte for byte as it was sent.
 */
flockq_bytes flockq_delivery_payload(const flockq_delivery *delivery);

/**
 * When it was sent, as the file has it, or no bytes.
 */
flockq_bytes flockq_delivery_queued_at(const flockq_delivery *delivery);

/**
 * How often the message has been delivered, this time included.
 */
uint64_t flockq_delivery_attempts(const flockq_delivery *delivery);

/**
 * The priority.
 */
flockq_priority flockq_delivery_priority(const flockq_delivery *delivery);

/**
 * Done: removes the message.
 *
 * FLOCKQ_STATUS_STALE_RECEIPT: the lease has ended, nothing was changed. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT,
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED, FLOCKQ_STATUS_OUTCOME_UNKNOWN; for nack, extend and detach too.
 */
flockq_status flockq_delivery_ack(const flockq_delivery *delivery,
                                  flockq_error **error);

/**
 * Failed or given back; `options` may be NULL. Where it is to go to another queue and cannot, the status is that of why, it was
 * given back all the same, and the message of the error says so.
 */
flockq_status flockq_delivery_nack(const flockq_delivery *delivery,
                                   const flockq_nack_options *options,
                                   flockq_error **error);

/**
 * Lets the lease run for `lease_ms` from now; FLOCKQ_STATUS_INVALID_ARGUMENT when that is 0.
 */
flockq_status flockq_delivery_extend(const flockq_delivery *delivery, uint64_t lease_ms, flockq_error **error);

/**
 * Unties the lease from this process, before the receipt is handed to another: from now on it ends at its deadline or a
 * reboot.
 */
flockq_status flockq_delivery_detach(const flockq_delivery *delivery, flockq_error **error);

/**
 * Frees the delivery; NULL does nothing. Not for one that was borrowed from a list.
 */
void flockq_delivery_free(flockq_delivery *delivery);

/**
 * How many deliveries there are.
 */
size_t flockq_deliveries_size(const flockq_deliveries *deliveries);

/**
 * The delivery at `index`, counted from 0; NULL beyond the end. Borrowed from `deliveries`.
 */
const flockq_delivery *flockq_deliveries_get(const flockq_deliveries *deliveries, size_t index);

/**
 * Frees the list and the deliveries in it; NULL does nothing.
 */
void flockq_deliveries_free(flockq_deliveries *deliveries);

/**
 * The id, or no bytes: a message that another program wrote may have none until it is received.
 */
flockq_bytes flockq_envelope_id(const flockq_envelope *envelope);

/**
 * Ready, delayed or leased.
 */
flockq_state flockq_envelope_state(const flockq_envelope *envelope);

/**
 * The priority; an unknown one ranks as normal.
 */
flockq_priority flockq_envelope_priority(const flockq_envelope *envelope);

/**
 * How often it has been delivered.
 */
uint64_t flockq_envelope_attempts(const flockq_envelope *envelope);

/**
 * Why it was given back last, or no bytes.
 */
flockq_bytes flockq_envelope_reason(const flockq_envelope *envelope);

/**
 * The errors so far with their times, the last ten at most, or no bytes: a JSON array of objects with "at" and "error".
 */
flockq_bytes flockq_envelope_errors(const flockq_envelope *envelope);

/**
 * The queue that it came from, while it waits to be tried again or was given up, or no bytes.
 */
flockq_bytes flockq_envelope_origin(const flockq_envelope *envelope);

/**
 * When it is delivered no more, or no bytes.
 */
flockq_bytes flockq_envelope_expires(const flockq_envelope *envelope);

/**
 * When it was sent, or no bytes.
 */
flockq_bytes flockq_envelope_queued_at(const flockq_envelope *envelope);

/**
 * When it was delivered last, or no bytes for never.
 */
flockq_bytes flockq_envelope_last_attempt(const flockq_envelope *envelope);

/**
 * When it may be received, or no bytes.
 */
flockq_bytes flockq_envelope_not_before(const flockq_envelope *envelope);

/**
 * When its lease ends, or no bytes when it is not leased.
 */
flockq_bytes flockq_envelope_lease_until(const flockq_envelope *envelope);

/**
 * The consumer whose death ends its lease, or no bytes: not leased, or a detached lease.
 */
flockq_bytes flockq_envelope_consumer(const flockq_envelope *envelope);

/**
 * The payload: JSON text, byte for byte as it is in the file.
 */
flockq_bytes flockq_envelope_payload(const flockq_envelope *envelope);

/**
 * The whole element of the array.
 */
flockq_bytes flockq_envelope_text(const flockq_envelope *envelope);

/**
 * Frees the envelope; NULL does nothing. Not for one that was borrowed from a list.
 */
void flockq_envelope_free(flockq_envelope *envelope);

/**
 * How many envelopes there are.
 */
size_t flockq_envelopes_size(const flockq_envelopes *envelopes);

/**
 * The envelope at `index`, counted from 0; NULL beyond the end. Borrowed from `envelopes`.
 */
const flockq_envelope *flockq_envelopes_get(const flockq_envelopes *envelopes, size_t index);

/**
 * Where the next page of flockq_queue_list() begins; no bytes when this is the last. Borrowed from `envelopes`.
 */
flockq_bytes flockq_envelopes_cursor(const flockq_envelopes *envelopes);

/**
 * Frees the list and the envelopes in it; NULL does nothing.
 */
void flockq_envelopes_free(flockq_envelopes *envelopes);

/**
 * The status that the failed function returned; FLOCKQ_STATUS_OK for NULL.
 */
flockq_status flockq_error_status(const flockq_error *error);

/**
 * One line that says what was found, where, and what to do. Borrowed from `error`.
 */
flockq_bytes flockq_error_message(const flockq_error *error);

/**
 * The file that the error is about, or no bytes. Borrowed from `error`; bytes as the system has them.
 */
flockq_bytes flockq_error_path(const flockq_error *error);

/**
 * The operating system's error number, or 0.
 */
int32_t flockq_error_errno(const flockq_error *error);

/**
 * Where in the file, or in the payload, the rule is broken, in bytes; -1 where that does not apply.
 */
int64_t flockq_error_offset(const flockq_error *error);

/**
 * Frees an error; NULL does nothing.
 */
void flockq_error_free(flockq_error *error);

/**
 * The name of a status ("StaleReceipt"), the same in every language; no bytes for an unknown one. Lives for ever.
 */
flockq_bytes flockq_status_name(int32_t status);

/**
 * One sentence that says what a status means; no bytes for an unknown one. Lives for ever.
 */
flockq_bytes flockq_status_summary(int32_t status);

/**
 * The version of the library that is running, such as "0.1.0". Lives for ever. Compare it with FLOCKQ_VERSION.
 */
flockq_bytes flockq_version(void);

/**
 * Reads a duration such as `30s`, `5m`, `1h30m` or `250ms` into milliseconds, rounded down.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT for anything else.
 */
flockq_status flockq_parse_duration(flockq_bytes duration, uint64_t *milliseconds, flockq_error **error);

/**
 * Takes the lock of `file`, by the protocol of a queue's: `DIR/.gastown/locks/NAME.lock` for `DIR/NAME`. The file itself
 * is not touched and need not exist; the lock of a queue's file is that queue's lock.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps it. FLOCKQ_STATUS_WOULD_DEADLOCK: this thread has it.
 * FLOCKQ_STATUS_NOT_FOUND: the directory. FLOCKQ_STATUS_INVALID_ARGUMENT: no path, or a name of more than 200 bytes or not in UTF-8.
 * FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: a flockq.json in the directory, which may name another lock directory.
 * FLOCKQ_STATUS_UNSAFE_FILESYSTEM, FLOCKQ_STATUS_INTERRUPTED, FLOCKQ_STATUS_IO.
 */
flockq_status flockq_file_lock_acquire(flockq_bytes file,
                                       const flockq_file_lock_options *options,
                                       flockq_file_lock **lock,
                                       flockq_error **error);

/**
 * How long it took to get the lock, in microseconds.
 */
uint64_t flockq_file_lock_waited_us(const flockq_file_lock *lock);

/**
 * Gives the lock back and frees the handle; NULL does nothing.
 */
void flockq_file_lock_free(flockq_file_lock *lock);

/**
 * Keeps the lease that a receipt names: extends it, in a thread of its own, until flockq_keeper_free(), or until the lease is
 * lost or the queue closed. `lease_ms` is as long as the receive's; 0 is as configured, else 5 minutes. `keeper` is to be freed
 * before the queue.
 *
 * FLOCKQ_STATUS_IO: there is no thread to be had. FLOCKQ_STATUS_INVALID_ARGUMENT: the receipt is not UTF-8. FLOCKQ_STATUS_CLOSED. A stale receipt is no error: there is nothing to keep.
 */
flockq_status flockq_queue_keep(const flockq_queue *queue,
                                flockq_bytes receipt,
                                uint64_t lease_ms,
                                flockq_keeper **keeper,
                                flockq_error **error);

/**
 * Ends the keeper, and waits until it does nothing more; the lease goes on until its deadline. NULL does nothing.
 */
void flockq_keeper_free(flockq_keeper *keeper);

/**
 * The text. Borrowed from `text`.
 */
flockq_bytes flockq_text_bytes(const flockq_text *text);

/**
 * Frees the text; NULL does nothing.
 */
void flockq_text_free(flockq_text *text);

/**
 * The queue's name. Borrowed from `queue`.
 */
flockq_bytes flockq_queue_name(const flockq_queue *queue);

/**
 * Frees the handle; NULL does nothing. Leases are not given back: that is flockq_queue_close().
 */
void flockq_queue_free(flockq_queue *queue);

/**
 * Sends the payload `json`, whose bytes are kept as they are. When it returns, the message is in the queue and, at the
 * default durability, on stable storage. `id` (may be NULL) becomes the message's id, to be freed by flockq_text_free().
 *
 * FLOCKQ_STATUS_INVALID_JSON, FLOCKQ_STATUS_TOO_LARGE: the payload; TOO_LARGE also when the queue's limits have no room for
 * it even when it is empty. FLOCKQ_STATUS_INVALID_ARGUMENT: an id of 0 or more than
 * 512 bytes or with a control character, an unknown priority. FLOCKQ_STATUS_ALREADY_EXISTS: the id option is in the queue. FLOCKQ_STATUS_LOCK_TIMEOUT,
 * FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was sent. FLOCKQ_STATUS_FULL: a limit of the queue is reached.
 * FLOCKQ_STATUS_INTERRUPTED: a wait for room was ended. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been sent.
 */
flockq_status flockq_queue_send(const flockq_queue *queue,
                                flockq_bytes json,
                                const flockq_send_options *options,
                                flockq_text **id,
                                flockq_error **error);

/**
 * Sends `count` payloads, all or none, in one commit; the options are those of each. `ids` (may be NULL) becomes their ids in
 * order, to be freed by flockq_texts_free(). Statuses as for flockq_queue_send().
 */
flockq_status flockq_queue_send_many(const flockq_queue *queue,
                                     const flockq_bytes *jsons,
                                     size_t count,
                                     const flockq_send_options *options,
                                     flockq_texts **ids,
                                     flockq_error **error);

/**
 * Takes the next ready message under a lease. `delivery` becomes NULL when nothing came, else a delivery to be freed by
 * flockq_delivery_free(). The attempt is counted before this returns.
 *
 * FLOCKQ_STATUS_INTERRUPTED: the wait was ended. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO,
 * FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_OUTCOME_UNKNOWN: messages may have been taken for nobody; they come again at the latest
 * when the lease has run out.
 */
flockq_status flockq_queue_receive(const flockq_queue *queue,
                                   const flockq_receive_options *options,
                                   flockq_delivery **delivery,
                                   flockq_error **error);

/**
 * Takes up to `max` ready messages in one commit; waiting ends with the first that come. `deliveries` becomes a list,
 * perhaps empty, to be freed by flockq_deliveries_free(). Statuses as for flockq_queue_receive();
 * FLOCKQ_STATUS_INVALID_ARGUMENT also when `max` is 0.
 */
flockq_status flockq_queue_receive_many(const flockq_queue *queue,
                                        size_t max,
                                        const flockq_receive_options *options,
                                        flockq_deliveries **deliveries,
                                        flockq_error **error);

/**
 * Receive and ack in one commit: the message is the caller's, and gone if he dies with it. Does not wait. `envelope`
 * becomes NULL when nothing is ready, else an envelope to be freed by flockq_envelope_free().
 *
 * FLOCKQ_STATUS_OUTCOME_UNKNOWN: a message may have been taken out for nobody, and be gone. Other statuses as for
 * flockq_queue_receive().
 */
flockq_status flockq_queue_pop(const flockq_queue *queue, flockq_envelope **envelope, flockq_error **error);

/**
 * The next `count` ready messages, in order of delivery, without taking them.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED; for the other looks too.
 */
flockq_status flockq_queue_peek(const flockq_queue *queue,
                                size_t count,
                                flockq_envelopes **envelopes,
                                flockq_error **error);

/**
 * A page of the messages, by priority and then by age. Each page is consistent; what changes between two pages may be
 * seen or not.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: an unknown state, or a cursor that is none.
 */
flockq_status flockq_queue_list(const flockq_queue *queue,
                                const flockq_list_options *options,
                                flockq_envelopes **envelopes,
                                flockq_error **error);

/**
 * Every message with this id; ids may repeat. None is an empty list.
 */
flockq_status flockq_queue_get(const flockq_queue *queue,
                               flockq_bytes id,
                               flockq_envelopes **envelopes,
                               flockq_error **error);

/**
 * How many messages there are, in whatever state.
 */
flockq_status flockq_queue_len(const flockq_queue *queue, uint64_t *len, flockq_error **error);

/**
 * How the queue stands.
 */
flockq_status flockq_queue_stats(const flockq_queue *queue, flockq_stats *stats, flockq_error **error);

/**
 * Removes every message with one of these ids, leased or not. `removed` (may be NULL) becomes how many.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was removed. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
 */
flockq_status flockq_queue_remove(const flockq_queue *queue,
                                  const flockq_bytes *ids,
                                  size_t count,
                                  uint64_t *removed,
                                  flockq_error **error);

/**
 * Removes every message in one state (a flockq_state), or with FLOCKQ_STATE_ANY every message. `removed` (may be NULL)
 * becomes how many.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: an unknown state. Other statuses as for flockq_queue_remove().
 */
flockq_status flockq_queue_purge(const flockq_queue *queue, uint32_t in_state, uint64_t *removed, flockq_error **error);

/**
 * Changes every message with this id where it is, in one commit. Their age, attempts and leases stay: whoever works on one
 * has what it was when he took it, and settles it all the same. A message on its way to another queue is left. `updated`
 * (may be NULL) becomes how many there are.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: the options name nothing, an unknown priority. FLOCKQ_STATUS_INVALID_JSON,
 * FLOCKQ_STATUS_TOO_LARGE: the payload. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was
 * changed. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
 */
flockq_status flockq_queue_update_message(const flockq_queue *queue,
                                          flockq_bytes id,
                                          const flockq_update_options *options,
                                          uint64_t *updated,
                                          flockq_error **error);

/**
 * Moves messages to the queue called `target`, each exactly once wherever a process dies. Those under a lease are left. `ids`
 * (may be NULL) becomes their ids, to be freed by flockq_texts_free().
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: no name of another queue, an unknown state. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: the
 * messages stay where they were. FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_INTERRUPTED: a move that was begun is ended by the next
 * process that uses one of the queues. FLOCKQ_STATUS_OUTCOME_UNKNOWN, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_queue_move_to(const flockq_queue *queue,
                                   flockq_bytes target,
                                   const flockq_filter_options *options,
                                   flockq_texts **ids,
                                   flockq_error **error);

/**
 * Sends messages back to the queues that they came from, ready at once and with all attempts before them; their history of
 * errors stays. With a non-zero `dry_run` it only says what it would do. `ids` and `targets` (may be NULL) become their ids and the
 * queues they go to, in the same order, each to be freed by flockq_texts_free().
 *
 * FLOCKQ_STATUS_NOT_FOUND: a message does not say where it came from, and not exactly one queue has this one as its
 * dead_letter_queue; nothing was changed. Other statuses as for flockq_queue_move_to().
 */
flockq_status flockq_queue_redrive(const flockq_queue *queue,
                                   const flockq_filter_options *options,
                                   uint32_t dry_run,
                                   flockq_texts **ids,
                                   flockq_texts **targets,
                                   flockq_error **error);

/**
 * Makes everything committed so far durable, whatever the durability of the commits was.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps the lock, or
 * another program removed its file meanwhile; nothing was made durable. FLOCKQ_STATUS_OUTCOME_UNKNOWN: a sync failed, and a
 * power cut may take back what was committed.
 */
flockq_status flockq_queue_sync(const flockq_queue *queue,
                                flockq_error **error);

/**
 * Folds the journal into the queue's file. Nothing to do for a plain queue.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody else keeps the lock, or
 * is making a checkpoint. FLOCKQ_STATUS_OUTCOME_UNKNOWN: a sync failed, and a power cut may take back what was committed.
 */
flockq_status flockq_queue_checkpoint(const flockq_queue *queue,
                                      flockq_error **error);

/**
 * How the queue commits: a flockq_mode.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_queue_mode(const flockq_queue *queue, flockq_mode *found, flockq_error **error);

/**
 * Gives the queue a journal, or folds it and takes it away; `to` is a flockq_mode. Its messages and their leases stay.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: no such mode. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT,
 * FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been converted; do it again.
 */
flockq_status flockq_queue_convert(const flockq_queue *queue, uint32_t to, flockq_error **error);

/**
 * Checks every byte of the queue's files. `report` is one JSON object, to be freed by flockq_text_free(): "queue", "mode",
 * "messages", "replaced" (how often another program has replaced the file of a journalled queue), "damage" (an array of
 * objects with "path", "offset" and "rule"; empty when the queue is sound), "notes" and "kept". Damage is no error.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_queue_check(const flockq_queue *queue,
                                 flockq_text **report,
                                 flockq_error **error);

/**
 * Saves what can be saved of a damaged queue, message by message, and keeps the damaged files beside it, as
 * NAME.json.damaged-N and NAME.json.journal.damaged-N. `report` is as for flockq_queue_check(): "damage" is what could not
 * be saved, "kept" names the kept files. Nothing is done to a sound queue. A message may be delivered again whose ack was
 * in what is lost.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED. FLOCKQ_STATUS_INTERRUPTED: another
 * program removed the lock file meanwhile; nothing was changed. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it may have been repaired; do it again.
 */
flockq_status flockq_queue_repair(const flockq_queue *queue,
                                  flockq_text **report,
                                  flockq_error **error);

/**
 * Ends the waits in progress on this handle with FLOCKQ_STATUS_INTERRUPTED; when there is none, the next one. From any
 * thread; not from a signal handler.
 */
void flockq_queue_interrupt(const flockq_queue *queue);

/**
 * Gives back the leases taken through this handle and not yet settled. Detached leases go on. Waits in progress end with
 * FLOCKQ_STATUS_CLOSED, and so does every later use; closing again does nothing. It still has to be freed.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_OUTCOME_UNKNOWN: closed, but leases may run on to
 * their deadline.
 */
flockq_status flockq_queue_close(const flockq_queue *queue,
                                 flockq_error **error);

/**
 * Removes the messages that these receipts name: they are done. One commit. `results` is an array of `count` statuses,
 * written in order: FLOCKQ_STATUS_OK, FLOCKQ_STATUS_STALE_RECEIPT (the lease has ended), FLOCKQ_STATUS_INVALID_ARGUMENT
 * (no receipt). The good ones are done also when others are not; the function then returns FLOCKQ_STATUS_OK.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED: nothing was changed.
 * FLOCKQ_STATUS_OUTCOME_UNKNOWN: the change may not be durable.
 */
flockq_status flockq_queue_ack(const flockq_queue *queue,
                               const flockq_bytes *receipts,
                               size_t count,
                               flockq_status *results,
                               flockq_error **error);

/**
 * Gives the messages back; `options` may be NULL. Otherwise as flockq_queue_ack(); but where messages are to go to another queue
 * and cannot, the status is that of why, they were given back all the same, and the message of the error says so.
 */
flockq_status flockq_queue_nack(const flockq_queue *queue,
                                const flockq_bytes *receipts,
                                size_t count,
                                const flockq_nack_options *options,
                                flockq_status *results,
                                flockq_error **error);

/**
 * Lets the leases run for `lease_ms` from now; FLOCKQ_STATUS_INVALID_ARGUMENT when that is 0. Otherwise as flockq_queue_ack().
 */
flockq_status flockq_queue_extend(const flockq_queue *queue,
                                  const flockq_bytes *receipts,
                                  size_t count,
                                  uint64_t lease_ms,
                                  flockq_status *results,
                                  flockq_error **error);

/**
 * Unties the leases from their process: from now on they end at their deadline or a reboot. Otherwise as
 * flockq_queue_ack().
 */
flockq_status flockq_queue_detach(const flockq_queue *queue,
                                  const flockq_bytes *receipts,
                                  size_t count,
                                  flockq_status *results,
                                  flockq_error **error);

/**
 * Opens the spool in `directory`.
 *
 * FLOCKQ_STATUS_NOT_FOUND: there is no such directory. FLOCKQ_STATUS_UNSAFE_FILESYSTEM: locks are not known to exclude
 * there. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: its flockq.json cannot be used. FLOCKQ_STATUS_IO: the system refused.
 * FLOCKQ_STATUS_INVALID_ARGUMENT: no path, an unknown durability.
 */
flockq_status flockq_spool_open(flockq_bytes directory,
                                const flockq_spool_options *options,
                                flockq_spool **spool,
                                flockq_error **error);

/**
 * Sets the policy of a mail daemon for the queues "inbound", "outbound" and "dead-letter", as far as flockq.json says
 * nothing else: three attempts, five minutes between them, in "outbound"; then "dead-letter".
 *
 * Statuses as for flockq_spool_set_config().
 */
flockq_status flockq_spool_adopt_mail(const flockq_spool *spool, flockq_error **error);

/**
 * The configuration as JSON, to be freed by flockq_text_free(): what is said, and for "default" also what holds where
 * nothing is said.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_spool_config(const flockq_spool *spool, flockq_text **json, flockq_error **error);

/**
 * Sets one setting, such as "inbound.backoff" to "10s", for every process: those that run see it at their next operation.
 * The value "null" takes the setting away.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT names the key, the value and what is allowed. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT,
 * FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED; where it was set and not every process that runs could be told, the message of the
 * error says so. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it is set, but may not outlive a power cut.
 */
flockq_status flockq_spool_set_config(const flockq_spool *spool,
                                      flockq_bytes setting,
                                      flockq_bytes value,
                                      flockq_error **error);

/**
 * The figures of all queues in the text format that Prometheus reads, to be freed by flockq_text_free().
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_spool_metrics(const flockq_spool *spool, flockq_text **metrics, flockq_error **error);

/**
 * Writes the figures of all queues to a file, which is replaced as a whole: for node_exporter's textfile collector, whose files end with ".prom".
 *
 * Statuses as for flockq_spool_metrics() and flockq_write_atomic().
 */
flockq_status flockq_spool_write_metrics(const flockq_spool *spool,
                                         flockq_bytes file,
                                         flockq_error **error);

/**
 * Looks at the directory and at every queue, and says what is wrong or risky, the worst first: a JSON array of objects with
 * "severity" ("problem", "risk" or "note"), "about", "text" and "command" (what mends it, or null), to be freed by
 * flockq_text_free(). It changes nothing in the queues.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED; what is wrong with a queue is no error.
 */
flockq_status flockq_spool_doctor(const flockq_spool *spool,
                                  flockq_text **json,
                                  flockq_error **error);

/**
 * Sets a spool up: makes the directory and its lock directory, and writes flockq.json. Queue files that are there
 * are not touched. Doing it again with the same choice changes nothing.
 *
 * FLOCKQ_STATUS_ALREADY_EXISTS: it is set up with another choice. FLOCKQ_STATUS_INVALID_ARGUMENT: a lock directory outside
 * the spool, no path. FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_VERSION: the flockq.json that is there. FLOCKQ_STATUS_LOCK_TIMEOUT: somebody
 * keeps its lock. FLOCKQ_STATUS_OUTCOME_UNKNOWN: it is set up, but that may not outlive a power cut. FLOCKQ_STATUS_IO,
 * FLOCKQ_STATUS_UNSAFE_FILESYSTEM as for flockq_spool_open().
 */
flockq_status flockq_spool_init(flockq_bytes directory,
                                const flockq_init_options *options,
                                flockq_error **error);

/**
 * The queue called `name`. Checks the name and touches no file: a queue without a file is empty.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: it cannot be the name of a queue. FLOCKQ_STATUS_CLOSED: the spool was closed.
 */
flockq_status flockq_spool_queue(const flockq_spool *spool,
                                 flockq_bytes name,
                                 flockq_queue **queue,
                                 flockq_error **error);

/**
 * The names of the queues that have a file, in order.
 *
 * FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_spool_queues(const flockq_spool *spool, flockq_texts **names, flockq_error **error);

/**
 * The directory, absolute. Borrowed from `spool`.
 */
flockq_bytes flockq_spool_path(const flockq_spool *spool);

/**
 * Closes every queue opened through this spool, which gives their leases back. Using it or them afterwards is
 * FLOCKQ_STATUS_CLOSED; closing again does nothing. The handles still have to be freed.
 *
 * The first failure is returned, after all queues have been tried; statuses as for flockq_queue_close().
 */
flockq_status flockq_spool_close(const flockq_spool *spool, flockq_error **error);

/**
 * Frees the handle; NULL does nothing. Queues opened through it stay usable. Leases are not given back: that is
 * flockq_spool_close().
 */
void flockq_spool_free(flockq_spool *spool);

/**
 * How many texts there are.
 */
size_t flockq_texts_size(const flockq_texts *texts);

/**
 * The text at `index`, counted from 0; no bytes beyond the end. Borrowed from `texts`.
 */
flockq_bytes flockq_texts_get(const flockq_texts *texts, size_t index);

/**
 * Frees the list; NULL does nothing.
 */
void flockq_texts_free(flockq_texts *texts);

/**
 * Replaces the file at `file` with `content`: readers and crashes see the old content or the new. When it returns,
 * the new content is on stable storage. Mode, owner and access control list of an existing file are kept. No lock is taken.
 *
 * FLOCKQ_STATUS_IO: nothing was changed. FLOCKQ_STATUS_NOT_FOUND: its directory. FLOCKQ_STATUS_INVALID_ARGUMENT: no path, or a name of
 * more than 200 bytes or not in UTF-8. FLOCKQ_STATUS_OUTCOME_UNKNOWN: changed, but perhaps not durable.
 */
flockq_status flockq_write_atomic(flockq_bytes file,
                                  flockq_bytes content,
                                  flockq_error **error);

/**
 * The whole array, read under a shared lock: one JSON text with every element byte for byte as in the file. To be freed
 * by flockq_text_free().
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_queue_load(const flockq_queue *queue, flockq_text **array, flockq_error **error);

/**
 * Replaces the whole array under an exclusive lock. Live leases are kept by message: an element without `lease` whose id
 * is that of a leased message gets that lease. What others changed since the load is lost; flockq_queue_begin() is the
 * change that loses nothing.
 *
 * FLOCKQ_STATUS_INVALID_JSON: not a JSON array. FLOCKQ_STATUS_INVALID_ARGUMENT: an element is no envelope.
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO: nothing was written. FLOCKQ_STATUS_OUTCOME_UNKNOWN.
 */
flockq_status flockq_queue_save(const flockq_queue *queue,
                                flockq_bytes array,
                                flockq_error **error);

/**
 * Begins a change of the whole array: takes the exclusive lock and reads. This is what load and save should have been.
 *
 * FLOCKQ_STATUS_LOCK_TIMEOUT, FLOCKQ_STATUS_WOULD_DEADLOCK, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CLOSED.
 */
flockq_status flockq_queue_begin(const flockq_queue *queue,
                                 flockq_transaction **transaction,
                                 flockq_error **error);

/**
 * The array: as it was read, or as it was set. To be freed by flockq_text_free().
 *
 * FLOCKQ_STATUS_CLOSED: committed already.
 */
flockq_status flockq_transaction_get(const flockq_transaction *transaction, flockq_text **array, flockq_error **error);

/**
 * Sets the array that the commit will write.
 *
 * FLOCKQ_STATUS_INVALID_JSON: not a JSON array. FLOCKQ_STATUS_CLOSED: committed already.
 */
flockq_status flockq_transaction_set(const flockq_transaction *transaction, flockq_bytes array, flockq_error **error);

/**
 * Writes the array and ends the change, whatever it returns. The handle still has to be freed.
 *
 * FLOCKQ_STATUS_INVALID_ARGUMENT: an element is no envelope. FLOCKQ_STATUS_INTERRUPTED: a program without the library
 * replaced the lock file and changed the queue meanwhile; begin again. FLOCKQ_STATUS_CLOSED: committed already, or begun
 * before a fork. FLOCKQ_STATUS_IO, FLOCKQ_STATUS_CORRUPT, FLOCKQ_STATUS_LOCK_TIMEOUT (when the lock file was removed meanwhile): nothing was
 * written. FLOCKQ_STATUS_OUTCOME_UNKNOWN: written, perhaps not durably.
 */
flockq_status flockq_transaction_commit(const flockq_transaction *transaction,
                                        flockq_error **error);

/**
 * Frees the handle, and rolls back what was not committed; NULL does nothing.
 */
void flockq_transaction_free(flockq_transaction *transaction);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FLOCKQ_H */

#ifndef FLOCKQ_BYTES_OF
#define FLOCKQ_BYTES_OF
#ifdef __cplusplus
extern "C" {
#endif

/** The bytes of a NUL-terminated string, borrowed from it. */
static inline flockq_bytes flockq_bytes_of(const char *text) {
  flockq_bytes bytes;
  bytes.data = text;
  bytes.size = 0;
  if (text != NULL) {
    while (text[bytes.size] != '\0') {
      bytes.size++;
    }
  }
  return bytes;
}

#ifdef __cplusplus
}
#endif
#endif  /* FLOCKQ_BYTES_OF */
