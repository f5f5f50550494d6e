/* What the hardware allows, as nearly as libjpeg-turbo lets one come to it: nothing but C, no checks, no safety.
 *
 *   floor whole|part|entropy|edge FILE...   (RGB or grey baseline JPEGs; the collage goes to stdout)
 *
 * whole: decode at the largest scale that covers the cell, average boxes of pixels, encode.
 * part: the same, but only of what the cell shows. entropy: Huffman decoding alone. edge: that, of the rows above the
 * lower edge of the crop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { CELL = 200, COLS = 7 };

static unsigned char *contents(const char *path, unsigned long *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        exit(1);
    fseek(file, 0, SEEK_END);
    *length = (unsigned long)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*length);
    if (fread(data, 1, *length, file) != *length)
        exit(1);
    fclose(file);
    return data;
}

static void average(const unsigned char *from, unsigned wide, unsigned stride, unsigned high, unsigned char *to,
                    unsigned to_stride) {
    for (unsigned y = 0; y < CELL; y++) {
        unsigned top = y * high / CELL, bottom = (y + 1) * high / CELL;
        for (unsigned x = 0; x < CELL; x++) {
            unsigned left = x * wide / CELL, right = (x + 1) * wide / CELL, red = 0, green = 0, blue = 0;
            for (unsigned v = top; v < bottom; v++)
                for (const unsigned char *p = from + v * stride + left * 3; p < from + v * stride + right * 3; p += 3)
                    red += p[0], green += p[1], blue += p[2];
            unsigned count = (bottom - top) * (right - left);
            unsigned char *pixel = to + y * to_stride + x * 3;
            pixel[0] = (unsigned char)(red / count);
            pixel[1] = (unsigned char)(green / count);
            pixel[2] = (unsigned char)(blue / count);
        }
    }
}

static void decode(const char *path, const char *mode, unsigned char *cell, unsigned stride) {
    struct jpeg_error_mgr errors;
    struct jpeg_decompress_struct jpeg;
    unsigned long length;
    unsigned char *data = contents(path, &length);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, length);
    jpeg_read_header(&jpeg, TRUE);
    unsigned side = jpeg.image_width < jpeg.image_height ? jpeg.image_width : jpeg.image_height;
    jpeg.scale_num = 1;
    for (jpeg.scale_denom = 8; jpeg.scale_denom > 1 && side / jpeg.scale_denom < CELL;)
        jpeg.scale_denom /= 2;
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    JDIMENSION wide = jpeg.output_width, high = jpeg.output_height, shown = wide < high ? wide : high;
    JDIMENSION left = (wide - shown) / 2, top = (high - shown) / 2, first = 0, last = high;
    if (strcmp(mode, "entropy") == 0 || strcmp(mode, "edge") == 0) {
        jpeg_skip_scanlines(&jpeg, *mode == 'e' && mode[1] == 'n' ? high - 1 : top + shown - 1);
    } else {
        if (strcmp(mode, "part") == 0) {
            unsigned block = (unsigned)(jpeg.max_v_samp_factor * jpeg.min_DCT_scaled_size);
            JDIMENSION column = left, columns = shown;
            if (shown < wide)
                jpeg_crop_scanline(&jpeg, &column, &columns);
            first = top - top % block;
            last = top + shown;
            left -= column;
            wide = jpeg.output_width;
            jpeg_skip_scanlines(&jpeg, first);
        }
        unsigned char *pixels = malloc((size_t)wide * 3 * (last - first));
        while (jpeg.output_scanline < last) {
            JSAMPROW row = pixels + (size_t)(jpeg.output_scanline - first) * wide * 3;
            jpeg_read_scanlines(&jpeg, &row, 1);
        }
        average(pixels + ((size_t)(top - first) * wide + left) * 3, shown, wide * 3, shown, cell, stride);
        free(pixels);
    }
    jpeg_destroy_decompress(&jpeg);
    free(data);
}

static void encode(unsigned char *canvas, unsigned wide, unsigned high) {
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct jpeg;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, stdout);
    jpeg.image_width = wide;
    jpeg.image_height = high;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < high) {
        JSAMPROW row = canvas + (size_t)jpeg.next_scanline * wide * 3;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
}

int main(int count, char **words) {
    if (count < 3)
        return 2;
    unsigned images = (unsigned)count - 2, rows = (images + COLS - 1) / COLS, stride = COLS * CELL * 3;
    unsigned char *canvas = malloc((size_t)stride * CELL * rows);
    memset(canvas, 255, (size_t)stride * CELL * rows);
    for (unsigned i = 0; i < images; i++)
        decode(words[i + 2], words[1], canvas + (size_t)(i / COLS) * CELL * stride + i % COLS * CELL * 3, stride);
    if (*words[1] != 'e')
        encode(canvas, COLS * CELL, rows * CELL);
    free(canvas);
    return 0;
}
