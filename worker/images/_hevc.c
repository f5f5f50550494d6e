/* One HEVC picture, as HEIC files hold them, decoded by libde265. worker/images/heif.py tells how it is used.
 *
 * libde265 runs in the calling thread: a decoder's sandbox allows no others. A picture with errors is never given out.
 *
 * Before its version 1.0.16 libde265 does not write to the memory that it takes for a picture, and of a damaged stream it
 * may decode only some blocks without a word: the others would show what that memory held before, which can be another
 * picture. So malloc is told to fill memory with zeros meanwhile, and a picture with blocks of nothing but zeros is refused:
 * no colour has such luma and chroma.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <malloc.h>
#include <string.h>

#include <libde265/de265.h>

#include "_planes.h"

#define BLOCK 8 /* the smallest that is coded by itself, in px */
#define RGB 0   /* the matrix of pictures whose planes are no luma and chroma: zeros are black */
#define ZEROS 0xff /* the complement of what malloc fills memory with */

/* Return the first picture, or NULL if there is none without errors. */
static const struct de265_image *first_picture(de265_decoder_context *decoder, const Py_buffer *data) {
    const struct de265_image *picture = NULL;
    de265_error status = de265_push_data(decoder, data->buf, (int)data->len, 0, NULL);
    if (status == DE265_OK)
        status = de265_flush_data(decoder);
    for (int more = 1; more && picture == NULL && de265_isOK(status);) {
        status = de265_decode(decoder, &more);
        picture = de265_peek_next_picture(decoder);
    }
    return picture;
}

/* Whether libde265 has warned of anything that touches pixels. */
static int is_damaged(de265_decoder_context *decoder) {
    for (de265_error warning; (warning = de265_get_warning(decoder)) != DE265_OK;)
        if (warning != DE265_WARNING_NO_WPP_CANNOT_USE_MULTITHREADING &&
            warning != DE265_WARNING_SPS_MISSING_CANNOT_DECODE_SEI)
            return 1;
    return 0;
}

static int is_zero(const struct plane *it, int x, int y) {
    const uint8_t *row = it->samples + y * it->stride;
    return it->depth == 8 ? row[x] == 0 : ((const uint16_t *)(const void *)row)[x] == 0;
}

/* Whether there is a block in whose middle no plane has been written to. Of one plane alone zeros tell nothing. */
static int has_unwritten_block(const struct plane *planes, int count) {
    if (count < 3)
        return 0;
    int across = planes[0].width / planes[1].width, down = planes[0].height / planes[1].height;
    for (int y = BLOCK / 2; y < planes[0].height; y += BLOCK)
        for (int x = BLOCK / 2; x < planes[0].width; x += BLOCK)
            if (is_zero(&planes[0], x, y) && is_zero(&planes[0], x - 1, y - 1) &&
                is_zero(&planes[1], x / (across + !across), y / (down + !down)) &&
                is_zero(&planes[2], x / (across + !across), y / (down + !down)))
                return 1;
    return 0;
}

static PyObject *as_tuple(const struct de265_image *picture) {
    struct plane planes[3];
    int count = de265_get_chroma_format(picture) == de265_chroma_mono ? 1 : 3;
    for (int i = 0; i < count; i++) {
        int stride = 0;
        planes[i].samples = de265_get_image_plane(picture, i, &stride);
        planes[i].stride = stride;
        planes[i].width = de265_get_image_width(picture, i);
        planes[i].height = de265_get_image_height(picture, i);
        planes[i].depth = de265_get_bits_per_pixel(picture, i);
    }
    if (de265_get_image_matrix_coefficients(picture) != RGB && has_unwritten_block(planes, count)) {
        PyErr_SetString(PyExc_ValueError, "its coded picture is not whole");
        return NULL;
    }
    PyObject *found = planes_as_tuple(planes, count);
    if (found == NULL)
        return NULL;
    return Py_BuildValue("N(iiii)", found, de265_get_image_colour_primaries(picture),
                         de265_get_image_transfer_characteristics(picture),
                         de265_get_image_matrix_coefficients(picture), de265_get_image_full_range_flag(picture));
}

PyDoc_STRVAR(decode_doc, "decode(data)\n--\n\n"
                         "Decode the first picture of an HEVC stream with start codes (ITU-T H.265, annex B).\n\n"
                         "Returns its planes, (width, height, bytes) each, Y or Y, Cb and Cr; and what the stream says\n"
                         "of its colours: (primaries, transfer, matrix, full range). Raises ValueError for a stream\n"
                         "that is not whole and sound. Memory is taken for a picture of any size: look before.");

static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *argument) {
    Py_buffer data;
    PyObject *found = NULL;

    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    de265_decoder_context *decoder = data.len <= INT_MAX ? de265_new_decoder() : NULL;
    if (decoder == NULL) {
        PyErr_NoMemory();
    } else {
        mallopt(M_PERTURB, ZEROS);
        de265_set_parameter_bool(decoder, DE265_DECODER_PARAM_SUPPRESS_FAULTY_PICTURES, 1);
        const struct de265_image *picture = first_picture(decoder, &data);
        if (picture == NULL || is_damaged(decoder))
            PyErr_SetString(PyExc_ValueError, "its coded picture is not whole");
        else
            found = as_tuple(picture);
        de265_free_decoder(decoder);
        mallopt(M_PERTURB, 0);
    }
    PyBuffer_Release(&data);
    return found;
}

static PyMethodDef methods[] = {{"decode", decode, METH_O, decode_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_hevc", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__hevc(void) {
    return PyModule_Create(&module);
}
