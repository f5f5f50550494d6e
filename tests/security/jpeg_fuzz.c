/* The C code for JPEGs under libFuzzer: what our Huffman decoder makes of a file, libjpeg's own has to make of it too;
 * and it has to be the same whatever memory held before. `make fuzz-jpeg` builds this with clang's sanitizers and runs
 * it; scripts/fuzz_jpeg tells how.
 *
 * The last byte chooses the scale, the four bytes before it the part that is asked for; what is before them is the
 * file. So the fuzzer's seeds are files that have five bytes behind them. Python is linked for the module's own
 * functions, which nobody calls here.
 */
static int bmi2_is_wanted;
#define HAS_BMI2 (bmi2_is_wanted && __builtin_cpu_supports("bmi2"))
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
    int done, is_progressive;
    size_t size;
    unsigned char *pixels;
};

/* --- memory that is full of something ----------------------------------------------------------------------------- */

/* libjpeg takes all its memory through four functions of its own. Here each fills what it hands out with a byte, so that
 * what is read without having been written differs between two fillings. */
static int filling;
static struct jpeg_memory_mgr theirs_to_call;

static void *filled_small(j_common_ptr jpeg, int pool, size_t size) {
    return memset(theirs_to_call.alloc_small(jpeg, pool, size), filling, size);
}

static void *filled_large(j_common_ptr jpeg, int pool, size_t size) {
    return memset(theirs_to_call.alloc_large(jpeg, pool, size), filling, size);
}

static JSAMPARRAY filled_rows(j_common_ptr jpeg, int pool, JDIMENSION width, JDIMENSION height) {
    JSAMPARRAY rows = theirs_to_call.alloc_sarray(jpeg, pool, width, height);
    for (JDIMENSION row = 0; row < height; row++)
        memset(rows[row], filling, width);
    return rows;
}

static JBLOCKARRAY filled_blocks(j_common_ptr jpeg, int pool, JDIMENSION width, JDIMENSION height) {
    JBLOCKARRAY rows = theirs_to_call.alloc_barray(jpeg, pool, width, height);
    for (JDIMENSION row = 0; row < height; row++)
        memset(rows[row], filling, width * sizeof(JBLOCK));
    return rows;
}

static void fill_memory(struct jpeg_decompress_struct *jpeg) {
    theirs_to_call = *jpeg->mem;
    jpeg->mem->alloc_small = filled_small;
    jpeg->mem->alloc_large = filled_large;
    jpeg->mem->alloc_sarray = filled_rows;
    jpeg->mem->alloc_barray = filled_blocks;
}

/* --- a part of a file --------------------------------------------------------------------------------------------- */

static unsigned share(unsigned side, uint8_t part) {
    return (unsigned)((uint64_t)side * part / 255);
}

/* libjpeg alone goes on where it warns of something: ours does not read what lies below the part, and so finds nothing
 * wrong with it. */
static void go_on(j_common_ptr jpeg, int level) {
    (void)jpeg;
    (void)level;
}

static struct box part_of(struct jpeg_decompress_struct *jpeg, const struct question *asked) {
    jpeg->scale_num = asked->eighths;
    jpeg->scale_denom = 8;
    jpeg_calc_output_dimensions(jpeg);
    unsigned wide = jpeg->output_width, high = jpeg->output_height;
    return (struct box){share(wide, asked->part[0]), share(high, asked->part[1]), share(wide, asked->part[2]),
                        share(high, asked->part[3])};
}

/* As `decoded` in _jpeg.c, with the size that the header tells, and with the Huffman decoder that is asked for. */
static int read_part(struct reading *it, const struct question *asked, enum huffman huffman, struct found *found) {
    struct jpeg_decompress_struct *jpeg = &it->jpeg;
    bmi2_is_wanted = huffman == OURS;
    create(it);
    fill_memory(jpeg);
    open_header(it, asked->file, asked->length);
    if ((uint64_t)jpeg->image_width * jpeg->image_height > MOST_PIXELS)
        return 0;
    found->is_progressive = jpeg->progressive_mode;
    if (jpeg->progressive_mode && huffman == THEIRS) {
        it->errors.emit_message = go_on;
        jpeg->client_data = it; /* ours then takes nothing over */
    }
    it->part = part_of(jpeg, asked);
    if (!begin(it, jpeg->image_width, jpeg->image_height, asked->eighths) || !widen(jpeg, &it->part))
        return 0;
    found->size = (size_t)(it->part.bottom - it->part.top) * jpeg->output_width * (size_t)jpeg->output_components;
    found->pixels = memset(malloc(found->size), filling, found->size);
    int known_as_whole = jpeg->progressive_mode || (huffman != THEIRS && read_scan_ourselves(jpeg));
    return read_rows(jpeg, &it->part, found->pixels) && (known_as_whole || is_whole(jpeg));
}

static struct found answer(const struct question *asked, enum huffman huffman, int memory) {
    struct reading it;
    struct found found; /* like `it`, changed through its address only, so that a jump back finds it as it was left */
    memset(&it, 0, sizeof it);
    memset(&found, 0, sizeof found);
    filling = memory;
    if (setjmp(it.odd) == 0)
        found.done = read_part(&it, asked, huffman, &found);
    jpeg_destroy_decompress(&it.jpeg);
    return found;
}

static void same(struct found ours, struct found theirs) {
    if (ours.done && !theirs.done && !ours.is_progressive) /* whatever is odd is Pillow's to judge */
        abort();
    if (ours.done && theirs.done && (ours.size != theirs.size || memcmp(ours.pixels, theirs.pixels, ours.size) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < CHOICES)
        return 0;
    size_t length = size - CHOICES;
    struct question asked = {.file = data, .length = length, .eighths = 1 + data[size - 1] % 8};
    memcpy(asked.part, data + length, sizeof asked.part);
    struct found theirs = answer(&asked, THEIRS, 0x11), ours = answer(&asked, OURS, 0x11),
                 ours_elsewhere = answer(&asked, OURS, 0xc3), portable = answer(&asked, OURS_WITHOUT_BMI2, 0xc3);
    same(ours, theirs);
    if (ours.done != portable.done || ours.done != ours_elsewhere.done)
        abort();
    same(ours_elsewhere, ours);
    same(portable, theirs);
    free(theirs.pixels);
    free(ours.pixels);
    free(ours_elsewhere.pixels);
    free(portable.pixels);
    return 0;
}
