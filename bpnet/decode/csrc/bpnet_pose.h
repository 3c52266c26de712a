/*
 * Maps of a pose network -> people, in plain C (C99; C89 compilers with <stddef.h> do).
 *
 *   bpnet_pose_decoder *decoder;
 *   bpnet_pose_people people = {0};
 *   char error[256];
 *   if (bpnet_pose_create_from_file("skeleton.json", NULL, &decoder, error, sizeof error)) ...
 *   if (bpnet_pose_decode(decoder, &maps, &people, error, sizeof error)) ...
 *   ... people.count, people.xy ...
 *   bpnet_pose_people_free(&people);
 *   bpnet_pose_destroy(decoder);
 *
 * Link the static library bpnet_pose, the C++ standard library and the system's threads; CMake's
 * find_package(bpnet_pose) does so.
 *
 * Threads: a decoder does not change once it is made, and any number of threads may decode with
 * one at the same time. A bpnet_pose_people belongs to one thread at a time. Nothing is global.
 *
 * Errors: a function that can fail returns a bpnet_pose_status and, where `error` is not NULL,
 * writes one sentence of at most `error_size` bytes there, its terminating zero included; it
 * writes an empty one on success. No C++ exception leaves the library.
 *
 * Pixels: the centre of the top-left pixel of the network's input is (0, 0), x right, y down. Cell
 * (row i, column j) of a map of stride s lies at pixel (s*j + (s-1)/2, s*i + (s-1)/2).
 */
#ifndef BPNET_POSE_H
#define BPNET_POSE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bpnet_pose_status {
    BPNET_POSE_OK = 0,
    BPNET_POSE_INVALID = 1,       /* an argument is impossible; the error says which */
    BPNET_POSE_FILE = 2,          /* the skeleton file cannot be read, or says something else */
    BPNET_POSE_OUT_OF_MEMORY = 3, /* nothing was changed that the caller can see */
    BPNET_POSE_INTERNAL = 4       /* a fault of the library */
} bpnet_pose_status;

/* Every number that the decoder goes by; bpnet_pose_default_settings() gives the defaults. */
typedef struct bpnet_pose_settings {
    float heatmap_threshold; /* least score of a keypoint: the value at the sub-pixel top */
    float cell_share;        /* cells below this share of heatmap_threshold are no candidates */
    int max_peaks;           /* most candidates of a keypoint; the strongest are kept */
    int refine;              /* 2 doubles the heatmaps before peaks are sought, 1 does not */
    float paf_threshold;     /* least agreement of a PAF sample with its limb */
    float min_sample_share;  /* share of a limb's samples that must reach paf_threshold */
    float samples_per_cell;  /* samples along a limb, per heatmap cell of its length */
    int min_samples;         /* least number of samples of a limb, 2 or more */
    int max_samples;         /* most samples of a limb */
    float short_limb;        /* heatmap cells; a shorter limb scores short_limb_score at least */
    float short_limb_score;
    float length_limit;   /* limbs longer than this share of the input's height score less */
    int paf_cell_corners; /* not 0: the network was trained with PAFs on cell corners (TAO's) */
    int min_keypoints;    /* people with fewer keypoints are dropped */
    float min_mean_score; /* people of a lower mean score are dropped */
    float small_person;   /* heatmap cells; people this large have half the score; 0: no matter */
} bpnet_pose_settings;

/* One limb: the keypoint that it starts at and the one that it ends at, counted from 0. */
typedef struct bpnet_pose_limb {
    size_t start;
    size_t end;
} bpnet_pose_limb;

/*
 * float32 values of height x width x channels that the caller owns. Strides are counted in floats:
 * channels last is {width * channels, channels, 1}, channels first is {width, 1, height * width}.
 */
typedef struct bpnet_pose_map {
    const float *data;
    size_t height;
    size_t width;
    size_t channels;
    ptrdiff_t row_stride;
    ptrdiff_t column_stride;
    ptrdiff_t channel_stride;
} bpnet_pose_map;

/* The maps of one image. */
typedef struct bpnet_pose_maps {
    bpnet_pose_map heatmaps; /* channel k is keypoint k; more channels, as background, may follow */
    bpnet_pose_map pafs;     /* limb l has its x in channel 2l and its y in channel 2l + 1 */
    float heatmap_stride;    /* pixels of the network's input, a cell */
    float paf_stride;
} bpnet_pose_maps;

/*
 * The people of one image, the most certain first. Begin with zeros ({0}); each decode into the
 * same struct uses its memory again, so that nothing is allocated any more after some images.
 */
typedef struct bpnet_pose_people {
    size_t count;              /* P */
    size_t keypoints;          /* K */
    const float *xy;           /* P x K x 2 pixels of the network's input; 0 where not found */
    const float *score;        /* P x K; 0 where the keypoint was not found */
    const float *person_score; /* P; the higher, the more certain */
    size_t dropped_peaks;      /* candidates beyond max_peaks; above 0, people may be missing */
    void *memory;              /* of the library */
} bpnet_pose_people;

typedef struct bpnet_pose_decoder bpnet_pose_decoder;

/* The defaults, the same as Python's DecoderSettings(). */
void bpnet_pose_default_settings(bpnet_pose_settings *settings);

/* A decoder of `keypoints` keypoints and `limb_count` limbs; settings NULL: the defaults. */
bpnet_pose_status bpnet_pose_create(size_t keypoints, const bpnet_pose_limb *limbs,
                                    size_t limb_count, const bpnet_pose_settings *settings,
                                    bpnet_pose_decoder **decoder, char *error, size_t error_size);

/* A decoder of a skeleton file: TAO's pose JSON, such as bpnet_18joints.json. */
bpnet_pose_status bpnet_pose_create_from_file(const char *path, const bpnet_pose_settings *settings,
                                              bpnet_pose_decoder **decoder, char *error,
                                              size_t error_size);

void bpnet_pose_destroy(bpnet_pose_decoder *decoder); /* NULL is fine */

size_t bpnet_pose_keypoints(const bpnet_pose_decoder *decoder);
size_t bpnet_pose_limbs(const bpnet_pose_decoder *decoder);

/* The limb's keypoints, counted from 0; {0, 0} where there is no such limb. */
bpnet_pose_limb bpnet_pose_limb_at(const bpnet_pose_decoder *decoder, size_t limb);

/* The keypoint's name (UTF-8) in the skeleton file; NULL where there is none. */
const char *bpnet_pose_keypoint_name(const bpnet_pose_decoder *decoder, size_t keypoint);

/* The people that the maps show. On failure, people->count is 0. */
bpnet_pose_status bpnet_pose_decode(bpnet_pose_decoder *decoder, const bpnet_pose_maps *maps,
                                    bpnet_pose_people *people, char *error, size_t error_size);

void bpnet_pose_people_free(bpnet_pose_people *people); /* zeros it, too */

#ifdef __cplusplus
}
#endif

#endif
