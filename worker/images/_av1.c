/* One AV1 picture, as AVIF files hold them, decoded by dav1d. worker/images/heif.py tells how it is used.
 *
 * dav1d runs in the calling thread: a decoder's sandbox allows no others.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include <dav1d/dav1d.h>

#include "_planes.h"

static void keep(const uint8_t *Py_UNUSED(data), void *Py_UNUSED(user)) {
    /* the data are Python's */
}

static int open_decoder(Dav1dContext **decoder, unsigned long long most_pixels) {
    Dav1dSettings settings;
    dav1d_default_settings(&settings);
    settings.n_threads = 1;
    settings.max_frame_delay = 1;
    settings.all_layers = 0; /* of a picture that gets better layer by layer, the best */
    settings.frame_size_limit = most_pixels < UINT_MAX ? (unsigned)most_pixels : UINT_MAX;
    settings.logger.callback = NULL;
    return dav1d_open(decoder, &settings);
}

/* Decode until there is a picture; 0, or one of dav1d's negative errors. */
static int first_picture(Dav1dContext *decoder, const Py_buffer *buffer, Dav1dPicture *picture) {
    Dav1dData data = {0};
    int status = dav1d_data_wrap(&data, buffer->buf, (size_t)buffer->len, keep, NULL);
    int found = DAV1D_ERR(EAGAIN);
    while (status == 0 && found == DAV1D_ERR(EAGAIN)) {
        if (data.sz > 0) {
            status = dav1d_send_data(decoder, &data);
            if (status == DAV1D_ERR(EAGAIN))
                status = 0;
        }
        int had_all = data.sz == 0;
        found = dav1d_get_picture(decoder, picture);
        if (had_all && found == DAV1D_ERR(EAGAIN))
            break;
    }
    dav1d_data_unref(&data);
    return status != 0 ? status : found;
}

static PyObject *as_tuple(const Dav1dPicture *picture) {
    struct plane planes[3];
    enum Dav1dPixelLayout layout = picture->p.layout;
    int count = layout == DAV1D_PIXEL_LAYOUT_I400 ? 1 : 3;
    for (int i = 0; i < count; i++) {
        int halved_across = i > 0 && layout != DAV1D_PIXEL_LAYOUT_I444;
        int halved_down = i > 0 && layout == DAV1D_PIXEL_LAYOUT_I420;
        planes[i].samples = picture->data[i];
        planes[i].stride = picture->stride[i > 0];
        planes[i].width = (picture->p.w + halved_across) >> halved_across;
        planes[i].height = (picture->p.h + halved_down) >> halved_down;
        planes[i].depth = picture->p.bpc;
    }
    PyObject *found = planes_as_tuple(planes, count);
    if (found == NULL)
        return NULL;
    const Dav1dSequenceHeader *header = picture->seq_hdr;
    return Py_BuildValue("N(iiii)", found, (int)header->pri, (int)header->trc, (int)header->mtrx,
                         (int)header->color_range);
}

PyDoc_STRVAR(decode_doc, "decode(data, most_pixels)\n--\n\n"
                         "Decode the first picture of an AV1 stream (a sequence of OBUs).\n\n"
                         "Returns its planes, (width, height, bytes) each, Y or Y, Cb and Cr; and what the stream says\n"
                         "of its colours: (primaries, transfer, matrix, full range). Raises ValueError for a stream\n"
                         "that is not whole and sound, and for one of more than most_pixels.");

static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *arguments) {
    unsigned long long most_pixels;
    Dav1dContext *decoder = NULL;
    Dav1dPicture picture = {0};
    Py_buffer data;
    PyObject *found = NULL;

    if (!PyArg_ParseTuple(arguments, "y*K", &data, &most_pixels))
        return NULL;
    int status = data.len > 0 ? open_decoder(&decoder, most_pixels) : DAV1D_ERR(EINVAL);
    if (status == 0)
        status = first_picture(decoder, &data, &picture);
    if (status == 0)
        found = as_tuple(&picture);
    else if (status == DAV1D_ERR(ENOMEM))
        PyErr_NoMemory();
    else if (status == DAV1D_ERR(ERANGE))
        PyErr_SetString(PyExc_ValueError, "its coded picture is larger than the file says");
    else
        PyErr_SetString(PyExc_ValueError, "its coded picture is not whole");
    dav1d_picture_unref(&picture);
    if (decoder != NULL)
        dav1d_close(&decoder);
    PyBuffer_Release(&data);
    return found;
}

static PyMethodDef methods[] = {{"decode", decode, METH_VARARGS, decode_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_av1", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__av1(void) {
    return PyModule_Create(&module);
}
