/* The planes of a decoded picture as Python's bytes, eight bits for each sample; for _hevc.c and _av1.c. */
#include <stddef.h>
#include <stdint.h>

#define MOST_SIDE 65535 /* what both codecs can say in their headers */

struct plane {
    const uint8_t *samples; /* of more than 8 bits: two bytes each, in the machine's order */
    ptrdiff_t stride;       /* bytes from one row to the next */
    int width, height, depth;
};

static void copy_row(uint8_t *to, const uint8_t *from, int width, int depth) {
    if (depth == 8) {
        memcpy(to, from, (size_t)width);
        return;
    }
    const uint16_t *deep = (const uint16_t *)(const void *)from; /* both codecs align their rows */
    unsigned shift = (unsigned)depth - 8, half = 1u << (shift - 1);
    for (int x = 0; x < width; x++) {
        unsigned rounded = (deep[x] + half) >> shift;
        to[x] = (uint8_t)(rounded < 255 ? rounded : 255);
    }
}

/* Return (width, height, bytes), or NULL with an error set. */
static PyObject *plane_as_tuple(const struct plane *it) {
    if (it->samples == NULL || it->width < 1 || it->height < 1 || it->width > MOST_SIDE || it->height > MOST_SIDE ||
        it->depth < 8 || it->depth > 16) {
        PyErr_SetString(PyExc_ValueError, "the decoder gave a picture that cannot be read");
        return NULL;
    }
    PyObject *samples = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)it->width * it->height);
    if (samples == NULL)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AS_STRING(samples);
    for (int y = 0; y < it->height; y++)
        copy_row(to + (size_t)y * (size_t)it->width, it->samples + y * it->stride, it->width, it->depth);
    return Py_BuildValue("(iiN)", it->width, it->height, samples);
}

/* Return a tuple of the 1 or 3 planes, or NULL with an error set. */
static PyObject *planes_as_tuple(const struct plane *planes, int count) {
    PyObject *found = PyTuple_New(count);
    for (int i = 0; found != NULL && i < count; i++) {
        PyObject *one = plane_as_tuple(&planes[i]);
        if (one == NULL)
            Py_CLEAR(found);
        else
            PyTuple_SET_ITEM(found, i, one);
    }
    return found;
}
