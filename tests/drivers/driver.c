/* The C driver: JSON lines in, JSON lines out. The requests are the same in every language.
 *
 * What is open, and the operations; request.c reads and writes the lines. */

#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

/* A name as a constant: its place in the list from 1, 0 for none, 99 for an unknown one. */
static uint32_t choice(flockq_bytes name, const char *const *names) {
  if (name.size == 0) return 0;
  for (uint32_t i = 0; names[i] != NULL; i++) {
    if (is(name, names[i])) return i + 1;
  }
  return 99;
}

static const char *const syncs[] = {"full", "normal", "off", NULL};
static const char *const modes[] = {"plain", "journal", NULL};
static const char *const priorities[] = {"urgent", "high", "normal", "low", NULL};
static const char *const states[] = {"ready", "delayed", "leased", NULL};

static uint64_t wait_of(const char *request, const char *text, const char *ms) {
  flockq_bytes named = text_of(request, text);
  if (is(named, "no_wait")) return FLOCKQ_NO_WAIT;
  if (is(named, "forever")) return FLOCKQ_FOREVER;
  return (uint64_t)number_of(request, ms, 0);
}

/* ---- what is open ---- */

#define MANY 64

static flockq_spool *spool;
static struct {
  char name[128];
  flockq_queue *queue;
  flockq_transaction *transaction;
} queues[MANY];
static struct {
  char path[512];
  flockq_file_lock *lock;
} locks[MANY];
static flockq_delivery *deliveries[65536];
static size_t delivery_count;

static void copy_name(char *to, size_t room, flockq_bytes name) {
  size_t size = name.size < room - 1 ? name.size : room - 1;
  if (size > 0) memcpy(to, name.data, size);
  to[size] = '\0';
}

static void close_all(void) {
  for (size_t i = 0; i < delivery_count; i++) flockq_delivery_free(deliveries[i]);
  delivery_count = 0;
  for (size_t i = 0; i < MANY; i++) {
    flockq_transaction_free(queues[i].transaction);
    flockq_queue_free(queues[i].queue);
    memset(&queues[i], 0, sizeof queues[i]);
  }
  flockq_spool_free(spool);
  spool = NULL;
}

/* ---- replies ---- */

static void told_delivery(buffer *out, const flockq_delivery *delivery) {
  add(out, "{\"id\":", 6);
  add_string(out, flockq_delivery_id(delivery));
  add(out, ",\"receipt\":", 11);
  add_string(out, flockq_delivery_receipt(delivery));
  add_format(out, ",\"attempts\":%llu,\"payload\":", (unsigned long long)flockq_delivery_attempts(delivery));
  add_string(out, flockq_delivery_payload(delivery));
  add(out, "}", 1);
}

static void told_envelope(buffer *out, const flockq_envelope *envelope) {
  struct {
    const char *name;
    flockq_bytes text;
  } fields[11];
  fields[0].name = "id", fields[0].text = flockq_envelope_id(envelope);
  fields[1].name = "error", fields[1].text = flockq_envelope_reason(envelope);
  fields[2].name = "queued_at", fields[2].text = flockq_envelope_queued_at(envelope);
  fields[3].name = "last_attempt", fields[3].text = flockq_envelope_last_attempt(envelope);
  fields[4].name = "not_before", fields[4].text = flockq_envelope_not_before(envelope);
  fields[5].name = "lease_until", fields[5].text = flockq_envelope_lease_until(envelope);
  fields[6].name = "consumer", fields[6].text = flockq_envelope_consumer(envelope);
  fields[7].name = "payload", fields[7].text = flockq_envelope_payload(envelope);
  fields[8].name = "from", fields[8].text = flockq_envelope_origin(envelope);
  fields[9].name = "expires", fields[9].text = flockq_envelope_expires(envelope);
  fields[10].name = "errors", fields[10].text = flockq_envelope_errors(envelope);
  add_format(out, "{\"state\":\"%s\",\"priority\":\"%s\",\"attempts\":%llu", states[flockq_envelope_state(envelope) - 1],
             priorities[flockq_envelope_priority(envelope) - 1], (unsigned long long)flockq_envelope_attempts(envelope));
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    add_format(out, ",\"%s\":", fields[i].name);
    add_or_null(out, fields[i].text);
  }
  add(out, "}", 1);
}

static void told_envelopes(buffer *out, flockq_envelopes *envelopes) {
  add(out, "[", 1);
  for (size_t i = 0; i < flockq_envelopes_size(envelopes); i++) {
    if (i > 0) add(out, ",", 1);
    told_envelope(out, flockq_envelopes_get(envelopes, i));
  }
  add(out, "]", 1);
}

static void told_texts(buffer *out, flockq_texts *texts) {
  add(out, "[", 1);
  for (size_t i = 0; i < flockq_texts_size(texts); i++) {
    if (i > 0) add(out, ",", 1);
    add_string(out, flockq_texts_get(texts, i));
  }
  add(out, "]", 1);
  flockq_texts_free(texts);
}

static void told_text(buffer *out, flockq_text *text) {
  add_string(out, flockq_text_bytes(text));
  flockq_text_free(text);
}

/* ---- operations ---- */

typedef flockq_status (*settlement)(const char *request, flockq_queue *queue, flockq_bytes *receipts, size_t count,
                                    flockq_status *results, flockq_error **error);

static flockq_status ack(const char *request, flockq_queue *queue, flockq_bytes *receipts, size_t count,
                         flockq_status *results, flockq_error **error) {
  (void)request;
  return flockq_queue_ack(queue, receipts, count, results, error);
}

static flockq_status nack(const char *request, flockq_queue *queue, flockq_bytes *receipts, size_t count,
                          flockq_status *results, flockq_error **error) {
  flockq_nack_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.reason = text_of(request, "error");
  options.delay_ms = (uint64_t)number_of(request, "delay_ms", 0);
  return flockq_queue_nack(queue, receipts, count, &options, results, error);
}

static flockq_status extend(const char *request, flockq_queue *queue, flockq_bytes *receipts, size_t count,
                            flockq_status *results, flockq_error **error) {
  return flockq_queue_extend(queue, receipts, count, (uint64_t)number_of(request, "lease_ms", 0), results, error);
}

static flockq_status settle(buffer *out, const char *request, flockq_queue *queue, settlement run, flockq_error **error) {
  flockq_bytes *receipts;
  size_t count = texts_of(request, "receipts", &receipts);
  flockq_status *results = (flockq_status *)need(calloc(count + 1, sizeof *results));
  flockq_status status = run(request, queue, receipts, count, results, error);
  add(out, "[", 1);
  for (size_t i = 0; i < count; i++) {
    if (i > 0) add(out, ",", 1);
    if (results[i] == FLOCKQ_STATUS_OK) {
      add(out, "null", 4);
    } else {
      add_string(out, flockq_status_name(results[i]));
    }
  }
  add(out, "]", 1);
  free(results);
  free(receipts);
  return status;
}

static flockq_send_options send_options(const char *request) {
  flockq_send_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.id = text_of(request, "id");
  options.priority = choice(text_of(request, "priority"), priorities);
  options.delay_ms = (uint64_t)number_of(request, "delay_ms", 0);
  options.ttl_ms = (uint64_t)number_of(request, "ttl_ms", 0);
  options.dedup = flag_of(request, "dedup");
  options.sync = choice(text_of(request, "sync"), syncs);
  options.wait_ms = (uint64_t)number_of(request, "wait_ms", 0);
  return options;
}

static flockq_update_options update_options(const char *request) {
  flockq_update_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.json = text_of(request, "payload");
  options.priority = choice(text_of(request, "priority"), priorities);
  long long delay = number_of(request, "delay_ms", 0), ttl = number_of(request, "ttl_ms", 0);
  options.delay_ms = delay < 0 ? FLOCKQ_NO_WAIT : (uint64_t)delay;
  options.ttl_ms = ttl < 0 ? FLOCKQ_FOREVER : (uint64_t)ttl;
  return options;
}

static flockq_status send_message(buffer *out, const char *request, flockq_queue *queue, flockq_error **error) {
  flockq_text *id = NULL;
  flockq_send_options options = send_options(request);
  flockq_status status = flockq_queue_send(queue, payload_of(request), &options, &id, error);
  if (status == FLOCKQ_STATUS_OK) told_text(out, id);
  return status;
}

static flockq_status receive(buffer *out, const char *request, flockq_queue *queue, bool many, flockq_error **error) {
  flockq_receive_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.lease_ms = (uint64_t)number_of(request, "lease_ms", 0);
  long long wait = number_of(request, "wait_ms", 0);
  options.wait_ms = wait < 0 ? FLOCKQ_FOREVER : (uint64_t)wait;
  options.detached = flag_of(request, "detached");
  if (many) {
    flockq_deliveries *list;
    flockq_status status = flockq_queue_receive_many(queue, (size_t)number_of(request, "max", 1), &options, &list, error);
    if (status != FLOCKQ_STATUS_OK) return status;
    add(out, "[", 1);
    for (size_t i = 0; i < flockq_deliveries_size(list); i++) {
      if (i > 0) add(out, ",", 1);
      told_delivery(out, flockq_deliveries_get(list, i));
    }
    add(out, "]", 1);
    flockq_deliveries_free(list);
    return status;
  }
  flockq_delivery *delivery;
  flockq_status status = flockq_queue_receive(queue, &options, &delivery, error);
  if (status != FLOCKQ_STATUS_OK) return status;
  if (delivery == NULL) {
    add(out, "null", 4);
    return status;
  }
  told_delivery(out, delivery);
  if (delivery_count == sizeof deliveries / sizeof deliveries[0]) flockq_delivery_free(deliveries[--delivery_count]);
  deliveries[delivery_count++] = delivery;
  return status;
}

static flockq_status look(buffer *out, const char *request, flockq_bytes op, flockq_queue *queue, flockq_error **error) {
  flockq_envelopes *envelopes = NULL;
  flockq_status status;
  if (is(op, "peek")) {
    status = flockq_queue_peek(queue, (size_t)number_of(request, "count", 1), &envelopes, error);
  } else if (is(op, "get")) {
    status = flockq_queue_get(queue, text_of(request, "id"), &envelopes, error);
  } else {
    flockq_list_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.state = choice(text_of(request, "state"), states);
    options.limit = (uint64_t)number_of(request, "limit", 0);
    options.cursor = text_of(request, "cursor");
    status = flockq_queue_list(queue, &options, &envelopes, error);
  }
  if (status != FLOCKQ_STATUS_OK) return status;
  if (is(op, "list")) {
    add(out, "{\"cursor\":", 10);
    add_or_null(out, flockq_envelopes_cursor(envelopes));
    add(out, ",\"items\":", 9);
    told_envelopes(out, envelopes);
    add(out, "}", 1);
  } else {
    told_envelopes(out, envelopes);
  }
  flockq_envelopes_free(envelopes);
  return status;
}

typedef struct {
  const char *name;
  uint64_t value;
} count;

static void told_counts(buffer *out, const count *counts) {
  for (size_t i = 0; counts[i].name != NULL; i++) {
    add_format(out, "%c\"%s\":%llu", i == 0 ? '{' : ',', counts[i].name, (unsigned long long)counts[i].value);
  }
  add(out, "}", 1);
}

static flockq_status stats(buffer *out, flockq_queue *queue, flockq_error **error) {
  flockq_stats now;
  flockq_status status = flockq_queue_stats(queue, &now, error);
  if (status != FLOCKQ_STATUS_OK) return status;
  add_format(out, "{\"messages\":%llu,\"ready\":%llu,\"delayed\":%llu,", (unsigned long long)now.messages,
             (unsigned long long)now.ready, (unsigned long long)now.delayed);
  add_format(out, "\"leased\":%llu,\"bytes\":%llu,", (unsigned long long)now.leased, (unsigned long long)now.bytes);
  if (now.oldest_age_ms < 0) {
    add(out, "\"oldest_age_ms\":null,", 21);
  } else {
    add_format(out, "\"oldest_age_ms\":%lld,", (long long)now.oldest_age_ms);
  }
  add_format(out, "\"foreign_writes\":%llu,\"checkpoints\":%llu,\"counters\":", (unsigned long long)now.foreign_writes,
             (unsigned long long)now.checkpoints);
  const flockq_counters *counters = &now.counters;
  told_counts(out, (count[]){{"sent", counters->sent},
                             {"received", counters->received},
                             {"acked", counters->acked},
                             {"nacked", counters->nacked},
                             {"retried", counters->retried},
                             {"dead_lettered", counters->dead_lettered},
                             {"expired", counters->expired},
                             {"removed", counters->removed},
                             {"moved_in", counters->moved_in},
                             {"moved_out", counters->moved_out},
                             {"redelivered_nacked", counters->redelivered_nacked},
                             {"redelivered_expired_lease", counters->redelivered_expired_lease},
                             {"redelivered_dead_consumer", counters->redelivered_dead_consumer},
                             {"redelivered_reboot", counters->redelivered_reboot},
                             {"redelivered_erased_lease", counters->redelivered_erased_lease},
                             {NULL, 0}});
  const flockq_lock_stats *lock = &now.lock;
  uint64_t waits = 0;
  for (size_t i = 0; i < sizeof lock->waits / sizeof lock->waits[0]; i++) waits += lock->waits[i];
  add(out, ",\"lock\":", 8);
  told_counts(out, (count[]){{"acquired", lock->acquired},
                             {"contended", lock->contended},
                             {"timed_out", lock->timed_out},
                             {"replaced", lock->replaced},
                             {"wait_us", lock->wait_us},
                             {"wait_max_us", lock->wait_max_us},
                             {"waits", waits},
                             {NULL, 0}});
  add(out, "}", 1);
  return status;
}

/* An error of the driver's own: a request for something that it does not have. */
static bool not_there;

static flockq_status update(const char *request, flockq_queue *queue, flockq_error **error) {
  flockq_transaction *transaction;
  flockq_text *array;
  flockq_status status = flockq_queue_begin(queue, &transaction, error);
  if (status != FLOCKQ_STATUS_OK) return status;
  status = flockq_transaction_get(transaction, &array, error);
  if (status == FLOCKQ_STATUS_OK) {
    flockq_bytes old = flockq_text_bytes(array), more = text_of(request, "append");
    buffer both = {0};
    size_t end = old.size;
    while (end > 0 && old.data[end - 1] != ']') end--;
    add(&both, old.data, end - 1);
    bool empty = true;
    for (size_t i = 1; i < both.size; i++) empty = empty && strchr(" \n\t\r", both.data[i]) != NULL;
    if (!empty && more.size > 2) add(&both, ",", 1);
    add(&both, more.data + 1, more.size - 1);
    flockq_text_free(array);
    status = flockq_transaction_set(transaction, keep(both), error);
  }
  if (status == FLOCKQ_STATUS_OK) status = flockq_transaction_commit(transaction, error);
  flockq_transaction_free(transaction);
  return status;
}

static flockq_status whole(buffer *out, const char *request, flockq_bytes op, size_t slot, flockq_error **error) {
  flockq_queue *queue = queues[slot].queue;
  flockq_transaction *open = queues[slot].transaction;
  flockq_status status;
  if (is(op, "load")) {
    flockq_text *array;
    status = flockq_queue_load(queue, &array, error);
    if (status == FLOCKQ_STATUS_OK) told_text(out, array);
    return status;
  }
  add(out, "null", 4);
  if (is(op, "save")) return flockq_queue_save(queue, text_of(request, "array"), error);
  if (is(op, "update")) return update(request, queue, error);
  if (is(op, "begin")) return flockq_queue_begin(queue, &queues[slot].transaction, error);
  if (open == NULL) {
    not_there = true;
    return FLOCKQ_STATUS_INVALID_ARGUMENT;
  }
  if (is(op, "transaction_set")) return flockq_transaction_set(open, text_of(request, "array"), error);
  status = is(op, "commit") ? flockq_transaction_commit(open, error) : FLOCKQ_STATUS_OK;
  flockq_transaction_free(open);
  queues[slot].transaction = NULL;
  return status;
}

static flockq_status detach(const char *request, flockq_error **error) {
  flockq_bytes receipt = text_of(request, "receipt");
  for (size_t i = 0; i < delivery_count; i++) {
    flockq_bytes one = flockq_delivery_receipt(deliveries[i]);
    if (one.size == receipt.size && memcmp(one.data, receipt.data, one.size) == 0) {
      return flockq_delivery_detach(deliveries[i], error);
    }
  }
  not_there = true;
  return FLOCKQ_STATUS_INVALID_ARGUMENT;
}

static flockq_status move(buffer *out, const char *request, flockq_queue *queue, bool home, flockq_error **error) {
  flockq_filter_options options;
  flockq_bytes *ids = NULL;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  if (has(request, "ids")) options.id_count = texts_of(request, "ids", &ids);
  options.ids = ids;
  options.state = choice(text_of(request, "state"), states);
  options.error = text_of(request, "error");
  options.limit = (uint64_t)number_of(request, "limit", 0);
  flockq_texts *moved = NULL;
  flockq_texts *targets = NULL;
  flockq_status status =
      home ? flockq_queue_redrive(queue, &options, flag_of(request, "dry_run"), &moved, &targets, error)
           : flockq_queue_move_to(queue, text_of(request, "to"), &options, &moved, error);
  free(ids);
  if (status != FLOCKQ_STATUS_OK) return status;
  if (!home) {
    told_texts(out, moved);
    return status;
  }
  add(out, "[", 1);
  for (size_t i = 0; i < flockq_texts_size(moved); i++) {
    add(out, i > 0 ? ",[" : "[", i > 0 ? 2 : 1);
    add_string(out, flockq_texts_get(moved, i));
    add(out, ",", 1);
    add_string(out, flockq_texts_get(targets, i));
    add(out, "]", 1);
  }
  add(out, "]", 1);
  flockq_texts_free(moved);
  flockq_texts_free(targets);
  return status;
}

static flockq_status on_queue(buffer *out, const char *request, flockq_bytes op, flockq_error **error) {
  flockq_bytes name = text_of(request, "queue");
  size_t slot = 0;
  while (slot < MANY && queues[slot].queue != NULL && !is(name, queues[slot].name)) slot++;
  if (slot == MANY) slot = 0;
  if (queues[slot].queue == NULL) {
    flockq_status status = flockq_spool_queue(spool, name, &queues[slot].queue, error);
    if (status != FLOCKQ_STATUS_OK) return status;
    copy_name(queues[slot].name, sizeof queues[slot].name, name);
  }
  flockq_queue *queue = queues[slot].queue;
  flockq_bytes *texts;
  uint64_t count = 0;
  flockq_status status;
  if (is(op, "send")) return send_message(out, request, queue, error);
  if (is(op, "receive")) return receive(out, request, queue, false, error);
  if (is(op, "receive_many")) return receive(out, request, queue, true, error);
  if (is(op, "ack")) return settle(out, request, queue, ack, error);
  if (is(op, "nack")) return settle(out, request, queue, nack, error);
  if (is(op, "extend")) return settle(out, request, queue, extend, error);
  if (is(op, "peek") || is(op, "get") || is(op, "list")) return look(out, request, op, queue, error);
  if (is(op, "stats")) return stats(out, queue, error);
  if (is(op, "move_to") || is(op, "redrive")) return move(out, request, queue, is(op, "redrive"), error);
  if (is(op, "send_many")) {
    flockq_texts *ids;
    size_t size = texts_of(request, "payloads", &texts);
    flockq_send_options options = send_options(request);
    status = flockq_queue_send_many(queue, texts, size, &options, &ids, error);
    free(texts);
    if (status == FLOCKQ_STATUS_OK) told_texts(out, ids);
    return status;
  }
  if (is(op, "pop")) {
    flockq_envelope *envelope;
    status = flockq_queue_pop(queue, &envelope, error);
    if (status != FLOCKQ_STATUS_OK) return status;
    if (envelope == NULL) {
      add(out, "null", 4);
    } else {
      add(out, "{\"id\":", 6);
      add_or_null(out, flockq_envelope_id(envelope));
      add(out, ",\"payload\":", 11);
      add_string(out, flockq_envelope_payload(envelope));
      add(out, "}", 1);
      flockq_envelope_free(envelope);
    }
    return status;
  }
  if (is(op, "len") || is(op, "remove") || is(op, "purge") || is(op, "update_message")) {
    if (is(op, "len")) {
      status = flockq_queue_len(queue, &count, error);
    } else if (is(op, "update_message")) {
      flockq_update_options options = update_options(request);
      status = flockq_queue_update_message(queue, text_of(request, "id"), &options, &count, error);
    } else if (is(op, "purge")) {
      status = flockq_queue_purge(queue, choice(text_of(request, "state"), states), &count, error);
    } else {
      size_t size = texts_of(request, "ids", &texts);
      status = flockq_queue_remove(queue, texts, size, &count, error);
      free(texts);
    }
    add_format(out, "%llu", (unsigned long long)count);
    return status;
  }
  if (is(op, "load") || is(op, "save") || is(op, "update") || is(op, "begin") || is(op, "transaction_set") ||
      is(op, "commit") || is(op, "rollback")) {
    return whole(out, request, op, slot, error);
  }
  if (is(op, "mode")) {
    flockq_mode mode;
    flockq_status status = flockq_queue_mode(queue, &mode, error);
    if (status == FLOCKQ_STATUS_OK) add_format(out, "\"%s\"", modes[mode - 1]);
    return status;
  }
  if (is(op, "check") || is(op, "repair")) {
    flockq_text *report;
    flockq_status status =
        is(op, "check") ? flockq_queue_check(queue, &report, error) : flockq_queue_repair(queue, &report, error);
    if (status == FLOCKQ_STATUS_OK) {
      flockq_bytes text = flockq_text_bytes(report);
      add(out, text.data, text.size);
      flockq_text_free(report);
    }
    return status;
  }
  add(out, "null", 4);
  if (is(op, "checkpoint")) return flockq_queue_checkpoint(queue, error);
  if (is(op, "convert")) return flockq_queue_convert(queue, choice(text_of(request, "to"), modes), error);
  if (is(op, "detach")) return detach(request, error);
  if (is(op, "sync")) return flockq_queue_sync(queue, error);
  if (is(op, "close_queue")) return flockq_queue_close(queue, error);
  if (is(op, "interrupt")) {
    flockq_queue_interrupt(queue);
    return FLOCKQ_STATUS_OK;
  }
  not_there = true;
  return FLOCKQ_STATUS_INVALID_ARGUMENT;
}

static flockq_status file_lock(const char *request, flockq_bytes op, flockq_error **error) {
  flockq_bytes path = text_of(request, "path");
  size_t slot = 0;
  if (is(op, "unlock")) {
    for (slot = 0; slot < MANY; slot++) {
      if (locks[slot].lock != NULL && is(path, locks[slot].path)) {
        flockq_file_lock_free(locks[slot].lock);
        locks[slot].lock = NULL;
      }
    }
    return FLOCKQ_STATUS_OK;
  }
  while (slot < MANY - 1 && locks[slot].lock != NULL) slot++;
  flockq_file_lock_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.shared = flag_of(request, "shared");
  options.wait_ms = wait_of(request, "wait", "wait_ms");
  copy_name(locks[slot].path, sizeof locks[slot].path, path);
  return flockq_file_lock_acquire(path, &options, &locks[slot].lock, error);
}

static flockq_status open_spool(const char *request, flockq_error **error) {
  flockq_spool_options options;
  close_all();
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.create = flag_of(request, "create");
  options.allow_unverified_fs = flag_of(request, "allow_unverified_fs");
  options.sync = choice(text_of(request, "sync"), syncs);
  options.lock_wait_ms = wait_of(request, "lock_wait", "lock_wait_ms");
  if (flag_of(request, "mail")) options.create = 1;
  flockq_status status = flockq_spool_open(text_of(request, "dir"), &options, &spool, error);
  if (status == FLOCKQ_STATUS_OK && flag_of(request, "mail")) return flockq_spool_adopt_mail(spool, error);
  return status;
}

static flockq_status answer(buffer *out, const char *request, flockq_error **error) {
  flockq_bytes op = text_of(request, "op");
  if (is(op, "pid")) {
    add_format(out, "%ld", (long)getpid());
    return FLOCKQ_STATUS_OK;
  }
  if (is(op, "errors")) {
    for (int32_t code = 1; flockq_status_name(code).size > 0; code++) {
      add_format(out, "%s[%d,", code == 1 ? "[" : ",", (int)code);
      add_string(out, flockq_status_name(code));
      add(out, "]", 1);
    }
    add(out, "]", 1);
    return FLOCKQ_STATUS_OK;
  }
  if (is(op, "open") || is(op, "init") || is(op, "lock") || is(op, "unlock") || is(op, "write_atomic")) {
    add(out, "null", 4);
    if (is(op, "open")) return open_spool(request, error);
    if (is(op, "write_atomic")) return flockq_write_atomic(text_of(request, "path"), text_of(request, "text"), error);
    if (!is(op, "init")) return file_lock(request, op, error);
    flockq_init_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.plain = flag_of(request, "plain");
    options.lock_dir = text_of(request, "lock_dir");
    return flockq_spool_init(text_of(request, "dir"), &options, error);
  }
  if (spool == NULL) {
    not_there = true;
    return FLOCKQ_STATUS_INVALID_ARGUMENT;
  }
  if (is(op, "close")) {
    add(out, "null", 4);
    return flockq_spool_close(spool, error);
  }
  if (is(op, "set_config")) {
    add(out, "null", 4);
    return flockq_spool_set_config(spool, text_of(request, "setting"), text_of(request, "value"), error);
  }
  if (is(op, "metrics")) {
    flockq_text *metrics;
    flockq_status status = flockq_spool_metrics(spool, &metrics, error);
    if (status == FLOCKQ_STATUS_OK) told_text(out, metrics);
    return status;
  }
  if (is(op, "write_metrics")) {
    add(out, "null", 4);
    return flockq_spool_write_metrics(spool, text_of(request, "path"), error);
  }
  if (is(op, "config") || is(op, "doctor")) {
    flockq_text *shown;
    flockq_status status = is(op, "config") ? flockq_spool_config(spool, &shown, error) : flockq_spool_doctor(spool, &shown, error);
    if (status == FLOCKQ_STATUS_OK) {
      flockq_bytes text = flockq_text_bytes(shown);
      for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '\n') add(out, text.data + i, 1);
      }
      flockq_text_free(shown);
    }
    return status;
  }
  if (is(op, "queues")) {
    flockq_texts *names;
    flockq_status status = flockq_spool_queues(spool, &names, error);
    if (status == FLOCKQ_STATUS_OK) told_texts(out, names);
    return status;
  }
  return on_queue(out, request, op, error);
}

static void interrupted(int number) { (void)number; }

/* A handler, so that the signal interrupts what the library waits for; what is read and written here it must not cut short. */
static void let_through(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  sigprocmask(how, &set, NULL);
}

int main(void) {
  char *line = NULL;
  size_t room = 0;
  if (getenv("FLOCKQ_DRIVER_INTERRUPTED") != NULL) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupted;
    sigaction(SIGURG, &action, NULL);
  }
  let_through(SIG_BLOCK);
  while (getline(&line, &room, stdin) > 0) {
    let_through(SIG_UNBLOCK);
    buffer out = {0};
    flockq_error *error = NULL;
    not_there = false;
    add(&out, "{\"ok\":", 6);
    flockq_status status = answer(&out, line, &error);
    if (status != FLOCKQ_STATUS_OK) {
      out.size = 0;
      add(&out, "{\"error\":", 9);
      add_string(&out, flockq_status_name(status));
      add(&out, ",\"message\":", 11);
      add_string(&out, not_there ? flockq_bytes_of("the driver has no such thing") : flockq_error_message(error));
      flockq_error_free(error);
    }
    add(&out, "}\n", 2);
    let_through(SIG_BLOCK);
    fwrite(out.data, 1, out.size, stdout);
    fflush(stdout);
    free(out.data);
    forget_strings();
  }
  free(line);
  for (size_t i = 0; i < MANY; i++) flockq_file_lock_free(locks[i].lock);
  close_all();
  return 0;
}
