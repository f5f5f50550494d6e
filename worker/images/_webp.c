/* One WebP, and of it only what a cell shows: libwebp stops below the part that is asked for, and neither filters nor
 * converts what lies around it. worker/images/webp.py tells how it is used.
 *
 * Animations, alpha, files that are shorter than they say, and whatever libwebp finds wrong are left to Pillow: `decode`
 * returns None for them. libwebp writes into memory of the size that it is told, and takes none of Python's.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include <webp/decode.h>

#define MOST_SIDE 16383 /* the format's own limit */
#define HEADER 12

struct box {
    unsigned left, top, right, bottom;
};

/* Whether all that the RIFF header promises is there; RFC 9649, 2.4. */
static int is_whole(const uint8_t *data, size_t length) {
    if (length < HEADER || memcmp(data, "RIFF", 4) != 0)
        return 0;
    size_t promised = data[4] | (size_t)data[5] << 8 | (size_t)data[6] << 16 | (size_t)data[7] << 24;
    return promised <= length - 8;
}

static int is_plain(const WebPBitstreamFeatures *found, unsigned width, unsigned height) {
    return !found->has_animation && !found->has_alpha && found->width == (int)width && found->height == (int)height;
}

static int lies_within(const struct box *part, unsigned width, unsigned height) {
    return width <= MOST_SIDE && height <= MOST_SIDE && part->left < part->right && part->right <= width &&
           part->top < part->bottom && part->bottom <= height;
}

static int decoded(WebPDecoderConfig *config, const Py_buffer *data, const struct box *part, PyObject *pixels) {
    int wide = (int)(part->right - part->left), high = (int)(part->bottom - part->top);
    config->options.use_cropping = 1;
    config->options.crop_left = (int)part->left;
    config->options.crop_top = (int)part->top;
    config->options.crop_width = wide;
    config->options.crop_height = high;
    config->output.colorspace = MODE_RGBA;
    config->output.is_external_memory = 1;
    config->output.u.RGBA.rgba = (uint8_t *)PyBytes_AS_STRING(pixels);
    config->output.u.RGBA.stride = wide * 4;
    config->output.u.RGBA.size = (size_t)PyBytes_GET_SIZE(pixels);
    int status = WebPDecode(data->buf, (size_t)data->len, config);
    WebPFreeDecBuffer(&config->output);
    return status == VP8_STATUS_OK;
}

PyDoc_STRVAR(decode_doc, "decode(data, width, height, left, top, right, bottom)\n--\n\n"
                         "Decode a part of a WebP of width x height px.\n\n"
                         "Returns (pixels, left, top), four bytes for each pixel, where the part may begin a pixel\n"
                         "further up and to the left; or None for anything that is not plain and sound.");

static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *arguments) {
    WebPDecoderConfig config;
    struct box part;
    Py_buffer data;
    unsigned width, height;
    PyObject *pixels = NULL;

    if (!PyArg_ParseTuple(arguments, "y*IIIIII", &data, &width, &height, &part.left, &part.top, &part.right,
                          &part.bottom))
        return NULL;
    part.left &= ~1u; /* chroma is shared by two pixels, and libwebp would move the part without a word */
    part.top &= ~1u;
    int done = 0;
    if (WebPInitDecoderConfig(&config) && is_whole(data.buf, (size_t)data.len) &&
        WebPGetFeatures(data.buf, (size_t)data.len, &config.input) == VP8_STATUS_OK &&
        is_plain(&config.input, width, height) && lies_within(&part, width, height)) {
        size_t size = (size_t)(part.right - part.left) * (part.bottom - part.top) * 4;
        pixels = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        done = pixels != NULL && decoded(&config, &data, &part, pixels);
    }
    PyBuffer_Release(&data);
    if (done)
        return Py_BuildValue("(NII)", pixels, part.left, part.top);
    Py_XDECREF(pixels);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"decode", decode, METH_VARARGS, decode_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_webp", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__webp(void) {
    return PyModule_Create(&module);
}
