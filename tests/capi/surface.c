/* Every function of the header, its ownership, and what it does with NULL, wrong sizes and closed handles. */

#define _POSIX_C_SOURCE 200809L

#include "check.h"

static flockq_error *error = NULL;

static void versions_and_statuses(void) {
  CHECK(bytes_are(flockq_version(), FLOCKQ_VERSION));
  CHECK(FLOCKQ_VERSION_NUMBER == FLOCKQ_VERSION_MAJOR * 1000000 + FLOCKQ_VERSION_MINOR * 1000 + FLOCKQ_VERSION_PATCH);
  CHECK(bytes_are(flockq_status_name(FLOCKQ_STATUS_OK), "Ok"));
  CHECK(bytes_are(flockq_status_name(FLOCKQ_STATUS_STALE_RECEIPT), "StaleReceipt"));
  CHECK(bytes_are(flockq_status_name(FLOCKQ_STATUS_INTERNAL), "Internal"));
  CHECK(flockq_status_name(19).size == 0 && flockq_status_name(-1).size == 0 && flockq_status_summary(19).size == 0);
  for (int32_t status = 0; status <= 18; status++) CHECK(flockq_status_summary(status).size > 0);
  uint64_t ms = 0;
  OK(flockq_parse_duration(T("1h30m"), &ms, &error));
  CHECK(ms == 5400000);
  FAILS(flockq_parse_duration(T("soon"), &ms, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  CHECK(ms == 5400000);
}

static void null_is_an_argument_that_is_not_allowed(const flockq_spool *spool, const flockq_queue *queue) {
  flockq_bytes none = {NULL, 3};
  flockq_queue *opened = NULL;
  uint64_t count = 7;
  FAILS(flockq_spool_open(T("x"), NULL, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_spool_queue(NULL, T("inbound"), &opened, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_spool_queue(spool, none, &opened, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  CHECK(opened == NULL);
  FAILS(flockq_queue_len(NULL, &count, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_queue_len(queue, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_queue_send(queue, none, NULL, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_queue_receive(queue, NULL, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_queue_ack(queue, NULL, 1, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_delivery_ack(NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  FAILS(flockq_transaction_commit(NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  CHECK(flockq_queue_len(NULL, &count, NULL) == FLOCKQ_STATUS_INVALID_ARGUMENT && count == 7);
  CHECK(flockq_delivery_id(NULL).data == NULL && flockq_envelope_attempts(NULL) == 0);
  CHECK(flockq_envelopes_size(NULL) == 0 && flockq_envelopes_get(NULL, 0) == NULL);
  CHECK(flockq_error_status(NULL) == FLOCKQ_STATUS_OK && flockq_error_offset(NULL) == -1);
  flockq_queue_interrupt(NULL);
  flockq_spool_free(NULL);
  flockq_queue_free(NULL);
  flockq_delivery_free(NULL);
  flockq_deliveries_free(NULL);
  flockq_envelope_free(NULL);
  flockq_envelopes_free(NULL);
  flockq_transaction_free(NULL);
  flockq_file_lock_free(NULL);
  flockq_text_free(NULL);
  flockq_texts_free(NULL);
  flockq_error_free(NULL);
}

static void option_structs_grow_at_the_end(const flockq_queue *queue) {
  struct {
    flockq_send_options options;
    uint64_t more;
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.options.size = sizeof newer;
  OK(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error));
  newer.more = 1;
  FAILS(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  newer.options.size = 0;
  FAILS(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  newer.options.size = sizeof(size_t);
  newer.options.priority = 99;
  OK(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error));
  newer.options.size = sizeof newer.options;
  FAILS(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  newer.options.priority = 0;
  newer.options.reserved = 1;
  FAILS(flockq_queue_send(queue, T("1"), &newer.options, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  flockq_receive_options receive;
  memset(&receive, 0, sizeof receive);
  receive.size = sizeof receive;
  receive.reserved = 1;
  flockq_delivery *delivery = NULL;
  FAILS(flockq_queue_receive(queue, &receive, &delivery, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  flockq_list_options list;
  memset(&list, 0, sizeof list);
  list.size = sizeof list;
  list.reserved = 1;
  flockq_envelopes *page = NULL;
  FAILS(flockq_queue_list(queue, &list, &page, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  uint64_t removed = 0;
  OK(flockq_queue_purge(queue, FLOCKQ_STATE_ANY, &removed, &error));
  CHECK(removed == 2);
  FAILS(flockq_queue_purge(queue, 99, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
}

static void sending_and_receiving(const flockq_queue *queue) {
  flockq_text *id = NULL;
  flockq_send_options send;
  memset(&send, 0, sizeof send);
  send.size = sizeof send;
  send.id = T("first");
  send.priority = FLOCKQ_PRIORITY_URGENT;
  OK(flockq_queue_send(queue, T("{\"n\":1e-7}"), &send, &id, &error));
  CHECK(bytes_are(flockq_text_bytes(id), "first"));
  flockq_text_free(id);
  FAILS(flockq_queue_send(queue, T("2"), &send, NULL, &error), FLOCKQ_STATUS_ALREADY_EXISTS);
  send.dedup = 1;
  OK(flockq_queue_send(queue, T("2"), &send, NULL, &error));
  FAILS(flockq_queue_send(queue, T("{"), NULL, NULL, &error), FLOCKQ_STATUS_INVALID_JSON);

  flockq_bytes payloads[2];
  payloads[0] = T("{\"id\":\"second\"}");
  payloads[1] = T("{\"id\":\"third\"}");
  flockq_texts *ids = NULL;
  OK(flockq_queue_send_many(queue, payloads, 2, NULL, &ids, &error));
  CHECK(flockq_texts_size(ids) == 2 && bytes_are(flockq_texts_get(ids, 1), "third") && flockq_texts_get(ids, 2).data == NULL);
  flockq_texts_free(ids);

  flockq_delivery *delivery = NULL;
  OK(flockq_queue_receive(queue, NULL, &delivery, &error));
  CHECK(bytes_are(flockq_delivery_id(delivery), "first"));
  CHECK(bytes_are(flockq_delivery_payload(delivery), "{\"n\":1e-7}"));
  CHECK(flockq_delivery_attempts(delivery) == 1 && flockq_delivery_priority(delivery) == FLOCKQ_PRIORITY_URGENT);
  CHECK(flockq_delivery_queued_at(delivery).size > 0);
  OK(flockq_delivery_extend(delivery, 60000, &error));
  OK(flockq_delivery_detach(delivery, &error));
  flockq_nack_options nack;
  memset(&nack, 0, sizeof nack);
  nack.size = sizeof nack;
  nack.reason = T("no");
  OK(flockq_delivery_nack(delivery, &nack, &error));
  FAILS(flockq_delivery_ack(delivery, &error), FLOCKQ_STATUS_STALE_RECEIPT);
  flockq_delivery_free(delivery);

  flockq_envelopes *found = NULL;
  OK(flockq_queue_get(queue, T("first"), &found, &error));
  CHECK(flockq_envelopes_size(found) == 1);
  const flockq_envelope *one = flockq_envelopes_get(found, 0);
  CHECK(bytes_are(flockq_envelope_id(one), "first") && bytes_are(flockq_envelope_reason(one), "no"));
  CHECK(flockq_envelope_state(one) == FLOCKQ_STATE_READY && flockq_envelope_priority(one) == FLOCKQ_PRIORITY_URGENT);
  CHECK(flockq_envelope_attempts(one) == 1 && flockq_envelope_last_attempt(one).size > 0);
  CHECK(flockq_envelope_not_before(one).size == 0 && flockq_envelope_lease_until(one).size == 0 && flockq_envelope_consumer(one).size == 0);
  CHECK(flockq_envelope_text(one).size > flockq_envelope_payload(one).size && flockq_envelope_queued_at(one).size > 0);
  flockq_envelopes_free(found);

  flockq_deliveries *deliveries = NULL;
  OK(flockq_queue_receive_many(queue, 9, NULL, &deliveries, &error));
  CHECK(flockq_deliveries_size(deliveries) == 3 && flockq_deliveries_get(deliveries, 3) == NULL);
  flockq_bytes receipts[3];
  for (size_t i = 0; i < 3; i++) receipts[i] = flockq_delivery_receipt(flockq_deliveries_get(deliveries, i));
  flockq_status results[3];
  OK(flockq_queue_extend(queue, receipts, 3, 60000, results, &error));
  OK(flockq_queue_detach(queue, receipts, 1, results, &error));
  OK(flockq_queue_ack(queue, receipts, 2, results, &error));
  CHECK(results[0] == FLOCKQ_STATUS_OK && results[1] == FLOCKQ_STATUS_OK);
  receipts[1] = T("nonsense");
  OK(flockq_queue_nack(queue, receipts, 3, NULL, results, &error));
  CHECK(results[0] == FLOCKQ_STATUS_STALE_RECEIPT && results[1] == FLOCKQ_STATUS_INVALID_ARGUMENT && results[2] == FLOCKQ_STATUS_OK);
  flockq_deliveries_free(deliveries);

  flockq_envelope *popped = NULL;
  OK(flockq_queue_pop(queue, &popped, &error));
  CHECK(bytes_are(flockq_envelope_id(popped), "third"));
  flockq_envelope_free(popped);
  OK(flockq_queue_pop(queue, &popped, &error));
  CHECK(popped == NULL);
}

static void looking_and_removing(const flockq_spool *spool, const flockq_queue *queue) {
  flockq_bytes payloads[3];
  payloads[0] = T("{\"id\":\"1\"}");
  payloads[1] = T("{\"id\":\"2\"}");
  payloads[2] = T("{\"id\":\"3\"}");
  OK(flockq_queue_send_many(queue, payloads, 3, NULL, NULL, &error));
  flockq_envelopes *page = NULL;
  OK(flockq_queue_peek(queue, 2, &page, &error));
  CHECK(flockq_envelopes_size(page) == 2 && flockq_envelopes_cursor(page).size == 0);
  flockq_envelopes_free(page);
  flockq_list_options list;
  memset(&list, 0, sizeof list);
  list.size = sizeof list;
  list.limit = 2;
  OK(flockq_queue_list(queue, &list, &page, &error));
  CHECK(flockq_envelopes_size(page) == 2);
  flockq_envelopes *rest = NULL;
  list.cursor = flockq_envelopes_cursor(page);
  OK(flockq_queue_list(queue, &list, &rest, &error));
  CHECK(flockq_envelopes_size(rest) == 1 && flockq_envelopes_cursor(rest).size == 0);
  flockq_envelopes_free(rest);
  flockq_envelopes_free(page);
  flockq_stats stats;
  OK(flockq_queue_stats(queue, &stats, &error));
  CHECK(stats.messages == 3 && stats.ready == 3 && stats.leased == 0 && stats.bytes > 0 && stats.oldest_age_ms >= 0);
  uint64_t updated = 0;
  flockq_update_options update;
  memset(&update, 0, sizeof update);
  update.size = sizeof update;
  FAILS(flockq_queue_update_message(queue, T("2"), &update, &updated, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  update.json.size = 3;
  FAILS(flockq_queue_update_message(queue, T("2"), &update, &updated, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  update.json = T("");
  FAILS(flockq_queue_update_message(queue, T("2"), &update, &updated, &error), FLOCKQ_STATUS_INVALID_JSON);
  update.json = T("[ 2 ]");
  update.priority = 99;
  FAILS(flockq_queue_update_message(queue, T("2"), &update, &updated, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  update.priority = FLOCKQ_PRIORITY_URGENT;
  update.delay_ms = FLOCKQ_NO_WAIT;
  update.ttl_ms = FLOCKQ_FOREVER;
  OK(flockq_queue_update_message(queue, T("2"), &update, &updated, &error));
  CHECK(updated == 1);
  OK(flockq_queue_peek(queue, 1, &page, &error));
  CHECK(bytes_are(flockq_envelope_payload(flockq_envelopes_get(page, 0)), "[ 2 ]"));
  flockq_envelopes_free(page);
  update.reserved = 1;
  FAILS(flockq_queue_update_message(queue, T("2"), &update, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  uint64_t removed = 0;
  flockq_bytes ids[1];
  ids[0] = T("2");
  OK(flockq_queue_remove(queue, ids, 1, &removed, &error));
  CHECK(removed == 1 && length(queue) == 2);
  flockq_texts *names = NULL;
  OK(flockq_spool_queues(spool, &names, &error));
  CHECK(flockq_texts_size(names) == 1 && bytes_are(flockq_texts_get(names, 0), "inbound"));
  flockq_texts_free(names);
  CHECK(flockq_spool_path(spool).size > 0 && bytes_are(flockq_queue_name(queue), "inbound"));
  OK(flockq_queue_sync(queue, &error));
}

static void the_whole_array(const flockq_queue *queue) {
  flockq_text *array = NULL;
  OK(flockq_queue_save(queue, T("[{\"message\":{\"id\":\"a\"}},\"bare\"]"), &error));
  OK(flockq_queue_load(queue, &array, &error));
  CHECK(bytes_are(flockq_text_bytes(array), "[{\"message\":{\"id\":\"a\"}},\"bare\"]"));
  flockq_text_free(array);
  FAILS(flockq_queue_save(queue, T("{}"), &error), FLOCKQ_STATUS_INVALID_JSON);
  FAILS(flockq_queue_save(queue, T("[{\"message\":1,\"attempts\":\"x\"}]"), &error), FLOCKQ_STATUS_INVALID_ARGUMENT);

  flockq_transaction *change = NULL;
  OK(flockq_queue_begin(queue, &change, &error));
  uint64_t count;
  FAILS(flockq_queue_len(queue, &count, &error), FLOCKQ_STATUS_WOULD_DEADLOCK);
  OK(flockq_transaction_get(change, &array, &error));
  flockq_text_free(array);
  OK(flockq_transaction_set(change, T("[]"), &error));
  flockq_transaction_free(change);
  CHECK(length(queue) == 2);
  OK(flockq_queue_begin(queue, &change, &error));
  OK(flockq_transaction_set(change, T("[1]"), &error));
  OK(flockq_transaction_commit(change, &error));
  FAILS(flockq_transaction_commit(change, &error), FLOCKQ_STATUS_CLOSED);
  FAILS(flockq_transaction_set(change, T("[]"), &error), FLOCKQ_STATUS_CLOSED);
  flockq_transaction_free(change);
  CHECK(length(queue) == 1);
}

static void locks_and_files(const char *directory) {
  char path[4200];
  snprintf(path, sizeof path, "%s/state.json", directory);
  flockq_file_lock *lock = NULL, *second = NULL;
  flockq_file_lock_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  OK(flockq_file_lock_acquire(T(path), &options, &lock, &error));
  CHECK(flockq_file_lock_waited_us(lock) < 10000000);
  FAILS(flockq_file_lock_acquire(T(path), &options, &second, &error), FLOCKQ_STATUS_WOULD_DEADLOCK);
  options.untied = 1;
  options.wait_ms = FLOCKQ_NO_WAIT;
  FAILS(flockq_file_lock_acquire(T(path), &options, &second, &error), FLOCKQ_STATUS_LOCK_TIMEOUT);
  flockq_file_lock_free(lock);
  options.shared = 1;
  OK(flockq_file_lock_acquire(T(path), &options, &lock, &error));
  OK(flockq_file_lock_acquire(T(path), &options, &second, &error));
  flockq_file_lock_free(lock);
  flockq_file_lock_free(second);
  OK(flockq_write_atomic(T(path), T("{}"), &error));
  FAILS(flockq_write_atomic(T("/nowhere/at/all"), T("{}"), &error), FLOCKQ_STATUS_NOT_FOUND);
}

static int32_t always(void *context) {
  ++*(int *)context;
  return 1;
}

static void a_check_ends_a_wait(const char *directory) {
  flockq_spool *spool = NULL;
  flockq_queue *queue = NULL;
  flockq_delivery *delivery = NULL;
  int asked = 0;
  flockq_spool_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.interrupt_check = always;
  options.interrupt_context = &asked;
  OK(flockq_spool_open(T(directory), &options, &spool, &error));
  queue = open_queue(spool, "nothing");
  flockq_receive_options how;
  memset(&how, 0, sizeof how);
  how.size = sizeof how;
  how.wait_ms = FLOCKQ_FOREVER;
  FAILS(flockq_queue_receive(queue, &how, &delivery, &error), FLOCKQ_STATUS_INTERRUPTED);
  CHECK(asked > 0 && delivery == NULL);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

static void what_is_closed_stays_closed(flockq_spool *spool, flockq_queue *queue) {
  uint64_t count;
  flockq_queue *late = NULL;
  OK(flockq_queue_close(queue, &error));
  OK(flockq_queue_close(queue, &error));
  FAILS(flockq_queue_len(queue, &count, &error), FLOCKQ_STATUS_CLOSED);
  OK(flockq_spool_close(spool, &error));
  FAILS(flockq_spool_queue(spool, T("inbound"), &late, &error), FLOCKQ_STATUS_CLOSED);
}

static void errors_say_where(const char *directory) {
  char path[4200];
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "broken");
  snprintf(path, sizeof path, "%s/broken.json", directory);
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs("[1, {\"message\":1,\"attempts\":\"x\"}]", file) >= 0 && fclose(file) == 0);
  uint64_t count;
  CHECK(flockq_queue_len(queue, &count, &error) == FLOCKQ_STATUS_CORRUPT);
  CHECK(flockq_error_offset(error) == 28 && flockq_error_errno(error) == 0);
  flockq_bytes where = flockq_error_path(error);
  CHECK(where.size > 12 && memcmp(where.data + where.size - 12, "/broken.json", 12) == 0);
  flockq_error_free(error);
  error = NULL;
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

int main(int count, char **arguments) {
  CHECK(count == 2);
  char directory[4096];
  snprintf(directory, sizeof directory, "%s/spool", arguments[1]);
  FAILS(flockq_spool_open(T(directory), NULL, NULL, &error), FLOCKQ_STATUS_INVALID_ARGUMENT);
  flockq_spool *spool = NULL;
  FAILS(flockq_spool_open(T(directory), NULL, &spool, &error), FLOCKQ_STATUS_NOT_FOUND);
  flockq_init_options init;
  memset(&init, 0, sizeof init);
  init.size = sizeof init;
  init.plain = 1;
  OK(flockq_spool_init(T(directory), &init, &error));
  init.lock_dir = T("elsewhere");
  FAILS(flockq_spool_init(T(directory), &init, &error), FLOCKQ_STATUS_ALREADY_EXISTS);
  spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "inbound");
  versions_and_statuses();
  null_is_an_argument_that_is_not_allowed(spool, queue);
  option_structs_grow_at_the_end(queue);
  sending_and_receiving(queue);
  looking_and_removing(spool, queue);
  the_whole_array(queue);
  locks_and_files(directory);
  a_check_ends_a_wait(directory);
  errors_say_where(directory);
  what_is_closed_stays_closed(spool, queue);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
  return 0;
}
