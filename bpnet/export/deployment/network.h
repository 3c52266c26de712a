/*
 * Outputs of one exported network -> people, in plain C. model.h says which network.
 *
 *   bpnet_pose_people people = {0};
 *   char error[256];
 *   if (bpnet_network_people(heatmaps, heatmap_shape, pafs, paf_shape, &people, error, 256)) ...
 *   ... people.count, people.xy ...
 *   bpnet_network_free(&people);
 *
 * Any number of threads may call at the same time, each with its own bpnet_pose_people.
 */
#ifndef BPNET_NETWORK_H
#define BPNET_NETWORK_H

#include "bpnet_pose.h"

#if defined(__GNUC__)
#define BPNET_NETWORK_API __attribute__((visibility("default")))
#else
#define BPNET_NETWORK_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The people of one image, in pixels of the network's input, the most certain first.
 *
 * heatmaps, pafs: float32 as the network writes them for one image, without gaps.
 * heatmap_shape, paf_shape: their three axes, without the one of the batch.
 */
BPNET_NETWORK_API bpnet_pose_status bpnet_network_people(
    const float *heatmaps, const size_t heatmap_shape[3], const float *pafs,
    const size_t paf_shape[3], bpnet_pose_people *people, char *error, size_t error_size);

BPNET_NETWORK_API void bpnet_network_free(bpnet_pose_people *people); /* zeros it, too */

#ifdef __cplusplus
}
#endif

#endif
