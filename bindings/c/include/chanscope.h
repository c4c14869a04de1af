/*
 * The C interface of chanscope, which measures how redundant the channels of a convolutional network are.
 * docs/definitions.md in the repository says what each number means, and examples/redundancy.c is a complete program.
 *
 * - Every function that can fail returns a chanscope_status. On anything but CHANSCOPE_OK chanscope_last_error() says
 *   what is wrong, and nothing was written through the pointers.
 * - Arrays are in C order. A handle is released with the function of its type whose name ends in _free; NULL is allowed
 *   there.
 * - A context may be used by one thread at a time, results by any number of threads.
 *
 * This file is generated from bindings/c/src; do not edit it.
 */

#ifndef CHANSCOPE_H
#define CHANSCOPE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// How a call ended.
typedef enum chanscope_status {
  // It did what was asked.
  CHANSCOPE_OK = 0,
  // An argument is wrong: a null pointer, an option out of its range, a shape that does not fit.
  CHANSCOPE_ARGUMENT = 1,
  // The values cannot be measured: NaN or infinities, or too few samples.
  CHANSCOPE_DATA = 2,
  // The operating system refused to read or write.
  CHANSCOPE_IO = 3,
  // The memory cap is too small.
  CHANSCOPE_MEMORY = 4,
  // There is no such device, or it failed.
  CHANSCOPE_DEVICE = 5,
  // The progress function asked to stop.
  CHANSCOPE_CANCELLED = 6,
  // A fault of this library. Please report it.
  CHANSCOPE_INTERNAL = 7,
} chanscope_status;

// Similarity of two vectors.
typedef enum chanscope_kernel {
  // exp(-|x - y|^2 / (2 s^2)).
  CHANSCOPE_GAUSSIAN = 0,
  // 1/2 + 1/2 cos(x, y).
  CHANSCOPE_COSINE = 1,
} chanscope_kernel;

// What happens to candidates at distance 0 from the query.
typedef enum chanscope_identical {
  // They are candidates like any other.
  CHANSCOPE_KEEP = 0,
  // They keep their place and get the weight 0, unless all candidates are at distance 0.
  CHANSCOPE_DROP = 1,
  // The next candidates take their places.
  CHANSCOPE_REPLACE = 2,
} chanscope_identical;

// A device, a memory cap, and a function that is told of progress.
typedef struct chanscope_context chanscope_context;

// The channel redundancy of a layer.
typedef struct chanscope_redundancy chanscope_redundancy;

// Is told how far a computation is: what is being done, how much of it is done, and how much there is. Returns whether to
// go on. Calls come from any thread, one at a time.
typedef bool (*chanscope_progress)(void *user, const char *stage, uint64_t done, uint64_t total);

// Which similarity. All bytes zero give the usual one.
typedef struct chanscope_filters_options {
  // The gradient is that of the value over adjacent pairs.
  bool adjacent;
  // Correlations are summed over the input channels before they are squared.
  bool summed;
} chanscope_filters_options;

// Figures of a layer's filters. NaN where there is no value.
typedef struct chanscope_filters_summary {
  // Convolutional Similarity over all pairs.
  double value;
  // Convolutional Similarity over adjacent pairs.
  double value_adjacent;
  // Mean similarity of a pair, normalised by that of the filters with themselves.
  double normalized_mean;
  // Mean absolute cosine of two filters.
  double cosine_mean;
  // Filters that are zero.
  size_t zero_filters;
} chanscope_filters_summary;

// How a graph is built. chanscope_graph_options_default() gives the usual values.
typedef struct chanscope_graph_options {
  // Candidates per query, 1 to 1024.
  size_t k;
  // One of chanscope_kernel.
  uint32_t kernel;
  // Bandwidth of the Gaussian kernel; 0 for a third of the distance to the last candidate, per query.
  double sigma;
  // One of chanscope_identical.
  uint32_t identical;
} chanscope_graph_options;

// What is measured. chanscope_redundancy_options_default() gives the usual values.
typedef struct chanscope_redundancy_options {
  // How the graphs are built.
  struct chanscope_graph_options graph;
  // Also the graph of all channels taken as one vector per sample.
  bool aggregate;
  // Leave samples with NaN or infinities out; otherwise such values are an error.
  bool skip_non_finite;
} chanscope_redundancy_options;

// Figures of a layer. NaN where there is no value.
typedef struct chanscope_layer_summary {
  // Channels.
  size_t channels;
  // Samples that were left out because they are not finite.
  size_t samples_skipped;
  // Mean overlap of the supports of two different channels.
  double overlap_mean;
  // Mean Jaccard index of the supports of two different channels.
  double jaccard_mean;
  // 1 where the supports of the channels are disjoint, the number of channels where they are identical.
  double redundancy;
  // Share of the aggregate's support found in some channel's support.
  double recall;
  // Error of always answering the most frequent label.
  double majority_error;
} chanscope_layer_summary;

// Figures of a channel, or of the aggregate. NaN where there is no value; all of them where the channel is dead.
typedef struct chanscope_space_summary {
  // Mean size of the support.
  double neighbors_mean;
  // Mean number of principal components that hold 95 % of the squared norm of the NNK polytope.
  double pca_dimension_mean;
  // TwoNN intrinsic dimension.
  double two_nn;
  // Mean reconstruction error.
  double reconstruction_error_mean;
  // Share of queries whose interpolated label is wrong, leave one out.
  double loo_error;
  // Mean of one less the share of the true label.
  double loo_soft_error;
  // Queries left out of every mean.
  uint64_t degenerate_queries;
  // Queries whose support is not unique.
  uint64_t not_unique_queries;
  // Whether the channel is zero on every sample.
  bool dead;
} chanscope_space_summary;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Opens a device. `device` is "auto" (a real GPU if there is one, else the CPU), "cpu", "gpu" or "gpu:NAME_OR_INDEX".
// `threads` is the number of threads of the CPU backend and of work on the host, 0 for all cores. `memory` bounds the
// working sets on host and device, in bytes.
//
// # Safety
// `device` is a string that ends with a zero byte, and `context` points to memory for a pointer.
enum chanscope_status chanscope_context_new(const char *device,
                                            size_t threads,
                                            uint64_t memory,
                                            struct chanscope_context **context);

// Has `progress` called with `user` during every computation in this context from now on; NULL ends that.
//
// # Safety
// `context` came from chanscope_context_new. The function may be called with `user` from any thread.
enum chanscope_status chanscope_context_set_progress(struct chanscope_context *context,
                                                     chanscope_progress progress,
                                                     void *user);

// Closes the device.
//
// # Safety
// `context` came from chanscope_context_new and is not used any more, or is NULL.
void chanscope_context_free(struct chanscope_context *context);

// Measures weights [filters, channels, height, width]; `shape` holds these four numbers. `pairs` [filters, filters] and
// `gradient`, of the shape of the weights, may be NULL where they are not wanted.
//
// # Safety
// `context` came from chanscope_context_new; the other pointers point to what is said above.
enum chanscope_status chanscope_filters(const struct chanscope_context *context,
                                        const float *weights,
                                        const size_t *shape,
                                        const struct chanscope_filters_options *options,
                                        struct chanscope_filters_summary *summary,
                                        double *pairs,
                                        float *gradient);

// k 25, the Gaussian kernel with a bandwidth per query, identical points kept.
struct chanscope_graph_options chanscope_graph_options_default(void);

// The `k` nearest neighbours of each of `samples` points of `dim` numbers among the others, exactly. `kernel` is one of
// chanscope_kernel: the Gaussian one stands for Euclidean distances, the other for cosines. Either output may be NULL
// where it is not wanted: `neighbors` [samples, k] (indices by distance and index, -1 where there is none) and
// `sq_distances` [samples, k] (2 - 2 cos under cosine).
//
// # Safety
// `context` came from chanscope_context_new; the other pointers point to arrays of these shapes, which do not overlap.
enum chanscope_status chanscope_knn(const struct chanscope_context *context,
                                    const float *points,
                                    size_t samples,
                                    size_t dim,
                                    size_t k,
                                    uint32_t kernel,
                                    int32_t *neighbors,
                                    double *sq_distances);

// The NNK graph of `samples` points of `dim` numbers each: every point is a query among all others. Any output may be
// NULL where it is not wanted: `neighbors` and `sq_distances` as of chanscope_knn, `weights` [samples, k], and one number per
// sample in `objective` and `degenerate`.
//
// # Safety
// `context` came from chanscope_context_new; the other pointers point to arrays of these shapes, which do not overlap.
enum chanscope_status chanscope_nnk(const struct chanscope_context *context,
                                    const float *points,
                                    size_t samples,
                                    size_t dim,
                                    const struct chanscope_graph_options *options,
                                    int32_t *neighbors,
                                    double *sq_distances,
                                    float *weights,
                                    double *objective,
                                    bool *degenerate);

// The usual graphs of the channels, no aggregate; values that are not finite are an error.
struct chanscope_redundancy_options chanscope_redundancy_options_default(void);

// Measures activations [samples, channels, height, width]. `shape` holds these four numbers. `labels` holds the class of
// every sample, or is NULL.
//
// # Safety
// `context` came from chanscope_context_new; the other pointers point to what is said above.
enum chanscope_status chanscope_redundancy_measure(const struct chanscope_context *context,
                                                   const float *activations,
                                                   const size_t *shape,
                                                   const uint32_t *labels,
                                                   const struct chanscope_redundancy_options *options,
                                                   struct chanscope_redundancy **redundancy);

// The figures of the layer.
//
// # Safety
// `redundancy` came from chanscope_redundancy_measure, and `summary` points to memory for the struct.
enum chanscope_status chanscope_redundancy_layer(const struct chanscope_redundancy *redundancy,
                                                 struct chanscope_layer_summary *summary);

// The figures of one channel, from 0 on.
//
// # Safety
// As chanscope_redundancy_layer.
enum chanscope_status chanscope_redundancy_channel(const struct chanscope_redundancy *redundancy,
                                                   size_t channel,
                                                   struct chanscope_space_summary *summary);

// The figures of the aggregate.
//
// # Safety
// As chanscope_redundancy_layer.
enum chanscope_status chanscope_redundancy_aggregate(const struct chanscope_redundancy *redundancy,
                                                     struct chanscope_space_summary *summary);

// Copies the matrices [channels, channels] of mean overlap and mean Jaccard index; NaN in the rows and columns of dead
// channels. Either may be NULL where it is not wanted.
//
// # Safety
// `redundancy` came from chanscope_redundancy_measure, and the others point to arrays of that shape.
enum chanscope_status chanscope_redundancy_matrices(const struct chanscope_redundancy *redundancy,
                                                    double *overlap,
                                                    double *jaccard);

// Releases the result.
//
// # Safety
// `redundancy` came from chanscope_redundancy_measure and is not used any more, or is NULL.
void chanscope_redundancy_free(struct chanscope_redundancy *redundancy);

// Why the last call of this thread failed, as one line of UTF-8; empty after a call that succeeded. The text belongs to
// the library and lasts until the next call of this thread.
const char *chanscope_last_error(void);

// The version of the library, such as "0.1.0".
const char *chanscope_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CHANSCOPE_H */
