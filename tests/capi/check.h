/* What the C tests share. */

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flockq.h"
/* Two headers of a program may both include it. */
#include "flockq.h"

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

/* The call must succeed. `error` is the variable it was given. */
#define OK(call)                                                                          \
  do {                                                                                    \
    flockq_status status_ = (call);                                                       \
    if (status_ != FLOCKQ_STATUS_OK) {                                                    \
      flockq_bytes text_ = flockq_error_message(error);                                   \
      fprintf(stderr, "%s:%d: %s: %d %.*s\n", __FILE__, __LINE__, #call, (int)status_,    \
              (int)text_.size, text_.data);                                               \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

/* The call must fail with this status, and the error must say so in one line. */
#define FAILS(call, expected)                                                             \
  do {                                                                                    \
    error = NULL;                                                                         \
    flockq_status status_ = (call);                                                       \
    if (status_ != (expected) || flockq_error_status(error) != (expected) ||              \
        flockq_error_message(error).size == 0 ||                                          \
        memchr(flockq_error_message(error).data, '\n', flockq_error_message(error).size)) { \
      flockq_bytes text_ = flockq_error_message(error);                                   \
      fprintf(stderr, "%s:%d: %s: %d %.*s\n", __FILE__, __LINE__, #call, (int)status_,    \
              (int)text_.size, text_.data);                                               \
      exit(1);                                                                            \
    }                                                                                     \
    flockq_error_free(error);                                                             \
    error = NULL;                                                                         \
  } while (0)

static inline int bytes_are(flockq_bytes bytes, const char *text) {
  return bytes.size == strlen(text) && (bytes.size == 0 || memcmp(bytes.data, text, bytes.size) == 0);
}

#define T flockq_bytes_of

/* A spool in the directory that the test was given, without syncing. */
static inline flockq_spool *open_spool(const char *directory) {
  flockq_error *error = NULL;
  flockq_spool *spool = NULL;
  flockq_spool_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.create = 1;
  options.sync = FLOCKQ_SYNC_OFF;
  OK(flockq_spool_open(T(directory), &options, &spool, &error));
  return spool;
}

static inline flockq_queue *open_queue(const flockq_spool *spool, const char *name) {
  flockq_error *error = NULL;
  flockq_queue *queue = NULL;
  OK(flockq_spool_queue(spool, T(name), &queue, &error));
  return queue;
}

static inline uint64_t length(const flockq_queue *queue) {
  flockq_error *error = NULL;
  uint64_t count = 0;
  OK(flockq_queue_len(queue, &count, &error));
  return count;
}

#endif
