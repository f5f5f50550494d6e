/* The C code for JPEGs under libFuzzer: what our Huffman decoder makes of a file, libjpeg's own has to make of it too.
 * `make fuzz-jpeg` builds this with clang's sanitizers and runs it; scripts/fuzz_jpeg tells how.
 *
 * The last byte chooses the scale, the four bytes before it the part that is asked for; what is before them is the
 * file. So the fuzzer's seeds are files that have five bytes behind them. Python is linked for the module's own
 * functions, which nobody calls here.
 */
#include "../../worker/images/_jpeg.c"

#include <stdlib.h>

enum { CHOICES = 5, MOST_PIXELS = 1 << 20 };

enum huffman { THEIRS, OURS, OURS_WITHOUT_BMI2 };

struct question {
    const uint8_t *file;
    size_t length;
    unsigned eighths;
    uint8_t part[4]; /* in 255ths of the picture: left, top, right, bottom */
};

struct found {
    int done;
    size_t size;
    unsigned char *pixels;
};

static unsigned share(unsigned side, uint8_t part) {
    return (unsigned)((uint64_t)side * part / 255);
}

/* As `decoded` in _jpeg.c, with the size that the header tells, and with the Huffman decoder that is asked for. */
static int read_part(struct reading *it, const struct question *asked, enum huffman huffman, struct found *found) {
    struct jpeg_decompress_struct *jpeg = &it->jpeg;
    open_header(it, asked->file, asked->length);
    if ((uint64_t)jpeg->image_width * jpeg->image_height > MOST_PIXELS ||
        !begin(jpeg, jpeg->image_width, jpeg->image_height, asked->eighths))
        return 0;
    unsigned wide = jpeg->output_width, high = jpeg->output_height;
    it->part = (struct box){share(wide, asked->part[0]), share(high, asked->part[1]), share(wide, asked->part[2]),
                            share(high, asked->part[3])};
    if (!widen(jpeg, &it->part))
        return 0;
    found->size = (size_t)(it->part.bottom - it->part.top) * jpeg->output_width * (size_t)jpeg->output_components;
    found->pixels = malloc(found->size);
    int known_as_whole = huffman != THEIRS && read_scan_ourselves(jpeg);
    if (known_as_whole && huffman == OURS_WITHOUT_BMI2)
        jpeg->entropy->decode_mcu = read_mcu_anywhere;
    return read_rows(jpeg, &it->part, found->pixels) && (known_as_whole || is_whole(jpeg));
}

static struct found answer(const struct question *asked, enum huffman huffman) {
    struct reading it;
    struct found found; /* like `it`, changed through its address only, so that a jump back finds it as it was left */
    memset(&it, 0, sizeof it);
    memset(&found, 0, sizeof found);
    if (setjmp(it.odd) == 0)
        found.done = read_part(&it, asked, huffman, &found);
    jpeg_destroy_decompress(&it.jpeg);
    return found;
}

static void same(struct found ours, struct found theirs) {
    if (ours.done && !theirs.done) /* whatever is odd is Pillow's to judge */
        abort();
    if (ours.done && (ours.size != theirs.size || memcmp(ours.pixels, theirs.pixels, ours.size) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < CHOICES)
        return 0;
    size_t length = size - CHOICES;
    struct question asked = {.file = data, .length = length, .eighths = 1 + data[size - 1] % 8};
    memcpy(asked.part, data + length, sizeof asked.part);
    struct found theirs = answer(&asked, THEIRS), ours = answer(&asked, OURS),
                 portable = answer(&asked, OURS_WITHOUT_BMI2);
    same(ours, theirs);
    if (ours.done != portable.done)
        abort();
    same(portable, theirs);
    free(theirs.pixels);
    free(ours.pixels);
    free(portable.pixels);
    return 0;
}
