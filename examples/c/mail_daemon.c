/* A day of a mail daemon: it delivers what is in "inbound", the urgent first; what fails waits in "outbound" and comes back;
 * what fails three times goes to "dead-letter"; when the fault is mended, it is sent back and delivered.
 *
 *     cc mail_daemon.c $(pkg-config --cflags --libs flockq) -o mail_daemon
 *     ./mail_daemon DIRECTORY [BACKOFF_MS]
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flockq.h>

/* Every call leaves its error here; the first one ends the day. */
static flockq_error *error;

static int ok(flockq_status status) {
  return status == FLOCKQ_STATUS_OK;
}

/* The text of a field, or `otherwise`. A real program asks its JSON library. */
static flockq_bytes field(flockq_bytes payload, const char *name, const char *otherwise) {
  char key[32];
  int length = snprintf(key, sizeof key, "\"%s\":", name);
  const char *end = payload.data + payload.size;
  for (const char *at = payload.data; at + length < end; at++) {
    if (memcmp(at, key, (size_t)length) != 0) continue;
    const char *from = (const char *)memchr(at + length, '"', (size_t)(end - at - length));
    const char *to = from == NULL ? NULL : (const char *)memchr(from + 1, '"', (size_t)(end - from - 1));
    if (to == NULL) break;
    flockq_bytes found;
    found.data = from + 1;
    found.size = (size_t)(to - from - 1);
    return found;
  }
  return flockq_bytes_of(otherwise);
}

static int is(flockq_bytes text, const char *other) {
  return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

static int settle(flockq_delivery *delivery, const char *nobody_at) {
  flockq_bytes mail = flockq_delivery_payload(delivery);
  flockq_bytes to = field(mail, "to", ""), priority = field(mail, "priority", "normal"), id = flockq_delivery_id(delivery);
  int failed = is(to, nobody_at);
  printf("%s %llu %.*s %.*s\n", failed ? "failed" : "ok", (unsigned long long)flockq_delivery_attempts(delivery),
         (int)priority.size, priority.data, (int)id.size, id.data);
  if (!failed) return ok(flockq_delivery_ack(delivery, &error));
  char reason[300];
  snprintf(reason, sizeof reason, "no session for %.*s", (int)to.size, to.data);
  flockq_nack_options why;
  memset(&why, 0, sizeof why);
  why.size = sizeof why;
  why.reason = flockq_bytes_of(reason);
  return ok(flockq_delivery_nack(delivery, &why, &error));
}

/* Delivers until nothing has come for so long. */
static int deliver_all(flockq_queue *inbound, uint64_t patience_ms, const char *nobody_at) {
  flockq_receive_options how;
  memset(&how, 0, sizeof how);
  how.size = sizeof how;
  how.wait_ms = patience_ms;
  for (;;) {
    flockq_delivery *delivery = NULL;
    if (!ok(flockq_queue_receive(inbound, &how, &delivery, &error))) return 0;
    if (delivery == NULL) return 1;
    int settled = settle(delivery, nobody_at);
    flockq_delivery_free(delivery);
    if (!settled) return 0;
  }
}

static int stand(flockq_queue *const queues[3]) {
  for (int i = 0; i < 3; i++) {
    uint64_t count;
    if (!ok(flockq_queue_len(queues[i], &count, &error))) return 0;
    flockq_bytes name = flockq_queue_name(queues[i]);
    printf("%.*s %llu\n", (int)name.size, name.data, (unsigned long long)count);
  }
  return 1;
}

/* Sends back what was given up because nobody was there. */
static int redrive(flockq_queue *dead_letter) {
  flockq_filter_options which;
  memset(&which, 0, sizeof which);
  which.size = sizeof which;
  which.error = flockq_bytes_of("no session");
  flockq_texts *ids = NULL, *queues = NULL;
  if (!ok(flockq_queue_redrive(dead_letter, &which, 0, &ids, &queues, &error))) return 0;
  printf("redriven %zu\n", flockq_texts_size(ids));
  flockq_texts_free(ids);
  flockq_texts_free(queues);
  return 1;
}

static int day(const char *directory, const char *backoff_ms) {
  flockq_spool_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.create = 1;
  uint64_t patience_ms = 2 * strtoull(backoff_ms, NULL, 10);
  char backoff[40];
  snprintf(backoff, sizeof backoff, "%sms", backoff_ms);
  flockq_spool *spool = NULL;
  flockq_queue *queues[3] = {NULL, NULL, NULL};
  int done = ok(flockq_spool_open(flockq_bytes_of(directory), &options, &spool, &error)) &&
             ok(flockq_spool_adopt_mail(spool, &error)) &&
             ok(flockq_spool_set_config(spool, flockq_bytes_of("inbound.backoff"), flockq_bytes_of(backoff), &error)) &&
             ok(flockq_spool_queue(spool, flockq_bytes_of("inbound"), &queues[0], &error)) &&
             ok(flockq_spool_queue(spool, flockq_bytes_of("outbound"), &queues[1], &error)) &&
             ok(flockq_spool_queue(spool, flockq_bytes_of("dead-letter"), &queues[2], &error)) &&
             /* Nobody is there to take the mail of this address. */
             deliver_all(queues[0], patience_ms, "mayor/") && stand(queues) &&
             /* Now somebody is: what was given up for that reason starts again. */
             redrive(queues[2]) && deliver_all(queues[0], patience_ms, "nobody") && stand(queues) &&
             ok(flockq_spool_close(spool, &error));
  for (int i = 0; i < 3; i++) flockq_queue_free(queues[i]);
  flockq_spool_free(spool);
  return done;
}

int main(int count, char **arguments) {
  const char *directory = count > 1 ? arguments[1] : "mail-queues";
  if (day(directory, count > 2 ? arguments[2] : "1000")) return 0;
  flockq_bytes text = flockq_error_message(error);
  fprintf(stderr, "%.*s\n", (int)text.size, text.data);
  flockq_error_free(error);
  return 1;
}
