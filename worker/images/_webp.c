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
#define LOSSY 1 /* of WebPBitstreamFeatures.format */

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

/* What is decoded into, which belongs to Python: the planes of a lossy file, or the pixels of another. */
struct memory {
    PyObject *luma, *blue, *red, *pixels;
};

static uint8_t *take(PyObject **it, Py_ssize_t size) {
    *it = PyBytes_FromStringAndSize(NULL, size);
    return *it != NULL ? (uint8_t *)PyBytes_AS_STRING(*it) : NULL;
}

static void let_go(struct memory *it) {
    Py_CLEAR(it->luma);
    Py_CLEAR(it->blue);
    Py_CLEAR(it->red);
    Py_CLEAR(it->pixels);
}

static int into_planes(WebPDecBuffer *output, struct memory *memory, int wide, int high) {
    WebPYUVABuffer *it = &output->u.YUVA;
    output->colorspace = MODE_YUV;
    it->y_stride = wide;
    it->u_stride = it->v_stride = (wide + 1) / 2;
    it->y_size = (size_t)wide * (size_t)high;
    it->u_size = it->v_size = (size_t)it->u_stride * (size_t)((high + 1) / 2);
    it->y = take(&memory->luma, (Py_ssize_t)it->y_size);
    it->u = take(&memory->blue, (Py_ssize_t)it->u_size);
    it->v = take(&memory->red, (Py_ssize_t)it->v_size);
    return it->y != NULL && it->u != NULL && it->v != NULL;
}

static int into_pixels(WebPDecBuffer *output, struct memory *memory, int wide, int high) {
    WebPRGBABuffer *it = &output->u.RGBA;
    output->colorspace = MODE_RGBA;
    it->stride = wide * 4;
    it->size = (size_t)it->stride * (size_t)high;
    it->rgba = take(&memory->pixels, (Py_ssize_t)it->size);
    return it->rgba != NULL;
}

static int decoded(WebPDecoderConfig *config, const Py_buffer *data, const struct box *part, int in_planes,
                   struct memory *memory) {
    int wide = (int)(part->right - part->left), high = (int)(part->bottom - part->top);
    config->options.use_cropping = 1;
    config->options.crop_left = (int)part->left;
    config->options.crop_top = (int)part->top;
    config->options.crop_width = wide;
    config->options.crop_height = high;
    config->output.is_external_memory = 1;
    in_planes = in_planes && config->input.format == LOSSY;
    config->options.bypass_filtering = in_planes;
    if (!(in_planes ? into_planes : into_pixels)(&config->output, memory, wide, high))
        return 0;
    int status = WebPDecode(data->buf, (size_t)data->len, config);
    WebPFreeDecBuffer(&config->output);
    return status == VP8_STATUS_OK;
}

PyDoc_STRVAR(decode_doc,
             "decode(data, width, height, left, top, right, bottom, in_planes)\n--\n\n"
             "Decode a part of a WebP of width x height px.\n\n"
             "Returns (left, top, pixels), with four bytes for each pixel. Of a lossy file, in planes if asked for and\n"
             "with the seams between its blocks: (left, top, luma, blue, red), with a byte for each sample, and half as\n"
             "many of chroma each way, rounded up. The part may begin a pixel further up and to the left. None for\n"
             "anything that is not plain and sound.");

static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *arguments) {
    WebPDecoderConfig config;
    struct box part;
    struct memory memory = {0};
    Py_buffer data;
    unsigned width, height;
    int in_planes, done = 0;

    if (!PyArg_ParseTuple(arguments, "y*IIIIIIp", &data, &width, &height, &part.left, &part.top, &part.right,
                          &part.bottom, &in_planes))
        return NULL;
    part.left &= ~1u; /* chroma is shared by two pixels, and libwebp would move the part without a word */
    part.top &= ~1u;
    if (WebPInitDecoderConfig(&config) && is_whole(data.buf, (size_t)data.len) &&
        WebPGetFeatures(data.buf, (size_t)data.len, &config.input) == VP8_STATUS_OK &&
        is_plain(&config.input, width, height) && lies_within(&part, width, height))
        done = decoded(&config, &data, &part, in_planes, &memory);
    PyBuffer_Release(&data);
    if (done && memory.pixels != NULL)
        return Py_BuildValue("(IIN)", part.left, part.top, memory.pixels);
    if (done)
        return Py_BuildValue("(IINNN)", part.left, part.top, memory.luma, memory.blue, memory.red);
    let_go(&memory);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"decode", decode, METH_VARARGS, decode_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_webp", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__webp(void) {
    return PyModule_Create(&module);
}
