/* How many rows of a JPEG its file holds. worker/images/jpeg.py tells what for.
 *
 * libjpeg warns of much, and goes on. Two warnings mean that pixels are missing from there on: data that end before the
 * scan does (whatever marker stands behind them), and codes that stand for nothing. All others are harmless: a missing
 * end marker, superfluous bytes, odd parameters.
 *
 * For whoever changes this: libjpeg's errors come back by longjmp. Whatever changes after `setjmp` and is used behind
 * it lies in `struct reading`, and no reference of Python's is taken or dropped where a jump could pass over it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

struct reading {
    struct jpeg_error_mgr errors; /* first: libjpeg hands its address out */
    struct jpeg_decompress_struct jpeg;
    jmp_buf broken;
    JDIMENSION first_lost; /* row of MCUs */
    int has_begun, has_several_scans;
};

static void note_loss(struct reading *it, JDIMENSION row) {
    if (row < it->first_lost)
        it->first_lost = row;
}

static void give_up(j_common_ptr jpeg) {
    longjmp(((struct reading *)jpeg->err)->broken, 1);
}

static void look_at_warnings(j_common_ptr jpeg, int level) {
    struct reading *it = (struct reading *)jpeg->err;
    if (level < 0 && (it->errors.msg_code == JWRN_HIT_MARKER || it->errors.msg_code == JWRN_HUFF_BAD_CODE))
        note_loss(it, it->jpeg.input_iMCU_row);
}

static void say_nothing(j_common_ptr Py_UNUSED(jpeg)) {
}

/* Whether something came of every component and, where they come bit by bit, of every coefficient the last one. */
static int has_all_scans(const struct jpeg_decompress_struct *jpeg) {
    for (int i = 0; i < jpeg->num_components; i++) {
        if (jpeg->comp_info[i].quant_table == NULL)
            return 0;
        for (int k = 0; jpeg->progressive_mode && k < DCTSIZE2; k++)
            if (jpeg->coef_bits[i][k] != 0)
                return 0;
    }
    return 1;
}

/* Read the whole file. An eighth of its size is enough to see all of its data. */
static void read_all(struct reading *it, const Py_buffer *data) {
    struct jpeg_decompress_struct *jpeg = &it->jpeg;
    jpeg->err = jpeg_std_error(&it->errors);
    it->errors.error_exit = give_up;
    it->errors.emit_message = look_at_warnings;
    it->errors.output_message = say_nothing;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, data->buf, (unsigned long)data->len);
    jpeg_read_header(jpeg, TRUE);
    jpeg->scale_num = 1;
    jpeg->scale_denom = 8;
    jpeg->do_block_smoothing = FALSE;
    jpeg->do_fancy_upsampling = FALSE;
    it->has_several_scans = jpeg_has_multiple_scans(jpeg);
    it->has_begun = 1;
    jpeg_start_decompress(jpeg);
    if (!has_all_scans(jpeg))
        note_loss(it, 0);
    JSAMPARRAY row = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
                                             jpeg->output_width * (JDIMENSION)jpeg->output_components, 1);
    while (jpeg->output_scanline < jpeg->output_height)
        jpeg_read_scanlines(jpeg, row, 1);
}

PyDoc_STRVAR(rows_held_doc, "rows_held(data)\n--\n\n"
                            "Return how many rows of a JPEG, from the top, its file holds; all of them where no pixel\n"
                            "is missing, and None for a file whose header cannot be read.");

static PyObject *rows_held(PyObject *Py_UNUSED(self), PyObject *argument) {
    struct reading it;
    Py_buffer data;

    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    memset(&it, 0, sizeof it);
    it.first_lost = JPEG_MAX_DIMENSION;
    if (setjmp(it.broken) == 0)
        read_all(&it, &data);
    else if (it.has_begun) /* of several scans none is complete, and of one what was read before */
        note_loss(&it, it.has_several_scans ? 0 : it.jpeg.input_iMCU_row);
    unsigned long rows = (unsigned long)it.first_lost * (unsigned long)it.jpeg.max_v_samp_factor * DCTSIZE;
    if (rows > it.jpeg.image_height)
        rows = it.jpeg.image_height;
    jpeg_destroy_decompress(&it.jpeg);
    PyBuffer_Release(&data);
    if (!it.has_begun)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(rows);
}

static PyMethodDef methods[] = {{"rows_held", rows_held, METH_O, rows_held_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg_rows", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg_rows(void) {
    return PyModule_Create(&module);
}
