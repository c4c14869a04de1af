/*
 * Channel redundancy of an array, graphs of its samples, and the similarity of filters.
 *
 *     cargo build --release -p chanscope-c
 *     cc -Ibindings/c/include bindings/c/examples/redundancy.c -o redundancy \
 *        -Ltarget/release -lchanscope_c -Wl,-rpath,target/release -lm
 *     ./redundancy
 */
#include "chanscope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 200, CHANNELS = 3, SIDE = 3, DIM = SIDE * SIDE, FILTERS = 4, K = 5 };

/* Ends the program with the library's message unless a call succeeded. */
static void check(chanscope_status status) {
    if (status != CHANSCOPE_OK) {
        fprintf(stderr, "chanscope: %s\n", chanscope_last_error());
        exit(1);
    }
}

/* Counts the calls and goes on. */
static bool count(void *user, const char *stage, uint64_t done, uint64_t total) {
    (void)stage;
    (void)done;
    (void)total;
    ++*(long *)user;
    return true;
}

int main(void) {
    chanscope_context *context;
    check(chanscope_context_new("cpu", 0, 256u << 20, &context));
    long calls = 0;
    check(chanscope_context_set_progress(context, count, &calls));

    /* Activations [SAMPLES, CHANNELS, SIDE, SIDE]: channel 2 moves almost as channel 0 does. */
    static float activations[SAMPLES][CHANNELS][DIM];
    static uint32_t labels[SAMPLES];
    const float speed[CHANNELS] = {0.123f, 0.271f, 0.131f};
    for (int i = 0; i < SAMPLES; ++i) {
        labels[i] = (uint32_t)(i / 50);
        for (int c = 0; c < CHANNELS; ++c) {
            for (int p = 0; p < DIM; ++p) {
                float x = fmodf((float)i * speed[c] + (float)p * 0.5f, 4.0f);
                activations[i][c][p] = x < 2.0f ? x : 4.0f - x;
            }
        }
    }
    const size_t shape[4] = {SAMPLES, CHANNELS, SIDE, SIDE};
    chanscope_redundancy_options options = chanscope_redundancy_options_default();
    options.graph.k = 10;
    options.aggregate = true;
    chanscope_redundancy *found;
    check(chanscope_redundancy_measure(context, &activations[0][0][0], shape, labels, &options, &found));

    chanscope_layer_summary layer;
    check(chanscope_redundancy_layer(found, &layer));
    printf("redundancy %.17g\n", layer.redundancy);
    for (size_t c = 0; c < layer.channels; ++c) {
        chanscope_space_summary channel;
        check(chanscope_redundancy_channel(found, c, &channel));
        printf("channel %zu: %.17g neighbours, error %.17g\n", c, channel.neighbors_mean, channel.loo_error);
    }
    double jaccard[CHANNELS][CHANNELS];
    check(chanscope_redundancy_matrices(found, NULL, &jaccard[0][0]));
    printf("Jaccard of channels 0 and 2: %.17g\n", jaccard[0][2]);
    chanscope_redundancy_free(found);

    /* The graph of points. */
    static int32_t neighbors[SAMPLES][K];
    static float weights[SAMPLES][K];
    chanscope_graph_options graph = chanscope_graph_options_default();
    graph.k = K;
    check(chanscope_nnk(context, &activations[0][0][0], SAMPLES, CHANNELS * DIM, &graph, &neighbors[0][0], NULL,
                        &weights[0][0], NULL, NULL));
    printf("sample 7: nearest %d, weight %.9g\n", (int)neighbors[7][0], (double)weights[7][0]);
    static double distances[SAMPLES][K];
    check(chanscope_knn(context, &activations[0][0][0], SAMPLES, CHANNELS * DIM, K, CHANSCOPE_COSINE, NULL,
                        &distances[0][0]));
    printf("sample 7: nearest by angle at %.17g\n", distances[7][0]);

    /* Filters. */
    float filters[FILTERS][2][3][3];
    for (int i = 0; i < FILTERS * 18; ++i) {
        (&filters[0][0][0][0])[i] = (float)(i * 7 % 11) * 0.125f - 0.5f;
    }
    const size_t bank[4] = {FILTERS, 2, 3, 3};
    const chanscope_filters_options usual = {0};
    chanscope_filters_summary similarity;
    check(chanscope_filters(context, &filters[0][0][0][0], bank, &usual, &similarity, NULL, NULL));
    printf("similarity %.17g\n", similarity.value);

    /* What is wrong is said. */
    graph.k = 0;
    if (chanscope_nnk(context, &activations[0][0][0], SAMPLES, DIM, &graph, &neighbors[0][0], NULL, NULL, NULL, NULL) !=
        CHANSCOPE_ARGUMENT) {
        return 1;
    }
    printf("refused: %s\n", chanscope_last_error());
    printf("progress was reported: %s\n", calls > 0 ? "yes" : "no");
    chanscope_context_free(context);
    return 0;
}
