/* Text that grows, and a reader of requests, which takes a flat object apart; what it does not find is absent. */

#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *need(void *memory) {
  if (memory == NULL) {
    fputs("out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

void add(buffer *to, const char *data, size_t size) {
  if (to->size + size + 1 > to->room) {
    to->room = (to->size + size + 1) * 2;
    to->data = (char *)need(realloc(to->data, to->room));
  }
  if (size > 0) memcpy(to->data + to->size, data, size);
  to->size += size;
  to->data[to->size] = '\0';
}

void add_format(buffer *to, const char *format, ...) {
  char text[128];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  add(to, text, (size_t)size);
}

void add_string(buffer *to, flockq_bytes text) {
  add(to, "\"", 1);
  for (size_t i = 0; i < text.size; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    if (byte == '"' || byte == '\\') {
      char escaped[2] = {'\\', (char)byte};
      add(to, escaped, 2);
    } else if (byte < 0x20) {
      add_format(to, "\\u%04x", byte);
    } else {
      add(to, (const char *)&byte, 1);
    }
  }
  add(to, "\"", 1);
}

void add_or_null(buffer *to, flockq_bytes text) {
  if (text.size == 0) {
    add(to, "null", 4);
  } else {
    add_string(to, text);
  }
}

static const char *skip_space(const char *at) {
  while (*at == ' ' || *at == '\t') at++;
  return at;
}

static void add_code_point(buffer *to, unsigned long point) {
  char bytes[4];
  if (point < 0x80) {
    bytes[0] = (char)point;
    add(to, bytes, 1);
  } else if (point < 0x800) {
    bytes[0] = (char)(0xC0 | (point >> 6));
    bytes[1] = (char)(0x80 | (point & 0x3F));
    add(to, bytes, 2);
  } else if (point < 0x10000) {
    bytes[0] = (char)(0xE0 | (point >> 12));
    bytes[1] = (char)(0x80 | ((point >> 6) & 0x3F));
    bytes[2] = (char)(0x80 | (point & 0x3F));
    add(to, bytes, 3);
  } else {
    bytes[0] = (char)(0xF0 | (point >> 18));
    bytes[1] = (char)(0x80 | ((point >> 12) & 0x3F));
    bytes[2] = (char)(0x80 | ((point >> 6) & 0x3F));
    bytes[3] = (char)(0x80 | (point & 0x3F));
    add(to, bytes, 4);
  }
}

static unsigned long hex_digits(const char *at, int count) {
  char digits[5] = {0};
  memcpy(digits, at, (size_t)count);
  return strtoul(digits, NULL, 16);
}

/* Reads a string from its opening quote; returns what follows it. */
static const char *read_string(const char *at, buffer *to) {
  add(to, "", 0);
  for (at++; *at != '\0' && *at != '"'; at++) {
    size_t plain_text = strcspn(at, "\"\\");
    if (plain_text > 0) {
      add(to, at, plain_text);
      at += plain_text - 1;
      continue;
    }
    at++;
    const char *plain = strchr("\"\\/bfnrt", *at);
    if (plain != NULL && *at != '\0') {
      add(to, &"\"\\/\b\f\n\r\t"[plain - "\"\\/bfnrt"], 1);
    } else if (*at == 'u' && strlen(at) >= 5) {
      unsigned long unit = hex_digits(at + 1, 4);
      at += 4;
      if (unit >= 0xD800 && unit < 0xDC00 && at[1] == '\\' && at[2] == 'u' && strlen(at) >= 7) {
        unit = 0x10000 + ((unit - 0xD800) << 10) + (hex_digits(at + 3, 4) - 0xDC00);
        at += 6;
      }
      add_code_point(to, unit);
    }
  }
  return *at == '"' ? at + 1 : at;
}

static const char *skip_string(const char *at) {
  for (at++; *at != '\0' && *at != '"'; at++) {
    at += strcspn(at, "\"\\");
    if (*at == '"' || *at == '\0') break;
    if (at[1] != '\0') at++;
  }
  return *at == '"' ? at + 1 : at;
}

static const char *skip_value(const char *at) {
  int depth = 0;
  do {
    at = skip_space(at);
    if (*at == '"') {
      at = skip_string(at);
    } else if (*at == '[' || *at == '{') {
      depth++;
      at++;
    } else if (*at == ']' || *at == '}') {
      depth--;
      at++;
    } else {
      size_t word = strcspn(at, ",[]{}\"");
      at += word;
      if (word == 0 && *at == ',' && depth > 0) at++;
    }
  } while (depth > 0 && *at != '\0');
  return at;
}

/* The place of a field's value, or NULL. */
static const char *find(const char *request, const char *name) {
  const char *at = strchr(request, '{');
  if (at == NULL) return NULL;
  at = skip_space(at + 1);
  while (*at == '"') {
    buffer key = {0};
    at = skip_space(read_string(at, &key));
    if (*at == ':') at = skip_space(at + 1);
    bool found = strcmp(key.data, name) == 0;
    free(key.data);
    if (found) return at;
    at = skip_space(skip_value(at));
    if (*at == ',') at = skip_space(at + 1);
  }
  return NULL;
}

/* Strings that live until the next request. */
static buffer *strings[4096];
static size_t string_count;

flockq_bytes keep(buffer text) {
  flockq_bytes bytes;
  if (string_count == sizeof strings / sizeof strings[0]) {
    fputs("too many strings in one request\n", stderr);
    exit(1);
  }
  buffer *kept = (buffer *)need(malloc(sizeof *kept));
  *kept = text;
  strings[string_count++] = kept;
  bytes.data = kept->data;
  bytes.size = kept->size;
  return bytes;
}

void forget_strings(void) {
  while (string_count > 0) {
    buffer *kept = strings[--string_count];
    free(kept->data);
    free(kept);
  }
}

flockq_bytes text_of(const char *request, const char *name) {
  flockq_bytes none = {NULL, 0};
  const char *at = find(request, name);
  if (at == NULL || *at != '"') return none;
  buffer text = {0};
  read_string(at, &text);
  return keep(text);
}

bool is(flockq_bytes text, const char *word) {
  return text.size == strlen(word) && memcmp(text.data == NULL ? "" : text.data, word, text.size) == 0;
}

bool has(const char *request, const char *name) { return find(request, name) != NULL; }

long long number_of(const char *request, const char *name, long long otherwise) {
  const char *at = find(request, name);
  return at == NULL ? otherwise : strtoll(at, NULL, 10);
}

uint32_t flag_of(const char *request, const char *name) {
  const char *at = find(request, name);
  return at != NULL && strncmp(at, "true", 4) == 0;
}

size_t texts_of(const char *request, const char *name, flockq_bytes **texts) {
  size_t count = 0;
  const char *at = find(request, name);
  *texts = NULL;
  if (at == NULL || *at != '[') return 0;
  for (at = skip_space(at + 1); *at == '"'; at = skip_space(*at == ',' ? at + 1 : at)) {
    buffer text = {0};
    at = skip_space(read_string(at, &text));
    *texts = (flockq_bytes *)need(realloc(*texts, (count + 1) * sizeof **texts));
    (*texts)[count++] = keep(text);
  }
  return count;
}

flockq_bytes payload_of(const char *request) {
  flockq_bytes hex = text_of(request, "payload_hex");
  if (!has(request, "payload_hex")) return text_of(request, "payload");
  buffer bytes = {0};
  add(&bytes, "", 0);
  for (size_t i = 0; i + 1 < hex.size; i += 2) {
    char byte = (char)hex_digits(hex.data + i, 2);
    add(&bytes, &byte, 1);
  }
  return keep(bytes);
}
