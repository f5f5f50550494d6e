/* One JPEG, and of it only what a cell shows: scaled while it is decoded, without the inverse transform of what lies
 * above the part that is asked for, and without reading on below it. worker/images/jpeg.py tells how it is used.
 *
 * Everything odd is left to Pillow: `decode` returns None for whatever is not 8-bit grey, YCbCr or RGB in Huffman's
 * code, baseline in one scan or progressive, for what libjpeg warns of, and for a file that does not end as one should.
 * So it is Pillow alone that refuses files, and fewer ways through libjpeg are open to a hostile one than there are
 * through Pillow. The one thing that is refused here is a picture of another size than Pillow saw in its header: Pillow
 * would have libjpeg write rows of the one width into a buffer of the other (CVE-2026-112403).
 *
 * For whoever changes this: libjpeg's errors come back by longjmp. Whatever changes after `setjmp` and is used behind
 * it lies in `struct reading`, and no reference of Python's is taken or dropped where a jump could pass over it.
 */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "_huffman.h"
#include "_progressive.h"

#define MOST_BYTES ((size_t)1 << 30)

/* Before libjpeg-turbo 2.1.4 rows of files with several scans could not be skipped reliably. */
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001004
#define READS_PROGRESSIVE 1
#else
#define READS_PROGRESSIVE 0
#endif

struct box {
    unsigned left, top, right, bottom;
};

struct reading {
    struct jpeg_error_mgr errors; /* first: libjpeg hands its address out */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf odd;
    struct box part;
    PyObject *pixels;
    double lines;
    int done;
};

static void give_up(j_common_ptr jpeg) {
    longjmp(((struct reading *)jpeg->err)->odd, 1);
}

/* Warnings are numbered -1, and libjpeg would go on; traces are 0 and more. */
static void give_up_at_warnings(j_common_ptr jpeg, int level) {
    if (level < 0)
        give_up(jpeg);
}

static void say_nothing(j_common_ptr Py_UNUSED(jpeg)) {
}

static void create(struct reading *it) {
    it->jpeg.err = jpeg_std_error(&it->errors);
    it->errors.error_exit = give_up;
    it->errors.emit_message = give_up_at_warnings;
    it->errors.output_message = say_nothing;
    jpeg_create_decompress(&it->jpeg);
}

static void open_header(struct reading *it, const unsigned char *data, unsigned long length) {
    jpeg_mem_src(&it->jpeg, data, length);
    jpeg_read_header(&it->jpeg, TRUE);
}

/* Whether luma has one or two samples each way for each of chroma; a grey picture's one component may say what it likes.
 * Of the others, libjpeg-turbo before 3.0.0 reads memory that it has not written (its ChangeLog, 3.0.0, 4): luma of 4x2,
 * 2x4, 1x4 or 4x1, cropped and scaled, then shows what that memory held before, which can be another picture. */
static int has_common_sampling(const struct jpeg_decompress_struct *jpeg) {
    const jpeg_component_info *luma = &jpeg->comp_info[0], *blue = &jpeg->comp_info[1], *red = &jpeg->comp_info[2];
    return jpeg->num_components == 1 ||
           (luma->h_samp_factor <= 2 && luma->v_samp_factor <= 2 && blue->h_samp_factor == 1 &&
            blue->v_samp_factor == 1 && red->h_samp_factor == 1 && red->v_samp_factor == 1);
}

static int is_plain(struct jpeg_decompress_struct *jpeg) {
    if (jpeg->data_precision != 8 || jpeg->arith_code ||
        (jpeg->progressive_mode ? !READS_PROGRESSIVE : jpeg_has_multiple_scans(jpeg)))
        return 0;
    if (jpeg->num_components == 1)
        return jpeg->jpeg_color_space == JCS_GRAYSCALE;
    return jpeg->num_components == 3 && (jpeg->jpeg_color_space == JCS_YCbCr || jpeg->jpeg_color_space == JCS_RGB) &&
           has_common_sampling(jpeg);
}

/* Whether the file has its end: behind the rows that were read, FF D9 can be nothing else. */
static int is_whole(struct jpeg_decompress_struct *jpeg) {
    return jpeg->unread_marker == JPEG_EOI ||
           memmem(jpeg->src->next_input_byte, jpeg->src->bytes_in_buffer, "\xff\xd9", 2) != NULL;
}

/* Widen the box to what libjpeg decodes at a time, and return false if it does not lie in the picture. */
static int widen(struct jpeg_decompress_struct *jpeg, struct box *part) {
    unsigned block = (unsigned)(jpeg->max_v_samp_factor * jpeg->min_DCT_scaled_size);
    if (part->left >= part->right || part->right > jpeg->output_width || part->top >= part->bottom ||
        part->bottom > jpeg->output_height || block == 0)
        return 0;
    part->top -= part->top % block;
    JDIMENSION left = part->left, width = part->right - part->left;
    if (width < jpeg->output_width)
        jpeg_crop_scanline(jpeg, &left, &width);
    part->left = left;
    part->right = left + width;
    return jpeg->output_width == width && part->left <= part->right;
}

static int read_rows(struct jpeg_decompress_struct *jpeg, const struct box *part, unsigned char *pixels) {
    if (part->top > 0 && jpeg_skip_scanlines(jpeg, part->top) != part->top)
        return 0;
    size_t stride = (size_t)jpeg->output_width * (size_t)jpeg->output_components;
    while (jpeg->output_scanline < part->bottom) {
        JSAMPROW row = pixels + (jpeg->output_scanline - part->top) * stride;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1)
            return 0;
    }
    return 1;
}

static unsigned scaled(unsigned side, unsigned eighths) {
    return (side * eighths + 7) / 8; /* a side has 16 bits at most */
}

/* Whether the picture has the size that the caller has seen in the header; sets an error if not. */
static int is_as_seen(struct jpeg_decompress_struct *jpeg, unsigned width, unsigned height) {
    if (jpeg->image_width == width && jpeg->image_height == height)
        return 1;
    PyErr_SetString(PyExc_ValueError, "its header says one size to one reader and another to the next");
    return 0;
}

/* The MCUs of which the part is made, and one more on each side: colours are taken from beyond a part's edge. */
static struct area mcus_of(const struct jpeg_decompress_struct *jpeg, const struct box *part) {
    unsigned wide = (unsigned)(jpeg->max_h_samp_factor * jpeg->min_DCT_scaled_size);
    unsigned high = (unsigned)(jpeg->max_v_samp_factor * jpeg->min_DCT_scaled_size);
    unsigned left = part->left / wide, top = part->top / high;
    return (struct area){left > 0 ? left - 1 : 0, top > 0 ? top - 1 : 0, part->right / wide + 2,
                         part->bottom / high + 2};
}

/* libjpeg reports progress before it reads on in its first scan, of a file that has several: when all that the reader
 * of scans needs is there. */
static void read_progressively(j_common_ptr jpeg) {
    struct reading *it = (struct reading *)jpeg->err;
    if (it->jpeg.client_data == NULL)
        read_scans_ourselves(&it->jpeg, mcus_of(&it->jpeg, &it->part));
}

/* Whether no bit of the low coefficients is left out: libjpeg would smooth what is made of the others. */
static int has_all_bits(const struct jpeg_decompress_struct *jpeg) {
    for (int component = 0; component < jpeg->num_components; component++)
        for (int k = 0; k < 10; k++)
            if (jpeg->coef_bits[component][k] != 0)
                return 0;
    return 1;
}

static void begin_progressively(struct reading *it) {
    it->progress.progress_monitor = read_progressively;
    it->jpeg.progress = &it->progress;
    it->jpeg.do_block_smoothing = FALSE;
}

/* Set the scale and the colours; the part is known. */
static int begin(struct reading *it, unsigned width, unsigned height, unsigned eighths) {
    struct jpeg_decompress_struct *jpeg = &it->jpeg;
    if (!is_plain(jpeg))
        return 0;
    if (jpeg->progressive_mode)
        begin_progressively(it);
    jpeg->scale_num = eighths;
    jpeg->scale_denom = 8;
    if (eighths < 8) /* then it is chroma only that is transformed in full blocks, and some is averaged after that */
        jpeg->dct_method = JDCT_IFAST;
    jpeg->out_color_space = jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_EXT_RGBX;
    return jpeg_start_decompress(jpeg) && jpeg->output_width == scaled(width, eighths) &&
           jpeg->output_height == scaled(height, eighths) && (!jpeg->progressive_mode || has_all_bits(jpeg));
}

PyDoc_STRVAR(decode_doc,
             "decode(data, width, height, eighths, left, top, right, bottom)\n--\n\n"
             "Decode a part of a JPEG of width x height px, scaled to so many eighths; the part is in scaled px.\n\n"
             "Returns (mode, pixels, left, top, right, bottom, lines), where the part may have grown, the mode is L or\n"
             "RGBX, and lines is the energy of fine lines for each pixel, in levels squared, 0 where it is not known;\n"
             "or None for anything that is not plain and sound.");

/* Decode into it->pixels; false, or a jump to it->odd, where the file is left to Pillow. */
static int decoded(struct reading *it, const Py_buffer *data, unsigned width, unsigned height, unsigned eighths) {
    create(it);
    open_header(it, data->buf, (unsigned long)data->len);
    if (!is_as_seen(&it->jpeg, width, height) || !begin(it, width, height, eighths) ||
        !widen(&it->jpeg, &it->part))
        return 0;
    size_t size = (size_t)(it->part.bottom - it->part.top) * it->jpeg.output_width * (size_t)it->jpeg.output_components;
    if (size > MOST_BYTES)
        return 0;
    it->pixels = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (it->pixels == NULL)
        return 0;
    int known_as_whole = it->jpeg.progressive_mode || read_scan_ourselves(&it->jpeg);
    if (!read_rows(&it->jpeg, &it->part, (unsigned char *)PyBytes_AS_STRING(it->pixels)))
        return 0;
    const struct scan *scan = it->jpeg.client_data; /* a progressive file's reader begins with one */
    it->lines = scan != NULL ? energy_of_lines(&scan->lines) : 0;
    return known_as_whole || is_whole(&it->jpeg);
}

static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *arguments) {
    struct reading it;
    struct box *part = &it.part;
    Py_buffer data;
    unsigned width, height, eighths;

    memset(&it, 0, sizeof it);
    if (!PyArg_ParseTuple(arguments, "y*IIIIIII", &data, &width, &height, &eighths, &part->left, &part->top,
                          &part->right, &part->bottom))
        return NULL;
    if (eighths >= 1 && eighths <= 8 && setjmp(it.odd) == 0)
        it.done = decoded(&it, &data, width, height, eighths);
    const char *mode = it.jpeg.output_components == 1 ? "L" : "RGBX";
    jpeg_destroy_decompress(&it.jpeg);
    PyBuffer_Release(&data);
    if (it.done)
        return Py_BuildValue("(sNIIIId)", mode, it.pixels, part->left, part->top, part->right, part->bottom, it.lines);
    Py_XDECREF(it.pixels);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"decode", decode, METH_VARARGS, decode_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) {
    return PyModule_Create(&module);
}
