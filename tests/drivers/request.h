/* Text that grows, and a reader of requests: flat JSON objects of strings, numbers, booleans and arrays of strings. */

#ifndef FLOCKQ_DRIVER_REQUEST_H
#define FLOCKQ_DRIVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flockq.h"

typedef struct {
  char *data;
  size_t size, room;
} buffer;

/* Memory that was asked for; without it the driver ends. */
void *need(void *memory);
/* Adds bytes; the text ends with a NUL that does not count. */
void add(buffer *to, const char *data, size_t size);
/* Adds as printf does. */
void add_format(buffer *to, const char *format, ...);
/* Adds a JSON string. */
void add_string(buffer *to, flockq_bytes text);
/* Adds a JSON string, or null for no bytes. */
void add_or_null(buffer *to, flockq_bytes text);
/* Keeps a text until forget_strings(). */
flockq_bytes keep(buffer text);
/* The fields of a request; what is not there is nothing. Texts live until the next request. */
flockq_bytes text_of(const char *request, const char *name);
bool is(flockq_bytes text, const char *word);
bool has(const char *request, const char *name);
long long number_of(const char *request, const char *name, long long otherwise);
uint32_t flag_of(const char *request, const char *name);
size_t texts_of(const char *request, const char *name, flockq_bytes **texts);
flockq_bytes payload_of(const char *request);
/* The texts of the last request are of no use any more. */
void forget_strings(void);

#endif
