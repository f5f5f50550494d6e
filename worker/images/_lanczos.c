/* Planes of luma and chroma become the pixels of a cell: each is resized to the cell with LANCZOS by itself, chroma from
 * as few samples as the file has of it, and colours are made of them at the cell's size. worker/images/planes.py tells
 * how it is used, docs/performance.md what it saves: Pillow resizes four bytes a pixel fast, but single ones slowly.
 *
 * All arithmetic behind the weights is of whole numbers, so that with AVX2 and without it the same bytes come out.
 * The samples are what a decoder has made of a hostile file; nothing here depends on them but the result.
 *
 * References: Pillow's Resample.c for which samples a pixel looks at.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum {
    REACH = 3,     /* of LANCZOS, in pixels of whichever of the two pictures has the larger ones */
    ONE = 1 << 14, /* the sum of a pixel's weights */
    LANES = 16,    /* samples that are looked at in one step across; the weights are filled up to it with zeros */
    KEPT = 16,     /* filters; each plane needs two */
    STEPS = 1024,  /* points of the filter's table for each pixel of its reach */
    MOST_SIDE = 65535, /* of a plane, in samples */
    MOST_CELL = 4096,
    MOST_SCALE = 1024 /* samples that one pixel shows, each way */
};

struct plane {
    const uint8_t *samples;
    unsigned width, height;
    double left, top, right, bottom; /* what the cell shows, in samples */
};

/* Which samples each pixel of a side is made of: `taps` of them from `first[i]` on, with the weights at
 * `weights[i * taps]`; behind them are zeros. */
struct filter {
    unsigned length; /* of the side, in samples; 0 where there is no filter yet */
    double begin, end;
    unsigned size, taps;
    unsigned *first;
    int16_t *weights;
};

static double lanczos_table[REACH * STEPS + 2];

static double sinc(double x) {
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static void fill_lanczos_table(void) {
    for (int i = 0; i < REACH * STEPS; i++)
        lanczos_table[i] = sinc((double)i / STEPS) * sinc((double)i / STEPS / REACH);
}

/* Between two points of the table; 0 beyond its reach. */
static inline double lanczos(double x) {
    double at = fabs(x) * STEPS;
    if (at >= REACH * STEPS)
        return 0;
    unsigned below = (unsigned)at;
    return lanczos_table[below] + (lanczos_table[below + 1] - lanczos_table[below]) * (at - below);
}

/* Weights of whole numbers whose sum is ONE: what rounding leaves over goes to the largest. */
static void normalise(const double *exact, unsigned count, int16_t *weights) {
    double sum = 0;
    int left = ONE;
    unsigned largest = 0;
    for (unsigned i = 0; i < count; i++)
        sum += exact[i];
    for (unsigned i = 0; i < count; i++) {
        weights[i] = (int16_t)lrint(exact[i] / sum * ONE);
        left -= weights[i];
        if (exact[i] > exact[largest])
            largest = i;
    }
    weights[largest] = (int16_t)(weights[largest] + left);
}

static void weigh(struct filter *it, unsigned length) {
    double scale = (it->end - it->begin) / it->size, wide = scale > 1 ? scale : 1, reach = REACH * wide;
    double exact[MOST_SCALE * REACH * 2 + 2];
    for (unsigned i = 0; i < it->size; i++) {
        double centre = it->begin + (i + 0.5) * scale;
        unsigned first = centre > reach ? (unsigned)(centre - reach + 0.5) : 0, last = (unsigned)(centre + reach + 0.5);
        if (last > length)
            last = length;
        for (unsigned at = first; at < last; at++)
            exact[at - first] = lanczos((at + 0.5 - centre) / wide);
        normalise(exact, last - first, it->weights + (size_t)i * it->taps);
        it->first[i] = first;
    }
}

/* The filter for one side: `length` samples, of which those from `begin` to `end` become `size` pixels.
 *
 * Covers come in a few sizes, so that the last filters are kept: to make one takes as long as half of its use. They
 * follow from their sides' measures alone. The filter that is `in_use` stays. NULL without memory. */
static const struct filter *filter_of(unsigned length, double begin, double end, unsigned size,
                                      const struct filter *in_use) {
    static struct filter kept[KEPT];
    static unsigned next;
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i].length == length && kept[i].begin == begin && kept[i].end == end && kept[i].size == size)
            return &kept[i];
    if (&kept[next % KEPT] == in_use)
        next++;
    struct filter *it = &kept[next++ % KEPT];
    double scale = (end - begin) / size, reach = REACH * (scale > 1 ? scale : 1);
    unsigned most = (unsigned)ceil(reach) * 2 + 1;
    free(it->first);
    free(it->weights);
    *it = (struct filter){.begin = begin, .end = end, .size = size, .taps = (most + LANES - 1) / LANES * LANES};
    it->first = malloc(size * sizeof *it->first);
    it->weights = calloc((size_t)size * it->taps, sizeof *it->weights);
    if (it->first == NULL || it->weights == NULL)
        return NULL;
    weigh(it, length);
    it->length = length;
    return it;
}

#define ALWAYS_INLINED static inline __attribute__((always_inline))

ALWAYS_INLINED uint8_t clipped(int sum) {
    int value = (sum + ONE / 2) >> 14;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static inline const uint8_t *row_of(const struct plane *from, unsigned row) {
    return from->samples + (size_t)(row < from->height ? row : from->height - 1) * (size_t)from->width;
}

/* One row of samples, from column `left` to `right`, of the rows that it is made of. */
static void down_plainly(const struct plane *from, unsigned first, const int16_t *weights, unsigned taps,
                         unsigned left, unsigned right, uint8_t *to) {
    for (unsigned x = left; x < right; x++) {
        int sum = 0;
        for (unsigned i = 0; i < taps; i++)
            sum += weights[i] * row_of(from, first + i)[x];
        to[x] = clipped(sum);
    }
}

static void across_plainly(const uint8_t *row, const struct filter *filter, uint8_t *to) {
    for (unsigned x = 0; x < filter->size; x++) {
        const int16_t *weights = filter->weights + (size_t)x * filter->taps;
        const uint8_t *from = row + filter->first[x];
        int sum = 0;
        for (unsigned i = 0; i < filter->taps; i++)
            sum += weights[i] * from[i];
        to[x] = clipped(sum);
    }
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i clipped_to_16(__m256i low, __m256i high) {
    const __m256i half = _mm256_set1_epi32(ONE / 2);
    low = _mm256_srai_epi32(_mm256_add_epi32(low, half), 14);
    high = _mm256_srai_epi32(_mm256_add_epi32(high, half), 14);
    return _mm256_packs_epi32(low, high);
}

/* As `down_plainly`, 32 columns at a time and two rows: their samples side by side are multiplied by two weights. */
AVX2 static void down_avx2(const struct plane *from, unsigned first, const int16_t *weights, unsigned taps,
                           unsigned left, unsigned right, uint8_t *to) {
    const __m256i none = _mm256_setzero_si256();
    unsigned x = left;
    for (; x + 32 <= right; x += 32) {
        __m256i a = none, b = none, c = none, d = none;
        for (unsigned i = 0; i < taps; i += 2) {
            __m256i pair = _mm256_set1_epi32((int)((uint16_t)weights[i] | (uint32_t)(uint16_t)weights[i + 1] << 16));
            __m256i upper = _mm256_loadu_si256((const __m256i *)(row_of(from, first + i) + x));
            __m256i lower = _mm256_loadu_si256((const __m256i *)(row_of(from, first + i + 1) + x));
            __m256i low = _mm256_unpacklo_epi8(upper, lower), high = _mm256_unpackhi_epi8(upper, lower);
            a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, none), pair));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, none), pair));
            c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, none), pair));
            d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, none), pair));
        }
        _mm256_storeu_si256((__m256i *)(to + x), _mm256_packus_epi16(clipped_to_16(a, b), clipped_to_16(c, d)));
    }
    down_plainly(from, first, weights, taps, x, right, to);
}

AVX2 static inline __m256i weighed(const uint8_t *from, const int16_t *weights, unsigned taps) {
    __m256i sum = _mm256_setzero_si256();
    for (unsigned i = 0; i < taps; i += LANES) {
        __m256i samples = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(from + i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(samples, _mm256_loadu_si256((const __m256i *)(weights + i))));
    }
    return sum;
}

/* As `across_plainly`, four pixels at a time. */
AVX2 static void across_avx2(const uint8_t *row, const struct filter *filter, uint8_t *to) {
    unsigned x = 0, taps = filter->taps;
    for (; x + 4 <= filter->size; x += 4) {
        const int16_t *weights = filter->weights + (size_t)x * taps;
        const unsigned *first = filter->first + x;
        __m256i ab = _mm256_hadd_epi32(weighed(row + first[0], weights, taps), weighed(row + first[1], weights + taps, taps));
        __m256i cd = _mm256_hadd_epi32(weighed(row + first[2], weights + 2 * taps, taps),
                                       weighed(row + first[3], weights + 3 * taps, taps));
        __m256i sums = _mm256_hadd_epi32(ab, cd);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        four = _mm_srai_epi32(_mm_add_epi32(four, _mm_set1_epi32(ONE / 2)), 14);
        four = _mm_packus_epi16(_mm_packs_epi32(four, four), four);
        int pixels = _mm_cvtsi128_si32(four);
        memcpy(to + x, &pixels, 4);
    }
    struct filter rest = {.size = filter->size - x,
                          .taps = taps,
                          .first = filter->first + x,
                          .weights = filter->weights + (size_t)x * taps};
    across_plainly(row, &rest, to + x);
}
#endif

static void resize_rows(const struct plane *from, const struct filter *down, const struct filter *across, uint8_t *row,
                        uint8_t *to) {
    unsigned left = across->first[0], right = across->first[across->size - 1] + across->taps;
    if (right > from->width)
        right = from->width;
    for (unsigned y = 0; y < down->size; y++, to += across->size) {
        const int16_t *weights = down->weights + (size_t)y * down->taps;
        unsigned taps = down->taps; /* without the zeros behind */
        while (taps > 2 && weights[taps - 1] == 0 && weights[taps - 2] == 0)
            taps -= 2;
#ifdef __x86_64__
        if (__builtin_cpu_supports("avx2")) {
            down_avx2(from, down->first[y], weights, taps, left, right, row);
            across_avx2(row, across, to);
            continue;
        }
#endif
        down_plainly(from, down->first[y], weights, taps, left, right, row);
        across_plainly(row, across, to);
    }
}

/* Resize what the cell shows of a plane to size x size samples at `to`. False without memory. */
static int resize_plane(const struct plane *from, unsigned size, uint8_t *to) {
    const struct filter *down = filter_of(from->height, from->top, from->bottom, size, NULL);
    const struct filter *across = filter_of(from->width, from->left, from->right, size, down);
    uint8_t *row = down != NULL && across != NULL ? calloc(1, from->width + across->taps) : NULL;
    if (row == NULL)
        return 0;
    resize_rows(from, down, across, row, to);
    free(row);
    return 1;
}

/* --- what Python calls -------------------------------------------------------------------------------------------- */

static int is_sound(const struct plane *it, Py_ssize_t length, unsigned size) {
    return it->width > 0 && it->width <= MOST_SIDE && it->height > 0 && it->height <= MOST_SIDE &&
           length == (Py_ssize_t)it->width * it->height && size > 0 && size <= MOST_CELL && it->left >= 0 &&
           it->left < it->right && it->right <= it->width && it->top >= 0 && it->top < it->bottom &&
           it->bottom <= it->height && it->right - it->left <= (double)size * MOST_SCALE &&
           it->bottom - it->top <= (double)size * MOST_SCALE;
}

PyDoc_STRVAR(resized_doc, "resized(samples, width, height, left, top, right, bottom, size)\n--\n\n"
                          "Resize a part of a plane, one byte for each sample, to size x size with LANCZOS.\n\n"
                          "Raises ValueError for a part that does not lie in the plane.");

static PyObject *resized(PyObject *Py_UNUSED(self), PyObject *arguments) {
    struct plane from;
    Py_buffer samples;
    unsigned size;
    PyObject *found = NULL;

    if (!PyArg_ParseTuple(arguments, "y*IIddddI", &samples, &from.width, &from.height, &from.left, &from.top,
                          &from.right, &from.bottom, &size))
        return NULL;
    from.samples = samples.buf;
    if (!is_sound(&from, samples.len, size))
        PyErr_SetString(PyExc_ValueError, "no part of that plane, or too small or large a cell for it");
    else if ((found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size * size)) != NULL &&
             !resize_plane(&from, size, (uint8_t *)PyBytes_AS_STRING(found))) {
        Py_CLEAR(found);
        PyErr_NoMemory();
    }
    PyBuffer_Release(&samples);
    return found;
}

PyDoc_STRVAR(coloured_doc,
             "coloured(luma, blue, red, matrix)\n--\n\n"
             "Make RGB of three planes of the same length, pixel by pixel.\n\n"
             "The matrix has three rows of four numbers: the shares of the planes in R, G and B, and what is added.\n"
             "Raises ValueError for planes of different lengths, and for shares of 8 or more.");

enum { SHARE = 1 << 12, MOST_SHARE = 8, MOST_ADDED = 4096 };

static int whole_shares(const double *matrix, int *shares) {
    for (int i = 0; i < 12; i++) {
        int added = i % 4 == 3;
        if (!(fabs(matrix[i]) <= (added ? MOST_ADDED : MOST_SHARE)))
            return 0;
        shares[i] = (int)lrint(matrix[i] * SHARE) + (added ? SHARE / 2 : 0);
    }
    return 1;
}

ALWAYS_INLINED void mix(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, const int *shares, Py_ssize_t count,
                        uint8_t *to) {
    for (Py_ssize_t i = 0; i < count; i++) {
        int value = (shares[0] * luma[i] + shares[1] * blue[i] + shares[2] * red[i] + shares[3]) >> 12;
        to[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

/* A channel after the other, some pixels at a time, which compilers make vectors of. */
ALWAYS_INLINED void colour_anywhere(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, const int *shares,
                                    Py_ssize_t count, uint8_t *to) {
    enum { TOGETHER = 64 };
    for (Py_ssize_t at = 0; at < count; at += TOGETHER) {
        uint8_t channels[3][TOGETHER];
        Py_ssize_t some = count - at < TOGETHER ? count - at : TOGETHER;
        for (int channel = 0; channel < 3; channel++)
            mix(luma + at, blue + at, red + at, shares + channel * 4, some, channels[channel]);
        for (Py_ssize_t i = 0; i < some; i++, to += 3)
            for (int channel = 0; channel < 3; channel++)
                to[channel] = channels[channel][i];
    }
}

#ifdef __x86_64__
AVX2 static void colour_avx2(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, const int *shares,
                             Py_ssize_t count, uint8_t *to) {
    colour_anywhere(luma, blue, red, shares, count, to);
}
#endif

static void colour(const uint8_t *luma, const uint8_t *blue, const uint8_t *red, const int *shares, Py_ssize_t count,
                   uint8_t *to) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        colour_avx2(luma, blue, red, shares, count, to);
        return;
    }
#endif
    colour_anywhere(luma, blue, red, shares, count, to);
}

static PyObject *coloured(PyObject *Py_UNUSED(self), PyObject *arguments) {
    Py_buffer luma, blue, red;
    double m[12];
    int shares[12];
    PyObject *found = NULL;

    if (!PyArg_ParseTuple(arguments, "y*y*y*(dddddddddddd)", &luma, &blue, &red, m, m + 1, m + 2, m + 3, m + 4, m + 5,
                          m + 6, m + 7, m + 8, m + 9, m + 10, m + 11))
        return NULL;
    if (luma.len != blue.len || luma.len != red.len || luma.len > PY_SSIZE_T_MAX / 3 || !whole_shares(m, shares))
        PyErr_SetString(PyExc_ValueError, "the planes have different lengths, or the matrix is none of colours");
    else if ((found = PyBytes_FromStringAndSize(NULL, luma.len * 3)) != NULL)
        colour(luma.buf, blue.buf, red.buf, shares, luma.len, (uint8_t *)PyBytes_AS_STRING(found));
    PyBuffer_Release(&luma);
    PyBuffer_Release(&blue);
    PyBuffer_Release(&red);
    return found;
}

static PyMethodDef methods[] = {{"resized", resized, METH_VARARGS, resized_doc},
                                {"coloured", coloured, METH_VARARGS, coloured_doc},
                                {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_lanczos", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__lanczos(void) {
    fill_lanczos_table();
    return PyModule_Create(&module);
}
