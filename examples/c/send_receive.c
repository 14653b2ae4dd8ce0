/* Sends a message, receives it and acks it. The spool is $FLOCKQ_DIR, or ./mail-queues.
 *
 *     cc send_receive.c $(pkg-config --cflags --libs flockq) -o send_receive
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flockq.h>

/* Ends the program with the error's line. It takes the place of the error and not the error: C does not say whether the
 * arguments of a call are read before or after the call that stands among them. */
static void require(flockq_status status, flockq_error **error) {
  if (status != FLOCKQ_STATUS_OK) {
    flockq_bytes text = flockq_error_message(*error);
    fprintf(stderr, "%.*s\n", (int)text.size, text.data);
    flockq_error_free(*error);
    exit(1);
  }
}

int main(void) {
  const char *directory = getenv("FLOCKQ_DIR");
  flockq_error *error = NULL;
  flockq_spool *spool = NULL;
  flockq_queue *inbound = NULL;
  flockq_delivery *delivery = NULL;

  flockq_spool_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.create = 1;
  require(flockq_spool_open(flockq_bytes_of(directory != NULL ? directory : "mail-queues"), &options, &spool, &error), &error);
  require(flockq_spool_queue(spool, flockq_bytes_of("inbound"), &inbound, &error), &error);

  require(flockq_queue_send(inbound, flockq_bytes_of("{\"to\": \"deacon/\"}"), NULL, NULL, &error), &error);

  require(flockq_queue_receive(inbound, NULL, &delivery, &error), &error);
  if (delivery != NULL) {
    flockq_bytes payload = flockq_delivery_payload(delivery);
    printf("%.*s\n", (int)payload.size, payload.data);
    require(flockq_delivery_ack(delivery, &error), &error);
  }

  flockq_delivery_free(delivery);
  flockq_queue_free(inbound);
  flockq_spool_free(spool);
  return 0;
}
