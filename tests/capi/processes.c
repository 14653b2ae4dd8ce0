/* Fork without exec, threads, and the death of a consumer whose forked child lives. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define EACH 30

static void send_some(const flockq_queue *queue, int count) {
  flockq_error *error = NULL;
  for (int i = 0; i < count; i++) OK(flockq_queue_send(queue, T("{\"n\":1}"), NULL, NULL, &error));
}

static int take_some(const flockq_queue *queue, int count) {
  flockq_error *error = NULL;
  flockq_receive_options how;
  memset(&how, 0, sizeof how);
  how.size = sizeof how;
  how.wait_ms = 5000;
  for (int i = 0; i < count; i++) {
    flockq_delivery *delivery = NULL;
    OK(flockq_queue_receive(queue, &how, &delivery, &error));
    if (delivery == NULL) return i;
    OK(flockq_delivery_ack(delivery, &error));
    flockq_delivery_free(delivery);
  }
  return count;
}

static void expect_success(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) fprintf(stderr, "the child died of signal %d\n", WTERMSIG(status));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void parent_and_child_both_go_on(const char *directory) {
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "fork");
  send_some(queue, EACH);
  CHECK(take_some(queue, 1) == 1);
  for (int round = 0; round < 3; round++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      send_some(queue, EACH);
      CHECK(take_some(queue, EACH) == EACH);
      flockq_queue_free(queue);
      flockq_spool_free(spool);
      _exit(0);
    }
    send_some(queue, EACH);
    CHECK(take_some(queue, EACH) == EACH);
    expect_success(child);
  }
  CHECK(length(queue) == EACH - 1);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

/* The lock of `parent` is asked for from a third process, which shares nothing with either. */
static int is_free(const char *directory) {
  pid_t third = fork();
  CHECK(third >= 0);
  if (third == 0) {
    flockq_error *error = NULL;
    flockq_file_lock *lock = NULL;
    flockq_file_lock_options options;
    char path[4200];
    snprintf(path, sizeof path, "%s/held.json", directory);
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.wait_ms = FLOCKQ_NO_WAIT;
    options.untied = 1;
    flockq_status status = flockq_file_lock_acquire(T(path), &options, &lock, &error);
    flockq_error_free(error);
    flockq_file_lock_free(lock);
    _exit(status == FLOCKQ_STATUS_OK ? 0 : 1);
  }
  int status;
  CHECK(waitpid(third, &status, 0) == third && WIFEXITED(status));
  return WEXITSTATUS(status) == 0;
}

static void neither_frees_nor_keeps_the_others_lock(const char *directory) {
  flockq_error *error = NULL;
  flockq_file_lock *lock = NULL;
  char path[4200];
  int go[2];
  char byte = 0;
  snprintf(path, sizeof path, "%s/held.json", directory);
  OK(flockq_file_lock_acquire(T(path), NULL, &lock, &error));
  CHECK(pipe(go) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    /* Giving back what it inherited must not free the parent's lock. */
    flockq_file_lock_free(lock);
    close(go[1]);
    CHECK(read(go[0], &byte, 1) == 0);
    _exit(0);
  }
  struct timespec moment = {0, 100000000};
  nanosleep(&moment, NULL);
  CHECK(!is_free(directory));
  /* The child still lives; the parent's release must be effective all the same. */
  flockq_file_lock_free(lock);
  CHECK(is_free(directory));
  close(go[0]);
  close(go[1]);
  expect_success(child);
}

static void a_transaction_does_not_cross_a_fork(const char *directory) {
  flockq_error *error = NULL;
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "change");
  flockq_transaction *change = NULL;
  OK(flockq_queue_begin(queue, &change, &error));
  OK(flockq_transaction_set(change, T("[1]"), &error));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    FAILS(flockq_transaction_set(change, T("[2]"), &error), FLOCKQ_STATUS_CLOSED);
    FAILS(flockq_transaction_commit(change, &error), FLOCKQ_STATUS_CLOSED);
    flockq_transaction_free(change);
    flockq_queue_free(queue);
    flockq_spool_free(spool);
    _exit(0);
  }
  expect_success(child);
  OK(flockq_transaction_commit(change, &error));
  flockq_transaction_free(change);
  CHECK(length(queue) == 1);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

static void a_consumers_death_is_noticed_although_its_child_lives(const char *directory) {
  flockq_error *error = NULL;
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "death");
  int ready[2];
  char byte = 0;
  send_some(queue, 1);
  CHECK(pipe(ready) == 0);
  pid_t consumer = fork();
  CHECK(consumer >= 0);
  if (consumer == 0) {
    flockq_delivery *delivery = NULL;
    flockq_receive_options how;
    memset(&how, 0, sizeof how);
    how.size = sizeof how;
    how.lease_ms = 3600000;
    OK(flockq_queue_receive(queue, &how, &delivery, &error));
    CHECK(delivery != NULL);
    if (fork() == 0) {
      /* The grandchild outlives the consumer. */
      close(ready[0]);
      close(ready[1]);
      flockq_delivery_free(delivery);
      flockq_queue_free(queue);
      flockq_spool_free(spool);
      sleep(4);
      _exit(0);
    }
    CHECK(write(ready[1], &byte, 1) == 1);
    for (;;) pause();
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  struct timespec before, after;
  flockq_delivery *delivery = NULL;
  flockq_receive_options how;
  memset(&how, 0, sizeof how);
  how.size = sizeof how;
  OK(flockq_queue_receive(queue, &how, &delivery, &error));
  CHECK(delivery == NULL);
  CHECK(kill(consumer, SIGKILL) == 0 && waitpid(consumer, NULL, 0) == consumer);
  clock_gettime(CLOCK_MONOTONIC, &before);
  how.wait_ms = 10000;
  OK(flockq_queue_receive(queue, &how, &delivery, &error));
  clock_gettime(CLOCK_MONOTONIC, &after);
  CHECK(delivery != NULL && flockq_delivery_attempts(delivery) == 2);
  CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 1100);
  OK(flockq_delivery_ack(delivery, &error));
  flockq_delivery_free(delivery);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

static void *send_in_a_thread(void *queue) {
  send_some((const flockq_queue *)queue, EACH);
  return NULL;
}

static void *take_in_a_thread(void *queue) {
  CHECK(take_some((const flockq_queue *)queue, EACH) == EACH);
  return NULL;
}

static void any_thread_may_use_a_handle(const char *directory) {
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "threads");
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, i % 2 == 0 ? send_in_a_thread : take_in_a_thread, queue) == 0);
  for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(length(queue) == 0);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

static volatile int forking = 1;

static void *use_while_forking(void *queue) {
  while (forking) {
    send_some((const flockq_queue *)queue, 1);
    CHECK(take_some((const flockq_queue *)queue, 1) == 1);
  }
  return NULL;
}

/* A child of a process whose other threads are in the middle of everything. */
static void a_fork_at_any_moment_leaves_a_child_that_works(const char *directory) {
  flockq_spool *spool = open_spool(directory);
  flockq_queue *queue = open_queue(spool, "storm");
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, use_while_forking, queue) == 0);
  for (int i = 0; i < 50; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(20);
      send_some(queue, 1);
      CHECK(take_some(queue, 1) == 1);
      flockq_queue_free(queue);
      flockq_spool_free(spool);
      _exit(0);
    }
    expect_success(child);
  }
  forking = 0;
  for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(length(queue) == 0);
  flockq_queue_free(queue);
  flockq_spool_free(spool);
}

int main(int count, char **arguments) {
  CHECK(count == 2);
  parent_and_child_both_go_on(arguments[1]);
  neither_frees_nor_keeps_the_others_lock(arguments[1]);
  a_transaction_does_not_cross_a_fork(arguments[1]);
  a_consumers_death_is_noticed_although_its_child_lives(arguments[1]);
  any_thread_may_use_a_handle(arguments[1]);
#ifndef __SANITIZE_ADDRESS__
  /* The allocator of gcc's sanitizer has mutexes that its child finds locked. */
  a_fork_at_any_moment_leaves_a_child_that_works(arguments[1]);
#else
  (void)a_fork_at_any_moment_leaves_a_child_that_works;
#endif
  return 0;
}
