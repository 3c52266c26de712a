/* Reads a skeleton file and raw float32 maps, prints the people as lines of JSON. See README.md. */
#include <bpnet_pose.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "usage: decode_maps SKELETON hwc|chw HEATMAPS HEIGHT WIDTH STRIDE PAFS HEIGHT WIDTH STRIDE\n";

/* The floats of a file, NULL with a message for none; *count is how many. */
static float *read_floats(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    float *values = NULL;
    long size;
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) <= 0 ||
        fseek(file, 0, SEEK_SET) != 0) {
        fprintf(stderr, "%s: is empty or no regular file\n", path);
    } else {
        *count = (size_t)size / sizeof(float);
        values = malloc((size_t)size);
        if (values == NULL) {
            fprintf(stderr, "%s: out of memory\n", path);
        } else if (fread(values, 1, (size_t)size, file) != (size_t)size) {
            fprintf(stderr, "%s: cannot be read\n", path);
            free(values);
            values = NULL;
        }
    }
    fclose(file);
    return values;
}

/* Reads the map that four arguments describe: path, height, width, stride. 0 for success. */
static int read_map(char **arguments, int channels_last, bpnet_pose_map *map, float *stride) {
    const long height = strtol(arguments[1], NULL, 10);
    const long width = strtol(arguments[2], NULL, 10);
    size_t count;
    float *values;
    *stride = (float)strtod(arguments[3], NULL);
    if (height < 1 || height > 16384 || width < 1 || width > 16384) {
        fprintf(stderr, "%s: height and width must be from 1 to 16384 cells\n", arguments[0]);
        return 1;
    }
    values = read_floats(arguments[0], &count);
    if (values == NULL) return 1;
    map->data = values;
    map->height = (size_t)height;
    map->width = (size_t)width;
    map->channels = count / (map->height * map->width);
    if (map->channels * map->height * map->width != count) {
        fprintf(stderr, "%s: %lu numbers are no whole number of %ld x %ld channels\n", arguments[0],
                (unsigned long)count, height, width);
        return 1;
    }
    map->channel_stride = channels_last ? 1 : (ptrdiff_t)(map->height * map->width);
    map->column_stride = channels_last ? (ptrdiff_t)map->channels : 1;
    map->row_stride = map->column_stride * (ptrdiff_t)map->width;
    return 0;
}

static void print_string(const char *text) {
    putchar('"');
    for (; *text != '\0'; ++text) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text < 0x20) {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void print_people(const bpnet_pose_decoder *decoder, const bpnet_pose_people *people) {
    size_t person, keypoint;
    for (person = 0; person < people->count; ++person) {
        const char *separator = "";
        printf("{\"score\": %.9g, \"keypoints\": {", people->person_score[person]);
        for (keypoint = 0; keypoint < people->keypoints; ++keypoint) {
            const size_t slot = person * people->keypoints + keypoint;
            if (people->score[slot] <= 0) continue; /* not found */
            printf("%s", separator);
            print_string(bpnet_pose_keypoint_name(decoder, keypoint));
            printf(": [%.9g, %.9g, %.9g]", people->xy[2 * slot], people->xy[2 * slot + 1],
                   people->score[slot]);
            separator = ", ";
        }
        printf("}}\n");
    }
    if (people->dropped_peaks > 0) {
        fprintf(stderr, "%lu candidates were left out: people may be missing\n",
                (unsigned long)people->dropped_peaks);
    }
}

int main(int count, char **arguments) {
    bpnet_pose_decoder *decoder = NULL;
    bpnet_pose_people people = {0};
    bpnet_pose_maps maps = {0};
    char error[256];
    int channels_last, failed = 1;
    if (count != 11 || (strcmp(arguments[2], "hwc") != 0 && strcmp(arguments[2], "chw") != 0)) {
        fputs(USAGE, stderr);
        return 2;
    }
    channels_last = strcmp(arguments[2], "hwc") == 0;
    if (bpnet_pose_create_from_file(arguments[1], NULL, &decoder, error, sizeof error) !=
        BPNET_POSE_OK) {
        fprintf(stderr, "%s\n", error);
    } else if (read_map(arguments + 3, channels_last, &maps.heatmaps, &maps.heatmap_stride) == 0 &&
               read_map(arguments + 7, channels_last, &maps.pafs, &maps.paf_stride) == 0) {
        if (bpnet_pose_decode(decoder, &maps, &people, error, sizeof error) != BPNET_POSE_OK) {
            fprintf(stderr, "%s\n", error);
        } else {
            print_people(decoder, &people);
            failed = fflush(stdout) != 0;
        }
    }
    bpnet_pose_people_free(&people);
    bpnet_pose_destroy(decoder);
    free((void *)maps.heatmaps.data);
    free((void *)maps.pafs.data);
    return failed;
}
