/* The work whose instructions scripts/instructions.sh has counted, each kind by itself. The spool is made in the directory that
 * is given.
 */

#define _POSIX_C_SOURCE 200809L

#include <time.h>
#include <valgrind/callgrind.h>

#include "../capi/check.h"

/* What is sent, received and acked is less than what makes a journal be folded: that is counted by itself. */
#define SINGLES 400
#define BATCHES 4
#define EACH 100
#define FOLDED 4000

static flockq_error *error = NULL;

/* Stands in for the system's: a clock that hardly moves, because what is done once a second would be counted now and then. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  static long calls = 0;
  (void)clock;
  now->tv_sec = 1790000000 + calls / 1000000000;
  now->tv_nsec = calls++ % 1000000000;
  return 0;
}

/* The instructions of this work go by this name and this number of messages; what is not counted is not slowed down either. */
#define COUNTED(name, messages, work)                        \
  do {                                                       \
    char text_[40];                                          \
    snprintf(text_, sizeof text_, "%s %d", name, messages);  \
    CALLGRIND_START_INSTRUMENTATION;                         \
    work;                                                    \
    CALLGRIND_STOP_INSTRUMENTATION;                          \
    CALLGRIND_DUMP_STATS_AT(text_);                          \
  } while (0)

/* A mail message of 300 bytes. */
static flockq_bytes payload(char *text, int number) {
  char body[223];
  memset(body, 'x', 222);
  body[222] = 0;
  snprintf(text, 301, "{\"id\":\"m%09d\",\"from\":\"mayor/\",\"to\":\"deacon/\",\"subject\":\"hello\",\"body\":\"%s\"}", number, body);
  return T(text);
}

static void send_one(const flockq_queue *queue) {
  char text[301];
  for (int number = 0; number < SINGLES; number++) OK(flockq_queue_send(queue, payload(text, number), NULL, NULL, &error));
}

static void receive(const flockq_queue *queue, flockq_delivery **deliveries) {
  for (int number = 0; number < SINGLES; number++) OK(flockq_queue_receive(queue, NULL, &deliveries[number], &error));
}

static void ack(flockq_delivery **deliveries) {
  for (int number = 0; number < SINGLES; number++) OK(flockq_delivery_ack(deliveries[number], &error));
}

static void send_many(const flockq_queue *queue, const flockq_bytes *payloads) {
  for (int batch = 0; batch < BATCHES; batch++) OK(flockq_queue_send_many(queue, payloads, EACH, NULL, NULL, &error));
}

static void receive_many(const flockq_queue *queue, flockq_deliveries **deliveries) {
  for (int batch = 0; batch < BATCHES; batch++) OK(flockq_queue_receive_many(queue, EACH, NULL, &deliveries[batch], &error));
}

static void ack_many(const flockq_queue *queue, flockq_deliveries **deliveries) {
  flockq_bytes receipts[EACH];
  flockq_status results[EACH];
  for (int batch = 0; batch < BATCHES; batch++) {
    for (int place = 0; place < EACH; place++) {
      receipts[place] = flockq_delivery_receipt(flockq_deliveries_get(deliveries[batch], (size_t)place));
    }
    OK(flockq_queue_ack(queue, receipts, EACH, results, &error));
  }
}

static void checkpoint(const flockq_queue *queue) {
  OK(flockq_queue_checkpoint(queue, &error));
}

static void one_by_one(const flockq_spool *spool) {
  flockq_queue *queue = open_queue(spool, "singles");
  flockq_delivery *deliveries[SINGLES];
  /* What is made at the first use is not part of the work. */
  OK(flockq_queue_send(queue, T("{\"id\":\"first\"}"), NULL, NULL, &error));
  OK(flockq_queue_receive(queue, NULL, &deliveries[0], &error));
  OK(flockq_delivery_ack(deliveries[0], &error));
  flockq_delivery_free(deliveries[0]);
  COUNTED("send", SINGLES, send_one(queue));
  COUNTED("receive", SINGLES, receive(queue, deliveries));
  COUNTED("ack", SINGLES, ack(deliveries));
  CHECK(length(queue) == 0);
  for (int number = 0; number < SINGLES; number++) flockq_delivery_free(deliveries[number]);
  flockq_queue_free(queue);
}

static void in_batches(const flockq_spool *spool) {
  static char texts[EACH][301];
  flockq_queue *queue = open_queue(spool, "batches");
  flockq_bytes payloads[EACH];
  flockq_deliveries *deliveries[BATCHES];
  for (int place = 0; place < EACH; place++) payloads[place] = payload(texts[place], place);
  OK(flockq_queue_send(queue, T("{\"id\":\"first\"}"), NULL, NULL, &error));
  CHECK(length(queue) == 1);
  OK(flockq_queue_purge(queue, FLOCKQ_STATE_ANY, NULL, &error));
  COUNTED("send_many", BATCHES * EACH, send_many(queue, payloads));
  COUNTED("receive_many", BATCHES * EACH, receive_many(queue, deliveries));
  COUNTED("ack_many", BATCHES * EACH, ack_many(queue, deliveries));
  CHECK(length(queue) == 0);
  for (int batch = 0; batch < BATCHES; batch++) flockq_deliveries_free(deliveries[batch]);
  for (int sent = 0; sent < FOLDED; sent += EACH) OK(flockq_queue_send_many(queue, payloads, EACH, NULL, NULL, &error));
  COUNTED("checkpoint", FOLDED, checkpoint(queue));
  flockq_queue_free(queue);
}

int main(int argc, char **argv) {
  flockq_spool *spool = open_spool(argc > 1 ? argv[1] : ".");
  one_by_one(spool);
  in_batches(spool);
  flockq_spool_free(spool);
  return 0;
}
