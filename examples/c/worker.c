/* A worker: takes messages one after the other until none has come for a second, and gives back what fails.
 * The spool is $FLOCKQ_DIR, or ./mail-queues.
 *
 *     cc worker.c $(pkg-config --cflags --libs flockq) -o worker
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flockq.h>

static void complain(flockq_error *error) {
  flockq_bytes text = flockq_error_message(error);
  fprintf(stderr, "%.*s\n", (int)text.size, text.data);
  flockq_error_free(error);
}

/* The work itself; says whether it succeeded. */
static int handle(flockq_bytes payload) {
  return printf("%.*s\n", (int)payload.size, payload.data) > 0;
}

static int work(flockq_queue *queue) {
  flockq_receive_options how;
  memset(&how, 0, sizeof how);
  how.size = sizeof how;
  how.lease_ms = 60 * 1000;
  how.wait_ms = 1000;
  for (;;) {
    flockq_error *error = NULL;
    flockq_delivery *delivery = NULL;
    if (flockq_queue_receive(queue, &how, &delivery, &error) != FLOCKQ_STATUS_OK) {
      complain(error);
      return 1;
    }
    if (delivery == NULL) return 0;
    flockq_status settled;
    if (handle(flockq_delivery_payload(delivery))) {
      settled = flockq_delivery_ack(delivery, &error);
    } else {
      flockq_nack_options why;
      memset(&why, 0, sizeof why);
      why.size = sizeof why;
      why.reason = flockq_bytes_of("the handler failed");
      why.delay_ms = 5 * 60 * 1000;
      settled = flockq_delivery_nack(delivery, &why, &error);
    }
    /* A stale receipt is no failure of this worker: another has the message now. */
    if (settled != FLOCKQ_STATUS_OK) complain(error);
    flockq_delivery_free(delivery);
  }
}

int main(void) {
  const char *directory = getenv("FLOCKQ_DIR");
  flockq_error *error = NULL;
  flockq_spool *spool = NULL;
  flockq_queue *queue = NULL;
  flockq_spool_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.create = 1;
  int failed = 1;
  if (flockq_spool_open(flockq_bytes_of(directory != NULL ? directory : "mail-queues"), &options, &spool, &error) != FLOCKQ_STATUS_OK ||
      flockq_spool_queue(spool, flockq_bytes_of("inbound"), &queue, &error) != FLOCKQ_STATUS_OK) {
    complain(error);
  } else {
    failed = work(queue);
  }
  flockq_queue_free(queue);
  flockq_spool_free(spool);
  return failed;
}
