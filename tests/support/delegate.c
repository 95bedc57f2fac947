/* A TFLite external delegate for tests. The runtime's structs are declared by hand, as TFLite 2.3's common.h has them.
 * MODE, or the option "mode", says what it does:
 *   nothing  claims no operation, so that the CPU computes everything
 *   junk     claims the whole graph and writes sevens
 *   null     refuses to be created, with a message
 *   prepare  fails while the graph is handed over
 *   invoke   claims the whole graph and fails when it runs
 *   right    claims the last operation, from int8 to uint8, and computes it
 *   first    the same, but of a batch the first picture only
 * With MARK, a path, loading the library leaves a file there.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MODE
#define MODE "nothing"
#endif

typedef struct { int size; int data[]; } IntArray;
typedef struct {
  int type;
  void* data;
  IntArray* dims;
  struct { float scale; int32_t zero; } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  void* delegate;
  int buffer_handle;
  unsigned char stale, variable;
  struct { int type; void* params; } quantization;
  void* sparsity;
  const IntArray* signature;
} Tensor;
typedef struct { IntArray *inputs, *outputs; } NodeHead;
typedef struct Context Context;
typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, NodeHead*);
  int (*invoke)(Context*, NodeHead*);
  const char* (*profiling_string)(const Context*, const NodeHead*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* (*async_kernel)(Context*, NodeHead*);
  uint64_t inplace_operator;
} Registration;
typedef struct Delegate {
  void* data;
  int (*prepare)(Context*, struct Delegate*);
  int (*copy_from)(Context*, struct Delegate*, int, void*);
  int (*copy_to)(Context*, struct Delegate*, int, void*);
  void (*free_handle)(Context*, struct Delegate*, int*);
  int64_t flags;
  void* opaque_builder;
} Delegate;
struct Context {
  size_t tensors_size;
  int (*plan)(Context*, IntArray**);
  Tensor* tensors;
  void* impl;
  void* resize;
  void (*report)(Context*, const char*, ...);
  void* add_tensors;
  void* node_and_registration;
  int (*replace)(Context*, Registration, const IntArray*, Delegate*);
  /* more follows, unused here */
};

static int is(const Delegate* delegate, const char* mode) { return strcmp(delegate->data, mode) == 0; }

static int ready(Context* context, NodeHead* node) { (void)context; (void)node; return 0; }

static int sevens(Context* context, NodeHead* node) {
  for (int i = 0; i < node->outputs->size; i++) {
    Tensor* out = &context->tensors[node->outputs->data[i]];
    memset(out->data, 7, out->bytes);
  }
  return 0;
}

#ifdef MARK
__attribute__((constructor)) static void loaded(void) { FILE* file = fopen(MARK, "w"); if (file) fclose(file); }
#endif

static int shifted(Context* context, NodeHead* node, int first_only) {
  Tensor* in = &context->tensors[node->inputs->data[0]];
  Tensor* out = &context->tensors[node->outputs->data[0]];
  size_t count = first_only ? out->bytes / out->dims->data[0] : out->bytes;
  for (size_t i = 0; i < count; i++) ((uint8_t*)out->data)[i] = ((uint8_t*)in->data)[i] ^ 0x80;
  return 0;
}

static int all(Context* context, NodeHead* node) { return shifted(context, node, 0); }

static int first(Context* context, NodeHead* node) { return shifted(context, node, 1); }

static int fails(Context* context, NodeHead* node) {
  (void)node;
  context->report(context, "the device has gone");
  return 1;
}

static int prepare(Context* context, Delegate* delegate) {
  if (is(delegate, "nothing")) return 0;
  if (is(delegate, "prepare")) { context->report(context, "the graph is too large for the device"); return 1; }
  IntArray* plan;
  if (context->plan(context, &plan)) return 1;
  IntArray* nodes = malloc(sizeof(IntArray) + plan->size * sizeof(int));
  memcpy(nodes, plan, sizeof(IntArray) + plan->size * sizeof(int));
  Registration kernel = {0};
  if (is(delegate, "right") || is(delegate, "first")) {
    nodes->data[0] = plan->data[plan->size - 1];
    nodes->size = 1;
  }
  kernel.prepare = ready;
  kernel.invoke = is(delegate, "junk") ? sevens : is(delegate, "right") ? all : is(delegate, "first") ? first : fails;
  kernel.custom_name = "TestDelegate";
  kernel.version = 1;
  int status = context->replace(context, kernel, nodes, delegate);
  free(nodes);
  return status;
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  const char* mode = MODE;
  for (size_t i = 0; i < count; i++)
    if (strcmp(keys[i], "mode") == 0) mode = values[i];
  if (strcmp(mode, "null") == 0) {
    if (report) report("no such device");
    return NULL;
  }
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->data = strdup(mode);
  delegate->prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) {
  if (delegate) { free(delegate->data); free(delegate); }
}
